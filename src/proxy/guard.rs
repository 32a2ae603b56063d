//! The connection of an HTTP/1 client, as Pingora reads it: by its deadline, and in pieces.
//!
//! A read that finds nothing after the deadline is an error instead of a wait, so
//! that Pingora ends the request by its own ways and we can answer it. The first
//! byte of a head sets the time for the whole of it.
//!
//! No read takes in more than [`READ_MAX`], or the buffer for the beginning of a
//! body could overflow, and Pingora's is then lost as a whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::deadline::Deadline;
use crate::clock::Clock;

/// The most that one read takes in: as much as a frame of HTTP/2 has at most by default.
pub(super) const READ_MAX: usize = 16 * 1024;

/// A connection under a deadline.
#[derive(Debug)]
pub(super) struct Guarded {
    stream: Stream,
    deadline: Arc<Deadline>,
    clock: Clock,
    head_max: Duration,
    /// In which pause the latest head began.
    head_began_in: Option<u64>,
}

impl Guarded {
    /// Guards `stream`, whose heads must be whole `head_max` after their first byte.
    pub(super) fn new(stream: Stream, deadline: Arc<Deadline>, clock: Clock, head_max: Duration) -> Guarded {
        Guarded { stream, deadline, clock, head_max, head_began_in: None }
    }

    /// The first bytes between two requests are the beginning of a head.
    fn note_read(&mut self) {
        let pause = self.deadline.pause();
        if pause.is_some() && pause != self.head_began_in {
            self.head_began_in = pause;
            self.deadline.set(self.clock.now().after(self.head_max));
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut (&mut self.stream).take(READ_MAX as u64)).poll_read(cx, buf);
        match read {
            Poll::Pending if self.deadline.has_rung() => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed")))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(done) => {
                self.note_read();
                Poll::Ready(done)
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
