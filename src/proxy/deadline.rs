//! The time that is left: one deadline for each HTTP/1 connection and each HTTP/2 stream.
//!
//! Pingora's timeouts are per read: whoever sends a byte before each of them holds
//! on for ever, a client with its head as well as an upstream with its answer. So
//! each phase of a connection says here when it must be over, and the task that
//! serves it is woken then. What reads from an HTTP/1 client sees that its time is
//! up and can still be answered (`guard`); what sees nothing is dropped a moment
//! later.
//!
//! A deadline is found by the task it belongs to, for Pingora hands nothing of
//! ours from a connection to its requests. What the times are is the callers'.
//! Where it waits for its client it is put off: over HTTP/1 by the guard that sees
//! the client take nothing, and hold to its pace; over HTTP/2, when it has passed,
//! if the connection took enough meanwhile (`pace`).

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core::time::Time;
use tokio::time::Sleep;

use super::pace::Patience;
use crate::clock::Clock;
use crate::config::Connections;

/// What is late may still say so for as long: writing a short answer takes far less.
const GRACE: Duration = Duration::from_secs(1);
/// What is left at the least while its client is waited for: twice the time after which that is looked at again
/// (`pace`), so that there is as much when the client is through.
const READER_PAUSE: Duration = Duration::from_secs(40);

tokio::task_local! {
    static CURRENT: Arc<Deadline>;
}

/// When what is going on must be over. Set and read by one task; atomic only to be shared within it.
#[derive(Debug)]
pub(super) struct Deadline {
    clock: Clock,
    /// How long a connection may wait for a request; none for HTTP/2, which has a timeout of its own.
    idle_max: Option<Duration>,
    nanos: AtomicU64,
    /// Whether the alarm has rung for it: what reads all the time looks here, not at a clock.
    has_rung: AtomicBool,
    /// Whether it is put off while the client is waited for, who is held to a pace.
    is_readers: AtomicBool,
    /// How long that may be over HTTP/2. The lock is for one task, so that nobody waits for it.
    patience: Mutex<Option<Patience>>,
    /// Bytes that the client of the connection has taken, over all of its streams.
    taken: Arc<AtomicU64>,
    /// Whether the work was dropped for its reader.
    was_readers: AtomicBool,
    /// Requests begun and ended, together: odd while one is served.
    turns: AtomicU64,
}

/// A request that is being served. When it is dropped, its connection is idle again.
#[derive(Debug)]
pub(super) struct Busy(Arc<Deadline>);

impl Deadline {
    /// For a connection, by how long it may be idle: before its first request, and then.
    pub(super) fn of_connection(clock: Clock, limits: &Connections) -> Arc<Deadline> {
        let deadline = Deadline::new(clock, Some(limits.idle), Arc::default());
        deadline.set(clock.now().after(limits.first()));
        Arc::new(deadline)
    }

    /// For one HTTP/2 stream of this connection.
    pub(super) fn of_stream(&self) -> Arc<Deadline> {
        Arc::new(Deadline::new(self.clock, None, self.taken.clone()))
    }

    fn new(clock: Clock, idle_max: Option<Duration>, taken: Arc<AtomicU64>) -> Deadline {
        Deadline {
            clock,
            idle_max,
            nanos: AtomicU64::new(Time::NEVER.as_nanos()),
            has_rung: AtomicBool::new(false),
            is_readers: AtomicBool::new(false),
            patience: Mutex::new(None),
            taken,
            was_readers: AtomicBool::new(false),
            turns: AtomicU64::new(0),
        }
    }

    /// The request that this task is about to serve is no longer bound by the time for its head.
    pub(super) fn begin(clock: Clock) -> Busy {
        let current = CURRENT.try_with(Arc::clone);
        let deadline = current.unwrap_or_else(|_| Arc::new(Deadline::new(clock, None, Arc::default())));
        deadline.turns.fetch_add(1, Ordering::Relaxed);
        deadline.set(Time::NEVER);
        Busy(deadline)
    }

    /// From now on, `at` counts.
    pub(super) fn set(&self, at: Time) {
        self.nanos.store(at.as_nanos(), Ordering::Relaxed);
        self.has_rung.store(false, Ordering::Relaxed);
    }

    /// At `now`, the client is waited for.
    pub(super) fn wait_for_reader(&self, now: Time) {
        let later = now.after(READER_PAUSE);
        if self.is_readers.load(Ordering::Relaxed) && self.at() < later {
            self.set(later);
        }
    }

    /// The client of the connection has taken `bytes`.
    pub(super) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// If it has passed at `now` and waits for an HTTP/2 client that keeps up: the time that this is given.
    fn put_off(&self, now: Time) -> Option<Time> {
        if self.at() > now || !self.is_readers.load(Ordering::Relaxed) {
            return None;
        }
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let later = patience.as_mut()?.look(self.taken.load(Ordering::Relaxed), now)?;
        self.set(later);
        Some(later)
    }

    /// Whether the work was dropped because its client took too little of it.
    pub(super) fn was_readers(&self) -> bool {
        self.was_readers.load(Ordering::Relaxed)
    }

