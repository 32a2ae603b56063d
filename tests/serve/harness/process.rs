//! The binary under test: how it is started, asked, signalled, and ended with the test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::wire::{Message, Wire};
use super::{bounded, until};

const BINARY: &str = env!("CARGO_BIN_EXE_plimsoll");

/// A command line of the binary.
pub(crate) fn plimsoll(arguments: &[&str]) -> Command {
    command(BINARY, arguments)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("RUST_LOG").kill_on_drop(true).stdin(Stdio::null());
    command
}

/// The same in a shell that becomes it, and lets it have so many descriptors.
fn confined(descriptors: usize, arguments: &[&str]) -> Command {
    let become_it = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    let shell = ["-c", become_it.as_str(), BINARY];
    command("sh", &[&shell[..], arguments].concat())
}

/// Runs a command line that must end with exit code 1 and a message, which is returned.
pub(crate) async fn complaint(arguments: &[&str]) -> String {
    let output: Output = bounded("the process to end", plimsoll(arguments).output()).await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(!message.contains("panicked") && !message.is_empty(), "{arguments:?}: {message}");
    message
}

/// Sends a signal to a process by its name.
pub(crate) async fn signal_to(id: u32, name: &str) {
    let kill = format!("kill -{name} {id}");
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success(), "{kill}");
}

/// Whether a process has ended. Nobody may be there to bury it.
pub(crate) fn is_gone(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// What a process is started with. Its files are in a directory of its own.
pub(crate) struct Setup {
    directory: TempDir,
    arguments: Vec<String>,
    variables: Vec<(&'static str, PathBuf)>,
    descriptors: Option<usize>,
}

impl Setup {
    /// In front of these endpoints.
    pub(crate) fn before(upstreams: &[SocketAddr]) -> Setup {
        let mut setup = Setup::listening(upstreams);
        setup.arguments.push("--listen=127.0.0.1:0".to_owned());
        setup
    }

    /// In front of these endpoints, where its settings say that it listens.
    pub(crate) fn listening(upstreams: &[SocketAddr]) -> Setup {
        let mut arguments: Vec<String> =
            ["serve", "--admin", "127.0.0.1:0", "--threads", "2"].map(str::to_owned).into();
        arguments.extend(upstreams.iter().map(|upstream| format!("--upstream={upstream}")));
        Setup { directory: tempfile::tempdir().unwrap(), arguments, variables: Vec::new(), descriptors: None }
    }

    /// Under this policy.
    pub(crate) fn policy(self, text: &str) -> Setup {
        self.file("--policy", "policy.yaml", text)
    }

    /// With these process settings.
    pub(crate) fn config(self, text: &str) -> Setup {
        self.file("--config", "plimsoll.yaml", text)
    }

    /// With this flag.
    pub(crate) fn flag(mut self, name: &str, value: &Path) -> Setup {
        self.arguments.push(format!("{name}={}", value.display()));
        self
    }

    /// With this in its environment.
    pub(crate) fn variable(mut self, name: &'static str, value: &Path) -> Setup {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// With so many open descriptors at most.
    pub(crate) fn descriptors(mut self, most: usize) -> Setup {
        self.descriptors = Some(most);
        self
    }

    fn file(self, flag: &str, name: &str, text: &str) -> Setup {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        self.flag(flag, &path)
    }

    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(self) -> Process {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = match self.descriptors {
            Some(most) => confined(most, &arguments),
            None => plimsoll(&arguments),
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        let output = Lines::of(child.stdout.take().unwrap());
        let addresses =
            async { (log.address_after("listening on ").await, log.address_after("admin API on ").await) };
        let (address, admin) = tokio::select! {
            addresses = addresses => addresses,
            status = child.wait() => panic!("{status:?}: {}", log.text()),
        };
        let id = child.id().unwrap();
        let process = Process { child, id, address, admin, log, output, directory: self.directory };
        until("readiness", async || process.admin("GET /readyz").await.status() == 200).await;
        process
    }
}

/// The lines that a process has written so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Lines {
        let lines = Lines::default();
        let written = lines.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                *written.0.lock().unwrap() += &(line + "\n");
            }
        });
        lines
    }

    /// All of them.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// Waits until one contains `text`.
    pub(crate) async fn contain(&self, text: &str) {
        until(text, async || self.text().contains(text)).await;
    }

    async fn address_after(&self, label: &str) -> SocketAddr {
        self.contain(label).await;
        let text = self.text();
        let (_, rest) = text.split_once(label).unwrap();
        rest.split([',', '\n']).next().unwrap().parse().unwrap()
    }
}

