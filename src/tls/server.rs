//! TLS towards clients: versions, certificates by name, whose certificates are asked for, tickets.
//!
//! A returning client resumes by a ticket, which only we can read, for half a day.
//! Reloaded certificates keep the key of the tickets, so that nobody has to shake
//! hands anew for a renewal; where clients must show certificates they get a new
//! one, for a ticket outlives the authority that its client was believed for. There
//! is no early data: it can be replayed, and an order must not be.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};

use super::TlsError;
use super::files::{authorities, certified};
use super::names::Names;
use crate::config::{ClientCertificates, ServerTls, TlsVersions};

/// HTTP/2 where the client speaks it (RFC 9113, section 3.2).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The key of the session tickets of one listener.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// A new key.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Tickets, TlsError> {
        Ticketer::new().map(Tickets).map_err(TlsError::Tickets)
    }
}

/// Reads what `settings` name and makes of it what accepts connections.
///
/// # Errors
/// The first file that cannot be used.
pub fn server_config(settings: &ServerTls, tickets: &Tickets) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let versions: &[_] = match settings.versions {
        TlsVersions::From12 => &[&TLS13, &TLS12],
        TlsVersions::Only13 => &[&TLS13],
    };
    let verifier = verifier(&settings.clients, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("ring has suites for both versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names(settings, &provider)?));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    config.ticketer = match settings.clients {
        ClientCertificates::Unasked => tickets.0.clone(),
        ClientCertificates::Requested(_) | ClientCertificates::Required(_) => Tickets::new()?.0,
    };
    Ok(Arc::new(config))
}

fn names(settings: &ServerTls, provider: &CryptoProvider) -> Result<Names, TlsError> {
    let mut certificates = Vec::new();
    for identity in &settings.certificates {
        let certificate = certified(identity, provider)?;
        // Each alone first, so that it is known whose names cannot be read.
        let failed = |error: rustls::Error| TlsError::Identity {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            error: error.to_string(),
        };
        Names::of(vec![certificate.clone()]).map_err(failed)?;
        certificates.push(certificate);
    }
    let names = Names::of(certificates).expect("each could be read alone");
    Ok(names.expect("the settings name at least one certificate"))
}

fn verifier(
    clients: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (path, is_required) = match clients {
        ClientCertificates::Unasked => return Ok(Arc::new(NoClientAuth)),
        ClientCertificates::Requested(path) => (path, false),
        ClientCertificates::Required(path) => (path, true),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(authorities(path)?, provider.clone());
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::Authorities { path: path.clone(), error: error.to_string() })
}
