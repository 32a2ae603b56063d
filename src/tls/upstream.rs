//! TLS towards a pool: whom we believe, and what we show.
//!
//! What is read is checked as a whole, each certificate as well: Pingora does not ask before it parses them.
//! When that is, and what becomes of connections, is the proxy's.

use super::TlsError;
use super::files::{Pair, authorities, certificates, certified, pair};
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
        let trusted = match &settings.authorities {
            None => None,
            Some(path) => {
                authorities(path)?;
                Some(certificates(path)?.iter().map(|one| one.to_vec()).collect())
            }
        };
        let identity = match &settings.identity {
            None => None,
            Some(identity) => {
                certified(identity, &rustls::crypto::ring::default_provider())?;
                let pair = pair(identity)?;
                check(identity, &pair)?;
                let chain = pair.chain.iter().map(|one| one.to_vec()).collect();
                Some((chain, pair.key.secret_der().to_vec()))
            }
        };
        Ok(UpstreamFiles { authorities: trusted, identity })
    }
}

/// Those that sign for our certificate are looked at by nobody else before they are shown.
fn check(identity: &Identity, pair: &Pair) -> Result<(), TlsError> {
    for certificate in &pair.chain {
        webpki::anchor_from_trusted_cert(certificate).map_err(|error| TlsError::Identity {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            error: error.to_string(),
        })?;
    }
    Ok(())
}
