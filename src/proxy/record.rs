//! What is written down of a request when it is over: counters, the access log, the decision header.
//!
//! It changes nothing about the request.

use std::time::Duration;

use http::StatusCode;
use pingora_core::Error;
use pingora_proxy::Session;
use plimsoll_core::decision::Decision;

use super::context::{Context, Fate, Judged};
use super::identity;
use super::learning;
use crate::clock::Clock;
use crate::policy::compiled::CompiledPolicy;
use crate::serving::Serving;
use crate::telemetry::access_log::{Record, loggable};
use crate::telemetry::refusals::{Refusal, redacted};
use crate::telemetry::rejection::Rejection;

/// Whether its answer tells the decision: of requests in a sample of the policy's choice.
pub(super) fn tells_decision(policy: &CompiledPolicy, ctx: &Context) -> bool {
    ctx.bits % 1_000_000 < u64::from(policy.decision_header.millionths())
}

/// The decision as its header tells it: `checkout; by=route; admit; generation=3; limit=19; ...`. The id
/// is what `plimsoll explain --id` finds it by in a journal.
pub(super) fn decision_text(ctx: &Context) -> String {
    let Some(judged) = &ctx.judged else { return String::new() };
    let class = class_name(judged);
    let by = judged.class_by.name();
    let generation = judged.running.generation.number;
    let (decision, reason) = decision_names(&ctx.fate);
    match ctx.fate {
        Fate::Decided(_, evidence) => format!(
            "{class}; by={by}; {decision}; reason={reason}; generation={generation}; limit={}; \
             inflight={}; standing={}; wait_ms={}; id={:016x}",
            evidence.limit,
            evidence.inflight,
            evidence.standing.0,
            evidence.wait.as_millis(),
            ctx.bits,
        ),
        Fate::Rejected(_) | Fate::Undecided => {
            format!("{class}; by={by}; {decision}; reason={reason}; generation={generation}")
        }
    }
}

/// The status of the answer that was begun, if one was. `100 Continue` is none.
pub(super) fn status(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status)
}

/// Counts and logs a request that is over.
pub(super) fn record(serving: &Serving, session: &Session, error: Option<&Error>, ctx: &Context) {
    let status = status(session).map_or(0, |status| status.as_u16());
    if let Some(judged) = &ctx.judged {
        let meters = &judged.running.meters[judged.class.index()];
        match usize::from(status / 100) {
            hundreds @ 1..=5 => meters.statuses[hundreds - 1].inc(),
            _ => meters.left.inc(),
        };
        if let Some(is_kept) = has_kept_slo(serving, judged, status, ctx) {
            meters.count_slo(is_kept);
        }
        note_refusal(serving, session, judged, ctx);
        let (decision, _) = decision_names(&ctx.fate);
        learning::note(serving, session, judged, ctx, status, decision);
    }
    let Some(log) = serving.access_log.as_ref().filter(|log| log.samples(ctx.bits)) else { return };
    log.write(log_record(serving, session, error, ctx, status));
}

fn log_record(
    serving: &Serving,
    session: &Session,
    error: Option<&Error>,
    ctx: &Context,
    status: u16,
) -> Record {
    let request = session.req_header();
    let (decision, reason) = decision_names(&ctx.fate);
    let reason = match error {
        Some(error) if is_fate_admitted(&ctx.fate) => error.etype().as_str(),
        _ => reason,
    };
    let now = serving.clock.now();
    let upstream = ctx.first_byte.zip(ctx.sent).map(|(first, sent)| first.since(sent));
    Record {
        time: Clock::wall().as_secs_f64(),
        request_id: identity::request_id(&request.headers, ctx.bits),
        method: request.method.to_string(),
        path: loggable(request.uri.path()).to_owned(),
        class: ctx.judged.as_ref().map(class_name).unwrap_or_default().to_owned(),
        class_by: ctx.judged.as_ref().map_or("", |judged| judged.class_by.name()),
        generation: ctx.judged.as_ref().map_or(0, |judged| judged.running.generation.number),
        session: ctx.judged.as_ref().map(|judged| format!("{:016x}", judged.known.hash)).unwrap_or_default(),
        decision,
        reason,
        status,
        wait_ms: millis(ctx.waited),
        upstream_ms: millis(upstream.unwrap_or_default()),
        total_ms: millis(now.since(ctx.received)),
    }
}

fn note_refusal(serving: &Serving, session: &Session, judged: &Judged, ctx: &Context) {
    if !is_refused(&ctx.fate) {
        return;
    }
    let request = session.req_header();
    serving.refusals.note(judged.class, serving.clock.now(), || Refusal {
        time: Clock::wall().as_secs_f64(),
        request_id: identity::request_id(&request.headers, ctx.bits),
        class: class_name(judged).to_owned(),
        pool: serving.pools[judged.pool].pool.name.clone(),
        generation: judged.running.generation.number,
        method: request.method.to_string(),
        path: redacted(request.uri.path()),
        reason: decision_names(&ctx.fate).1,
        evidence: sentence(&ctx.fate),
    });
}

/// Whether the request was in order and yet turned away: what support is asked about.
fn is_refused(fate: &Fate) -> bool {
    match fate {
        Fate::Decided(decision, _) => matches!(decision, Decision::Shed(_)),
        Fate::Rejected(reason) => [Rejection::RateLimited, Rejection::StreamsFull, Rejection::Strained]
            .iter()
            .any(|one| one.name() == *reason),
        Fate::Undecided => false,
    }
}

fn sentence(fate: &Fate) -> String {
    match fate {
        Fate::Decided(decision, evidence) => evidence.sentence(*decision),
        Fate::Rejected(reason) if *reason == Rejection::RateLimited.name() => {
            "refused before it was decided about: its session or address is at a limit of the policy"
                .to_owned()
        }
        Fate::Rejected(_) | Fate::Undecided => "refused: this process is near its own limits".to_owned(),
    }
}

/// Whether a decided request had a good answer in time; `None` if its client left before the time was up.
fn has_kept_slo(serving: &Serving, judged: &Judged, status: u16, ctx: &Context) -> Option<bool> {
    let decision = match ctx.fate {
        Fate::Decided(decision, _) => decision,
        // A limit that is too tight is the policy's doing as well.
        Fate::Rejected(reason) if reason == Rejection::RateLimited.name() => return Some(false),
        Fate::Rejected(_) | Fate::Undecided => return None,
    };
    let latency_max = judged.running.generation.policy.core.class(judged.class).slo_latency;
    let answered = ctx.first_byte.unwrap_or_else(|| serving.clock.now());
    let is_late = answered.since(ctx.complete) > latency_max;
    match status {
        0 if !is_late => None,
        0 => Some(false),
        _ => Some(decision.is_admitted() && status < 500 && !is_late),
    }
}

fn class_name(judged: &Judged) -> &str {
    &judged.running.generation.policy.core.class(judged.class).name
}

fn is_fate_admitted(fate: &Fate) -> bool {
    matches!(fate, Fate::Decided(decision, _) if decision.is_admitted())
}

fn decision_names(fate: &Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Undecided => ("leave", "client_left"),
        Fate::Rejected(reason) => ("reject", reason),
        Fate::Decided(Decision::Shed(reason), _) => ("shed", reason.name()),
        Fate::Decided(Decision::AdmitObserved(reason), _) => ("observe", reason.name()),
        Fate::Decided(Decision::Admit | Decision::Queue, _) => ("admit", "seat"),
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
