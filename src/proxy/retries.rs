//! Whether a request is tried again: at another endpoint, or on another connection.
//!
//! What could not be connected has not been seen by anybody, and may go elsewhere whatever
//! its method. What was sent on a connection that was kept, and closed by its endpoint at that
//! moment, may have been seen: it is sent again only if to do it twice is to do it once, all of
//! its body is at hand, and nothing of an answer came. Either way its class must allow it, and
//! the pool's budget: retries that grow with the failures they answer are what turns a bad
//! minute into an outage. A probe of a breaker is never sent again: what came of it is what it
//! was sent for, unless the policy is to observe only. An endpoint that could not be connected
//! says nothing of the class, and is ejected for itself.
//!
//! It chooses no endpoint.

use pingora_proxy::Session;
use plimsoll_core::policy::Mode;

use super::context::{Context, Fate, Judged};
use crate::serving::Serving;

/// Whether a request that no endpoint has seen is tried at the next of so many: each is asked once.
pub(super) fn goes_elsewhere(serving: &Serving, ctx: &Context, endpoints: usize) -> bool {
    ctx.tries < endpoints && is_granted(serving, ctx)
}

/// Whether a request that was lost with a connection is sent again to one of so many endpoints: once more than
/// there are, for with a single one it is the connection that is another.
pub(super) fn is_sent_again(serving: &Serving, session: &Session, ctx: &Context, endpoints: usize) -> bool {
    // To do it twice is then to do it once (RFC 9110, 9.2.2).
    let is_harmless = session.req_header().method.is_idempotent() && ctx.first_byte.is_none();
    let is_at_hand = !session.as_downstream().retry_buffer_truncated();
    is_harmless && is_at_hand && !is_probe(ctx) && ctx.tries <= endpoints && is_granted(serving, ctx)
}

/// Whether its class has requests tried again, and there is leave for one; it is then counted.
fn is_granted(serving: &Serving, ctx: &Context) -> bool {
    let is_wanted = |judged: &Judged| judged.running.generation.policy.settings(judged.class).retried;
    let is_granted = ctx.judged.as_ref().is_none_or(is_wanted) && serving.pools[ctx.pool()].gate.may_retry();
    if is_granted {
        serving.metrics.upstreams.retries.inc();
    }
    is_granted
}

/// Whether a breaker waits for what becomes of it. One that is only observed costs nobody an answer.
fn is_probe(ctx: &Context) -> bool {
    let is_enforced =
        |judged: &Judged| judged.running.generation.policy.core.mode_of(judged.class) == Mode::Enforce;
    matches!(ctx.fate, Fate::Decided(_, evidence) if evidence.is_probe)
        && ctx.judged.as_ref().is_some_and(is_enforced)
}
