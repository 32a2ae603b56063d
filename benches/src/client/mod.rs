//! The shoppers' side: sends a request, reads the answer whole.
//!
//! There is no bound on the number of connections: in an open loop a request finds
//! a place on an open one or opens a new one, and never waits for another request.
//! Dropping the future of [`Client::exchange`], as a client who has lost patience
//! does, really ends the request: HTTP/1.1 closes the socket, HTTP/2 resets the stream.
//!
//! It follows no redirects, keeps no cookies and sets no time limits, but for the first connection.
//! A client may have a slow [`Line`], which whoever serves it feels once the buffers between are full.

pub(crate) mod failure;
pub(crate) mod tls;
mod stream;
mod http1;
mod http2;

use crate::clock;
use crate::delivery::Delivery;
use bytes::Bytes;
use failure::Failure;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::Duration;
use stream::Connector;
use tls::Tls;

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The response status.
    pub(crate) status: StatusCode,
    /// The response headers.
    pub(crate) headers: HeaderMap,
    /// The whole body, unless it came over a slow line.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("{address} closed or broke the connection")]
    Exchange { address: SocketAddr, source: hyper::Error },
    #[error("{address} and this client cannot agree on TLS")]
    Tls { address: SocketAddr, source: std::io::Error },
    #[error(
        "{address} did not take a connection within {waited:?}: it is down, packets to it get lost, or more \
         connections wait there than it has room for (`ss -ltn` on that machine shows how many)"
    )]
    NotAccepted { address: SocketAddr, waited: Duration },
    #[error(
        "{address} took a connection, and there was no TLS handshake within {waited:?}: it hangs, or this is no port \
         for https"
    )]
    NoHandshake { address: SocketAddr, waited: Duration },
}

impl ClientError {
    /// What kind of failure it is.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            ClientError::Connect { source, .. } => Failure::of_io(source),
            ClientError::Exchange { source, .. } => Failure::of_exchange(source),
            ClientError::NotAccepted { .. } => Failure::Network,
            ClientError::Tls { .. } | ClientError::NoHandshake { .. } => Failure::Tls,
        }
    }
}

/// How many bytes a second a client's line takes; as many as this machine can where nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// Of what the client sends.
    pub(crate) up: Option<f64>,
    /// Of what it is sent.
    pub(crate) down: Option<f64>,
}

/// The versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Version {
    /// HTTP/1.1
    #[value(name = "1")]
    Http1,
    /// HTTP/2: by prior knowledge where there is no TLS
    #[value(name = "2")]
    Http2,
}

/// A client of one server.
#[derive(Debug)]
pub(crate) enum Client {
    Http1(http1::Pool),
    Http2(http2::Pool),
}

impl Client {
    /// A client of the server at `address`, over plain HTTP/1.1.
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client::Http1(http1::Pool::new(Connector::new(address, None)))
    }

    /// Opens a first connection, which has to be there `within` a while: a target that is down or hangs is told
    /// apart from one that fails, and over TLS the server says which version it speaks.
    pub(crate) async fn connect(
        address: SocketAddr,
        tls: Option<Tls>,
        host: &str,
        version: Option<Version>,
        within: Duration,
    ) -> Result<Client, ClientError> {
        let connector = Connector::new(address, tls);
        let opened = tokio::time::timeout(within, connector.connect()).await;
        let stream = opened.map_err(|_| match connector.accepted() {
            0 => ClientError::NotAccepted { address, waited: within },
            _ => ClientError::NoHandshake { address, waited: within },
        })??;
        let version = version.unwrap_or(stream.agreed_version());
        Ok(match version {
            Version::Http1 => Client::Http1(http1::Pool::starting_with(connector, stream).await?),
            Version::Http2 => Client::Http2(http2::Pool::starting_with(connector, stream, host).await?),
        })
    }

    /// Sends `request` and reads the answer to its end.
    ///
    /// A request that an idle connection turns out to be too dead to take is
    /// sent on a new one; one that may have reached the server is not repeated.
    pub(crate) async fn exchange(&self, request: Request<Delivery>) -> Result<Answer, ClientError> {
        self.exchange_over(Line::default(), request).await
    }

    /// The same over a line.
    pub(crate) async fn exchange_over(
        &self,
        line: Line,
        request: Request<Delivery>,
    ) -> Result<Answer, ClientError> {
        let request = match line.up {
            Some(bytes_per_s) => request.map(|body| body.at_pace(bytes_per_s)),
            None => request,
        };
        match self {
            Client::Http1(pool) => pool.exchange(line, request).await,
            Client::Http2(pool) => pool.exchange(line, request).await,
        }
    }

    /// Asks for `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        let request = Request::get(path).header(header::HOST, self.address().to_string());
        self.exchange(request.body(Delivery::default()).expect("the path is one of ours")).await
    }

    /// How many connections the server has accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        match self {
            Client::Http1(pool) => pool.accepted(),
            Client::Http2(pool) => pool.accepted(),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Client::Http1(pool) => pool.address(),
            Client::Http2(pool) => pool.address(),
        }
    }
}

async fn read_answer(line: Line, response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = match line.down {
        Some(bytes_per_s) => read_at_pace(bytes_per_s, body).await?,
        None => body.collect().await?.to_bytes(),
    };
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Reads a body no faster than its line, and keeps nothing of it: hundreds of large ones would be too much.
async fn read_at_pace(bytes_per_s: f64, mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let begin = clock::now();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame?.data_ref().map_or(0, Bytes::len);
        // What is not asked for is not taken from the socket, so that the sender has to wait.
        tokio::time::sleep_until(begin + Duration::from_secs_f64(read as f64 / bytes_per_s)).await;
    }
    Ok(Bytes::new())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
