//! What the core answers, and why: every decision with the evidence it was made on.
//!
//! `explain`, the journal and the decision header print these values; nothing
//! else is known about a decision afterwards, so what is not here cannot be
//! explained. Evidence is a small `Copy` struct: it costs no allocation on the
//! request path.
//!
//! It renders one sentence for people; it knows no HTTP status and no header.

use crate::image::image;
use crate::policy::ClassId;
use std::fmt;
use std::time::Duration;

/// A request, named by its caller: a dense slot, and how often the slot was used before.
///
/// Slots are reused, epochs tell a late event of a slot's previous holder from
/// its present one; such an event is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The position in the caller's table of live requests.
    pub slot: u32,
    /// Grows each time the slot is reused.
    pub epoch: u32,
}

/// Cohorts in a rank.
pub(crate) const COHORTS: u16 = 128;

/// The order in which work is kept: rank x 128 + cohort, lower is kept longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing(pub u16);

impl Standing {
    /// The rank of its class.
    pub const fn rank(self) -> u16 {
        self.0 / COHORTS
    }
}

/// The wait to expect where there will be no seat: longer than any request is of use.
pub(crate) const WAIT_NEVER: Duration = Duration::from_secs(3_600);

/// A side of the line at which the seats of a class are used up, or what became of one above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// There is a seat for it.
    AboveLine,
    /// It fills what gaps there are.
    BelowLine,
    /// Others fill them.
    Beyond,
    /// It was above the line, and has waited until its answer is too late for the SLO.
    Late,
}

impl Side {
    /// Every side, in the order of the journal's codes.
    pub const ALL: [Side; 4] = [Side::AboveLine, Side::BelowLine, Side::Beyond, Side::Late];

    /// The position in [`Side::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    fn words(self) -> &'static str {
        match self {
            Side::AboveLine => "",
            Side::BelowLine => ", below its class's line",
            Side::Beyond => ", far below its class's line",
            Side::Late => ", too late for its SLO and behind those who are not",
        }
    }
}

/// Whether a breaker lets requests pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They pass, and their results are counted.
    Closed,
    /// All are refused.
    Open,
    /// A few pass, as probes.
    HalfOpen,
}

impl BreakerState {
    /// The name in the admin API and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The breaker of its class is open, or half open and has no probe for it.
    BreakerOpen,
    /// It would have waited longer than its class allows, or answered after its deadline.
    WaitTooLong,
    /// Its class has as many waiting as its queue holds, none of lesser standing or too late for the SLO.
    QueueFull,
    /// It waited, and one of better standing, or who is in time where it was not, took its place in the full queue.
    Displaced,
    /// It waited as long as it could.
    DeadlinePassed,
}

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub const ALL: [Reason; 5] = [
        Reason::BreakerOpen,
        Reason::WaitTooLong,
        Reason::QueueFull,
        Reason::Displaced,
        Reason::DeadlinePassed,
    ];

    /// The name in metrics, logs and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::BreakerOpen => "breaker_open",
            Reason::WaitTooLong => "wait_too_long",
            Reason::QueueFull => "queue_full",
            Reason::Displaced => "displaced",
            Reason::DeadlinePassed => "deadline_passed",
        }
    }

    /// The position in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What the core saw when it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The class of the request.
    pub class: ClassId,
    /// Its standing.
    pub standing: Standing,
    /// On which side of its class's line it was, or that it is late; of one that found a free seat nobody asked.
    pub side: Side,
    /// The worst standing that may have a seat beyond the floors of classes, as its class meets it: of the first
    /// class that cannot have all it asks for, and within it, where no seat is free, that of its line. `None`
    /// where all may.
    pub threshold: Option<Standing>,
    /// The state of its class's breaker, if there is one.
    pub breaker: Option<BreakerState>,
    /// Whether it probes that: asked again elsewhere, it would tell nothing.
    pub is_probe: bool,
    /// The limit at that moment.
    pub limit: u32,
    /// Permits out at that moment.
    pub inflight: u32,
    /// Requests waiting that would go first.
    pub queued_ahead: u32,
    /// The wait expected on arrival, or waited in the end.
    pub wait: Duration,
    /// The wait its class and its deadline allowed.
    pub wait_allowed: Duration,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It holds a permit from now on.
    Admit,
    /// It holds a permit although an enforcing policy would have refused it for this reason.
    AdmitObserved(Reason),
    /// It waits; an `Admit` or a `Shed` follows unless its caller abandons it.
    Queue,
    /// It is refused.
    Shed(Reason),
}

impl Decision {
    /// Whether it lets its request in.
    pub const fn is_admitted(self) -> bool {
        matches!(self, Decision::Admit | Decision::AdmitObserved(_))
    }
}

impl Evidence {
    /// The decision as a sentence an on-call engineer understands.
    pub fn sentence(&self, decision: Decision) -> String {
        format!("{} {self}", Verb(decision))
    }

