//! The shop itself: a request becomes work, and work becomes an answer, unless a fault prevents it.
//!
//! A worker stays with a request while a dependency is called, as a thread of a shop
//! does: so a slow payment provider takes the workers of those who only browse.

use super::control::typed;
use super::pages::{self, Asset, Route};
use super::settings::{Page, Settings};
use super::workers::{Job, Pace, Seat, Workers};
use super::{STATS_PATH, Stats};
use crate::delivery::Delivery;
use crate::scenario::fault::{Fault, Kind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The shop's state.
#[derive(Debug)]
pub(super) struct Shop {
    workers: Arc<Workers>,
    seed: u64,
    /// Held for a look, or a change of the whole.
    present: Mutex<Present>,
    /// Held for the few instructions of one count.
    ledger: Mutex<Ledger>,
}

/// What the shop is like at present.
#[derive(Debug)]
struct Present {
    settings: Settings,
    dependencies: BTreeMap<String, Arc<Workers>>,
}

#[derive(Debug)]
struct Ledger {
    stats: Stats,
    rng: SmallRng,
}

/// The connection is broken instead of answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Break {
    #[error("closed on purpose")]
    Close,
    #[error("reset on purpose")]
    Reset,
}

impl Shop {
    pub(super) fn new(settings: Settings, seed: u64) -> Arc<Shop> {
        let shop = Shop {
            workers: Workers::new(settings.workers, seed),
            seed,
            present: Mutex::new(Present { settings: settings.clone(), dependencies: BTreeMap::new() }),
            ledger: Mutex::new(Ledger { stats: Stats::default(), rng: SmallRng::seed_from_u64(seed) }),
        };
        shop.become_like(settings);
        Arc::new(shop)
    }

    pub(super) fn settings(&self) -> Settings {
        self.present().settings.clone()
    }

