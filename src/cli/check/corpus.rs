//! What an access log says of a policy: routes that none of its requests meets.
//!
//! A log that is not of this shop, or of a day without a sale, says little, so these are warnings like any other; and
//! of a route that asks for what logs do not tell, nothing is said but that.

use serde::Serialize;

use crate::access_log::AccessLog;
use crate::cli::policy::generation;
use crate::policy::compiled::CompiledPolicy;
use crate::policy::corpus::{self, Unmet};
use crate::rehearsal::reach::{Reach, reach};
use crate::yaml::diagnostic::Diagnostic;

/// How much of a policy a log reaches. The keys are fixed: tools depend on them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Coverage {
    /// Requests of the log.
    pub(super) requests: usize,
    /// Lines of it that are none.
    pub(super) bad_lines: usize,
    /// Routes that take at least one of them.
    pub(super) routes_reached: usize,
    /// Routes that ask for what a log does not tell.
    pub(super) routes_untold: usize,
}

/// Adds to `found` what `log` has against `policy`.
///
/// # Errors
/// A model that cannot be used.
pub(super) fn check(
    policy: &CompiledPolicy,
    log: &AccessLog,
    found: &mut Vec<Diagnostic>,
) -> anyhow::Result<Coverage> {
    let generation = generation(policy.clone(), None)?;
    let routes = reach(&generation, &log.entries);
    found.extend(corpus::warnings(policy, |place| routes.get(place).and_then(unmet)).0);
    found.sort_by(|one, other| (&one.file, one.position).cmp(&(&other.file, other.position)));
    Ok(Coverage {
        requests: log.entries.len(),
        bad_lines: log.bad_lines.count,
        routes_reached: routes.iter().filter(|route| route.requests > 0).count(),
        routes_untold: routes.iter().filter(|route| !route.is_told).count(),
    })
}

fn unmet(route: &Reach) -> Option<Unmet> {
    match route {
        Reach { is_told: false, .. } => None,
        Reach { is_never_true: true, .. } => Some(Unmet::Condition),
        Reach { requests: 0, .. } => Some(Unmet::Route),
        Reach { .. } => None,
    }
}
