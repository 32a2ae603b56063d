//! What the admin API does: one order each, checked, carried out, and what is so afterwards.
//!
//! An order that cannot be carried out changes nothing and says why.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use log::LevelFilter;
use plimsoll_core::breaker::Forced;
use plimsoll_core::policy::Mode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::shown::Shown;
use super::{Admin, Refused};
use crate::classify::head::Head;
use crate::classify::session::SessionView;
use crate::explanation::{Circumstances, explain, stated};
use crate::history::Cause;
use crate::serving::{Applying, Outcome, ReloadError};

/// Forecasts in one explanation: each takes some ten milliseconds.
const LOADS_MAX: usize = 8;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    SetBreaker,
    Reload,
    RollBack,
    PromoteCanary,
    AbortCanary,
    SetMode,
    SetDrain,
    Explain,
    SetLog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerOrder {
    #[serde(default)]
    pool: Option<String>,
    class: String,
    state: BreakerChoice,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BreakerChoice {
    Open,
    Closed,
    Auto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeOrder {
    mode: ModeChoice,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeChoice {
    Enforce,
    Observe,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainOrder {
    draining: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogOrder {
    level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainOrder {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    address: Option<IpAddr>,
    /// What is known of its session, as `plimsoll explain --session` takes it.
    #[serde(default)]
    session: Option<String>,
    /// The GraphQL operation of its body.
    #[serde(default)]
    graphql: Option<String>,
    #[serde(default)]
    loads: Vec<f64>,
}

impl Admin {
    pub(super) fn obey(&self, order: Order, query: &str, body: &[u8]) -> Result<Value, Refused> {
        match order {
            Order::SetBreaker => self.set_breaker(&parse(body)?),
            Order::Reload => self.reload(query),
            Order::RollBack => self.roll_back(query),
            Order::PromoteCanary => self.end_canary(self.serving.promote_canary()),
            Order::AbortCanary => self.end_canary(self.serving.abort_canary()),
            Order::SetMode => Ok(self.set_mode(&parse(body)?)),
            Order::SetDrain => Ok(self.set_drain(&parse(body)?)),
            Order::Explain => self.explain(&parse(body)?),
            Order::SetLog => self.set_log(&parse(body)?),
        }
    }

    fn set_breaker(&self, order: &BreakerOrder) -> Result<Value, Refused> {
        let of_pool = |name: &str| order.pool.as_deref().is_none_or(|pool| pool == name);
        let pools = || self.serving.pools.iter().filter(|pool| of_pool(&pool.pool.name));
        if pools().next().is_none() {
            return Err(Refused::unprocessable(format!(
                "there is no pool `{}`",
                order.pool.as_deref().unwrap_or("")
            )));
        }
        let forced = match order.state {
            BreakerChoice::Open => Some(Forced::Open),
            BreakerChoice::Closed => Some(Forced::Closed),
            BreakerChoice::Auto => None,
        };
        for pool in pools() {
            if !pool.gate.force_breaker(&order.class, forced) {
                return Err(Refused::unprocessable(format!("there is no class `{}`", order.class)));
            }
        }
        Ok(self.breakers())
    }

    fn reload(&self, query: &str) -> Result<Value, Refused> {
        let applying = match query {
            "" => Applying::Changed,
            "again=true" => Applying::Again,
            _ => return Err(Refused::unprocessable("`again=true` is all that may be asked for")),
        };
        (self.read_certificates)();
        match self.serving.reload(applying) {
            Ok(Outcome::Applied(number)) => Ok(json!({ "generation": number, "changed": true })),
            Ok(Outcome::Unchanged(number)) => Ok(json!({ "generation": number, "changed": false })),
            Ok(Outcome::Canary(number)) => {
                let running = self.serving.running().generation.number;
                Ok(json!({ "generation": running, "changed": true, "canary": number }))
            }
            Err(error) => Err(rejected(&error)),
        }
    }

    fn roll_back(&self, query: &str) -> Result<Value, Refused> {
        let number = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("to", number)) => {
                let no_number = |_| {
                    let message =
                        format!("`{number}` is no generation: GET /v1/generations tells which are kept");
                    Refused::unprocessable(message)
                };
                Some(number.parse::<u64>().map_err(no_number)?)
            }
            _ => return Err(Refused::unprocessable("`to=NUMBER` is all that may be asked for")),
        };
        match self.serving.roll_back(number, Cause::Rollback) {
            Ok(_) => Ok(self.generations()),
            Err(error) => Err(rejected(&error)),
        }
    }

    fn end_canary(&self, ended: Result<u64, ReloadError>) -> Result<Value, Refused> {
        ended.map(|_| self.generations()).map_err(|error| rejected(&error))
    }

    fn set_mode(&self, order: &ModeOrder) -> Value {
        self.serving.set_mode(match order.mode {
            ModeChoice::Enforce => Mode::Enforce,
            ModeChoice::Observe => Mode::Observe,
        });
        self.mode()
    }

    fn set_drain(&self, order: &DrainOrder) -> Value {
        self.draining.store(order.draining, Ordering::Relaxed);
        self.show(Shown::Drain)
    }

    fn set_log(&self, order: &LogOrder) -> Result<Value, Refused> {
        let level = LevelFilter::from_str(&order.level).map_err(|_| {
            Refused::unprocessable(format!(
                "`{}` is no level: off, error, warn, info, debug, trace",
                order.level
            ))
        })?;
        log::set_max_level(level);
        Ok(self.show(Shown::Log))
    }

    fn explain(&self, order: &ExplainOrder) -> Result<Value, Refused> {
        let in_range = |load: &f64| (0.01..=20.0).contains(load);
        if order.loads.len() > LOADS_MAX || !order.loads.iter().all(in_range) {
            return Err(Refused::unprocessable(format!("at most {LOADS_MAX} loads, each from 0.01 to 20")));
        }
        let (parts, ()) = request(order).map_err(Refused::unprocessable)?.into_parts();
        let head = Head::of(&parts).sent_by(order.address);
        let session = order.session.as_deref().map_or_else(|| Ok(SessionView::default()), stated::session);
        let session = session.map_err(Refused::unprocessable)?;
        let circumstances =
            Circumstances { session, operation: order.graphql.as_deref(), loads: &order.loads };
        let explanation = explain(&self.serving.running().generation, &head, &circumstances);
        Ok(serde_json::to_value(explanation).expect("an explanation is plain data"))
    }
}

fn request(order: &ExplainOrder) -> Result<Request<()>, http::Error> {
    let uri = Uri::from_str(&order.url)?;
    let mut request = Request::builder().method(Method::from_str(&order.method)?).uri(uri).body(())?;
    for (name, value) in &order.headers {
        request.headers_mut().append(HeaderName::from_str(name)?, HeaderValue::from_str(value)?);
    }
    Ok(request)
}

/// What was rolled back from is in conflict with what is asked for; all else is wrong by itself.
fn rejected(error: &ReloadError) -> Refused {
    match error {
        ReloadError::Held { .. }
        | ReloadError::Overtaken { .. }
        | ReloadError::NothingBefore
        | ReloadError::NoCanary => Refused(StatusCode::CONFLICT, error.to_string()),
        _ => Refused::unprocessable(error),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))
}
