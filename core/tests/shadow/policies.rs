//! Random policies: few seats to wait on, all that a policy can say.

use crate::random::Random;
use plimsoll_core::policy::{BreakerPolicy, Class, Mode, Policy, QueueOrder, QueuePolicy, Share};
use std::time::Duration;

const NAMES: [&str; 5] = ["checkout", "cart", "browse", "search", "bots"];

/// A policy with one to five of the names, in any order of rank.
pub(crate) fn policy(seed: u64) -> Policy {
    let mut random = Random(seed);
    let mode = if random.below(6) == 0 { Mode::Observe } else { Mode::Enforce };
    let mut classes: Vec<Class> = NAMES.iter().map(|name| class(name, &mut random)).collect();
    // Ranks are distinct because their low digits are.
    classes.iter_mut().enumerate().for_each(|(index, class)| class.rank += index as u8);
    let kept = 1 + random.below(NAMES.len() as u64) as usize;
    let first = random.below((NAMES.len() - kept + 1) as u64) as usize;
    Policy::new(mode, classes[first..first + kept].to_vec()).expect("it keeps every bound")
}

fn class(name: &str, random: &mut Random) -> Class {
    let millis = |random: &mut Random, bound| Duration::from_millis(random.below(bound));
    let floor = random.below(21) as u32;
    Class {
        name: name.into(),
        rank: random.below(25) as u8 * 10,
        slo_latency: Duration::from_millis(1 + random.below(1_000)),
        patience: Duration::from_secs(2),
        floor: share(floor),
        ceiling: share((floor + 1 + random.below(150) as u32).min(100)),
        queue: QueuePolicy {
            length_max: 1 + random.below(8) as u32,
            wait_max: millis(random, 500),
            order: if random.below(2) == 0 { QueueOrder::Fifo } else { QueueOrder::Lifo },
        },
        breaker: (random.below(2) == 0).then(|| breaker(random)),
    }
}

fn breaker(random: &mut Random) -> BreakerPolicy {
    BreakerPolicy {
        window: Duration::from_millis(1 + random.below(5_000)),
        failure_ratio: share(30 + random.below(71) as u32),
        slow_call: Duration::from_millis(random.below(500)),
        slow_ratio: share(50 + random.below(51) as u32),
        requests_min: 1 + random.below(20) as u32,
        open_for: Duration::from_millis(random.below(200)),
        probes: 1 + random.below(4) as u32,
    }
}

fn share(percent: u32) -> Share {
    Share::from_percent(percent).expect("at most 100")
}
