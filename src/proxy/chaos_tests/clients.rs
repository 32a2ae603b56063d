//! Clients that ask, and those that leave in the middle of it; each answer is checked to be the answer to what
//! was asked, whole, and the only one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::bounded;
use super::random::Random;
use super::saboteur::{PANIC, PHASES};
use super::shop::{FAULT, FAULTS};
use super::wire::Wire;

/// An HTTP/2 client takes a new connection after so many requests: it resets some of them, and a client that
/// resets more than a few hundred is taken for what it then is.
const REQUESTS_PER_CONNECTION: usize = 200;

/// What became of requests.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number of the next request.
    next: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Broken off by a panic or by an upstream that broke off.
    pub(super) broken: AtomicU64,
    /// The client left.
    pub(super) left: AtomicU64,
    /// Orders that were sent, by number: read once at most.
    pub(super) orders: std::sync::Mutex<Vec<usize>>,
}

/// How a request goes.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// To its end: it must be answered.
    Plain,
    /// The same, with a body.
    Order(Framing),
    /// The shop fails at it in this way.
    Fault(&'static str),
    /// The proxy does, in this phase.
    Panic(&'static str),
    /// The client leaves at this point.
    Leave(Point),
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
    Expected,
}

#[derive(Clone, Copy, Debug)]
enum Point {
    MidHead,
    MidBody,
    AfterRequest,
    Reset,
    MidAnswer,
}

impl Course {
    fn draw(random: &mut Random) -> Course {
        let framings = [Framing::Length, Framing::Chunks, Framing::Expected];
        let points = [Point::MidHead, Point::MidBody, Point::AfterRequest, Point::Reset, Point::MidAnswer];
        match random.below(100) {
            0..60 => Course::Plain,
            60..70 => Course::Order(framings[random.below(framings.len())]),
            70..80 => Course::Fault(FAULTS[random.below(FAULTS.len())]),
            80..86 => Course::Panic(PHASES[random.below(PHASES.len())]),
            _ => Course::Leave(points[random.below(points.len())]),
        }
    }

    /// Whether the answer may break off, or not come at all. One that is not held back as a whole does when
    /// its endpoint is killed.
    fn may_break_off(self) -> bool {
        matches!(self, Course::Panic(_) | Course::Fault("truncate" | "large"))
    }

    fn field(self) -> String {
        match self {
            Course::Fault(fault) => format!("{FAULT}: {fault}\r\n"),
            Course::Panic(phase) => format!("{PANIC}: {phase}\r\n"),
            Course::Leave(Point::MidAnswer) => format!("{FAULT}: large\r\n"),
            _ => String::new(),
        }
    }
}

impl Seen {
    /// The number of a request that has not been sent; `None` when `total` have been.
    fn number(&self, total: u64) -> Option<u64> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < total)
    }

    /// How many requests there were so far.
    pub(super) fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    fn answered(&self, status: u16, what: &str) {
        match status {
            200 => self.served.fetch_add(1, Ordering::Relaxed),
            502..=504 => self.refused.fetch_add(1, Ordering::Relaxed),
            _ => panic!("{what}: {status}"),
        };
    }
}

/// A client of HTTP/1.1, until `total` requests are sent by all.
pub(super) async fn http1(address: SocketAddr, total: u64, seed: u64, seen: Arc<Seen>) {
    let mut random = Random::of(seed);
    let mut kept: Option<Wire> = None;
    while let Some(number) = seen.number(total) {
        let course = Course::draw(&mut random);
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => Wire::connect(address).await,
        };
        kept = match course {
            Course::Leave(point) => {
                leave(wire, number, point).await;
                seen.left.fetch_add(1, Ordering::Relaxed);
                None
            }
            _ => exchange(&mut wire, number, course, &seen).await.then_some(wire),
        };
    }
}

