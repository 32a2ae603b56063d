//! TLS: certificates from files, chosen by the name that a client asks for.
//!
//! What is read is checked whole before anything uses it, and read again when it is
//! renewed: a key that is not its certificate's, or half a file, never replaces what
//! is in use. rustls does the rest, with ring beneath it: both are in the binary, so
//! that no library of the system decides what we speak.
//!
//! It accepts nobody and connects to nobody: sockets are the proxy's.

mod files;
mod names;
pub mod server;
pub mod upstream;

use std::path::PathBuf;

use rustls::pki_types::pem;

/// Why a certificate, key or authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or is no PEM.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{}: no certificate in it", .path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// The certificate is none, or the key is not its key.
    #[error("{} and {}: {error}", .certificate.display(), .key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: String,
    },
    /// What is in the file signs for nobody.
    #[error("{}: {error}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The system has no randomness to make a key for tickets of.
    #[error("no key for session tickets: {0}")]
    Tickets(rustls::Error),
}