    /// Whether it is over, and the task was woken for it.
    pub(super) fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::Relaxed)
    }

    /// Which wait for a request this is; `None` while one is served.
    pub(super) fn pause(&self) -> Option<u64> {
        Some(self.turns.load(Ordering::Relaxed)).filter(|turns| turns % 2 == 0)
    }

    /// Whether it is over.
    fn has_passed(&self) -> bool {
        self.at() <= self.clock.now()
    }

    fn at(&self) -> Time {
        Time::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

impl Busy {
    /// The request must be further by `at`.
    pub(super) fn until(&self, at: Time) {
        self.0.is_readers.store(false, Ordering::Relaxed);
        self.0.set(at);
    }

    /// The request must be further by `at`, but for the time that its client takes.
    pub(super) fn until_unless_read(&self, at: Time) {
        self.0.is_readers.store(true, Ordering::Relaxed);
        self.0.set(at);
    }

    /// The request must be further by `at`, or as long as its HTTP/2 client is waited for: until `last`, and while its
    /// connection takes so much. It is `now`.
    pub(super) fn until_unless_taken(&self, now: Time, at: Time, last: Time, bytes_per_s_min: u64) {
        let taken = self.0.taken.load(Ordering::Relaxed);
        let patience = Patience { bytes_per_s_min, last, looked: now, taken };
        *self.0.patience.lock().unwrap_or_else(PoisonError::into_inner) = Some(patience);
        self.until_unless_read(at);
    }

    /// Whether it is late.
    pub(super) fn is_late(&self) -> bool {
        self.0.has_passed()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        let idle_until = self.0.idle_max.map(|idle_max| self.0.clock.now().after(idle_max));
        self.until(idle_until.unwrap_or(Time::NEVER));
    }
}

/// Does `work` under `deadline`, and drops it if the deadline has passed and nothing came of that.
pub(super) async fn within<T>(deadline: Arc<Deadline>, work: impl Future<Output = T>) -> Option<T> {
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    let mut armed = Time::NEVER;
    let mut work = pin!(CURRENT.scope(deadline.clone(), work));
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => ring(&deadline, alarm.as_mut(), &mut armed, cx).map(|()| None),
    })
    .await
}

/// Wakes the task when the deadline has passed; ready when it has not been heeded.
///
/// An alarm that is set too early is left alone and looks again when it rings: deadlines move with every
/// request, and an alarm is dearer to move than to look at. Until then no clock is read.
fn ring(deadline: &Deadline, mut alarm: Pin<&mut Sleep>, armed: &mut Time, cx: &mut Context<'_>) -> Poll<()> {
    let at = deadline.at();
    if *armed <= at && !alarm.is_elapsed() {
        return Poll::Pending;
    }
    let now = deadline.clock.now();
    let at = deadline.put_off(now).unwrap_or(at);
    let last = at.after(GRACE);
    if last <= now {
        deadline.was_readers.store(deadline.is_readers.load(Ordering::Relaxed), Ordering::Relaxed);
        return Poll::Ready(());
    }
    if at <= now && !deadline.has_rung.swap(true, Ordering::Relaxed) {
        // The work was polled before it could know.
        cx.waker().wake_by_ref();
    }
    let next = if now < at { at } else { last };
    *armed = next;
    if next != Time::NEVER {
        alarm.set(tokio::time::sleep(next.since(now)));
        // Never ready: it was just set. Polled, it knows whom to wake.
        let _ = alarm.poll(cx);
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_deadline_that_is_the_readers_is_put_off_while_he_is_waited_for_and_no_other_is() {
        let busy = Deadline::begin(Clock::start());
        busy.until_unless_read(at(100));
        busy.0.wait_for_reader(at(59));
        assert_eq!(busy.0.at(), at(100));
        busy.0.wait_for_reader(at(61));
        assert_eq!(busy.0.at(), at(101));
        busy.0.wait_for_reader(at(500));
        assert_eq!(busy.0.at(), at(540));
        busy.until(at(100));
        busy.0.wait_for_reader(at(500));
        assert_eq!(busy.0.at(), at(100));
    }

    #[test]
    fn a_stream_is_put_off_while_its_connection_takes_enough_and_at_most_so_long() {
        let connection = Deadline::of_connection(Clock::start(), &Connections::default());
        connection.took(1_000_000);
        let stream = connection.of_stream();
        let busy = Busy(stream.clone());
        busy.until_unless_taken(at(0), at(40), at(100), 500);
        assert_eq!(stream.put_off(at(39)), None);
        connection.took(19_999);
        assert_eq!(stream.put_off(at(40)), None);
        connection.took(1);
        assert_eq!((stream.put_off(at(40)), stream.at()), (Some(at(80)), at(80)));
        connection.took(20_000);
        assert_eq!(stream.put_off(at(80)), Some(at(100)));
        connection.took(1_000_000);
        assert_eq!(stream.put_off(at(100)), None);
    }

    #[test]
    fn a_stream_that_does_not_wait_for_its_client_is_not_put_off() {
        let connection = Deadline::of_connection(Clock::start(), &Connections::default());
        let stream = connection.of_stream();
        let busy = Busy(stream.clone());
        busy.until_unless_taken(at(0), at(40), at(100), 500);
        busy.until(at(40));
        connection.took(1_000_000);
        assert_eq!(stream.put_off(at(40)), None);
    }

    #[test]
    fn what_comes_after_a_request_is_not_put_off() {
        let busy = Deadline::begin(Clock::start());
        let deadline = busy.0.clone();
        busy.until_unless_read(at(100));
        drop(busy);
        deadline.set(at(100));
        deadline.wait_for_reader(at(500));
        assert_eq!(deadline.at(), at(100));
    }
}
