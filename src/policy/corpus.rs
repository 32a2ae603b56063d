//! What an operator is told of routes that a corpus of real requests never meets.
//!
//! A policy is right or wrong by itself; whether a shop has the requests that it is about, only its log tells. What
//! comes of it are warnings at the lines of routes, as those of the other checks are.
//!
//! It reads no log: who has walked through one says what it found.

use super::compiled::CompiledPolicy;
use super::lint::{NEVER_TRUE, UNREACHABLE_ROUTE};
use crate::yaml::diagnostic::{Diagnostic, Diagnostics, Mistake, Mistakes, Rule};
use crate::yaml::document;
use crate::yaml::field::Field;

/// No request of a corpus is taken by it.
const UNREACHED_ROUTE: Rule =
    Rule { name: "unreached-route", means: "No request of the corpus reaches this route." };

/// What is odd about a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// Its `when` holds for no request of the corpus.
    Condition,
    /// It takes none of them.
    Route,
}

/// Warnings at the routes of `policy` of which `unmet` tells something, by their places; nothing twice.
pub fn warnings(policy: &CompiledPolicy, unmet: impl Fn(usize) -> Option<Unmet>) -> Diagnostics {
    // What reading itself warns of was told when the policy was compiled.
    let told = Mistakes::new(&policy.text);
    let mistakes = Mistakes::new(&policy.text);
    if let Some(root) = document::read(&policy.text, &told) {
        warn(&Field::root(&root, &mistakes), unmet);
    }
    let found = mistakes.into_diagnostics().0;
    Diagnostics(found.into_iter().filter(|one| !is_settled(policy, one)).collect())
}

/// Whether compiling has told that no request comes to this route, log or no log.
fn is_settled(policy: &CompiledPolicy, one: &Diagnostic) -> bool {
    let is_of_reach = |told: &Diagnostic| [UNREACHABLE_ROUTE, NEVER_TRUE].contains(&told.rule);
    let is_of_route = |told: &Diagnostic| (&told.file, &told.key) == (&one.file, &one.key);
    policy.warnings.0.iter().any(|told| is_of_reach(told) && is_of_route(told))
}

fn warn(root: &Field<'_>, unmet: impl Fn(usize) -> Option<Unmet>) {
    let routes = root.section().and_then(|policy| policy.get("routes")).filter(|routes| !routes.is_null());
    for (place, route) in routes.map(|routes| routes.list()).unwrap_or_default().iter().enumerate() {
        match unmet(place) {
            Some(Unmet::Condition) => {
                let mistake = Mistake::of(NEVER_TRUE, "no request of the corpus makes `when` true");
                route.warn(mistake.hint(
                    "correct the expression, unless what it is for was not there when the log was written",
                ));
            }
            Some(Unmet::Route) => {
                let mistake = Mistake::of(UNREACHED_ROUTE, "no request of the corpus reaches this route");
                route.warn(
                    mistake.hint("is it spelt as the shop spells it, and does no earlier route take it?"),
                );
            }
            None => {}
        }
    }
}
