//! How many requests may be tried at another endpoint, after one that could not be reached.
//!
//! A fifth of what the pool serves, and a few a second where it serves little: retries that grow with
//! the failures they answer are what turns a bad minute into an outage. (Envoy's retry budget, 20 % and
//! at least three.) Whether there is capacity for any at all is asked of the controller.

use crate::time::Time;
use crate::window::{Health, Window};
use std::time::Duration;

/// Requests and retries are compared over this long.
const SPAN: Duration = Duration::from_secs(10);
/// One retry for so many requests...
const REQUESTS_FOR_ONE: u32 = 5;
/// ...and so many in a span whatever is served: three a second.
const RETRIES_MIN: u32 = 30;

const COUNTED: Health = Health { failed: false, slow: false };

/// What is left for retries of one pool.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    served: Window,
    retried: Window,
}

impl RetryBudget {
    /// A request has been served.
    pub fn earn(&mut self, now: Time) {
        self.served.record(SPAN, COUNTED, now);
    }

    /// Takes leave for one retry; `false` if there is none left.
    pub fn spend(&mut self, now: Time) -> bool {
        let most = (self.served.counts(SPAN, now).total / REQUESTS_FOR_ONE).max(RETRIES_MIN);
        let has_left = self.retried.counts(SPAN, now).total < most;
        if has_left {
            self.retried.record(SPAN, COUNTED, now);
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many retries there is leave for at `now`.
    fn spendable(budget: &mut RetryBudget, now: Time) -> usize {
        std::iter::repeat_with(|| budget.spend(now)).take_while(|spent| *spent).count()
    }

    #[test]
    fn quiet_pool_may_retry_three_times_a_second() {
        let mut budget = RetryBudget::default();
        assert_eq!(spendable(&mut budget, Time::ZERO), 30);
        assert_eq!(spendable(&mut budget, Time::from_millis(9_999)), 0);
        assert_eq!(spendable(&mut budget, Time::from_millis(10_000)), 30);
    }

    #[test]
    fn busy_pool_may_retry_one_for_five_it_serves() {
        let mut budget = RetryBudget::default();
        (0..1_000).for_each(|_| budget.earn(Time::ZERO));
        assert_eq!(spendable(&mut budget, Time::ZERO), 200);
        assert_eq!(spendable(&mut budget, Time::ZERO), 0, "retries earn nothing");
    }
}
