//! Endpoints that answer, fail as a request asks them to, and are killed and brought back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

use super::wire::{Message, Wire};

/// How a request wants to be failed.
pub(super) const FAULT: &str = "x-fault";
/// All ways in which one may. `large` is no fault: a response that is not held back as a whole.
pub(super) const FAULTS: [&str; 6] = ["reset", "hang up", "truncate", "garbage", "hints", "large"];
/// More than is held back of a response.
const LARGE: usize = 300 << 10;

/// How often each request was read by an endpoint.
pub(super) type Read = Arc<Vec<AtomicU8>>;

/// One endpoint; its address stays when it is killed.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    read: Read,
    accepting: Option<JoinHandle<()>>,
}

impl Endpoint {
    pub(super) async fn start(read: &Read) -> Endpoint {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut endpoint = Endpoint { address: any, read: read.clone(), accepting: None };
        endpoint.revive().await;
        endpoint
    }

    /// Ends it with all its connections.
    pub(super) async fn kill(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Its socket is closed when the task is gone.
            let _ = accepting.await;
        }
    }

    pub(super) async fn revive(&mut self) {
        if self.accepting.is_some() {
            return;
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(1_024).unwrap();
        self.address = listener.local_addr().unwrap();
        self.accepting = Some(tokio::spawn(accept(listener, self.read.clone())));
    }
}

async fn accept(listener: TcpListener, read: Read) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(Wire::over(stream), read.clone()));
    }
}

async fn serve(mut wire: Wire, read: Read) {
    while let Ok(request) = wire.message().await {
        let id = request.header("x-request-id").unwrap();
        // A health check has no number.
        if let Ok(number) = id.parse::<usize>() {
            read[number].fetch_add(1, Ordering::Relaxed);
        }
        let fault = request.header(FAULT).unwrap_or_default();
        if fault == "reset" {
            return wire.reset();
        }
        let is_over = matches!(fault.as_str(), "hang up" | "truncate" | "garbage");
        if wire.try_send(answer(&request, &id, &fault)).await.is_err() || is_over {
            return;
        }
    }
}

fn answer(request: &Message, id: &str, fault: &str) -> Vec<u8> {
    let body = match fault {
        "large" => vec![b'x'; LARGE],
        _ => [id.as_bytes(), b" ", &request.body].concat(),
    };
    let length = if fault == "truncate" { body.len() + 1_000 } else { body.len() };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Request-Id: {id}\r\n\r\n");
    match fault {
        "hang up" => Vec::new(),
        "garbage" => b"250 this is no HTTP\r\n\r\n".to_vec(),
        "hints" => {
            [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(3), head.into(), body].concat()
        }
        _ => [head.into_bytes(), body].concat(),
    }
}
