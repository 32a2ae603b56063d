//! Whether the target answers at all.
//!
//! A server that hangs takes every connection: nothing fails, each client waits and leaves, and the counts look like
//! those of a slow shop. What tells them apart is that nothing comes any more, whatever its status. A request that was
//! sent before the last answer proves nothing: a shop in overload lets many wait in vain while it serves others.
//!
//! It ends nothing and says nothing: see `ending` and `findings`.

use super::Outcome;
use std::time::Duration;

/// A target that is silent for so long before the end has stopped, and is not just slow: where somebody waits longer,
/// nobody has left yet.
const STOPPED_AFTER: Duration = Duration::from_secs(5);
/// A target that is silent for so long from the first request on is given up: twice as long, for one that has just been
/// started may take its time.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);
/// Fewer in a row may be a few bad pages and no silence.
const IN_A_ROW: u64 = 10;

/// What is known of the answers of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    /// When the first request was sent.
    asked_first: Option<Duration>,
    /// When the last answer came.
    last: Option<Duration>,
    /// Requests sent since then, or since the start, that ended without one.
    unanswered: u64,
}

impl Answers {
    /// A request was sent.
    pub(super) fn ask(&mut self, sent: Duration) {
        self.asked_first.get_or_insert(sent);
    }

    /// A request has ended at `time` that was to be sent at `due`. What this machine could not send is no silence.
    pub(super) fn end(&mut self, outcome: Outcome, due: Duration, time: Duration) {
        match outcome {
            Outcome::Answered(_) => {
                self.last = self.last.max(Some(time));
                self.unanswered = 0;
            }
            Outcome::Failed(failure) if failure.is_ours() => {}
            Outcome::Failed(_) | Outcome::TimedOut => {
                self.unanswered += u64::from(self.last.is_none_or(|last| due >= last));
            }
        }
    }

    /// Adds another run: silent is what both are.
    pub(super) fn add(&mut self, other: Answers) {
        self.asked_first = self.asked_first.into_iter().chain(other.asked_first).min();
        self.last = self.last.max(other.last);
        self.unanswered = self.unanswered.min(other.unanswered);
    }

    /// When the last answer came; `None` if none did.
    pub(crate) fn last(self) -> Option<Duration> {
        self.last
    }

    /// Requests since then, or since the start, that ended without one.
    pub(crate) fn unanswered(self) -> u64 {
        self.unanswered
    }

    /// Whether requests have ended, and not one of them with an answer.
    pub(crate) fn is_none(self) -> bool {
        self.last.is_none() && self.unanswered > 0
    }

    /// Whether at `time` a target that has never answered has had its chance.
    pub(crate) fn is_given_up_at(self, time: Duration) -> bool {
        let has_had_time = self.asked_first.is_some_and(|first| first + GIVEN_UP_AFTER <= time);
        self.is_none() && has_had_time && self.unanswered >= IN_A_ROW
    }

    /// Whether at `time` a target has stopped that did answer.
    pub(crate) fn has_stopped_at(self, time: Duration) -> bool {
        self.last.is_some_and(|last| last + STOPPED_AFTER < time) && self.unanswered >= IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::failure::Failure;
    use http::StatusCode;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// So many requests, sent and due at `due`, that end like `outcome` a second later.
    fn ended(answers: &mut Answers, number: u64, due: u64, outcome: Outcome) {
        for _ in 0..number {
            answers.ask(at(due));
            answers.end(outcome, at(due), at(due + 1));
        }
    }

    #[test]
    fn target_is_given_up_ten_seconds_after_the_first_of_ten_requests() {
        let mut answers = Answers::default();
        assert!(!answers.is_none() && !answers.is_given_up_at(at(60)), "nobody has asked");
        ended(&mut answers, 9, 3, Outcome::TimedOut);
        assert!(answers.is_none() && !answers.is_given_up_at(at(60)), "nine are few");
        ended(&mut answers, 1, 5, Outcome::Failed(Failure::Reset));
        assert_eq!([at(12), at(13)].map(|time| answers.is_given_up_at(time)), [false, true]);
        ended(&mut answers, 1, 14, Outcome::Answered(StatusCode::BAD_GATEWAY));
        assert!(!answers.is_none() && !answers.is_given_up_at(at(60)), "any answer is one");
    }

    #[test]
    fn target_has_stopped_when_nothing_sent_after_its_last_answer_is_answered() {
        let mut answers = Answers::default();
        ended(&mut answers, 1, 9, Outcome::Answered(StatusCode::OK));
        ended(&mut answers, 100, 8, Outcome::TimedOut);
        assert!(!answers.has_stopped_at(at(60)), "these were sent before it");
        ended(&mut answers, 10, 10, Outcome::TimedOut);
        assert_eq!([at(15), at(16)].map(|time| answers.has_stopped_at(time)), [false, true]);
        assert_eq!((answers.last(), answers.unanswered()), (Some(at(10)), 10));
    }

    #[test]
    fn what_this_machine_could_not_send_is_no_silence() {
        let mut answers = Answers::default();
        ended(&mut answers, 100, 0, Outcome::Failed(Failure::OpenFiles));
        assert!(!answers.is_none() && !answers.is_given_up_at(at(60)));
    }

    #[test]
    fn runs_together_are_silent_if_all_of_them_are() {
        let (mut silent, mut answered) = (Answers::default(), Answers::default());
        ended(&mut silent, 20, 0, Outcome::TimedOut);
        ended(&mut answered, 1, 2, Outcome::Answered(StatusCode::OK));
        let alone = silent;
        silent.add(alone);
        assert!(silent.is_given_up_at(at(60)));
        silent.add(answered);
        assert!(!silent.is_given_up_at(at(60)) && !silent.has_stopped_at(at(60)));
    }
}
