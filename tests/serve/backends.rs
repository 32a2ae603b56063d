//! Servers that others wrote, to read what we let through: Node and Python answer what they read, nginx and
//! HAProxy pass it on. What is not installed is skipped, with a word.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::harness::until;

/// Answers each request with what it read: method, target, host and body.
const NODE: &str = r#"
require('http').createServer((request, answer) => {
  let body = '';
  request.setEncoding('latin1');
  request.on('data', (piece) => body += piece);
  request.on('end', () => {
    const host = request.headers.host === undefined ? '-' : request.headers.host;
    answer.end(`${request.method} ${request.url} ${host} ${body.replaceAll('\r\n', '⏎')}`);
  });
}).listen(+process.argv[2], '127.0.0.1');
"#;

/// The same, as leniently as the standard library reads: the first length counts, or else chunks.
const PYTHON: &str = r#"
import http.server, sys

class Reader(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def read(self):
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        text = body.decode("latin-1").replace("\r\n", "⏎")
        reading = f"{self.command} {self.path} {self.headers.get('Host', '-')} {text}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reading)))
        self.end_headers()
        self.wfile.write(reading)

    do_GET = do_POST = do_OPTIONS = read

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Reader).serve_forever()
"#;

/// A server of others. Ends with this.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    _child: Child,
    _files: TempDir,
}

/// An address that nobody listens at for now.
fn vacant() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts `program` with `arguments`, in which `FILE` stands for a file of this text; waits until it listens.
#[expect(clippy::print_stdout, reason = "what is skipped is told")]
async fn start(
    name: &'static str,
    program: &str,
    address: SocketAddr,
    arguments: &[&str],
    text: &str,
) -> Option<Backend> {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("backend");
    fs::write(&file, text.replace("DIRECTORY", files.path().to_str().unwrap())).unwrap();
    let arguments = arguments.iter().map(|one| one.replace("FILE", file.to_str().unwrap()));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        println!("skipped: {name} is not installed");
        return None;
    };
    until(name, async || TcpStream::connect(address).await.is_ok()).await;
    Some(Backend { name, address, _child: child, _files: files })
}

/// Those that answer what they read.
pub(crate) async fn readers() -> Vec<Backend> {
    let (node, python) = (vacant(), vacant());
    let (node_port, python_port) = (node.port().to_string(), python.port().to_string());
    let node = start("Node", "node", node, &["FILE", &node_port], NODE).await;
    let python = start("Python", "python3", python, &["FILE", &python_port], PYTHON).await;
    node.into_iter().chain(python).collect()
}

/// Those that pass on to `origin` what they read.
pub(crate) async fn passers(origin: SocketAddr) -> Vec<Backend> {
    let (nginx, haproxy) = (vacant(), vacant());
    let nginx_file = format!(
        "daemon off; master_process off; pid DIRECTORY/pid; error_log /dev/null;
events {{ }}
http {{
  access_log off;
  client_body_temp_path DIRECTORY/body; proxy_temp_path DIRECTORY/proxy;
  fastcgi_temp_path DIRECTORY/f; uwsgi_temp_path DIRECTORY/u; scgi_temp_path DIRECTORY/s;
  server {{
    listen {nginx};
    location / {{
      proxy_pass http://{origin};
      proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection '';
    }}
  }}
}}\n"
    );
    let haproxy_file = format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend clients
  bind {haproxy}
  default_backend origin
backend origin
  server one {origin}\n"
    );
    let nginx = start("nginx", "nginx", nginx, &["-c", "FILE"], &nginx_file).await;
    let haproxy = start("HAProxy", "haproxy", haproxy, &["-f", "FILE"], &haproxy_file).await;
    nginx.into_iter().chain(haproxy).collect()
}
