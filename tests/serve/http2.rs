//! HTTP/2 without TLS, from the first byte (prior knowledge), on the same port.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::harness::process::{Process, Setup};
use crate::harness::upstream::{Stalled, dripping_head, echo, resetting};
use crate::harness::{bounded, until};

pub(crate) async fn connect<B>(proxy: &Process) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn request(method: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let uri = format!("http://shop.test{path}");
    let request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    request.body(Full::from(body)).unwrap()
}

/// A body that is sent as it is told, and ends when nobody is left to tell it.
struct Dictated(mpsc::UnboundedReceiver<&'static str>);

impl Body for Dictated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|said| said.map(|said| Ok(Frame::data(Bytes::from(said)))))
    }
}

pub(crate) async fn text(answer: Response<Incoming>) -> String {
    let body = bounded("a body", answer.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

#[tokio::test]
async fn a_request_is_proxied_with_its_authority_as_host() {
    let proxy = Process::before(echo().await).await;
    let mut client = connect(&proxy).await;
    let both =
        [request("GET", "/page", ""), request("POST", "/cart", "shoes")].map(|one| client.send_request(one));
    let [page, cart] = both.map(|answer| bounded("an answer", answer));
    let (page, cart) = tokio::join!(page, cart);
    let page = text(page.unwrap()).await.to_lowercase();
    assert!(page.starts_with("get /page http/1.1"), "{page}");
    assert!(page.contains("\nhost: shop.test\n"), "{page}");
    assert!(text(cart.unwrap()).await.ends_with("\nshoes"));
    proxy.until_idle().await;
}

#[tokio::test]
async fn cookies_that_a_client_has_split_reach_the_shop_in_one_line() {
    let proxy = Process::before(echo().await).await;
    let mut client = connect(&proxy).await;
    let request = Request::get("http://shop.test/").header("cookie", "session=a").header("cookie", "cart=b");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let seen = text(bounded("an answer", client.send_request(request)).await.unwrap()).await.to_lowercase();
    let cookies: Vec<&str> = seen.lines().filter(|line| line.starts_with("cookie:")).collect();
    assert_eq!(cookies, ["cookie: session=a; cart=b"], "{seen}");
    // So do those of whoever writes two lines where there should be one.
    let answer = proxy.ask("GET /", "Cookie: session=a\r\nCookie: cart=b\r\n").await;
    assert!(answer.text().to_lowercase().contains("\ncookie: session=a; cart=b\n"), "{}", answer.text());
    proxy.until_idle().await;
}

#[tokio::test]
async fn after_its_last_request_a_client_is_told_to_go() {
    let proxy = Setup::before(&[echo().await]).config("connections: { requests_max: 2 }\n").start().await;
    let mut client = connect(&proxy).await;
    for path in ["/one", "/other"] {
        assert!(!client.is_closed(), "{path}");
        let answer = bounded("an answer", client.send_request(request("GET", path, ""))).await.unwrap();
        assert!(text(answer).await.contains(path));
    }
    until("the end of the connection", async || client.is_closed()).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn trailers_after_a_small_body_end_it() {
    let proxy = Process::before(echo().await).await;
    let mut client = connect(&proxy).await;
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "1".parse().unwrap())]);
    let body = Full::from("shoes").with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    let request = Request::post("http://shop.test/cart").header("content-length", "5").body(body).unwrap();
    let answer = bounded("an answer", client.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(text(answer).await.ends_with("\nshoes"));
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_slow_upload_of_unknown_length_holds_no_seat() {
    let proxy = Process::before(echo().await).await;
    let mut client = connect(&proxy).await;
    let (mouth, body) = mpsc::unbounded_channel();
    let request = Request::post("http://shop.test/cart").body(Dictated(body)).unwrap();
    let answer = tokio::spawn(client.send_request(request));
    mouth.send("sho").unwrap();
    let held = "plimsoll_upload_bytes";
    until("the beginning", async || proxy.metric(held).await == 3.0).await;
    proxy.until_idle().await;
    mouth.send("es").unwrap();
    drop(mouth);
    let answer = bounded("an answer", answer).await.unwrap().unwrap();
    assert!(text(answer).await.ends_with("\nshoes"));
    until("the end", async || proxy.metric(held).await == 0.0).await;
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_whole_upload_is_queued_leaves_the_queue() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(POLICY).start().await;
    let seated = proxy.fill().await;
    let mut client = connect(&proxy).await;
    let (mouth, body) = mpsc::unbounded_channel();
    let request = Request::post("http://shop.test/cart").body(Dictated(body)).unwrap();
    let answer = tokio::spawn(client.send_request(request));
    mouth.send("shoes").unwrap();
    drop(mouth);
    proxy.until_pool("queued", 1).await;
    answer.abort();
    proxy.until_pool("queued", 0).await;
    drop(seated);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_stream_whose_upstream_drips_its_head_is_reset() {
    let pool = format!(
        "pools: {{ default: {{ endpoints: [\"{}\"], timeouts: {{ read: 300ms }} }} }}\n",
        dripping_head().await
    );
    let proxy = Setup::before(&[]).config(&pool).start().await;
    let mut client = connect(&proxy).await;
    let answer = bounded("the end", client.send_request(request("GET", "/", ""))).await;
    assert!(answer.is_err(), "{answer:?}");
    proxy.until_idle().await;
}

/// One class whose requests wait patiently, or are refused at once.
const POLICY: &str = "version: 1
classes:
  patient: { patience: 30s }
  hasty: { queue: { max_wait: 0ms } }
routes: [{ path: /hasty, class: hasty }, { path: /**, class: patient }]
";

#[tokio::test]
async fn a_stream_that_is_reset_while_queued_leaves_the_queue() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(POLICY).start().await;
    let seated = proxy.fill().await;
    let mut client = connect(&proxy).await;
    let one = tokio::spawn(client.send_request(request("GET", "/", "")));
    let other = tokio::spawn(client.send_request(request("POST", "/", "body")));
    proxy.until_pool("queued", 2).await;
    one.abort();
    proxy.until_pool("queued", 1).await;
    other.abort();
    proxy.until_pool("queued", 0).await;
    let last = tokio::spawn(client.send_request(request("GET", "/", "")));
    proxy.until_pool("queued", 1).await;
    // The whole connection.
    drop(client);
    last.abort();
    proxy.until_pool("queued", 0).await;
    drop(seated);
    proxy.until_idle().await;
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_to_other_streams() {
    let shop = Stalled::new().await;
    let proxy = Setup::before(&[shop.address]).policy(POLICY).start().await;
    let seated = proxy.fill().await;
    let mut client = connect(&proxy).await;
    for body in ["", "body"] {
        let answer = client.send_request(request("POST", "/hasty", body));
        let answer = bounded("a refusal", answer).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    }
    shop.answer(seated.len() + 1);
    drop(seated);
    proxy.until_pool("inflight", 0).await;
    let answer = bounded("an answer", client.send_request(request("GET", "/hasty", ""))).await.unwrap();
    assert_eq!(text(answer).await, "late");
    proxy.until_idle().await;
}

#[tokio::test]
async fn an_answer_of_ours_without_a_body_has_an_end() {
    let proxy = Process::before(resetting().await).await;
    let mut client = connect(&proxy).await;
    for method in ["GET", "HEAD", "POST"] {
        let answer = client.send_request(request(method, "/", "")).await.unwrap();
        assert_eq!(answer.status(), 502);
        let body = bounded("the end", answer.into_body().collect()).await.unwrap();
        assert!(body.to_bytes().is_empty());
    }
    proxy.until_idle().await;
}

/// What h2load says; nothing, with a word, where it is not installed.
#[expect(clippy::print_stdout, reason = "what is skipped is told")]
async fn h2load(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("h2load");
    command.args(arguments).kill_on_drop(true);
    let Ok(output) = bounded("h2load", command.output()).await else {
        println!("skipped: h2load is not installed");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn a_client_of_others_is_served_without_an_error() {
    // Observed: how fast this machine is does not matter here.
    let policy = "version: 1\nmode: observe\nclasses: { all: {} }\n";
    let proxy = Setup::before(&[echo().await]).policy(policy).start().await;
    let target = format!("http://{}/", proxy.address);
    let body = proxy.file("body");
    std::fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let upload = format!("--data={}", body.display());
    for more in [vec!["-m", "50"], vec!["-m", "10", &upload], vec!["--h1"]] {
        let arguments = [&["-n", "2000", "-c", "10"][..], &more[..], &[target.as_str()][..]].concat();
        let Some(said) = h2load(&arguments).await else { return };
        // Statuses are the shop's: it is one thread of this test, and has to take five hundred connections at once.
        let is_whole = said.contains("2000 done") && said.contains("0 errored, 0 timeout");
        assert!(is_whole, "{more:?}: {said}");
    }
    proxy.until_idle().await;
}
