//! The origin's workers: a bounded number of requests is worked on at once, the
//! others wait in line, first come, first served.
//!
//! Work is time: a worker sleeps, so that an origin of any size needs no CPU of
//! its own. What makes it a good model of a shop is that waiting requests slow
//! the others down, and that work ends when the client leaves. Timers fire up to
//! a millisecond late; a worker that takes over from another starts when the
//! other should have finished, so that capacity is exactly what was asked for.
//!
//! A dependency is a line of the same kind, whose workers are its slots. Their number
//! may change at any time. It knows nothing of HTTP.

use super::settings::Service;
use crate::clock;
use crate::service_time::Distribution;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How fast work is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The mean service time of a request of cost 1.
    pub(super) service: Duration,
    /// How service times spread around the mean.
    pub(super) distribution: Distribution,
    /// By how much each waiting request prolongs a service that begins.
    pub(super) thrash: f64,
}

impl Pace {
    /// The pace of a service as it is at present.
    pub(super) fn of(service: &Service, thrash: f64) -> Pace {
        let Service { distribution, slow, .. } = *service;
        Pace { service: service.mean().mul_f64(slow), distribution, thrash }
    }
}

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// In units.
    pub(super) cost: f64,
    /// How fast it is done.
    pub(super) pace: Pace,
}

/// The workers of an origin.
#[derive(Debug)]
pub(super) struct Workers {
    /// Requests in line whose clients are still there.
    waiting: AtomicUsize,
    /// Held for a push or a pop.
    line: Mutex<Line>,
    rng: Mutex<SmallRng>,
}

#[derive(Debug)]
struct Line {
    workers: usize,
    /// More than there are workers, after some were taken away.
    busy: usize,
    /// Some have left; they are passed over when their turn comes.
    waiters: VecDeque<oneshot::Sender<Seat>>,
}

impl Workers {
    /// Idle workers, whose service times follow from `seed`.
    pub(super) fn new(workers: usize, seed: u64) -> Arc<Workers> {
        Arc::new(Workers {
            waiting: AtomicUsize::new(0),
            line: Mutex::new(Line { workers, busy: 0, waiters: VecDeque::new() }),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
        })
    }

    /// Waits for a worker and for it to finish a job; the worker is free when the seat drops.
    /// Dropping the future gives up the place in line, or frees the worker at once.
    pub(super) async fn work(self: &Arc<Workers>, job: Job) -> Seat {
        let mut seat = self.seat().await;
        seat.free_at += self.service_time(job);
        tokio::time::sleep_until(seat.free_at).await;
        seat
    }

    /// Changes the number of workers. Nobody's work is cut short: who is too many goes when it is done.
    pub(super) fn resize(self: &Arc<Workers>, workers: usize) {
        self.line().workers = workers;
        while self.line().claim() {
            // A place that nobody waits for is given back by its release.
            self.release(clock::now());
            let line = self.line();
            if line.waiters.is_empty() {
                return;
            }
        }
    }

    /// Requests in line.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Requests being worked on.
    pub(super) fn busy(&self) -> usize {
        self.line().busy
    }

    async fn seat(self: &Arc<Workers>) -> Seat {
        let place = {
            let mut line = self.line();
            if line.claim() {
                return Seat { workers: Arc::clone(self), free_at: clock::now() };
            }
            let (waiter, place) = oneshot::channel();
            line.waiters.push_back(waiter);
            place
        };
        let _waiting = Waiting::count(&self.waiting);
        place.await.expect("a waiter is dropped from the line only when its seat is sent")
    }

    fn service_time(&self, Job { cost, pace }: Job) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let factor = pace.distribution.draw(&mut *rng);
        drop(rng);
        let thrash = pace.thrash * self.waiting() as f64;
        pace.service.mul_f64(cost * factor * (1.0 + thrash))
    }

    /// Hands a worker that is free from `free_at` on to the next in line, unless there are too many.
    fn release(self: &Arc<Workers>, free_at: Instant) {
        let next = {
            let mut line = self.line();
            let is_needed = line.busy <= line.workers;
            let mut waiters = std::iter::from_fn(|| line.waiters.pop_front());
            let next = if is_needed { waiters.find(|waiter| !waiter.is_closed()) } else { None };
            if next.is_none() {
                line.busy -= 1;
            }
            next
        };
        if let Some(waiter) = next {
            // If the waiter leaves just now, the seat drops here and is released again.
            let _ = waiter.send(Seat { workers: Arc::clone(self), free_at });
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Takes a worker, if one is idle.
    fn claim(&mut self) -> bool {
        let is_idle = self.busy < self.workers;
        self.busy += usize::from(is_idle);
        is_idle
    }
}

/// The right to a worker, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    workers: Arc<Workers>,
    /// When the worker has finished what it was given.
    free_at: Instant,
}

