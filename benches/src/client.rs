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
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("{address} closed or broke the connection")]
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
    /// Gone when it has finished: only its drop tells those who wait for it.
    driver: Option<Driver>,
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
        Ok(Connection { sender, driver: Some(driver) })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let reply = self.sender.try_send_request(request);
        let read = async {
            let response = reply
                .await
                .map_err(|mut error| Failure { unsent: error.take_message(), source: error.into_error() })?;
            Ok(read_answer(response).await?)
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

async fn read_answer(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status, set_cookie: head.headers.get(header::SET_COOKIE).cloned(), body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn server() -> (TcpListener, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        (listener, client)
    }

    async fn read_request(stream: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    }

    #[tokio::test]
    async fn connection_is_kept_and_used_again() {
        let (listener, client) = server().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..2 {
                read_request(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        };
        let ask = async {
            assert_eq!(client.get("/1").await.unwrap().body, "ok");
            assert_eq!(client.get("/2").await.unwrap().body, "ok");
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn server_that_closes_after_each_answer_gets_new_connections() {
        let (listener, client) = server().await;
        let serve = async {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok").await.unwrap();
            }
        };
        let ask = async {
            assert_eq!(client.get("/1").await.unwrap().body, "ok");
            assert_eq!(client.get("/2").await.unwrap().body, "ok");
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test]
    async fn client_who_gives_up_closes_the_socket() {
        let (listener, client) = server().await;
        let mut request = Box::pin(client.get("/slow"));
        let (mut stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            _ = &mut request => unreachable!("nobody answers"),
        };
        tokio::select! {
            () = read_request(&mut stream) => {}
            _ = &mut request => unreachable!("nobody answers"),
        }
        drop(request);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn broken_answer_is_an_error() {
        let (listener, client) = server().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await.unwrap();
        };
        let (_, answer) = tokio::join!(serve, client.get("/"));
        assert!(matches!(answer, Err(ClientError::Exchange { .. })), "{answer:?}");
    }
}
