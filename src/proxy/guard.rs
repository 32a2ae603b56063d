//! The connection of a client, as Pingora reads and writes it: by its deadline, at a pace, and in pieces.
//!
//! A read that finds nothing after the deadline is an error instead of a wait, so that Pingora ends the request
//! by its own ways and we can answer it. The first byte of an HTTP/1 head sets the time for the whole of it, and
//! its bytes are counted as they come: Pingora would keep a megabyte of it, and parse that anew with every read.
//! Of an HTTP/2 connection the frames are counted (`frames`). A client that takes what it is sent too slowly
//! (`pace`) is left. What goes out over HTTP/1 while no request is served is Pingora's own answer to a head that
//! it could not read; nobody else sees it, so it is counted here.
//!
//! No read takes in more than [`READ_MAX`], or the buffer for the beginning of a
//! body could overflow, and Pingora's is then lost as a whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use plimsoll_core::time::Time;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::deadline::Deadline;
use super::frames::Frames;
use super::pace::Pace;
use crate::hygiene::Flaw;
use crate::serving::Serving;
use crate::telemetry::connections::TurnedAway;
use crate::telemetry::rejection::Rejection;

/// The most that one read takes in: as much as a frame of HTTP/2 has at most by default.
pub(super) const READ_MAX: usize = 16 * 1024;

/// A head this many times as long as one may be is cut off; of one that ends before, hygiene says what is wrong.
const HEADS_MAX: usize = 2;
/// What its client is told then.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The head that comes in, or came in last.
#[derive(Debug, Default)]
struct Head {
    /// In which pause it began.
    pause: Option<u64>,
    /// How much of it has come.
    bytes: usize,
}

/// What is looked at in the bytes that a client sends.
#[derive(Debug)]
enum Watch {
    /// Heads, and in which pause the latest one came that was none.
    Heads { head: Head, unparsed: Option<u64> },
    /// What kinds of frames there are.
    Frames(Box<Frames>),
}

/// A connection under a deadline.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    deadline: Arc<Deadline>,
    serving: Arc<Serving>,
    watch: Watch,
    pace: Pace,
}

impl Guarded {
    /// Guards the connection of an HTTP/1 client.
    pub(super) fn http1(stream: Stream, deadline: Arc<Deadline>, serving: Arc<Serving>) -> Guarded {
        Guarded::new(stream, deadline, serving, Watch::Heads { head: Head::default(), unparsed: None })
    }

    /// Guards the connection of an HTTP/2 client, whose preface must be whole when it says so.
    pub(super) fn http2(stream: Stream, deadline: Arc<Deadline>, serving: Arc<Serving>) -> Guarded {
        deadline.set(serving.clock.now().after(serving.config.connections.head));
        let peer = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let is_hop = peer.is_some_and(|peer| serving.hops.contains(peer));
        let frames = if is_hop { Frames::of_hop() } else { Frames::default() };
        Guarded::new(stream, deadline, serving, Watch::Frames(Box::new(frames)))
    }

    fn new(stream: Stream, deadline: Arc<Deadline>, serving: Arc<Serving>, watch: Watch) -> Guarded {
        let pace = Pace::at_least(serving.config.connections.send_bytes_per_s_min);
        Guarded { stream, deadline, serving, watch, pace }
    }

    fn note_read(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        let clock = self.serving.clock;
        match &mut self.watch {
            Watch::Heads { head, .. } => {
                let pause = self.deadline.pause();
                if pause.is_none() {
                    return Ok(());
                }
                // The first bytes between two requests are the beginning of a head.
                if head.pause != pause {
                    *head = Head { pause, bytes: 0 };
                    self.deadline.set(clock.now().after(self.serving.config.connections.head));
                }
                // What was read before, for the head may end in this piece.
                let is_endless = head.bytes > HEADS_MAX * self.serving.config.requests.head_bytes_max;
                head.bytes += bytes.len();
                if is_endless { Err(self.refuse_head(cx)) } else { Ok(()) }
            }
            Watch::Frames(frames) => {
                let had_begun = frames.has_begun();
                let counted = frames.received(bytes, || clock.now());
                if !had_begun && frames.has_begun() {
                    self.deadline.set(Time::NEVER);
                }
                counted.map_err(|flood| {
                    self.serving.metrics.connections.turn_away(TurnedAway::Flood);
                    io::Error::other(flood)
                })
            }
        }
    }

    /// Answers a head that has no end, and counts it. Pingora only closes.
    fn refuse_head(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.serving.metrics.reject(Rejection::Flawed(Flaw::HeadSize));
        // There is room for so little, unless its client has read no answer before; then the connection just ends.
        if Pin::new(&mut self.stream).poll_write(cx, TOO_LARGE).is_ready() {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        io::Error::new(io::ErrorKind::InvalidData, "the head has no end")
    }

    /// Counts an answer to what came as a head and was none: of a request that is served, the proxy knows.
    ///
    /// It is counted before it is written, as every refusal is: who has read it finds it in the metrics.
    fn note_answer(&mut self) {
        let Watch::Heads { unparsed, .. } = &mut self.watch else { return };
        let pause = self.deadline.pause();
        // Once, in however many pieces it goes out.
        if pause.is_some() && pause != *unparsed {
            *unparsed = pause;
            self.serving.metrics.reject(Rejection::Unparsed);
        }
    }

    /// Notes how a write went; an error if the client is too slow.
    fn note_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let clock = self.serving.clock;
        let keeps_up = match &written {
            Poll::Ready(Ok(count)) => {
                if let Watch::Frames(frames) = &mut self.watch {
                    frames.sent(*count);
                    self.deadline.took(*count);
                }
                self.pace.took(*count, || clock.now())
            }
            Poll::Ready(Err(_)) => true,
            Poll::Pending => {
                let now = clock.now();
                self.deadline.wait_for_reader(now);
                self.pace.waits(now, cx).is_pending()
            }
        };
        if keeps_up {
            return written;
        }
        self.serving.metrics.connections.turn_away(TurnedAway::Slow);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut (&mut self.stream).take(READ_MAX as u64)).poll_read(cx, buf);
        match read {
            Poll::Pending if self.deadline.has_rung() => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed")))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(self.note_read(&buf.filled()[before..], cx)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.note_answer();
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note_write(flushed.map_ok(|()| 0), cx).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note_answer();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

// What follows passes on what the connection says of itself.

#[async_trait]
impl Shutdown for Guarded {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

#[async_trait]
impl Peek for Guarded {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

impl UniqueID for Guarded {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Guarded {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Guarded {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Guarded {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Guarded {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}
