//! One HTTP/2 connection: when its client is told to go elsewhere, and when it is gone.
//!
//! Over HTTP/1 the answer says that its connection ends. Here GOAWAY does, which Pingora sends
//! when the process stops; so each connection is told that by a watch of its own, and as well
//! by the first request that it brings while connections are not kept (`strain`), or by the last
//! that it may bring. What is under way is served, and so is what the client sends before it can
//! know.
//!
//! Pingora then waits for a client that may never answer its ping, without a timeout. So a
//! connection that was told to go ends when it has been idle for as long as any may be.
//!
//! Each of its streams is a task of its own, and has a deadline of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use tokio::sync::watch;

use super::deadline::{Deadline, within};
use super::strain::{Rung, Strain};
use crate::serving::Serving;
use crate::telemetry::connections::TurnedAway;

/// An application, as one connection has it.
pub(super) struct Http2<A> {
    app: Arc<A>,
    strain: Strain,
    serving: Arc<Serving>,
    deadline: Arc<Deadline>,
    /// Requests so far.
    begun: AtomicU32,
    /// Whether the client is told to go.
    told: watch::Sender<bool>,
    /// Held once by the connection, and once by each of its streams.
    streams: Arc<()>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Http2<A> {
    /// Serves `app` to a connection under `deadline`.
    pub(super) fn new(
        app: Arc<A>,
        strain: Strain,
        serving: Arc<Serving>,
        deadline: &Arc<Deadline>,
    ) -> Arc<Http2<A>> {
        let (told, begun, streams) = (watch::Sender::new(false), AtomicU32::default(), Arc::default());
        Arc::new(Http2 { app, strain, serving, deadline: deadline.clone(), begun, told, streams })
    }

    /// Serves the client of `stream`, until it leaves, or was told to and is idle for too long.
    pub(super) async fn serve(
        self: Arc<Http2<A>>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let telling = self.told.subscribe();
        tokio::select! {
            served = self.process_new(stream, &telling) => served,
            () = self.outlive(shutdown.clone()) => None,
        }
    }

    /// Tells the client to go when the process stops. Over when a client that was told, by whomever, has asked
    /// for nothing since.
    async fn outlive(&self, mut shutdown: ShutdownWatch) {
        let mut told = self.told.subscribe();
        tokio::select! {
            _ = shutdown.wait_for(|is_over| *is_over) => self.tell(),
            _ = told.wait_for(|is_told| *is_told) => {}
        }
        let mut was_idle = false;
        loop {
            tokio::time::sleep(self.serving.config.connections.idle).await;
            let is_idle = Arc::strong_count(&self.streams) == 1;
            // The last answer may just have ended: its reader has one more turn to take it.
            if is_idle && was_idle {
                return;
            }
            was_idle = is_idle;
        }
    }

    fn tell(&self) {
        self.told.send_replace(true);
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let _stream = self.streams.clone();
        let begun = self.begun.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let requests_max = self.serving.config.connections.requests_max;
        let is_last = requests_max.is_some_and(|most| begun >= most);
        if is_last || self.strain.rung() >= Rung::NoKeepAlive {
            self.tell();
        }
        let deadline = self.deadline.of_stream();
        let served = within(deadline.clone(), self.app.process_new_http(session, shutdown)).await;
        if deadline.was_readers() {
            self.serving.metrics.connections.turn_away(TurnedAway::Slow);
        }
        served?
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.app.server_options()
    }
}
