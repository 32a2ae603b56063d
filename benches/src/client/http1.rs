//! HTTP/1.1: one request at a time on a connection, kept alive and shared like a browser's.
//!
//! A connection is driven by the request that uses it, not by a task of its own. So
//! dropping the future of an exchange really closes the socket, and a request costs
//! one task instead of two.

use super::stream::{Connector, Stream};
use super::{Answer, ClientError, Line, read_answer};
use crate::delivery::Delivery;
use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    /// The last one used is the first one reused, so that idle ones stay few.
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Pool {
        Pool { connector, idle: Mutex::new(Vec::new()) }
    }

    pub(super) async fn starting_with(connector: Connector, stream: Stream) -> Result<Pool, ClientError> {
        let connection = Connection::on(stream, connector.address).await?;
        Ok(Pool { connector, idle: Mutex::new(vec![connection]) })
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
        let request = match self.idle_connection() {
            Some(connection) => match self.exchange_on(connection, line, request).await {
                Err(Failure { unsent: Some(request), .. }) => request,
                settled => return settled.map_err(|failure| self.exchange_error(failure)),
            },
            None => request,
        };
        let connection = Connection::on(self.connector.connect().await?, self.address()).await?;
        self.exchange_on(connection, line, request).await.map_err(|failure| self.exchange_error(failure))
    }

    async fn exchange_on(
        &self,
        mut connection: Connection,
        line: Line,
        request: Request<Delivery>,
    ) -> Result<Answer, Failure> {
        let answer = connection.exchange(line, request).await?;
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

    fn idle_list(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange_error(&self, failure: Failure) -> ClientError {
        ClientError::Exchange { address: self.address(), source: failure.source }
    }
}

type Driver = http1::Connection<TokioIo<Stream>, Delivery>;

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Delivery>,
    /// Gone when it has finished: only its drop tells those who wait for it.
    driver: Option<Driver>,
}

/// A failed exchange, with the request if it was never sent.
struct Failure {
    source: hyper::Error,
    unsent: Option<Request<Delivery>>,
}

impl From<hyper::Error> for Failure {
    fn from(source: hyper::Error) -> Failure {
        Failure { source, unsent: None }
    }
}

impl Connection {
    async fn on(stream: Stream, address: SocketAddr) -> Result<Connection, ClientError> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ClientError::Exchange { address, source })?;
        Ok(Connection { sender, driver: Some(driver) })
    }

    async fn exchange(&mut self, line: Line, request: Request<Delivery>) -> Result<Answer, Failure> {
        let reply = self.sender.try_send_request(request);
        let read = async {
            let response = reply
                .await
                .map_err(|mut error| Failure { unsent: error.take_message(), source: error.into_error() })?;
            Ok(read_answer(line, response).await?)
        };
        drive(&mut self.driver, read).await
    }

    async fn is_reusable(&mut self) -> bool {
        drive(&mut self.driver, self.sender.ready()).await.is_ok() && self.driver.is_some()
    }

    /// Whether the server has left an idle connection open, as far as is known by now.
    fn is_open(&mut self) -> bool {
        poll_driver(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some()
    }
}

/// Runs `work`, which waits for the connection, and the connection, which works for it.
async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        poll_driver(driver, cx);
        work.as_mut().poll(cx)
    })
    .await
}

/// How the driver ended is told to those who wait for it through their channels.
fn poll_driver(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
        *driver = None;
    }
}
