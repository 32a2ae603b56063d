//! Why requests came to nothing, in kinds that a load tester can act upon.

use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io;

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// The server reset the connection.
    Reset,
    /// The server closed the connection before its answer was complete.
    Closed,
    /// The handshake failed, or the server's name is not what its certificate says.
    Tls,
    /// This process has as many files open as it may have.
    OpenFiles,
    /// This machine has no port left for another connection.
    Ports,
    /// The network is in the way.
    Network,
    /// What the server sent is not HTTP.
    Protocol,
}

impl Failure {
    /// Whether it is this machine that failed, and not the target.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Failure::OpenFiles | Failure::Ports)
    }

    /// What happened, for people.
    pub(crate) fn means(self) -> &'static str {
        match self {
            Failure::Refused => "connection refused",
            Failure::Reset => "connection reset",
            Failure::Closed => "connection closed before the answer was complete",
            Failure::Tls => "TLS handshake failed",
            Failure::OpenFiles => "too many open files on this machine",
            Failure::Ports => "no free port on this machine",
            Failure::Network => "network unreachable or timed out",
            Failure::Protocol => "the answer is not HTTP",
        }
    }

    /// What an error of the system is.
    pub(crate) fn of_io(error: &io::Error) -> Failure {
        /// Linux: too many open files, in this process and in all.
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        match (error.raw_os_error(), error.kind()) {
            (Some(EMFILE | ENFILE), _) => Failure::OpenFiles,
            (_, io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse) => Failure::Ports,
            (_, io::ErrorKind::ConnectionRefused) => Failure::Refused,
            (_, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Failure::Reset,
            (_, io::ErrorKind::UnexpectedEof) => Failure::Closed,
            _ => Failure::Network,
        }
    }

    pub(super) fn of_exchange(error: &hyper::Error) -> Failure {
        if error.is_parse() {
            return Failure::Protocol;
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Failure::of_io(error);
            }
            cause = error.source();
        }
        Failure::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_from_what_the_target_does() {
        for (error, failure) in [(24, Failure::OpenFiles), (99, Failure::Ports), (111, Failure::Refused)] {
            assert_eq!(Failure::of_io(&io::Error::from_raw_os_error(error)), failure);
            assert_eq!(failure.is_ours(), failure != Failure::Refused);
        }
    }
}
