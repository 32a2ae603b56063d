//! A storefront's policy, in the core's terms. Nothing in it knows how large the shop is.

use plimsoll_core::policy::{BreakerPolicy, Class, Mode, Policy, QueueOrder, QueuePolicy, Share};
use std::time::Duration;

pub(crate) fn storefront() -> Policy {
    let classes = vec![
        class("checkout", 0, 20, 1_000, 800),
        class("cart", 1, 10, 1_000, 800),
        class("browse", 2, 5, 900, 1_000),
        class("search", 3, 0, 900, 1_000),
        class("analytics", 4, 0, 1_000, 2_000),
    ];
    Policy::new(Mode::Enforce, classes).expect("it keeps every bound")
}

fn class(name: &str, rank: u8, floor: u32, wait_ms: u64, slo_ms: u64) -> Class {
    Class {
        name: name.into(),
        rank,
        slo_latency: Duration::from_millis(slo_ms),
        patience: Duration::from_secs(2),
        floor: Share::from_percent(floor).expect("at most 100"),
        ceiling: Share::ALL,
        queue: QueuePolicy {
            length_max: 512,
            wait_max: Duration::from_millis(wait_ms),
            order: QueueOrder::Fifo,
        },
        breaker: Some(BreakerPolicy {
            window: Duration::from_secs(10),
            failure_ratio: Share::from_percent(50).expect("at most 100"),
            slow_call: Duration::from_secs(10),
            slow_ratio: Share::from_percent(80).expect("at most 100"),
            requests_min: 20,
            open_for: Duration::from_secs(5),
            probes: 3,
        }),
    }
}
