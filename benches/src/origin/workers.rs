//! The origin's workers: a bounded number of requests is worked on at once, the
//! others wait in line, first come, first served.
//!
//! Work is time: a worker sleeps, so that an origin of any size needs no CPU of
//! its own. What makes it a good model of a shop is that waiting requests slow
//! the others down, and that work ends when the client leaves. Timers fire up to
//! a millisecond late; a worker that takes over from another starts when the
//! other should have finished, so that capacity is exactly what was asked for.
//!
//! It knows nothing of HTTP.

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

/// How the workers work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How many requests are worked on at once.
    pub(crate) workers: usize,
    /// The mean service time of a request of cost 1.
    pub(crate) service: Duration,
    /// How service times spread around the mean.
    pub(crate) distribution: Distribution,
    /// By how much each waiting request prolongs a service that begins.
    pub(crate) thrash: f64,
    /// Makes the service times repeatable.
    pub(crate) seed: u64,
}

/// The workers of an origin.
#[derive(Debug)]
pub(crate) struct Workers {
    pace: Pace,
    /// Requests in line whose clients are still there.
    waiting: AtomicUsize,
    /// Held for a push or a pop.
    line: Mutex<Line>,
    rng: Mutex<SmallRng>,
}

#[derive(Debug)]
struct Line {
    idle: usize,
    /// Some have left; they are passed over when their turn comes.
    waiters: VecDeque<oneshot::Sender<Seat>>,
}

impl Workers {
    /// Idle workers.
    pub(crate) fn new(pace: Pace) -> Arc<Workers> {
        Arc::new(Workers {
            pace,
            waiting: AtomicUsize::new(0),
            line: Mutex::new(Line { idle: pace.workers, waiters: VecDeque::new() }),
            rng: Mutex::new(SmallRng::seed_from_u64(pace.seed)),
        })
    }

    /// Waits for a worker and for it to finish a request of `cost`. Dropping the
    /// future gives up the place in line, or frees the worker at once.
    pub(crate) async fn work(self: &Arc<Workers>, cost: f64) {
        let mut seat = self.seat().await;
        seat.free_at += self.service_time(cost);
        tokio::time::sleep_until(seat.free_at).await;
    }

    /// Requests in line.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Requests being worked on.
    pub(crate) fn busy(&self) -> usize {
        self.pace.workers - self.line().idle
    }

    async fn seat(self: &Arc<Workers>) -> Seat {
        let place = {
            let mut line = self.line();
            if line.idle > 0 {
                line.idle -= 1;
                return Seat { workers: Arc::clone(self), free_at: clock::now() };
            }
            let (waiter, place) = oneshot::channel();
            line.waiters.push_back(waiter);
            place
        };
        let _waiting = Waiting::count(&self.waiting);
        place.await.expect("a waiter is dropped from the line only when its seat is sent")
    }

    fn service_time(&self, cost: f64) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let factor = self.pace.distribution.draw(&mut *rng);
        drop(rng);
        let thrash = self.pace.thrash * self.waiting() as f64;
        self.pace.service.mul_f64(cost * factor * (1.0 + thrash))
    }

    /// Hands a worker that is free from `free_at` on to the next in line.
    fn release(self: &Arc<Workers>, free_at: Instant) {
        let next = {
            let mut line = self.line();
            let next = std::iter::from_fn(|| line.waiters.pop_front()).find(|waiter| !waiter.is_closed());
            if next.is_none() {
                line.idle += 1;
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

/// The right to a worker, given back when dropped.
#[derive(Debug)]
struct Seat {
    workers: Arc<Workers>,
    /// When the worker has finished what it was given.
    free_at: Instant,
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

    const STEADY: Pace = Pace {
        workers: 4,
        service: Duration::from_millis(40),
        distribution: Distribution::Deterministic,
        thrash: 0.0,
        seed: 1,
    };

    async fn time_for(pace: Pace, requests: usize) -> Duration {
        let workers = Workers::new(pace);
        let start = clock::now();
        let mut work = JoinSet::new();
        for _ in 0..requests {
            let workers = Arc::clone(&workers);
            work.spawn(async move { workers.work(1.0).await });
        }
        work.join_all().await;
        clock::now() - start
    }

    #[tokio::test(start_paused = true)]
    async fn capacity_is_workers_over_service_time() {
        assert_eq!(time_for(STEADY, 400).await, Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn late_timers_do_not_cost_capacity() {
        // Sleeps of 1.7 ms take 2 ms each; a thousand rounds must not take 2 s.
        let pace = Pace { service: Duration::from_micros(1_700), ..STEADY };
        let time = time_for(pace, 4_000).await;
        assert!(time < Duration::from_millis(1_702), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn varied_service_times_keep_their_mean() {
        let time = time_for(Pace { distribution: Distribution::default(), ..STEADY }, 4_000).await;
        assert!((39.0..41.0).contains(&time.as_secs_f64()), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_slow_the_others_down() {
        // Of three requests for one worker, the first starts before anyone waits.
        let pace = Pace { workers: 1, thrash: 0.1, ..STEADY };
        assert_eq!(time_for(pace, 3).await, Duration::from_millis(40 + 44 + 40));
    }

    #[tokio::test(start_paused = true)]
    async fn client_who_leaves_frees_the_worker_or_the_place_at_once() {
        let workers = Workers::new(Pace { workers: 1, ..STEADY });
        let start = clock::now();
        let mut impatient = JoinSet::new();
        for _ in 0..3 {
            let workers = Arc::clone(&workers);
            impatient.spawn(async move {
                tokio::time::timeout(Duration::from_millis(10), workers.work(1.0)).await
            });
        }
        tokio::task::yield_now().await;
        assert_eq!((workers.busy(), workers.waiting()), (1, 2));
        impatient.join_all().await;
        assert_eq!((workers.busy(), workers.waiting()), (0, 0));
        workers.work(1.0).await;
        assert_eq!(clock::now() - start, Duration::from_millis(50));
    }
}
