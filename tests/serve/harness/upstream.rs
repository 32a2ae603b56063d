//! Shops that do as they are told: well, badly, or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::wire::Wire;

/// A pace at which no single read times out.
pub(crate) const DRIP: Duration = Duration::from_millis(20);

/// A listener that runs `script` with each connection.
pub(crate) async fn scripted<S>(script: impl Fn(Wire) -> S + Send + 'static) -> SocketAddr
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(Wire::over(stream)));
        }
    });
    address
}

/// A shop that answers each request with the request: its first line, header fields and body.
pub(crate) async fn echo() -> SocketAddr {
    scripted(|mut wire| async move {
        while let Ok(request) = wire.message().await {
            let mut body = request.head_text().into_bytes();
            body.extend_from_slice(&request.body);
            wire.send(response("200 OK", "", &body)).await;
        }
    })
    .await
}

/// A shop that answers every request in these very bytes.
pub(crate) async fn answering(bytes: impl AsRef<[u8]> + Clone + Send + Sync + 'static) -> SocketAddr {
    scripted(move |mut wire| {
        let bytes = bytes.clone();
        async move {
            while wire.message().await.is_ok() {
                if wire.try_send(&bytes).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// A shop that answers nobody before it is given leave: one leave, one answer.
pub(crate) struct Stalled {
    pub(crate) address: SocketAddr,
    leave: Arc<Semaphore>,
}

impl Stalled {
    pub(crate) async fn new() -> Stalled {
        let leave = Arc::new(Semaphore::new(0));
        let given = leave.clone();
        let address = scripted(move |mut wire| {
            let given = given.clone();
            async move {
                while wire.message().await.is_ok() {
                    given.acquire().await.unwrap().forget();
                    // Its client may be gone by now.
                    let _ = wire.try_send(response("200 OK", "", b"late")).await;
                }
            }
        });
        Stalled { address: address.await, leave }
    }

    /// Lets so many requests be answered.
    pub(crate) fn answer(&self, count: usize) {
        self.leave.add_permits(count);
    }
}

/// A shop that reads a request and resets its connection.
pub(crate) async fn resetting() -> SocketAddr {
    scripted(|mut wire| async move {
        wire.message().await.unwrap();
        wire.reset();
    })
    .await
}

/// A shop that begins a head and never ends it, byte by byte.
pub(crate) async fn dripping_head() -> SocketAddr {
    scripted(|mut wire| async move {
        wire.message().await.unwrap();
        let _ = wire.try_send("HTTP/1.1 200 OK\r\nX-Drip: ").await;
        while wire.try_send("x").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    })
    .await
}

/// An address at which connections are refused for as long as the socket is held.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A shop at this address, which ends with what is returned.
pub(crate) fn answering_at(address: SocketAddr) -> JoinSet<()> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(64).unwrap();
    let mut shop = JoinSet::new();
    shop.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut wire = Wire::over(stream);
                while wire.message().await.is_ok() {
                    let _ = wire.try_send(response("200 OK", "", b"back")).await;
                }
            });
        }
    });
    shop
}

/// A response with its length.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}
