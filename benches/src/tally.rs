//! Counts what became of the requests of a run, per phase and per class.
//!
//! Latencies go into histograms, so that runs of several seeds can be pooled by
//! adding them up. Useful work is defined as in the project's targets: the cost
//! of the good responses completed between two seconds after the start of a
//! phase (until then the load is still a mixture) and its end.
//!
//! It prints nothing: see `report`.

pub(crate) mod answers;
pub(crate) mod cell;
pub(crate) mod lag;
pub(crate) mod span;

use crate::client::failure::Failure;
use answers::Answers;
use cell::Cell;
use http::StatusCode;
use lag::{Departure, Lags, PhaseLag};
use span::Span;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A response, read to its end.
    Answered(StatusCode),
    /// No connection, or it broke.
    Failed(Failure),
    /// The client lost patience and closed its connection.
    TimedOut,
}

/// Where a request belongs, and what was expected of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Index of the phase in which it was sent.
    pub(crate) phase: usize,
    /// Index of its class.
    pub(crate) class: usize,
    /// Its cost, in units of the origin's work.
    pub(crate) cost: f64,
    /// An answer that takes longer is late.
    pub(crate) slo: Duration,
}

/// Which answers are as good as the shop can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// 2xx or 3xx: the requests are ours and known to have an answer. A shop answers an order with the way
    /// to its confirmation.
    Success,
    /// Anything but 429 and 5xx: a replayed log asks for what is gone, too.
    AnyAnswer,
}

impl Expectation {
    fn is_met_by(self, status: StatusCode) -> bool {
        match self {
            Expectation::Success => status.is_success() || status.is_redirection(),
            Expectation::AnyAnswer => !status.is_server_error() && !is_refusal(status),
        }
    }
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// An outcome, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As expected, in time.
    Good,
    /// As expected, too late.
    Late,
    /// Turned away on purpose.
    Refused,
    /// Anything else.
    Unserved,
}

/// The counts of a run, or of several runs added up.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    expectation: Expectation,
    spans: Vec<Span>,
    classes: usize,
    cells: Vec<Cell>,
    useful_cost: Vec<f64>,
    /// When the last refusal for want of seats came, by the phase in which it came.
    refused_last: Vec<Option<Duration>>,
    /// How much later than intended requests were sent, by phase.
    lags: Vec<Lags>,
    /// Why requests failed, over all phases.
    failures: BTreeMap<Failure, u64>,
    answers: Answers,
    /// Requests that were not sent, so as not to exceed a bound.
    withheld: u64,
    runs: u32,
}

impl Tally {
    /// A tally of nothing yet, over phases of these `spans`.
    pub(crate) fn new(spans: Vec<Span>, classes: usize, expectation: Expectation) -> Tally {
        Tally {
            expectation,
            classes,
            cells: vec![Cell::default(); spans.len() * classes],
            useful_cost: vec![0.0; spans.len()],
            refused_last: vec![None; spans.len()],
            lags: spans.iter().map(|span| Lags::over(span.end - span.start)).collect(),
            failures: BTreeMap::new(),
            answers: Answers::default(),
            withheld: 0,
            spans,
            runs: 1,
        }
    }

    /// Counts a request that is being sent.
    pub(crate) fn offer(&mut self, account: Account, departure: Departure) {
        self.cell_mut(account).offered += 1;
        self.answers.ask(departure.due.saturating_add(departure.lag));
        self.lags[account.phase].record(departure);
    }