impl Seat {
    /// Keeps the worker for as long as that of another line was kept.
    pub(super) fn keep_like(&mut self, other: &Seat) {
        self.free_at = self.free_at.max(other.free_at);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Work cut short frees the worker now, not when it would have finished.
        self.workers.release(self.free_at.min(clock::now()));
    }
}

/// Counts a request in line for as long as it is there.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn count(waiting: &AtomicUsize) -> Waiting<'_> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    const STEADY: Pace =
        Pace { service: Duration::from_millis(40), distribution: Distribution::Deterministic, thrash: 0.0 };

    async fn time_for(number: usize, pace: Pace, requests: usize) -> Duration {
        let workers = Workers::new(number, 1);
        let start = clock::now();
        let mut work = JoinSet::new();
        for _ in 0..requests {
            let workers = Arc::clone(&workers);
            work.spawn(async move { drop(workers.work(Job { cost: 1.0, pace }).await) });
        }
        work.join_all().await;
        clock::now() - start
    }

    #[tokio::test(start_paused = true)]
    async fn capacity_is_workers_over_service_time() {
        assert_eq!(time_for(4, STEADY, 400).await, Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn late_timers_do_not_cost_capacity() {
        // Sleeps of 1.7 ms take 2 ms each; a thousand rounds must not take 2 s.
        let pace = Pace { service: Duration::from_micros(1_700), ..STEADY };
        let time = time_for(4, pace, 4_000).await;
        assert!(time < Duration::from_millis(1_702), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn varied_service_times_keep_their_mean() {
        let time = time_for(4, Pace { distribution: Distribution::default(), ..STEADY }, 4_000).await;
        assert!((39.0..41.0).contains(&time.as_secs_f64()), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_slow_the_others_down() {
        // Of three requests for one worker, the first starts before anyone waits.
        let pace = Pace { thrash: 0.1, ..STEADY };
        assert_eq!(time_for(1, pace, 3).await, Duration::from_millis(40 + 44 + 40));
    }

    #[tokio::test(start_paused = true)]
    async fn client_who_leaves_frees_the_worker_or_the_place_at_once() {
        let workers = Workers::new(1, 1);
        let job = Job { cost: 1.0, pace: STEADY };
        let start = clock::now();
        let mut impatient = JoinSet::new();
        for _ in 0..3 {
            let workers = Arc::clone(&workers);
            impatient.spawn(async move {
                _ = tokio::time::timeout(Duration::from_millis(10), workers.work(job)).await;
            });
        }
        tokio::task::yield_now().await;
        assert_eq!((workers.busy(), workers.waiting()), (1, 2));
        impatient.join_all().await;
        assert_eq!((workers.busy(), workers.waiting()), (0, 0));
        drop(workers.work(job).await);
        assert_eq!(clock::now() - start, Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn workers_come_at_once_and_go_when_they_are_done() {
        let workers = Workers::new(1, 1);
        let job = Job { cost: 1.0, pace: STEADY };
        let mut work = JoinSet::new();
        for _ in 0..4 {
            let workers = Arc::clone(&workers);
            work.spawn(async move { drop(workers.work(job).await) });
        }
        tokio::task::yield_now().await;
        assert_eq!((workers.busy(), workers.waiting()), (1, 3));
        workers.resize(3);
        tokio::task::yield_now().await;
        assert_eq!((workers.busy(), workers.waiting()), (3, 1));
        workers.resize(1);
        assert_eq!(workers.busy(), 3);
        let start = clock::now();
        work.join_all().await;
        // Three are done after one service time; of their workers one is left for the fourth.
        assert_eq!((clock::now() - start, workers.busy()), (Duration::from_millis(80), 0));
        workers.resize(5);
        assert_eq!(workers.busy(), 0);
    }
}
