//! Nothing that tells who somebody is leaves the process on our side: planted secrets are not found again.

use std::fs;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::process::{Process, Setup};
use crate::harness::until;
use crate::harness::upstream::{echo, refusing, resetting};
use crate::harness::wire::Wire;

/// What is planted, each where it stands in a request; none of it is in anything that a proxy writes by itself.
const SECRETS: [&str; 8] = [
    "secret-cookie",
    "secret-token",
    "secret-query",
    "secret-body",
    "secret-referer",
    "secret-target",
    "secret-field",
    "203.0.113.99",
];

const FIELDS: &str = "Cookie: session=secret-cookie; cart_token=secret-cookie\r\n\
                      Authorization: Bearer secret-token\r\n\
                      X-Forwarded-For: 203.0.113.99\r\n\
                      Referer: https://shop.test/?q=secret-referer\r\n";

/// Requests that are in order, that are not, and that break off.
const REQUESTS: [&str; 9] = [
    "GET /page?email=secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "POST /checkout?email=secret-query HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 11\r\nF\r\nsecret-body",
    "POST /graphql HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 31\r\nF\r\n{\"operationName\":\"secret-body\"}\n",
    "POST /cart?x=secret-query HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 99\r\nF\r\nsecret-body",
    "GET /a?secret-query HTTP/1.1\r\nHost: secret-target\u{1}\r\nF\r\n",
    "GET /a?secret-query HTTP/1.1\r\nHost: shop.test\r\nX: secret-field\u{1}\r\nF\r\n",
    "GET /a?secret-query HTTP/1.1\r\nsecret-field\r\nF\r\n",
    "GET http://secret-target/?secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
    "TRACE /?secret-query HTTP/1.1\r\nHost: shop.test\r\nF\r\n",
];

async fn ask_everything(proxy: &Process) {
    for request in REQUESTS {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(request.replace("F\r\n", &format!("{FIELDS}\r\n")).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        Wire::over(stream).rest().await;
    }
    proxy.until_idle().await;
}

#[tokio::test]
async fn no_secret_of_a_client_is_logged_counted_shown_or_kept() {
    let (_refusing, closed) = refusing();
    for shop in [echo().await, resetting().await, closed] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("learned.json");
        let settings = format!(
            "trusted_hops: [127.0.0.1]\naccess_log: {{ sample: 100% }}\nstate_dir: \"{}\"\n",
            directory.path().display()
        );
        let mut proxy = Setup::before(&[shop]).config(&settings).start().await;
        ask_everything(&proxy).await;
        until("the access log", async || proxy.output.text().contains("/checkout")).await;
        let mut seen = vec![
            ("metrics", proxy.admin("GET /metrics").await.text().to_owned()),
            ("state", proxy.admin("GET /v1/state").await.text().to_owned()),
        ];
        proxy.signal("TERM").await;
        assert!(proxy.end().await.success());
        seen.push(("log", proxy.log.text()));
        seen.push(("access log", proxy.output.text()));
        seen.push(("state file", fs::read_to_string(&state).unwrap()));
        for (place, text) in &seen {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in the {place}:\n{text}");
            }
        }
        assert!(seen[3].1.contains("\"session\""), "there is something to look at: {}", seen[3].1);
    }
}