/// A running proxy, killed on drop.
pub(crate) struct Process {
    child: Child,
    /// Its own, or that of its latest successor.
    id: u32,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    /// Its log.
    pub(crate) log: Lines,
    /// Its access log.
    pub(crate) output: Lines,
    directory: TempDir,
}

impl Process {
    /// One with the default policy in front of `upstream`.
    pub(crate) async fn before(upstream: SocketAddr) -> Process {
        Setup::before(&[upstream]).start().await
    }

    /// A new connection of a client.
    pub(crate) async fn client(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// A request without a body on a connection of its own.
    pub(crate) async fn ask(&self, method_and_target: &str, headers: &str) -> Message {
        self.client().await.exchange(method_and_target, headers).await
    }

    /// A request to the admin API.
    pub(crate) async fn admin(&self, method_and_target: &str) -> Message {
        self.order(method_and_target, "", "").await
    }

    /// A request to the admin API with these header fields and a body.
    pub(crate) async fn order(&self, method_and_target: &str, headers: &str, body: &str) -> Message {
        let length = body.len();
        let mut wire = Wire::connect(self.admin).await;
        let head = format!("{method_and_target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        wire.send(format!("{head}Content-Length: {length}\r\n{headers}\r\n{body}")).await;
        bounded("an answer", wire.message()).await.unwrap()
    }

    /// Where its admin API listens, as commands want it.
    pub(crate) fn admin_flag(&self) -> String {
        format!("--admin={}", self.admin)
    }

    /// `/v1/state`.
    pub(crate) async fn state(&self) -> Value {
        serde_json::from_slice(&self.admin("GET /v1/state").await.body).unwrap()
    }

    /// A number of the default pool in `/v1/state`.
    pub(crate) async fn pool(&self, key: &str) -> u64 {
        self.state().await["pools"][0][key].as_u64().unwrap()
    }

    /// Waits until that number is `count`.
    pub(crate) async fn until_pool(&self, key: &str, count: u64) {
        until(&format!("{key} = {count}"), async || self.pool(key).await == count).await;
    }

    /// Waits until nobody has a seat or waits for one: nothing has leaked.
    pub(crate) async fn until_idle(&self) {
        self.until_pool("inflight", 0).await;
        self.until_pool("queued", 0).await;
    }

    /// Waits until a generation is in force.
    pub(crate) async fn until_generation(&self, number: u64) {
        until("the generation", async || self.state().await["generation"] == number).await;
    }

    /// The value of a metric, with its labels as they are written; 0 if there is none.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let metrics = self.admin("GET /metrics").await;
        let value = metrics.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its number, or that of its latest successor.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal by its name.
    pub(crate) async fn signal(&self, name: &str) {
        signal_to(self.id, name).await;
    }

    /// Hands over to a successor, by which it goes from here on.
    pub(crate) async fn upgrade(&mut self) {
        const SAYS: &str = " serves from here on";
        let count = || self.log.text().matches(SAYS).count();
        let before = count();
        self.signal("USR2").await;
        until("the successor", async || count() > before).await;
        let text = self.log.text();
        let (line, _) = text.rsplit_once(SAYS).unwrap();
        self.id = line.rsplit(' ').next().unwrap().parse().unwrap();
    }

    /// Waits until a successor has ended.
    pub(crate) async fn until_gone(&self) {
        until("the end", async || is_gone(self.id)).await;
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        bounded("the process to end", self.child.wait()).await.unwrap()
    }

    /// Takes every seat with a request that `stalled` does not answer; the clients must be kept.
    pub(crate) async fn fill(&self) -> Vec<Wire> {
        let limit = self.pool("limit").await;
        let mut clients = Vec::new();
        for _ in 0..limit {
            let mut client = self.client().await;
            client.ask("GET /", "").await;
            clients.push(client);
        }
        self.until_pool("inflight", limit).await;
        clients
    }
}

impl Drop for Process {
    /// Ends a successor, and shows the log of a test that fails.
    #[expect(clippy::print_stdout, reason = "a test's output is shown if it fails")]
    fn drop(&mut self) {
        if self.child.id() != Some(self.id) {
            let kill = std::process::Command::new("kill").args(["-KILL", &self.id.to_string()]).output();
            drop(kill);
        }
        if std::thread::panicking() {
            println!("--- the log of the process:\n{}", self.log.text());
        }
    }
}
