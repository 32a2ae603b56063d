//! Sends planned requests at their planned times, whatever becomes of them.
//!
//! An open loop: the next request does not wait for the last answer, and
//! latency counts from the time a request should have been sent, so that the
//! wait a slow system causes is never hidden. A client whose patience ends
//! closes its connection. The generator watches itself: how late it sends is
//! recorded, and a run of which a phase was sent too late is invalid.
//!
//! It does not know scenarios or logs: it is given a [`Plan`].

use crate::client::Client;
use crate::clock::{self, Clock};
use crate::cookies::CookieJar;
use crate::crowd::Wish;
use crate::plan::{Plan, Shot};
use crate::tally::answers::Answers;
use crate::tally::lag::Departure;
use crate::tally::{Account, Outcome, Tally, Verdict};
use crate::timeline::Timeline;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::{JoinError, JoinSet};

/// A run in progress: shared by the requests under way and the progress display.
pub(crate) struct Run {
    /// Zero at the start of the run.
    pub(crate) clock: Clock,
    /// The calendar's time then, by which cookies end.
    started: SystemTime,
    client: Client,
    /// Requests per second that are not exceeded.
    rate_max: Option<u32>,
    /// The sessions the target has started.
    pub(crate) cookies: Arc<CookieJar>,
    /// Taken for the few instructions of one count.
    counts: Mutex<Counts>,
}

struct Counts {
    tally: Tally,
    timeline: Timeline,
}

/// The end of a request, for the plan.
struct End {
    wish: Option<Wish>,
    verdict: Verdict,
    time: Duration,
}

impl Run {
    /// A run that starts now.
    pub(crate) fn new(client: Client, tally: Tally) -> Run {
        let timeline = Timeline::new(tally.classes());
        Run {
            clock: Clock::start(),
            started: clock::wall(),
            client,
            rate_max: None,
            cookies: Arc::default(),
            counts: Mutex::new(Counts { tally, timeline }),
        }
    }

    /// The same, sending so many requests per second at most.
    pub(crate) fn capped(self, rate_max: Option<u32>) -> Run {
        Run { rate_max, ..self }
    }

    /// Sends all that `plan` has, and waits for the ends.
    pub(crate) async fn fire(self: &Arc<Run>, plan: &mut impl Plan) {
        let mut under_way = JoinSet::new();
        let mut meter = Meter::default();
        loop {
            while let Some(end) = under_way.try_join_next() {
                tell(plan, end);
            }
            match plan.next_at() {
                Some(at) if self.clock.elapsed() < at => tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant(at)) => {}
                    // An answer may bring something to send before that.
                    Some(end) = under_way.join_next() => tell(plan, end),
                },
                Some(_) => {
                    // Behind schedule: answers still get their turn.
                    tokio::task::consume_budget().await;
                    let Some(shot) = plan.next_shot() else { continue };
                    if self.rate_max.is_some_and(|rate_max| !meter.lets_pass(self.clock.elapsed(), rate_max))
                    {
                        self.counts().tally.withhold();
                        continue;
                    }
                    let run = Arc::clone(self);
                    under_way.spawn(async move { run.send(shot).await });
                }
                None => match under_way.join_next().await {
                    Some(end) => tell(plan, end),
                    None => return,
                },
            }
        }
    }

    /// Looks at the seconds so far.
    pub(crate) fn with_timeline<T>(&self, look: impl FnOnce(&mut Timeline) -> T) -> T {
        look(&mut self.counts().timeline)
    }

    /// The seconds of the run, the last one included.
    pub(crate) fn whole_timeline(&self) -> Timeline {
        self.with_timeline(|timeline| {
            timeline.close_before(self.clock.elapsed() + Duration::from_secs(1));
            timeline.clone()
        })
    }

    /// The counts so far.
    pub(crate) fn tally(&self) -> Tally {
        self.counts().tally.clone()
    }

    /// Whether the target answers at all, as far as is known.
    pub(crate) fn answers(&self) -> Answers {
        self.counts().tally.answers()
    }

    /// How many connections the target has accepted.
    pub(crate) fn connections(&self) -> u64 {
        self.client.accepted()
    }

    async fn send(&self, shot: Shot) -> End {
        let lag = self.clock.elapsed().saturating_sub(shot.at);
        self.counts().offer(shot.account, Departure { due: shot.at, lag });
        let deadline = self.clock.instant(shot.at + shot.patience);
        let end = tokio::time::timeout_at(deadline, self.client.exchange_over(shot.line, shot.request)).await;
        let time = self.clock.elapsed();
        let outcome = match end {
            Ok(Ok(answer)) => {
                self.cookies.keep(shot.shopper, &answer.headers, self.started + time);
                Outcome::Answered(answer.status)
            }
            Ok(Err(error)) => Outcome::Failed(error.failure()),
            Err(_) => Outcome::TimedOut,
        };
        let verdict = self.counts().settle(shot.account, outcome, time.saturating_sub(shot.at), time);
        End { wish: shot.wish, verdict, time }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what was sent in the present second.
#[derive(Debug, Default)]
struct Meter {
    second: u64,
    sent: u32,
}

impl Meter {
    fn lets_pass(&mut self, time: Duration, rate_max: u32) -> bool {
        if time.as_secs() != self.second {
            *self = Meter { second: time.as_secs(), sent: 0 };
        }
        let passes = self.sent < rate_max;
        self.sent += u32::from(passes);
        passes
    }
}

fn tell(plan: &mut impl Plan, end: Result<End, JoinError>) {
    let End { wish, verdict, time } = end.expect("a request does not panic, and nobody aborts it");
    if let Some(wish) = wish {
        plan.hear(wish, verdict, time);
    }
}

impl Counts {
    fn offer(&mut self, account: Account, departure: Departure) {
        self.tally.offer(account, departure);
        self.timeline.offer(account.class, departure.due + departure.lag);
    }

    fn settle(&mut self, account: Account, outcome: Outcome, latency: Duration, time: Duration) -> Verdict {
        let verdict = self.tally.settle(account, outcome, latency, time);
        self.timeline.settle(account.class, verdict, latency, time);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_is_reached_and_not_exceeded_in_any_second() {
        let mut meter = Meter::default();
        let passed = |meter: &mut Meter, second| {
            (0..5).filter(|_| meter.lets_pass(Duration::from_secs(second), 3)).count()
        };
        assert_eq!([passed(&mut meter, 0), passed(&mut meter, 0), passed(&mut meter, 1)], [3, 0, 3]);
    }
}
