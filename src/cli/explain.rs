//! `plimsoll explain METHOD URL`: what a request is, by the very code that serves it.
//!
//! A request of a fresh session is explained: no session is known here. What becomes of it at a
//! stated load is forecast: all classes offer the shop alike.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::{Tenure, Value, standing};
use serde::Serialize;
use serde_json::Value as Json;

use crate::classify::features::RequestFeatures;
use crate::classify::head::Head;
use crate::classify::session::{SessionView, Stage};
use crate::classify::{graphql, path};
use crate::clock::{Clock, hour_and_weekday};
use crate::config::Config;
use crate::forecast::{Ask, share_served};
use crate::generation::Generation;
use crate::model::ModelClass;
use crate::policy::compiled::CompiledPolicy;
use crate::serving::{load_model, read_policy};

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy file or directory; the built-in one if absent
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The model bundle; the policy's choice if absent
    #[arg(long)]
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Forecast what becomes of it while the shop is offered so many times what it can carry (repeatable)
    #[arg(long, value_name = "2x", value_parser = crate::cli::policy::load)]
    load: Vec<f64>,
    /// The method
    method: String,
    /// The URL, or just its path
    url: String,
    /// A header field, like 'Accept: text/html'
    #[arg(short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// What a request is. The keys are fixed: tools depend on them.
#[derive(Debug, Serialize)]
struct Explanation {
    path: String,
    route: Option<String>,
    class: String,
    class_by: &'static str,
    value: f32,
    scores: Json,
    rank: u8,
    standing: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forecasts: Vec<Forecast>,
}

/// What becomes of such requests at one load.
#[derive(Debug, Serialize)]
struct Forecast {
    load: f64,
    /// In [0, 1].
    served: f64,
}

/// Explains the request.
///
/// # Errors
/// A policy, model or request that is none.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let generation = generation(arguments)?;
    let (parts, ()) = request(arguments)?.into_parts();
    let mut explanation = explain(&generation, &Head::of(&parts));
    explanation.forecasts = forecasts(&generation.policy, &explanation, &arguments.load);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&explanation)?);
    } else {
        print!("{}", text(&explanation));
    }
    Ok(ExitCode::SUCCESS)
}

fn generation(arguments: &Arguments) -> anyhow::Result<Generation> {
    let config =
        Config { policy: arguments.policy.clone(), model: arguments.model.clone(), ..Config::default() };
    let policy = read_policy(&config)?;
    let model = load_model(&policy, &config)?;
    Ok(Generation::new(1, policy, Some(model)))
}

fn request(arguments: &Arguments) -> anyhow::Result<Request<()>> {
    let method = Method::from_bytes(arguments.method.as_bytes())
        .with_context(|| format!("`{}` is not a method", arguments.method))?;
    let uri: Uri = arguments.url.parse().with_context(|| format!("`{}` is not a URL", arguments.url))?;
    let mut request = Request::builder().method(method).uri(uri).body(())?;
    for header in &arguments.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| anyhow!("`{header}` is not a header field; write it like 'Accept: text/html'"))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("`{name}` is not a header name"))?;
        let value = HeaderValue::from_str(value.trim())
            .with_context(|| format!("`{value}` is not a header value"))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn explain(generation: &Generation, head: &Head<'_>) -> Explanation {
    let clock = Clock::start();
    let key = path::key(head.path());
    let operation = graphql::operation_in_query(head);
    let judgement = generation.judge(head, &key, operation.as_deref(), Stage::Arrived, &clock);
    let class = generation.policy.core.class(judgement.class);
    let time = hour_and_weekday(Clock::wall());
    let value = generation.value(judgement.class, &SessionView::default(), time, &clock);
    let features = RequestFeatures::of(head, &key, operation.as_deref());
    let scores = generation.model.as_ref().and_then(|model| model.scores(&features));
    let scores = scores.map_or(Json::Null, |scores| {
        ModelClass::ALL.iter().zip(scores.0).map(|(class, score)| (class.name(), score)).collect()
    });
    Explanation {
        path: key.clone().into_owned(),
        route: judgement.route.map(|route| route.defined_at.to_string()),
        class: class.name.clone(),
        class_by: judgement.class_by.name(),
        value,
        scores,
        rank: class.rank,
        standing: standing(class, Value::new(value), Tenure::Fresh, 0).0,
        forecasts: Vec::new(),
    }
}

fn forecasts(policy: &CompiledPolicy, explanation: &Explanation, loads: &[f64]) -> Vec<Forecast> {
    let values: Vec<Value> = policy.classes.iter().map(|class| Value::new(class.value)).collect();
    let class = policy.core.class_named(&explanation.class).expect("it was named by this policy");
    let forecast = |load: &f64| {
        let share = load / values.len() as f64;
        let offered: Vec<(ClassId, f64)> = policy.core.ids().map(|class| (class, share)).collect();
        let ask = Ask { class, value: Value::new(explanation.value) };
        Forecast { load: *load, served: share_served(&policy.core, &offered, ask, &values) }
    };
    loads.iter().map(forecast).collect()
}

fn text(explanation: &Explanation) -> String {
    let route = explanation.route.as_deref().unwrap_or("none");
    let mut text = format!(
        "path      {}\nroute     {route}\nclass     {} (by {}, rank {})\nvalue     {:.3}\nstanding  {}\n",
        explanation.path,
        explanation.class,
        explanation.class_by,
        explanation.rank,
        explanation.value,
        explanation.standing,
    );
    if let Json::Object(scores) = &explanation.scores {
        let mut scores: Vec<_> =
            scores.iter().filter_map(|(name, score)| Some((name, score.as_f64()?))).collect();
        scores.sort_by(|one, other| other.1.total_cmp(&one.1));
        for (name, score) in scores.iter().take(3) {
            text.push_str(&format!("model     {name} {score:.3}\n"));
        }
    }
    for Forecast { load, served } in &explanation.forecasts {
        text.push_str(&format!(
            "{:<9} {:.0}% of such requests are served\n",
            format!("at {load}x"),
            served * 100.0
        ));
    }
    text
}
