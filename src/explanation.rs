//! What a request is and why, by the very code that serves it: for `explain` and the admin API.
//!
//! No session is known here: a request is explained as that of a fresh one, or of one of which something is stated
//! ([`stated`]). What becomes of it at a stated load is forecast: all classes offer the shop alike. Which features
//! the model's scores hang on is tried out ([`influence`]).

pub mod influence;
pub mod stated;

use std::borrow::Cow;

use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::{Tenure, Value, standing};
use serde::Serialize;
use serde_json::Value as Json;

use crate::classify::head::Head;
use crate::classify::leeway::Leeway;
use crate::classify::preflight::method_meant;
use crate::classify::session::SessionView;
use crate::classify::{graphql, path};
use crate::clock::{Clock, hour_and_weekday};
use crate::explanation::influence::{Asked, Influence};
use crate::forecast::{Ask, share_served};
use crate::generation::Generation;
use crate::model::{ModelClass, Scorer};
use crate::policy::compiled::CompiledPolicy;

/// What is stated of a request besides its head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'c> {
    /// What is known of its session.
    pub session: SessionView,
    /// The GraphQL operation of its body.
    pub operation: Option<&'c str>,
    /// The loads to forecast, in multiples of what the shop can carry.
    pub loads: &'c [f64],
}

/// What a request is. The keys are fixed: tools depend on them.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The path as routes see it.
    pub path: String,
    /// Where the route stands that took it.
    pub route: Option<String>,
    /// The pool that the route names; left out for the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What is taken to be known of its session.
    pub session: SessionView,
    /// Its class.
    pub class: String,
    /// Who decided that.
    pub class_by: &'static str,
    /// How far the model may move it; left out where it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_may: Option<Bounds>,
    /// What it is worth.
    pub value: f32,
    /// What the model makes of it, by class; null without a model.
    pub scores: Json,
    /// Whether its agent calls itself a bot: told, and nothing hangs on it.
    pub bot: bool,
    /// The features that its likeliest class hangs on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_features: Vec<Influence>,
    /// The features of the session that its value hangs on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub value_features: Vec<Influence>,
    /// The schedule that holds, and where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The rank of its class.
    pub rank: u8,
    /// Its standing.
    pub standing: u16,
    /// What becomes of it, by load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<Forecast>,
}

/// How far the model may move a request.
#[derive(Debug, Serialize)]
pub struct Bounds {
    /// The best class that it may give.
    pub best_class: String,
    /// The worst.
    pub worst_class: String,
    /// How sure it must be, from 0 to 1.
    pub min_confidence: f32,
}

/// What becomes of such requests at one load.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// Times what the shop can carry.
    pub load: f64,
    /// The share of such requests that are served, in [0, 1].
    pub served: f64,
}

/// Explains `head` under `generation`, and forecasts it.
pub fn explain(generation: &Generation, head: &Head<'_>, circumstances: &Circumstances<'_>) -> Explanation {
    let clock = Clock::start();
    let key = path::key(head.path());
    let stated = circumstances.operation.map(Cow::Borrowed);
    let operation = stated.or_else(|| graphql::operation_in_query(head));
    let session = circumstances.session;
    let judgement = generation.judge(head, &key, operation.as_deref(), session, &clock);
    let class = generation.policy.core.class(judgement.class);
    let time = hour_and_weekday(Clock::wall());
    let value = generation.value(judgement.class, &session, time, &clock);
    let tenure = if session.admitted { Tenure::Admitted } else { Tenure::Fresh };
    let method = method_meant(head);
    let meant = head.with_method(&method);
    let asked = Asked { head: &meant, key: &key, operation: operation.as_deref() };
    let model = generation.model.as_deref();
    Explanation {
        path: key.clone().into_owned(),
        route: judgement.route.map(|route| route.defined_at.to_string()),
        pool: judgement.route.and_then(|route| route.pool.as_deref()).map(str::to_owned),
        session,
        class: class.name.clone(),
        class_by: judgement.class_by.name(),
        model_may: generation.leeway(judgement.route).map(|leeway| bounds(&generation.policy, leeway)),
        value,
        scores: model.and_then(|model| scores(model, &asked)).unwrap_or_default(),
        bot: asked.features().is_bot(),
        class_features: model.map(|model| influence::on_class(model, &asked)).unwrap_or_default(),
        value_features: model.map(|model| influence::on_value(model, &session, time)).unwrap_or_default(),
        schedule: schedule(&generation.policy),
        rank: class.rank,
        standing: standing(class, Value::new(value), tenure, 0).0,
        forecasts: forecasts(&generation.policy, judgement.class, value, circumstances.loads),
    }
}

fn scores(model: &Scorer, asked: &Asked<'_>) -> Option<Json> {
    let scores = model.scores(&asked.features())?;
    Some(ModelClass::ALL.iter().zip(scores.0).map(|(class, score)| (class.name(), score)).collect())
}

fn schedule(policy: &CompiledPolicy) -> Option<String> {
    policy.schedule().map(|schedule| format!("{} ({})", schedule.name, schedule.defined_at))
}

fn bounds(policy: &CompiledPolicy, leeway: Leeway) -> Bounds {
    let name = |class: ClassId| policy.core.class(class).name.clone();
    let Leeway { best, worst, confidence_min } = leeway;
    Bounds { best_class: name(best), worst_class: name(worst), min_confidence: confidence_min }
}

fn forecasts(policy: &CompiledPolicy, class: ClassId, value: f32, loads: &[f64]) -> Vec<Forecast> {
    let values: Vec<Value> = policy.classes.iter().map(|class| Value::new(class.value)).collect();
    let forecast = |load: &f64| {
        let share = load / values.len() as f64;
        let offered: Vec<(ClassId, f64)> = policy.core.ids().map(|class| (class, share)).collect();
        let ask = Ask { class, value: Value::new(value) };
        Forecast { load: *load, served: share_served(&policy.core, &offered, ask, &values) }
    };
    loads.iter().map(forecast).collect()
}
