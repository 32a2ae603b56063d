//! Certificates, keys and authorities from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;
use crate::config::Identity;

/// A certificate with those that sign for it, and its key.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn pair(identity: &Identity) -> Result<Pair, TlsError> {
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|error| TlsError::File { path: identity.key.clone(), error })?;
    Ok(Pair { chain: certificates(&identity.certificate)?, key })
}

/// At least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File { path: path.to_owned(), error };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The pair, checked: the key is the certificate's.
pub(super) fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    matched(identity, pair(identity)?, provider)
}

/// The same of a pair that was read, from where `identity` says.
pub(super) fn matched(
    identity: &Identity,
    Pair { chain, key }: Pair,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Identity {
        certificate: identity.certificate.clone(),
        key: identity.key.clone(),
        error: error.to_string(),
    })
}

/// Whoever signs for others, as the file lists them.
pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    believed(path, certificates(path)?)
}

/// The same of certificates that were read from there.
pub(super) fn believed(
    path: &Path,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        let failed =
            |error: rustls::Error| TlsError::Authorities { path: path.to_owned(), error: error.to_string() };
        store.add(certificate).map_err(failed)?;
    }
    Ok(Arc::new(store))
}
