//! HTTP/2: requests share connections, as many on each as servers usually allow.

use super::stream::{Connector, Stream};
use super::{Answer, ClientError, Line, read_answer};
use crate::delivery::Delivery;
use http::uri::{Authority, Scheme};
use http::{Request, Uri, header};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// Requests on one connection: what nginx (128) and Apache (100) allow, so that none waits for another.
const STREAMS_MAX: usize = 100;

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    authority: Authority,
    scheme: Scheme,
    /// Held for a look and a push.
    lanes: Mutex<Vec<Arc<Lane>>>,
}

/// A connection and its load. It is opened by the first request that needs it; others wait for that.
#[derive(Debug, Default)]
struct Lane {
    streams: AtomicUsize,
    sender: OnceCell<SendRequest<Delivery>>,
}

/// A place on a connection, given back when dropped.
struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A failed exchange, with the request if it was never sent.
struct Failure {
    error: ClientError,
    unsent: Option<Request<Delivery>>,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure { error, unsent: None }
    }
}

impl Pool {
    pub(super) async fn starting_with(
        connector: Connector,
        stream: Stream,
        host: &str,
    ) -> Result<Pool, ClientError> {
        let sender = shake_hands(&connector, stream).await?;
        let lane = Lane { streams: AtomicUsize::new(0), sender: OnceCell::new_with(Some(sender)) };
        let scheme = if connector.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = host.parse().expect("a host is the authority of an address that was parsed");
        Ok(Pool { connector, authority, scheme, lanes: Mutex::new(vec![Arc::new(lane)]) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.connector.address
    }

    pub(super) fn accepted(&self) -> u64 {
        self.connector.accepted()
    }

    pub(super) async fn exchange(
        &self,
        line: Line,
        request: Request<Delivery>,
    ) -> Result<Answer, ClientError> {
        let mut request = self.addressed(request);
        let known = self.lanes().len();
        // A connection that the server retires goes on with what it has and takes nothing more. That is found out by
        // trying, once for each; the last try is on a new one.
        for _ in 0..known {
            match self.exchange_on(self.place(), line, request).await {
                Err(Failure { unsent: Some(unsent), .. }) => request = unsent,
                settled => return settled.map_err(|failure| failure.error),
            }
        }
        self.exchange_on(self.place(), line, request).await.map_err(|failure| failure.error)
    }

    async fn exchange_on(
        &self,
        place: Place,
        line: Line,
        request: Request<Delivery>,
    ) -> Result<Answer, Failure> {
        let opened = place.0.sender.get_or_try_init(|| self.open()).await;
        let sender = opened.inspect_err(|_| self.forget(&place.0))?;
        let response = sender.clone().try_send_request(request).await.map_err(|mut error| Failure {
            unsent: error.take_message(),
            error: self.exchange_error(error.into_error()),
        })?;
        read_answer(line, response).await.map_err(|source| self.exchange_error(source).into())
    }

    fn exchange_error(&self, source: hyper::Error) -> ClientError {
        ClientError::Exchange { address: self.address(), source }
    }

    /// HTTP/2 has the host in the address.
    fn addressed(&self, mut request: Request<Delivery>) -> Request<Delivery> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        (parts.scheme, parts.authority) = (Some(self.scheme.clone()), Some(self.authority.clone()));
        *request.uri_mut() = Uri::from_parts(parts).expect("a path and an authority make an address");
        request.headers_mut().remove(header::HOST);
        request
    }

    async fn open(&self) -> Result<SendRequest<Delivery>, ClientError> {
        shake_hands(&self.connector, self.connector.connect().await?).await
    }

    fn place(&self) -> Place {
        let mut lanes = self.lanes();
        lanes.retain(|lane| lane.sender.get().is_none_or(|sender| !sender.is_closed()));
        let free = lanes.iter().find(|lane| lane.streams.load(Ordering::Relaxed) < STREAMS_MAX);
        let lane = free.cloned().unwrap_or_else(|| {
            lanes.push(Arc::default());
            Arc::clone(&lanes[lanes.len() - 1])
        });
        lane.streams.fetch_add(1, Ordering::Relaxed);
        Place(lane)
    }

    fn forget(&self, failed: &Arc<Lane>) {
        self.lanes().retain(|lane| !Arc::ptr_eq(lane, failed));
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn shake_hands(connector: &Connector, stream: Stream) -> Result<SendRequest<Delivery>, ClientError> {
    let exchange_error = |source| ClientError::Exchange { address: connector.address, source };
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.map_err(exchange_error)?;
    // How it ends is told to those whose requests are on it.
    tokio::spawn(async { _ = connection.await });
    Ok(sender)
}