/// Whether the connection may be used again.
async fn exchange(wire: &mut Wire, number: u64, course: Course, seen: &Seen) -> bool {
    if let Course::Order(_) = course {
        seen.orders.lock().unwrap().push(number as usize);
    }
    let what = format!("request {number}, {course:?}");
    let sent = wire.try_send(request(number, course)).await;
    let mut answer = sent.and(wire.message().await);
    while answer.as_ref().is_ok_and(|answer| answer.status() < 200) {
        answer = wire.message().await;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) if course.may_break_off() => {
            seen.broken.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        Err(error) => panic!("{what} was not answered: {error}"),
    };
    assert_eq!(answer.header("x-request-id"), Some(number.to_string()), "{what} has the answer of another");
    seen.answered(answer.status(), &what);
    let is_kept = answer.header("connection").is_none_or(|said| said != "close");
    // A panic after the answer ends the connection without a word.
    if !is_kept || matches!(course, Course::Panic(_)) {
        let rest = if is_kept { Vec::new() } else { wire.rest().await };
        assert!(rest.is_empty(), "{what} was answered twice: {}", String::from_utf8_lossy(&rest));
        return false;
    }
    true
}

fn request(number: u64, course: Course) -> String {
    let fields = format!("Host: shop.test\r\nX-Request-Id: {number}\r\n{}", course.field());
    match course {
        Course::Order(Framing::Length) => {
            format!("POST /order HTTP/1.1\r\n{fields}Content-Length: 5\r\n\r\norder")
        }
        Course::Order(Framing::Chunks) => {
            format!(
                "POST /order HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n5\r\norder\r\n0\r\n\r\n"
            )
        }
        Course::Order(Framing::Expected) => {
            format!("POST /order HTTP/1.1\r\n{fields}Expect: 100-continue\r\nContent-Length: 5\r\n\r\norder")
        }
        _ => format!("GET /page HTTP/1.1\r\n{fields}\r\n"),
    }
}

async fn leave(mut wire: Wire, number: u64, point: Point) {
    let whole = request(number, Course::Leave(point));
    let half = match point {
        Point::MidHead => whole[..whole.len() / 2].to_owned(),
        Point::MidBody => {
            format!("POST /order HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n{whole}")
        }
        _ => whole,
    };
    // The connection may have been closed already: the client leaves it either way.
    let _ = wire.try_send(half).await;
    match point {
        Point::Reset => wire.reset(),
        Point::MidAnswer => drop(wire.head().await),
        _ => {}
    }
}

/// A client of HTTP/2, which leaves by resetting its streams.
pub(super) async fn http2(address: SocketAddr, total: u64, seed: u64, seen: Arc<Seen>) {
    let mut random = Random::of(seed);
    loop {
        let mut client = begin(address).await;
        for _ in 0..REQUESTS_PER_CONNECTION {
            let Some(number) = seen.number(total) else { return };
            let course = Course::draw(&mut random);
            bounded("a stream", client.ready()).await.unwrap();
            if let Course::Leave(_) = course {
                let answer = client.send_request(multiplexed(number, course));
                tokio::select! {
                    biased;
                    () = passes(random.below(8)) => {}
                    answer = answer => drop(answer),
                }
                seen.left.fetch_add(1, Ordering::Relaxed);
            } else {
                stream(&mut client, number, course, &seen).await;
            }
        }
    }
}

async fn passes(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

async fn begin(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = bounded("a connection", TcpStream::connect(address)).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn multiplexed(number: u64, course: Course) -> Request<Full<Bytes>> {
    let request = Request::builder().uri("http://shop.test/page").header("x-request-id", number);
    let body = Full::from(if let Course::Order(_) = course { "order" } else { "" });
    let request = match course {
        Course::Order(_) => request.method("POST"),
        Course::Fault(fault) => request.header(FAULT, fault),
        Course::Panic(phase) => request.header(PANIC, phase),
        _ => request,
    };
    request.body(body).unwrap()
}

async fn stream(client: &mut SendRequest<Full<Bytes>>, number: u64, course: Course, seen: &Seen) {
    if let Course::Order(_) = course {
        seen.orders.lock().unwrap().push(number as usize);
    }
    let what = format!("request {number} over HTTP/2, {course:?}");
    let answer = async {
        let (head, body) = client.send_request(multiplexed(number, course)).await?.into_parts();
        body.collect().await.map(|_| head)
    };
    match bounded(&what, answer).await {
        Ok(head) => {
            assert_eq!(head.headers["x-request-id"], number.to_string(), "{what} has the answer of another");
            seen.answered(head.status.as_u16(), &what);
        }
        Err(_) if course.may_break_off() => drop(seen.broken.fetch_add(1, Ordering::Relaxed)),
        Err(error) => panic!("{what} was not answered: {error:?}"),
    }
}
