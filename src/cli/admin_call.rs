//! Calls of the command line to the admin API of a running process.
//!
//! One request, one answer, over an address or a Unix socket. What the API refuses is the error.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::admin::access::read_token;
use crate::config::AdminPlace;

/// A reload loads a model and may wait for its trial; nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to reach the process.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// Where its admin API listens: an address, or unix:PATH
    #[arg(long, value_name = "ADDRESS|unix:PATH", default_value = "127.0.0.1:8081", value_parser = AdminPlace::parse)]
    admin: AdminPlace,
    /// The token its admin API asks for
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    target: String,
}

impl Call {
    pub(super) fn get(target: &str) -> Call {
        Call { method: Method::GET, target: target.to_owned() }
    }

    pub(super) fn post(target: &str) -> Call {
        Call { method: Method::POST, target: target.to_owned() }
    }
}

impl Reach {
    /// Asks, and returns what is answered.
    pub(super) fn call(&self, call: &Call) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, self.ask(call)).await;
            answer.with_context(|| format!("the admin API has not answered within {PATIENCE:?}"))?
        })
    }

    async fn ask(&self, call: &Call) -> anyhow::Result<String> {
        let mut request = Request::builder().method(&call.method).uri(&call.target).header(HOST, "localhost");
        if let Some(file) = &self.admin_token_file {
            request = request.header(AUTHORIZATION, format!("Bearer {}", read_token(file)?));
        }
        let request = request.body(Full::default())?;
        match &self.admin {
            AdminPlace::Address(address) => {
                let stream = TcpStream::connect(address).await;
                exchange(stream.with_context(|| format!("no admin API on {address}"))?, request).await
            }
            AdminPlace::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                exchange(stream.with_context(|| format!("no admin API on {}", path.display()))?, request)
                    .await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let told: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let message = told.as_ref().and_then(|told| told["error"].as_str());
    bail!("{}", message.map_or_else(|| format!("the admin API answered {status}"), str::to_owned));
}