    /// Counts the end of a request, at `time`, `latency` after it should have been sent.
    pub(crate) fn settle(
        &mut self,
        account: Account,
        outcome: Outcome,
        latency: Duration,
        time: Duration,
    ) -> Verdict {
        let verdict = self.judge(account, outcome, latency);
        if let Outcome::Failed(failure) = outcome {
            *self.failures.entry(failure).or_default() += 1;
        }
        self.answers.end(outcome, time.saturating_sub(latency), time);
        self.cell_mut(account).record(outcome, verdict, latency);
        if verdict == Verdict::Good && self.spans[account.phase].is_settled_at(time) {
            self.useful_cost[account.phase] += account.cost;
        }
        // 429 is a client's own limit, whatever the load.
        if outcome == Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE) {
            let last = &mut self.refused_last[phase_at(&self.spans, time)];
            *last = (*last).max(Some(time));
        }
        verdict
    }

    /// How many classes are told apart.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// The counts of one class in one phase.
    pub(crate) fn cell(&self, phase: usize, class: usize) -> &Cell {
        &self.cells[phase * self.classes + class]
    }

    /// The counts of one class over all phases.
    pub(crate) fn class_total(&self, class: usize) -> Cell {
        self.class_in(0..self.spans.len(), class)
    }

    /// The counts of one class over these phases.
    pub(crate) fn class_in(&self, phases: impl IntoIterator<Item = usize>, class: usize) -> Cell {
        let mut total = Cell::default();
        for phase in phases {
            total.add(self.cell(phase, class));
        }
        total
    }

    /// The counts of one phase over all classes.
    pub(crate) fn phase_total(&self, phase: usize) -> Cell {
        let mut total = Cell::default();
        for class in 0..self.classes {
            total.add(self.cell(phase, class));
        }
        total
    }

    /// The share of `capacity` (units per second) that became good responses in
    /// a phase; `None` for a phase too short to tell.
    pub(crate) fn useful_work(&self, phase: usize, capacity: f64) -> Option<f64> {
        let seconds = self.spans[phase].settled().as_secs_f64() * f64::from(self.runs);
        (seconds > 0.0).then(|| self.useful_cost[phase] / (capacity * seconds))
    }

    /// How long after the start of a phase the last refusal for want of seats (503) came, whenever its request was
    /// sent, and of several runs the latest; `None` if none came.
    pub(crate) fn refused_last(&self, phase: usize) -> Option<Duration> {
        self.refused_last[phase].map(|time| time.saturating_sub(self.spans[phase].start))
    }

    /// The run ended at `time`: what of its phases was still to come did not happen, and wasted nothing.
    pub(crate) fn cut(&mut self, time: Duration) {
        for span in &mut self.spans {
            span.end = span.end.min(time).max(span.start);
        }
    }

    /// Of these phases, the one whose requests were sent latest; `None` if none was sent.
    pub(crate) fn worst_lag(&self, phases: impl IntoIterator<Item = usize>) -> Option<PhaseLag> {
        let lag = |phase: usize| Some(PhaseLag { phase, p99: self.lags[phase].worst_p99()? });
        phases.into_iter().filter_map(lag).max_by_key(|lag| lag.p99)
    }

    /// Whether the counts of these phases are the target's doing: each was sent on time, and this machine could
    /// do what it was asked to.
    pub(crate) fn is_valid(&self, phases: impl IntoIterator<Item = usize>) -> bool {
        !self.is_spoiled() && !self.worst_lag(phases).is_some_and(PhaseLag::is_too_much)
    }

    /// Counts a request that is not sent, so as not to exceed a bound.
    pub(crate) fn withhold(&mut self) {
        self.withheld += 1;
    }

    /// Requests that were not sent.
    pub(crate) fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Requests that have been sent and have no end yet.
    pub(crate) fn under_way(&self) -> u64 {
        self.cells.iter().map(|cell| cell.offered - cell.settled()).sum()
    }

    /// Why requests failed, and how many did.
    pub(crate) fn failures(&self) -> &BTreeMap<Failure, u64> {
        &self.failures
    }

    /// Whether the target answers at all.
    pub(crate) fn answers(&self) -> Answers {
        self.answers
    }

    /// Several runs of the same phases and classes, added up; `None` if there are none.
    pub(crate) fn pooled(runs: &[Tally]) -> Option<Tally> {
        let (first, others) = runs.split_first()?;
        let mut pooled = first.clone();
        others.iter().for_each(|run| pooled.add(run));
        Some(pooled)
    }

    /// Adds another run of the same phases and classes.
    pub(crate) fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.add(theirs);
        }
        for (mine, theirs) in self.useful_cost.iter_mut().zip(&other.useful_cost) {
            *mine += theirs;
        }
        for (mine, theirs) in self.refused_last.iter_mut().zip(&other.refused_last) {
            *mine = (*mine).max(*theirs);
        }
        for (mine, theirs) in self.lags.iter_mut().zip(&other.lags) {
            mine.add(theirs);
        }
        for (failure, number) in &other.failures {
            *self.failures.entry(*failure).or_default() += number;
        }
        self.answers.add(other.answers);
        self.withheld += other.withheld;
        self.runs += other.runs;
    }

    fn is_spoiled(&self) -> bool {
        self.withheld > 0 || self.failures.keys().any(|failure| failure.is_ours())
    }

    fn judge(&self, account: Account, outcome: Outcome, latency: Duration) -> Verdict {
        match outcome {
            Outcome::Answered(status) if self.expectation.is_met_by(status) && latency <= account.slo => {
                Verdict::Good
            }
            Outcome::Answered(status) if self.expectation.is_met_by(status) => Verdict::Late,
            Outcome::Answered(status) if is_refusal(status) => Verdict::Refused,
            _ => Verdict::Unserved,
        }
    }

    fn cell_mut(&mut self, account: Account) -> &mut Cell {
        &mut self.cells[account.phase * self.classes + account.class]
    }
}

