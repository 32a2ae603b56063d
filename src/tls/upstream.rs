//! TLS towards a pool: whom we believe, and what we show.
//!
//! Read once, at the start: settings change with a restart.

use super::TlsError;
use super::files::{authorities, certificates, certified, pair};
use crate::config::UpstreamTls;

/// What the files of a pool say, as DER.
#[derive(Clone, Debug)]
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
                let chain = pair.chain.iter().map(|one| one.to_vec()).collect();
                Some((chain, pair.key.secret_der().to_vec()))
            }
        };
        Ok(UpstreamFiles { authorities: trusted, identity })
    }
}
