//! TLS towards the endpoints of a pool: who they must be, whom we believe, and what we show them.
//!
//! The files are read at the start, and anew when they change: our certificate ends sooner
//! than we do. What cannot be used replaces nothing. A connection that is kept was made
//! by the files of its day, and is not used under others (Pingora's group key): an endpoint
//! whose authority is believed no more is not to be believed over it either.
//!
//! Where no authorities are named, those of the system are Pingora's to read, once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};

use crate::config::UpstreamTls;
use crate::tls::TlsError;
use crate::tls::upstream::UpstreamFiles;

/// TLS of one pool.
pub(super) struct Secrecy {
    settings: UpstreamTls,
    known: ArcSwap<Known>,
    /// Guards a reading: of two at once, the one that began first could be kept.
    reading: Mutex<()>,
}

/// What the files said when they were read.
struct Known {
    /// Of connections that may stand for each other: those made by the same files.
    group: u64,
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
}

impl Secrecy {
    /// Reads what `settings` name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn read(settings: &UpstreamTls) -> Result<Secrecy, TlsError> {
        let known = ArcSwap::from_pointee(Known::of(UpstreamFiles::read(settings)?));
        Ok(Secrecy { settings: settings.clone(), known, reading: Mutex::new(()) })
    }

    /// Reads it anew; `true` if the files say something else now.
    ///
    /// # Errors
    /// The first file that cannot be used. What is known stays.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Known::of(UpstreamFiles::read(&self.settings)?);
        let is_new = known.group != self.known.load().group;
        if is_new {
            self.known.store(Arc::new(known));
        }
        Ok(is_new)
    }

    /// The name that an endpoint's certificate must have.
    pub(super) fn server_name(&self) -> &str {
        &self.settings.server_name
    }

    /// Makes `peer` one that is asked under what is known now.
    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        let known = self.known.load();
        peer.options.ca.clone_from(&known.authorities);
        peer.client_cert_key.clone_from(&known.identity);
        peer.group_key = known.group;
    }
}

impl Known {
    fn of(files: UpstreamFiles) -> Known {
        let mut group = DefaultHasher::new();
        files.hash(&mut group);
        let parsed = |der: Vec<u8>| WrappedX509::new(der, parse_x509);
        Known {
            group: group.finish(),
            authorities: files.authorities.map(|all| all.into_iter().map(parsed).collect()),
            identity: files.identity.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::Identity;

    /// Writes a certificate, another one each time.
    pub(in crate::proxy) fn write_authority(path: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.internal".to_owned()]).unwrap();
        fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
    }

    /// TLS by the authority in a file.
    pub(in crate::proxy) fn believing(path: &Path) -> Secrecy {
        write_authority(path);
        let authorities = Some(path.to_owned());
        let settings = UpstreamTls { server_name: "shop.internal".to_owned(), authorities, identity: None };
        Secrecy::read(&settings).unwrap()
    }

    fn group(secrecy: &Secrecy) -> u64 {
        let mut peer = HttpPeer::new("192.0.2.1:443", true, secrecy.server_name().to_owned());
        secrecy.apply(&mut peer);
        assert!(peer.options.ca.is_some());
        peer.group_key
    }

    #[test]
    fn other_files_make_other_connections_and_the_same_ones_or_bad_ones_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("authority.pem");
        let secrecy = believing(&path);
        let first = group(&secrecy);
        assert!(!secrecy.reload().unwrap());
        assert_eq!(group(&secrecy), first);
        fs::write(&path, "nonsense").unwrap();
        assert!(secrecy.reload().is_err());
        assert_eq!(group(&secrecy), first);
        write_authority(&path);
        assert!(secrecy.reload().unwrap());
        assert_ne!(group(&secrecy), first);
    }

    #[test]
    fn what_signs_for_our_certificate_and_is_none_is_a_mistake_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = ["us.pem", "us.key"].map(|name| directory.path().join(name));
        let pair = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["us.test".to_owned()]).unwrap().self_signed(&pair).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
        let identity = Some(Identity { certificate: certificate.clone(), key });
        let settings = UpstreamTls { server_name: "shop.internal".to_owned(), authorities: None, identity };
        fs::write(&certificate, signed.pem()).unwrap();
        assert!(Secrecy::read(&settings).is_ok());
        // A number is all that it says.
        let none = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        fs::write(&certificate, signed.pem() + none).unwrap();
        let error = Secrecy::read(&settings).err().unwrap().to_string();
        assert!(error.contains("us.pem"), "{error}");
    }
}
