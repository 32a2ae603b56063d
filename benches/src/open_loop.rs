//! Sends planned requests at their planned times, whatever becomes of them.
//!
//! An open loop: the next request does not wait for the last answer, and
//! latency counts from the time a request should have been sent, so that the
//! wait a slow system causes is never hidden. A client whose patience ends
//! closes its connection. The generator watches itself: how late it sends is
//! recorded, and a run that sent too late is invalid.
//!
//! It does not know scenarios or logs: it is given an iterator of [`Shot`]s.

use crate::arrivals::ShopperId;
use crate::client::Client;
use crate::clock::Clock;
use crate::cookies::CookieJar;
use crate::tally::{Account, Outcome, Tally};
use crate::timeline::Timeline;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// The p99 of the send lag above which a run is invalid: 2 % of the usual SLO of
/// one second, beyond which the generator and not the target decides what is late.
pub(crate) const LAG_P99_MAX: Duration = Duration::from_millis(20);

/// A request, and when to send it.
#[derive(Debug)]
pub(crate) struct Shot {
    /// When it is sent, from the start of the run.
    pub(crate) at: Duration,
    /// Where it is counted.
    pub(crate) account: Account,
    /// How long the client waits.
    pub(crate) patience: Duration,
    /// What is sent.
    pub(crate) request: Request<Full<Bytes>>,
    /// Whose session the answer may start.
    pub(crate) shopper: Option<ShopperId>,
}

/// A run in progress: shared by the requests under way and the progress display.
pub(crate) struct Run {
    /// Zero at the start of the run.
    pub(crate) clock: Clock,
    client: Client,
    /// The sessions the target has started.
    pub(crate) cookies: CookieJar,
    /// Taken for the few instructions of one count.
    counts: Mutex<Counts>,
}

struct Counts {
    tally: Tally,
    timeline: Timeline,
}

impl Run {
    /// A run that starts now.
    pub(crate) fn new(client: Client, tally: Tally) -> Run {
        let timeline = Timeline::new(tally.classes());
        Run {
            clock: Clock::start(),
            client,
            cookies: CookieJar::default(),
            counts: Mutex::new(Counts { tally, timeline }),
        }
    }

    /// Sends all of `shots`, which are in order of time, and waits for their ends.
    pub(crate) async fn fire(self: &Arc<Run>, shots: impl Iterator<Item = Shot>) {
        let mut under_way = JoinSet::new();
        for shot in shots {
            if self.clock.elapsed() < shot.at {
                tokio::time::sleep_until(self.clock.instant(shot.at)).await;
            } else {
                // Behind schedule: answers still get their turn.
                tokio::task::consume_budget().await;
            }
            let run = Arc::clone(self);
            under_way.spawn(async move { run.send(shot).await });
            while under_way.try_join_next().is_some() {}
        }
        under_way.join_all().await;
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

    async fn send(&self, shot: Shot) {
        let lag = self.clock.elapsed().saturating_sub(shot.at);
        self.counts().offer(shot.account, lag, shot.at + lag);
        let deadline = self.clock.instant(shot.at + shot.patience);
        let outcome = match tokio::time::timeout_at(deadline, self.client.exchange(shot.request)).await {
            Ok(Ok(answer)) => {
                self.cookies.keep(shot.shopper, answer.set_cookie.as_ref());
                Outcome::Answered(answer.status)
            }
            Ok(Err(_)) => Outcome::Failed,
            Err(_) => Outcome::TimedOut,
        };
        let time = self.clock.elapsed();
        self.counts().settle(shot.account, outcome, time.saturating_sub(shot.at), time);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn offer(&mut self, account: Account, lag: Duration, time: Duration) {
        self.tally.offer(account, lag);
        self.timeline.offer(account.class, time);
    }

    fn settle(&mut self, account: Account, outcome: Outcome, latency: Duration, time: Duration) {
        let verdict = self.tally.settle(account, outcome, latency, time);
        self.timeline.settle(account.class, verdict, latency, time);
    }
}