    fn breaker_words(&self) -> &'static str {
        match self.breaker {
            None | Some(BreakerState::Closed) => "",
            Some(BreakerState::Open) => ", breaker open",
            Some(BreakerState::HalfOpen) if self.is_probe => ", a probe of the half-open breaker",
            Some(BreakerState::HalfOpen) => ", no probe of the half-open breaker",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(rank {}, standing {}{}", self.standing.rank(), self.standing.0, self.side.words())?;
        if let Some(threshold) = self.threshold {
            write!(f, ", seats beyond floors for standing {} or lower only", threshold.0)?;
        }
        f.write_str(self.breaker_words())?;
        write!(f, ", {} of {} seats taken", self.inflight, self.limit)?;
        write!(f, ", {} waiting ahead, ", self.queued_ahead)?;
        let (wait, allowed) = (self.wait.as_millis(), self.wait_allowed.as_millis());
        if self.wait >= WAIT_NEVER {
            write!(f, "no seat to expect in the {allowed} ms allowed)")
        } else if allowed == 0 && wait == 0 {
            f.write_str("no wait)")
        } else {
            write!(f, "wait {wait} ms of {allowed} ms allowed)")
        }
    }
}

struct Verb(Decision);

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Decision::Admit => "admitted",
            Decision::AdmitObserved(_) => "admitted in observe mode; enforcing would have refused it",
            Decision::Queue => "queued until a seat is free",
            Decision::Shed(Reason::BreakerOpen) => "refused by its class's breaker",
            Decision::Shed(Reason::WaitTooLong) => "refused at the door: it would have waited too long",
            Decision::Shed(Reason::QueueFull) => "refused at the door: its class's queue is full",
            Decision::Shed(Reason::Displaced) => {
                "refused while waiting: one of better standing, or still in time, needed its place"
            }
            Decision::Shed(Reason::DeadlinePassed) => "refused while waiting: no seat was free in time",
        })
    }
}

image!(struct RequestId { slot, epoch });
image!(newtype Standing);
image!(enum Side { 0 => AboveLine, 1 => BelowLine, 2 => Beyond, 3 => Late });

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            class: ClassId::new(5).unwrap(),
            standing: Standing(5 * COHORTS + 3),
            side: Side::BelowLine,
            threshold: None,
            breaker: Some(BreakerState::Closed),
            is_probe: false,
            limit: 20,
            inflight: 19,
            queued_ahead: 7,
            wait: Duration::from_millis(90),
            wait_allowed: Duration::from_millis(50),
        }
    }

    fn sentence(decision: Decision) -> String {
        evidence().sentence(decision)
    }

    #[test]
    fn sentence_tells_what_was_decided_and_all_it_was_decided_on() {
        assert_eq!(
            sentence(Decision::Shed(Reason::WaitTooLong)),
            "refused at the door: it would have waited too long (rank 5, standing 643, below its class's line, \
             19 of 20 seats taken, 7 waiting ahead, wait 90 ms of 50 ms allowed)"
        );
    }

    #[test]
    fn sentence_tells_no_number_where_there_is_no_wait_or_no_end_of_it() {
        let never = Evidence { wait: WAIT_NEVER, ..evidence() }.to_string();
        assert!(never.ends_with("7 waiting ahead, no seat to expect in the 50 ms allowed)"), "{never}");
        let at_once =
            Evidence { wait: Duration::ZERO, wait_allowed: Duration::ZERO, ..evidence() }.to_string();
        assert!(at_once.ends_with("7 waiting ahead, no wait)"), "{at_once}");
    }

    #[test]
    fn sentence_tells_of_a_threshold_and_of_a_breaker_that_is_not_closed() {
        let refused = |breaker| {
            let threshold = Some(Standing(5 * COHORTS + 1));
            let evidence = Evidence { threshold, breaker: Some(breaker), ..evidence() };
            evidence.sentence(Decision::Shed(Reason::BreakerOpen))
        };
        assert_eq!(
            refused(BreakerState::Open),
            "refused by its class's breaker (rank 5, standing 643, below its class's line, seats beyond floors for \
             standing 641 or lower only, breaker open, 19 of 20 seats taken, 7 waiting ahead, wait 90 ms of 50 ms \
             allowed)"
        );
        assert!(refused(BreakerState::HalfOpen).contains(", no probe of the half-open breaker, 19 of"));
        let probe = Evidence { breaker: Some(BreakerState::HalfOpen), is_probe: true, ..evidence() };
        let told = probe.sentence(Decision::Admit);
        assert!(told.contains("line, a probe of the half-open breaker, 19 of"), "{told}");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let mut sentences: Vec<String> =
            Reason::ALL.map(|reason| sentence(Decision::Shed(reason))).into_iter().collect();
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(sentences.len(), Reason::ALL.len(), "{sentences:?}");
    }
}