    /// Changes what requests meet that begin from now on.
    pub(super) fn become_like(&self, settings: Settings) {
        let mut present = self.present();
        self.workers.resize(settings.workers);
        present.dependencies.retain(|name, _| settings.dependencies.contains_key(name));
        for (name, dependency) in &settings.dependencies {
            let pool = present.dependencies.entry(name.clone());
            pool.or_insert_with(|| Workers::new(dependency.slots, self.seed)).resize(dependency.slots);
        }
        present.settings = settings;
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = self.ledger().stats.clone();
        stats.waiting = self.workers.waiting();
        stats.busy = self.workers.busy();
        stats
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Delivery>, Break> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == STATS_PATH {
            let json = serde_json::to_vec(&self.stats()).expect("counts are valid JSON");
            return Ok(typed(StatusCode::OK, "application/json", json.into()));
        }
        // A client who leaves is noticed only while nothing of the request is unread.
        if body.collect().await.is_err() {
            return Ok(status(StatusCode::BAD_REQUEST));
        }
        let route = Route::of(&head.method, path);
        let fault = self.fault(route);
        match fault.as_ref().map(|fault| fault.fault) {
            Some(Kind::Abort) => return Err(Break::Close),
            Some(Kind::Reset) => return Err(Break::Reset),
            _ => {}
        }
        let served = self.work(route).await;
        if fault.as_ref().is_some_and(|fault| fault.fault == Kind::Hang) {
            // Until the client leaves; its worker hangs with it.
            std::future::pending::<()>().await;
        }
        let is_well = served.is_ok() && fault.as_ref().is_none_or(|fault| fault.fault != Kind::Error);
        drop(served);
        if !is_well {
            return Ok(status(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Ok(self.deliver(self.page(route, path, &head.headers), fault).await)
    }

    /// Does the work of a page and of what it needs; its worker is kept until the seat drops.
    async fn work(&self, route: Route) -> Result<Seat, Seat> {
        let (job, call) = self.job(route);
        let mut seat = self.workers.work(job).await;
        let Some((pool, job, failing)) = call else { return Ok(seat) };
        let slot = pool.work(job).await;
        seat.keep_like(&slot);
        if self.happens(failing) { Err(seat) } else { Ok(seat) }
    }

    /// What a page takes, and the call that it needs.
    fn job(&self, route: Route) -> (Job, Option<(Arc<Workers>, Job, f64)>) {
        let present = self.present();
        let Present { settings, dependencies } = &*present;
        let page = settings.routes.get(&route).cloned().unwrap_or_default();
        let Page { cost, distribution, needs, .. } = page;
        let mut pace = Pace::of(&settings.service, settings.thrash);
        pace.distribution = distribution.unwrap_or(pace.distribution);
        let job = Job { cost: cost.unwrap_or(route.cost()), pace };
        let call = needs.and_then(|name| {
            let dependency = settings.dependencies.get(&name)?;
            let call = Job { cost: 1.0, pace: Pace::of(&dependency.service, 0.0) };
            Some((Arc::clone(dependencies.get(&name)?), call, dependency.failing))
        });
        (job, call)
    }

    fn fault(&self, route: Route) -> Option<Fault> {
        let faults = self.present().settings.faults.clone();
        let mut meets =
            faults.into_iter().filter(|fault| fault.routes.is_empty() || fault.routes.contains(&route));
        meets.find(|fault| self.happens(fault.share))
    }

    fn happens(&self, share: f64) -> bool {
        share > 0.0 && self.ledger().rng.random_bool(share)
    }

    async fn deliver(&self, response: Response<Delivery>, fault: Option<Fault>) -> Response<Delivery> {
        let Some(fault) = fault else { return response };
        match fault.fault {
            Kind::Latency => {
                tokio::time::sleep(fault.delay()).await;
                response
            }
            Kind::Drip => response.map(|body| body.dripping(fault.delay())),
            Kind::Truncate => response.map(Delivery::truncated),
            _ => response,
        }
    }

    fn page(&self, route: Route, path: &str, headers: &HeaderMap) -> Response<Delivery> {
        let mut response = match route {
            Route::Collect => status(StatusCode::NO_CONTENT),
            Route::Static => {
                let Asset { content_type, body } = Asset::of(path);
                typed(StatusCode::OK, content_type, Bytes::from_static(body))
            }
            _ => typed(StatusCode::OK, "text/html; charset=utf-8", pages::html(route, path).into()),
        };
        // What has no content cannot be long.
        if let Some(bytes) = self.page_of(route).bytes.filter(|_| route != Route::Collect) {
            response = response.map(|body| body.padded_to(bytes));
        }
        if !pages::has_session(headers) {
            response.headers_mut().insert(header::SET_COOKIE, self.new_session());
        }
        self.count(route, &mut response);
        response
    }

    fn count(&self, route: Route, response: &mut Response<Delivery>) {
        let cost = self.page_of(route).cost;
        let mut ledger = self.ledger();
        *ledger.stats.served.entry(route.name().into()).or_default() += 1;
        ledger.stats.cost_served += cost.unwrap_or(route.cost());
        if route == Route::Order {
            let value = ledger.rng.random_range(20..=200_u64);
            ledger.stats.orders += 1;
            ledger.stats.order_value += value;
            response.headers_mut().insert("x-order-value", HeaderValue::from(value));
        }
    }

    /// What is particular to the pages of a route.
    fn page_of(&self, route: Route) -> Page {
        self.present().settings.routes.get(&route).cloned().unwrap_or_default()
    }

    fn new_session(&self) -> HeaderValue {
        let id: u128 = self.ledger().rng.random();
        let cookie = format!("{}{id:032x}; Path=/; HttpOnly; SameSite=Lax", pages::SESSION_COOKIE);
        HeaderValue::try_from(cookie).expect("hexadecimal digits are valid in a header")
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(status: StatusCode) -> Response<Delivery> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
