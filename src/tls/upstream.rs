//! TLS towards a pool: whom we believe, and what we show.
//!
//! What is read is checked as a whole, each certificate as well: Pingora does not ask before it parses them.
//! When that is, and what becomes of connections, is the proxy's.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::TlsError;
use super::files::{believed, certificates, matched, pair};
use crate::config::{Identity, UpstreamTls};

/// What the files of a pool say, as DER. It holds a key, so that it is never to be printed.
#[derive(Hash)]
pub struct UpstreamFiles {
    /// Who must have signed the certificate of an endpoint; those the system trusts, if absent.
    pub authorities: Option<Vec<Vec<u8>>>,
    /// Our certificate with those that sign for it, and its key.
    pub identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
}

impl UpstreamFiles {
    /// Reads and checks what `settings` name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn read(settings: &UpstreamTls) -> Result<UpstreamFiles, TlsError> {
        Ok(UpstreamFiles {
            authorities: settings.authorities.as_deref().map(authorities).transpose()?,
            identity: settings.identity.as_ref().map(shown).transpose()?,
        })
    }
}

/// Each file is read once: what is checked must be what is used, whenever it is renewed.
fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let found = certificates(path)?;
    let der = found.iter().map(|one| one.to_vec()).collect();
    believed(path, found)?;
    Ok(der)
}

fn shown(identity: &Identity) -> Result<(Vec<Vec<u8>>, Vec<u8>), TlsError> {
    let found = pair(identity)?;
    let chain = found.chain.iter().map(|one| one.to_vec()).collect();
    let key = found.key.secret_der().to_vec();
    check(identity, &found.chain)?;
    matched(identity, found, &rustls::crypto::ring::default_provider())?;
    Ok((chain, key))
}

/// Those that sign for our certificate are looked at by nobody else before they are shown.
fn check(identity: &Identity, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    for certificate in chain {
        webpki::anchor_from_trusted_cert(certificate).map_err(|error| TlsError::Identity {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            error: error.to_string(),
        })?;
    }
    Ok(())
}
