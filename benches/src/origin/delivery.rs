//! How an answer's body goes out: at once, byte by byte, or not to its end.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A body on its way.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    rest: Bytes,
    pace: Pace,
}

#[derive(Debug, Default)]
enum Pace {
    #[default]
    AtOnce,
    /// One byte for each tick.
    Drip(Interval),
    /// The first half of it, and no more.
    Half(usize),
    /// The half is handed over, and must be sent before the connection breaks.
    Sent,
    Broken,
}

impl Delivery {
    /// All of `body` at once.
    pub(super) fn whole(body: Bytes) -> Delivery {
        Delivery { rest: body, pace: Pace::AtOnce }
    }

    /// The same, one byte every `pause`.
    pub(super) fn dripping(self, pause: Duration) -> Delivery {
        let mut ticks = interval(pause.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Delivery { pace: Pace::Drip(ticks), ..self }
    }

    /// The same, broken off in the middle, with its length promised.
    pub(super) fn truncated(self) -> Delivery {
        Delivery { pace: Pace::Half(self.rest.len() / 2), ..self }
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match &mut self.pace {
            Pace::AtOnce => self.rest.len(),
            Pace::Drip(ticks) => {
                ready!(ticks.poll_tick(cx));
                1
            }
            // Half -> Sent: the next poll is asked for by whoever sends this.
            Pace::Half(half) => {
                let half = *half;
                self.pace = Pace::Sent;
                half
            }
            // Sent -> Broken: what is pending is flushed first.
            Pace::Sent => {
                self.pace = Pace::Broken;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pace::Broken => return Poll::Ready(Some(Err(io::Error::other("truncated on purpose")))),
        };
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
