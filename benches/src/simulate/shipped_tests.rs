//! The shipped scenarios, whole, before the shipped policy: what each calls good must hold.

use super::contest::{Contestant, pooled, run};
use super::judge::Judge;
use crate::scenario::Scenario;
use crate::verdict::{Measured, verdicts};
use plimsoll::policy;
use std::path::Path;

/// All that a shop's engineer is told to begin with.
const SHIPPED: [&str; 12] = [
    "steady",
    "flash-sale",
    "black-friday",
    "beacon-storm",
    "checkout-rush",
    "bot-flood",
    "slow-origin",
    "capacity-loss",
    "retry-storm",
    "mix-shift",
    "payment-outage",
    "step",
];

/// What `contestant` misses of the thresholds in `name`.
fn missed(name: &str, contestant: Contestant) -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let scenario = Scenario::read_for_simulation(&directory.join(format!("{name}.yaml"))).unwrap();
    assert!(!scenario.thresholds.is_empty(), "{name}");
    let judge = Judge::new(policy::storefront(), &scenario).unwrap();
    let ledger = run(&scenario, &judge, contestant, scenario.seed);
    let measured = Measured { tally: &ledger.tally, survival: &ledger.survival, direct: None };
    let missed = verdicts(&scenario, &measured).into_iter().filter(|verdict| !verdict.held);
    missed.map(|verdict| format!("{name}: {}: {:?}", verdict.threshold, verdict.measured)).collect()
}

#[test]
fn plimsoll_holds_what_every_shipped_scenario_calls_good() {
    let missed: Vec<String> = SHIPPED.iter().flat_map(|name| missed(name, Contestant::Plimsoll)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn unguarded_shop_misses_what_the_overloaded_ones_call_good() {
    for name in SHIPPED.into_iter().filter(|name| !["steady", "mix-shift"].contains(name)) {
        assert!(!missed(name, Contestant::NoControl).is_empty(), "{name} proves nothing");
    }
}

#[test]
fn nobody_is_refused_beside_somebody_less_important() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/contest.yaml");
    let scenario = Scenario::read_for_simulation(&file).unwrap();
    let judge = Judge::new(policy::storefront(), &scenario).unwrap();
    let ledger = pooled(&scenario, &judge, Contestant::Plimsoll, &[1, 2, 3]);
    for (index, phase) in scenario.phases.iter().enumerate() {
        let (inversions, offered) = (ledger.inversions[index], ledger.tally.phase_total(index).offered);
        // Ten in a million are aimed at. In a rush, one tenth of a second with one seat given away makes a
        // hundred, and 120,000 requests come: two such are too many.
        assert!(inversions * 1_000_000 < 1_600 * offered, "{}: {inversions} of {offered}", phase.name);
    }
}
