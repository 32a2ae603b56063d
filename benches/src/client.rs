//! The shoppers' side of HTTP/1.1: sends a request, reads the answer whole.
//!
//! Connections are kept alive and shared like a browser's, but there is no
//! bound on their number: in an open loop a request takes an idle connection or
//! opens a new one, and never waits for one. A connection is driven by the
//! request that uses it, not by a task of its own. So dropping the future of
//! [`Client::exchange`], as a client who has lost patience does, really closes
//! the socket, and a request costs one task instead of two.
//!
//! It follows no redirects, keeps no cookies and sets no time limits.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use tokio::net::TcpStream;

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The response status.
    pub(crate) status: StatusCode,
    /// The first `Set-Cookie` header.
    pub(crate) set_cookie: Option<HeaderValue>,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("{address} closed or broke the connection: {source}")]
    Exchange { address: SocketAddr, source: hyper::Error },
}

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    /// The last one used is the first one reused, so that idle ones stay few.
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    /// A client of the server at `address`.
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, idle: Mutex::new(Vec::new()) }
    }

    /// Sends `request` and reads the answer to its end.
    ///
    /// A request that an idle connection turns out to be too dead to take is
    /// sent on a new one; one that may have reached the server is not repeated.
    pub(crate) async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let request = match self.idle_connection() {
            Some(connection) => match self.exchange_on(connection, request).await {
                Err(Failure { unsent: Some(request), .. }) => request,
                settled => return settled.map_err(|failure| self.exchange_error(failure)),
            },
            None => request,
        };
        let connection = Connection::open(self.address).await?;
        self.exchange_on(connection, request).await.map_err(|failure| self.exchange_error(failure))
    }

    /// Opens a first connection: a target that is down is told apart from one that fails.
    pub(crate) async fn connect_ahead(&self) -> Result<(), ClientError> {
        let connection = Connection::open(self.address).await?;
        self.idle_list().push(connection);
        Ok(())
    }

    /// Asks for `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        let request = Request::get(path).header(header::HOST, self.address.to_string());
        self.exchange(request.body(Full::default()).expect("the path is one of ours")).await
    }

    async fn exchange_on(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let answer = connection.exchange(request).await?;
        if connection.is_reusable().await {
            self.idle_list().push(connection);
        }
        Ok(answer)
    }

    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle_list();
        while let Some(mut connection) = idle.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn idle_list(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange_error(&self, failure: Failure) -> ClientError {
        ClientError::Exchange { address: self.address, source: failure.source }
    }
}

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
    /// The driver has finished and must not be polled again.
    is_closed: bool,
}

/// A failed exchange, with the request if it was never sent.
struct Failure {
    source: hyper::Error,
    unsent: Option<Request<Full<Bytes>>>,
}

impl From<hyper::Error> for Failure {
    fn from(source: hyper::Error) -> Failure {
        Failure { source, unsent: None }
    }
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Connection, ClientError> {
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect.await.map_err(|source| ClientError::Connect { address, source })?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ClientError::Exchange { address, source })?;
        Ok(Connection { sender, driver, is_closed: false })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let reply = self.sender.try_send_request(request);
        let read = async {
            let response = reply
                .await
                .map_err(|mut error| Failure { unsent: error.take_message(), source: error.into_error() })?;
            Ok(read_answer(response).await?)
        };
        drive(&mut self.driver, &mut self.is_closed, read).await
    }

    async fn is_reusable(&mut self) -> bool {
        drive(&mut self.driver, &mut self.is_closed, self.sender.ready()).await.is_ok() && !self.is_closed
    }

    /// Whether the server has left an idle connection open, as far as is known by now.
    fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.is_closed && Pin::new(&mut self.driver).poll(&mut nobody).is_pending()
    }
}

/// Runs `work`, which waits for the connection, and the connection, which works for it.
async fn drive<T>(driver: &mut Driver, is_closed: &mut bool, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if !*is_closed {
            // How it ended is told to `work` through the connection's channels.
            *is_closed = Pin::new(&mut *driver).poll(cx).is_ready();
        }
        work.as_mut().poll(cx)
    })
    .await
}

async fn read_answer(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status, set_cookie: head.headers.get(header::SET_COOKIE).cloned(), body })
}
