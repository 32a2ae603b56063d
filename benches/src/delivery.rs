//! How a body goes out: at once, piece by piece, or not to its end.
//!
//! Of the shop's answers and of what clients send. A body may be longer than what it
//! says: the rest is spaces, which neither a form nor JSON minds, and which take no memory.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often a slow line takes something: steady enough for whoever waits for it, and hundreds cost little.
const PIECE_EVERY: Duration = Duration::from_millis(200);
/// What bodies are lengthened with, and the most that goes out as one piece of it.
static PADDING: [u8; 64 << 10] = [b' '; 64 << 10];

/// A body on its way.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    rest: Bytes,
    /// How many spaces follow.
    padding: usize,
    pace: Pace,
}

#[derive(Debug, Default)]
enum Pace {
    #[default]
    AtOnce,
    /// So many bytes for each tick.
    Drip(Interval, usize),
    /// The first half of it, and no more.
    Half(usize),
    /// The half is handed over, and must be sent before the connection breaks.
    Sent,
    Broken,
}

impl Delivery {
    /// All of `body` at once.
    pub(crate) fn whole(body: Bytes) -> Delivery {
        Delivery { rest: body, ..Delivery::default() }
    }

    /// The same, so long at least.
    pub(crate) fn padded_to(self, length: usize) -> Delivery {
        Delivery { padding: length.saturating_sub(self.rest.len()), ..self }
    }

    /// The same, one byte every `pause`.
    pub(crate) fn dripping(self, pause: Duration) -> Delivery {
        Delivery { pace: Pace::Drip(ticks(pause), 1), ..self }
    }

    /// The same over a line that takes so many bytes a second, which is to be above zero.
    pub(crate) fn at_pace(self, bytes_per_s: f64) -> Delivery {
        let piece = (bytes_per_s * PIECE_EVERY.as_secs_f64()).clamp(1.0, PADDING.len() as f64).floor();
        let mut ticks = ticks(Duration::from_secs_f64(piece / bytes_per_s));
        // A piece has arrived when its time is over, and not when it begins.
        ticks.reset();
        Delivery { pace: Pace::Drip(ticks, piece as usize), ..self }
    }

    /// The same, broken off in the middle, with its length promised.
    pub(crate) fn truncated(self) -> Delivery {
        Delivery { pace: Pace::Half(self.rest.len() / 2), ..self }
    }

    fn left(&self) -> usize {
        self.rest.len() + self.padding
    }

    /// The next piece, of so many bytes at most.
    fn take(&mut self, most: usize) -> Bytes {
        if !self.rest.is_empty() {
            return self.rest.split_to(most.min(self.rest.len()));
        }
        let piece = most.min(self.padding).min(PADDING.len());
        self.padding -= piece;
        Bytes::from_static(&PADDING[..piece])
    }
}

fn ticks(pause: Duration) -> Interval {
    let mut ticks = interval(pause.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let most = match &mut self.pace {
            Pace::AtOnce => usize::MAX,
            Pace::Drip(ticks, piece) => {
                ready!(ticks.poll_tick(cx));
                *piece
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
        Poll::Ready(Some(Ok(Frame::data(self.take(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use http_body_util::BodyExt;

    const SAID: &str = "payment=card";

    fn said() -> Delivery {
        Delivery::whole(Bytes::from_static(SAID.as_bytes()))
    }

    #[tokio::test]
    async fn what_is_longer_than_it_says_ends_in_spaces_and_tells_its_length() {
        for length in [0, SAID.len(), SAID.len() + 1, 3 * PADDING.len() + 7] {
            let body = said().padded_to(length);
            let told = body.size_hint().exact().unwrap();
            let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            assert_eq!((text.len(), told), (length.max(SAID.len()), text.len() as u64));
            assert_eq!(text.trim_end_matches(' '), SAID);
        }
        let nothing = Delivery::default();
        assert!(nothing.is_end_stream() && nothing.collect().await.unwrap().to_bytes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_line_takes_as_long_as_its_pace_has_it() {
        for (bytes, bytes_per_s) in [(48_000, 6_000.0), (20, 2.5), (8_000_000, 1_000_000.0)] {
            let begin = clock::now();
            let body = Delivery::default().padded_to(bytes).at_pace(bytes_per_s);
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), bytes);
            let took = (clock::now() - begin).as_secs_f64();
            assert!((took - 8.0).abs() < 0.2, "{bytes} bytes: {took} s");
        }
    }
}
