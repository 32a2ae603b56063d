//! The least proxy that Pingora can be: the yardstick for plimsoll's own cost.
//!
//! One upstream, no filters, no limits; `/refuse` is answered with an empty 503,
//! as cheaply as Pingora allows. Same allocator and build profile as plimsoll,
//! so that the difference is plimsoll.

use async_trait::async_trait;
use clap::Parser;
use pingora_core::server::Server;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::net::SocketAddr;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least proxy that Pingora can be.
#[derive(Parser)]
struct Cli {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Where requests go
    #[arg(long)]
    upstream: SocketAddr,
    /// How many threads serve requests
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> pingora_core::Result<bool> {
        if session.req_header().uri.path() != "/refuse" {
            return Ok(false);
        }
        let mut refusal = ResponseHeader::build(503, Some(1))?;
        refusal.insert_header("Content-Length", "0")?;
        session.write_response_header(Box::new(refusal), true).await?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() {
    let cli = Cli::parse();
    let conf = ServerConf { threads: cli.threads, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream: cli.upstream });
    service.add_tcp(&cli.listen.to_string());
    server.add_service(service);
    server.run_forever();
}
