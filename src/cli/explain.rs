//! `plimsoll explain METHOD URL`: what a request is, by the very code that serves it.
//!
//! No session is known here: a request is explained as that of a fresh one, or of one of which `--session` says
//! something. What becomes of it is forecast at half, at all and at twice of what the shop can carry, or
//! at the loads that are stated: all classes offer the shop alike.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value as Json;

use crate::classify::head::Head;
use crate::classify::session::SessionView;
use crate::cli::past;
use crate::clock::Clock;
use crate::config::Config;
use crate::explanation::influence::Influence;
use crate::explanation::{Bounds, Circumstances, Explanation, Forecast, explain, stated};
use crate::generation::Generation;
use crate::serving::{load_model, read_policy};

/// What is forecast where nothing is stated: a quiet day, a full shop, and a sale.
const LOADS: [f64; 3] = [0.5, 1.0, 2.0];

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policy file, or a directory of overlays; the built-in storefront policy if absent
    #[arg(long, value_name = "FILE|DIR")]
    policy: Option<PathBuf>,
    /// The model bundle; the policy's choice if absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Forecast what becomes of it while the shop is offered so many times what it can carry (repeatable; 0.5x,
    /// 1x and 2x if absent)
    #[arg(long, value_name = "2x", value_parser = crate::cli::policy::load)]
    load: Vec<f64>,
    /// Explain it at this time, like 2026-11-27T10:30:00Z: the schedule of then holds; now if absent
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Explain a request of the past: the id in X-Plimsoll-Decision, or the X-Request-Id it was given
    #[arg(long, value_name = "ID", requires = "journal")]
    id: Option<String>,
    /// The journal that it is in, a file or a directory
    #[arg(long, value_name = "FILE|DIR", requires = "id")]
    journal: Option<PathBuf>,
    /// The client's address, for routes that ask for it
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// How far its session has come (none, browsing, cart or checkout), and what else is known of it by the names of
    /// `when:`, like cart,requests=250,entry=search; the rest is as usual
    #[arg(long, value_name = "STAGE[,NAME=VALUE...]", value_parser = stated::session, default_value = "none")]
    session: SessionView,
    /// The GraphQL operation of its body
    #[arg(long, value_name = "NAME")]
    graphql: Option<String>,
    /// The method
    #[arg(required_unless_present = "id")]
    method: Option<String>,
    /// The URL, or just its path
    #[arg(required_unless_present = "id")]
    url: Option<String>,
    /// A header field, like 'Accept: text/html'
    #[arg(short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// Explains the request.
///
/// # Errors
/// A policy, model or request that is none.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let (Some(id), Some(journal)) = (&arguments.id, &arguments.journal) {
        return past::explain(id, journal, arguments.json);
    }
    let generation = generation(arguments)?;
    let (parts, ()) = request(arguments)?.into_parts();
    let head = Head::of(&parts).sent_by(arguments.address);
    let loads = if arguments.load.is_empty() { &LOADS[..] } else { &arguments.load };
    let circumstances =
        Circumstances { session: arguments.session, operation: arguments.graphql.as_deref(), loads };
    let explanation = explain(&generation, &head, &circumstances);
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
    let at = arguments.at.map_or_else(|| Ok(Clock::wall()), |at| at.as_duration().try_into());
    Ok(Generation::new(1, policy, Some(model)).at(at.context("a time before 1970")?))
}

fn request(arguments: &Arguments) -> anyhow::Result<Request<()>> {
    let (method, url) = (arguments.method.as_deref().unwrap_or(""), arguments.url.as_deref().unwrap_or(""));
    let method =
        Method::from_bytes(method.as_bytes()).with_context(|| format!("`{method}` is not a method"))?;
    let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
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

fn influences(label: &str, score: &str, features: &[Influence]) -> String {
    let line = |one: &Influence| {
        let Influence { feature, without } = one;
        format!("{label:<9} {feature}: without it {score} would be {without:.3}\n")
    };
    features.iter().map(line).collect()
}

fn session_text(session: &SessionView) -> String {
    let SessionView { stage, requests, views, carts, checkouts, .. } = session;
    if *session == SessionView::default() {
        return "a fresh one".to_owned();
    }
    let (name, age) = (stage.name(), session.age.as_secs());
    format!(
        "{name}: {requests} requests in {age} s, {views} pages, {carts} to the cart, {checkouts} to the checkout"
    )
}

fn text(explanation: &Explanation) -> String {
    let mut text = judgement_text(explanation);
    text.push_str(&scores_text(explanation));
    text.push_str(&influences("worth by", "the value", &explanation.value_features));
    text.extend(explanation.forecasts.iter().map(forecast_text));
    text
}

fn judgement_text(explanation: &Explanation) -> String {
    let route = explanation.route.as_deref().unwrap_or("none");
    let session = session_text(&explanation.session);
    let mut text = format!(
        "path      {}\nroute     {route}\nsession   {session}\nclass     {} (by {}, rank {})\nvalue     {:.3}\nstanding  {}\n",
        explanation.path,
        explanation.class,
        explanation.class_by,
        explanation.rank,
        explanation.value,
        explanation.standing,
    );
    if let Some(pool) = &explanation.pool {
        text.push_str(&format!("pool      {pool}\n"));
    }
    if let Some(Bounds { best_class, worst_class, min_confidence }) = &explanation.model_may {
        let sure = min_confidence * 100.0;
        text.push_str(&format!(
            "bounds    the model may give {best_class} to {worst_class}, from {sure:.0}% sure on\n"
        ));
    }
    if explanation.bot {
        text.push_str("bot       by what its agent calls itself\n");
    }
    if let Some(schedule) = &explanation.schedule {
        text.push_str(&format!("schedule  {schedule}\n"));
    }
    text
}

/// The model's three likeliest classes, and the features that the first hangs on.
fn scores_text(explanation: &Explanation) -> String {
    let Json::Object(scores) = &explanation.scores else { return String::new() };
    let mut scores: Vec<_> =
        scores.iter().filter_map(|(name, score)| Some((name, score.as_f64()?))).collect();
    scores.sort_by(|one, other| other.1.total_cmp(&one.1));
    let line = |(name, score): &(&String, f64)| format!("model     {name} {score:.3}\n");
    let mut text: String = scores.iter().take(3).map(line).collect();
    let likeliest = scores.first().map_or("", |(name, _)| name.as_str());
    text.push_str(&influences("because", likeliest, &explanation.class_features));
    if explanation.class_features.is_empty() {
        text.push_str(&format!(
            "because   no one feature: without any of them {likeliest} would be as likely\n"
        ));
    }
    text
}

fn forecast_text(forecast: &Forecast) -> String {
    let Forecast { load, served } = forecast;
    format!("{:<9} {:.0}% of such requests are served\n", format!("at {load}x"), served * 100.0)
}
