//! As many requests as a server answers, over a fixed number of connections.
//!
//! A closed loop says nothing about overload, but it is the right tool for the
//! cost of a request: the server is busy all the time, and what counts is its
//! CPU time divided by the requests. Here is also the backend behind a proxy
//! that is so measured: it answers at once, from memory.

use crate::client::{Client, ClientError};
use crate::clock;
use crate::delivery::Delivery;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the backend answers: a page of a kilobyte.
static PAGE: [u8; 1_024] = [b'.'; 1_024];

/// What the backend never answers: whoever asks for it keeps his seat.
pub(crate) const HOLD: &str = "/hold";
/// A page that is most of what a proxy holds back for a slow reader, for attackers who read nothing.
const LARGE: &str = "/large";
/// So long is that page: `LARGE` in `attacks/http2_floods.py` says it too.
static LARGE_PAGE: [u8; 200 << 10] = [b'.'; 200 << 10];
/// Of the answers to a drill, how many may be of another kind: a rate limit lets a few pass.
const STRAY_SHARE: f64 = 0.01;

/// A request to repeat, and the answers that count.
#[derive(Clone, Debug)]
pub(crate) struct Drill {
    /// The path asked for.
    pub(crate) path: String,
    /// What the answers are to be.
    pub(crate) expected: &'static [StatusCode],
}

/// Why a drill has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrillError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("of {answers} answers to {path}, {strays} were not {expected:?}")]
    Strays { path: String, answers: u64, strays: u64, expected: &'static [StatusCode] },
    #[error("cannot listen on a loopback port: {0}")]
    Listen(std::io::Error),
}

/// Repeats a drill over `connections` for `length` and returns how many answers came.
pub(crate) async fn run(
    target: SocketAddr,
    drill: &Drill,
    connections: usize,
    length: Duration,
) -> Result<u64, DrillError> {
    let end = clock::now() + length;
    let mut shoppers = JoinSet::new();
    for _ in 0..connections {
        shoppers.spawn(repeat(target, drill.clone(), end));
    }
    let (mut answers, mut strays) = (0, 0);
    while let Some(shopper) = shoppers.join_next().await {
        let (more_answers, more_strays) = shopper.expect("a shopper does not panic")?;
        answers += more_answers;
        strays += more_strays;
    }
    if strays as f64 > answers as f64 * STRAY_SHARE {
        return Err(DrillError::Strays {
            path: drill.path.clone(),
            answers,
            strays,
            expected: drill.expected,
        });
    }
    Ok(answers)
}

/// Repeats a drill until `end`, over a connection of its own; returns all answers, and those not expected.
async fn repeat(target: SocketAddr, drill: Drill, end: Instant) -> Result<(u64, u64), DrillError> {
    let client = Client::new(target);
    let (mut answers, mut strays) = (0, 0);
    while clock::now() < end {
        let answer = client.exchange(request(target, &drill.path)).await?;
        answers += 1;
        strays += u64::from(!drill.expected.contains(&answer.status));
    }
    Ok((answers, strays))
}

/// What a shopper sends to `target` for `path`.
pub(crate) fn request(target: SocketAddr, path: &str) -> Request<Delivery> {
    Request::get(path)
        .header(header::HOST, target.to_string())
        .header(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) plimsoll-bench")
        .header(header::COOKIE, "session=5b1f0d2c9a7e4386")
        .body(Delivery::default())
        .expect("the path of a drill is checked when it is given")
}

/// Starts the backend; it lives as long as the runtime.
pub(crate) async fn start_backend() -> Result<SocketAddr, DrillError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DrillError::Listen)?;
    let address = listener.local_addr().map_err(DrillError::Listen)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Without it the answer waits for an acknowledgement; with an error the peer is gone.
            let _ = stream.set_nodelay(true);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(page)));
        }
    });
    Ok(address)
}

async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let page: &'static [u8] = match request.uri().path() {
        HOLD => return std::future::pending().await,
        LARGE => &LARGE_PAGE,
        _ => &PAGE,
    };
    Ok(Response::new(Full::new(Bytes::from_static(page))))
}
