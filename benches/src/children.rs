//! Servers that a command starts, and never leaves behind.
//!
//! A child is killed when its guard drops, which happens on every path out of a
//! command: its end, an error, Ctrl-C (`main` drops the command's future). What a
//! child prints goes to a temporary file, and is shown only if the child ends
//! when it should not.

use crate::client::Client;
use crate::clock::Clock;
use std::ffi::OsStr;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

/// How long a server may take to get ready: loading a model on a busy machine
/// takes a second or two.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often a starting server is asked whether it is ready.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// How much of a failed child's output is shown.
const OUTPUT_SHOWN: usize = 4_000;

/// A server that dies with its guard.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    process: Child,
    output: NamedTempFile,
}

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    #[error("cannot start {program}")]
    Start { program: String, source: std::io::Error },
    #[error("{name} ended with {status}; it said:\n{output}")]
    Ended { name: String, status: ExitStatus, output: String },
    #[error("{name} was not ready within {READY_WITHIN:?}; it said:\n{output}")]
    NotReady { name: String, output: String },
    #[error("cannot find a free port: {0}")]
    NoPort(std::io::Error),
}

impl Server {
    /// Starts `program` with `arguments`.
    pub(crate) fn start(
        name: &str,
        program: &OsStr,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Server, ChildError> {
        let launch = || {
            let output = NamedTempFile::new()?;
            let process = Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(output.reopen()?)
                .stderr(output.reopen()?)
                .kill_on_drop(true)
                .spawn()?;
            Ok(Server { name: name.into(), process, output })
        };
        launch().map_err(|source| ChildError::Start { program: program.to_string_lossy().into(), source })
    }

    /// Waits until `path` at `address` answers with success.
    pub(crate) async fn ready(&mut self, address: SocketAddr, path: &str) -> Result<(), ChildError> {
        let client = Client::new(address);
        let clock = Clock::start();
        while let Some(left) = READY_WITHIN.checked_sub(clock.elapsed()) {
            // One that takes the connection and hangs is not ready either.
            let answer = tokio::time::timeout(left, client.get(path)).await;
            if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.is_success())) {
                return Ok(());
            }
            self.check()?;
            tokio::time::sleep(POLL_EVERY).await;
        }
        Err(ChildError::NotReady { name: self.name.clone(), output: self.output() })
    }

    /// Fails if the server has ended.
    pub(crate) fn check(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(Some(status)) => {
                Err(ChildError::Ended { name: self.name.clone(), status, output: self.output() })
            }
            _ => Ok(()),
        }
    }

    /// Ends the server and waits for its end; fails if it had ended before.
    pub(crate) async fn stop(mut self) -> Result<(), ChildError> {
        self.check()?;
        // The only failure is that it ended just now.
        let _ = self.process.kill().await;
        Ok(())
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    fn output(&mut self) -> String {
        let mut output = Vec::new();
        let read = self.output.as_file_mut().read_to_end(&mut output);
        let tail = &output[output.len().saturating_sub(OUTPUT_SHOWN)..];
        match read {
            Ok(0) => "(nothing)".into(),
            Ok(_) => String::from_utf8_lossy(tail).trim_end().into(),
            Err(error) => format!("(unreadable: {error})"),
        }
    }
}

/// A loopback address that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr, ChildError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(ChildError::NoPort)?;
    listener.local_addr().map_err(ChildError::NoPort)
}