/// The phase at `time`; what comes after the end of the last is still its.
fn phase_at(spans: &[Span], time: Duration) -> usize {
    spans.iter().rposition(|span| span.start <= time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Outcome = Outcome::Answered(StatusCode::OK);
    const CHECKOUT: Account = Account { phase: 0, class: 0, cost: 1.5, slo: Duration::from_secs(1) };

    fn tally() -> Tally {
        let span = Span { start: Duration::ZERO, end: Duration::from_secs(10) };
        Tally::new(vec![span], 1, Expectation::Success)
    }

    fn verdict(outcome: Outcome, latency_ms: u64) -> Verdict {
        tally().settle(CHECKOUT, outcome, Duration::from_millis(latency_ms), Duration::from_secs(5))
    }

    #[test]
    fn answer_at_the_slo_is_good_and_one_after_it_late() {
        assert_eq!(verdict(OK, 1000), Verdict::Good);
        assert_eq!(verdict(OK, 1001), Verdict::Late);
    }

    #[test]
    fn redirect_is_an_answer_like_a_page() {
        let answered = |status| verdict(Outcome::Answered(StatusCode::from_u16(status).unwrap()), 1);
        assert_eq!([200, 302, 303, 399].map(answered), [Verdict::Good; 4]);
        assert_eq!([400, 404, 500].map(answered), [Verdict::Unserved; 3]);
    }

    #[test]
    fn refusals_are_told_from_errors_by_status() {
        assert_eq!(verdict(Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE), 1), Verdict::Refused);
        assert_eq!(verdict(Outcome::Answered(StatusCode::TOO_MANY_REQUESTS), 1), Verdict::Refused);
        assert_eq!(verdict(Outcome::Answered(StatusCode::BAD_GATEWAY), 1), Verdict::Unserved);
        assert_eq!(verdict(Outcome::Answered(StatusCode::NOT_FOUND), 1), Verdict::Unserved);
        assert!(Expectation::AnyAnswer.is_met_by(StatusCode::NOT_FOUND));
        assert!(!Expectation::AnyAnswer.is_met_by(StatusCode::TOO_MANY_REQUESTS));
    }

    #[test]
    fn refusal_after_five_milliseconds_is_late() {
        let mut tally = tally();
        for latency_ms in [0, 5, 6, 700] {
            let refusal = Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE);
            tally.settle(CHECKOUT, refusal, Duration::from_millis(latency_ms), Duration::from_secs(5));
        }
        assert_eq!((tally.cell(0, 0).refusals(), tally.cell(0, 0).refused_late), (4, 2));
    }

    #[test]
    fn last_refusal_for_want_of_seats_counts_from_the_phase_in_which_it_comes() {
        let span = |start| Span { start: Duration::from_secs(start), end: Duration::from_secs(start + 10) };
        let refused = |status, times_ms: &[u64]| {
            let mut tally = Tally::new(vec![span(0), span(10)], 1, Expectation::Success);
            for time in times_ms {
                let latency = Duration::from_millis(400);
                tally.settle(CHECKOUT, Outcome::Answered(status), latency, Duration::from_millis(*time));
            }
            tally
        };
        let last = |tally: &Tally| [0, 1].map(|phase| tally.refused_last(phase).map(|last| last.as_millis()));
        let mut tally = refused(StatusCode::SERVICE_UNAVAILABLE, &[9_000, 9_999, 10_300, 10_100]);
        assert_eq!(last(&tally), [Some(9_999), Some(300)], "all of them were sent in the first");
        let tail = refused(StatusCode::SERVICE_UNAVAILABLE, &[20_700]);
        assert_eq!(last(&tail), [None, Some(10_700)], "who was sent at the end is answered after it");
        tally.add(&refused(StatusCode::SERVICE_UNAVAILABLE, &[3_000, 10_900]));
        assert_eq!(last(&tally), [Some(9_999), Some(900)], "of several runs the latest");
        assert_eq!(last(&refused(StatusCode::TOO_MANY_REQUESTS, &[1_000, 11_000])), [None; 2]);
        assert_eq!(last(&refused(StatusCode::OK, &[1_000, 11_000])), [None; 2]);
    }

    #[test]
    fn every_request_is_counted_once() {
        let mut tally = tally();
        for outcome in [
            OK,
            Outcome::Failed(Failure::Reset),
            Outcome::TimedOut,
            Outcome::Answered(StatusCode::BAD_GATEWAY),
        ] {
            tally.offer(CHECKOUT, Departure::default());
            tally.settle(CHECKOUT, outcome, Duration::from_millis(5), Duration::from_secs(5));
        }
        let cell = tally.class_total(0);
        assert_eq!(
            (cell.offered, cell.good, cell.failed, cell.timed_out, cell.errors[&502]),
            (4, 1, 1, 1, 1)
        );
    }

    #[test]
    fn useful_work_counts_good_answers_between_settling_and_the_end() {
        let mut tally = tally();
        for at_ms in [1_999, 2_000, 10_000, 10_001] {
            tally.settle(CHECKOUT, OK, Duration::from_millis(5), Duration::from_millis(at_ms));
        }
        tally.settle(CHECKOUT, OK, Duration::from_secs(2), Duration::from_secs(5));
        // Two of 1.5 units each, in eight seconds of three units per second.
        assert_eq!(tally.useful_work(0, 3.0), Some(3.0 / 24.0));
    }

    #[test]
    fn what_was_cut_off_is_no_wasted_capacity() {
        let mut tally = tally();
        tally.settle(CHECKOUT, OK, Duration::from_millis(5), Duration::from_secs(5));
        tally.cut(Duration::from_secs(6));
        // 1.5 units, in four seconds of three units per second.
        assert_eq!(tally.useful_work(0, 3.0), Some(1.5 / 12.0));
        tally.cut(Duration::from_secs(1));
        assert_eq!(tally.useful_work(0, 3.0), None);
    }

    #[test]
    fn phase_that_was_sent_late_is_named_however_few_it_sent() {
        let span = |start| Span { start: Duration::from_secs(start), end: Duration::from_secs(start + 10) };
        let mut tally = Tally::new(vec![span(0), span(10)], 1, Expectation::Success);
        assert_eq!((tally.worst_lag([0, 1]), tally.is_valid([0, 1])), (None, true));
        for (phase, number, lag_ms) in [(0, 10_000, 1), (1, 20, 25)] {
            let departure =
                Departure { due: span(10 * phase as u64).start, lag: Duration::from_millis(lag_ms) };
            (0..number).for_each(|_| tally.offer(Account { phase, ..CHECKOUT }, departure));
        }
        assert_eq!(tally.worst_lag([0, 1]).map(|lag| lag.phase), Some(1));
        assert_eq!([tally.is_valid([0]), tally.is_valid([1]), tally.is_valid([0, 1])], [true, false, false]);
        let pooled = [&tally; 9].into_iter().fold(tally.clone(), |mut pooled, run| {
            pooled.add(run);
            pooled
        });
        assert!(!pooled.is_valid([0, 1]));
    }

    #[test]
    fn pooled_runs_share_their_time_and_their_counts() {
        let mut one = tally();
        one.settle(CHECKOUT, OK, Duration::from_millis(5), Duration::from_secs(5));
        let alone = one.useful_work(0, 3.0);
        one.add(&one.clone());
        assert_eq!(one.useful_work(0, 3.0), alone);
        assert_eq!(one.cell(0, 0).good, 2);
    }
}
