//! Which certificate is shown to a client: by the name it asks for.
//!
//! The names are those in the certificates. A name that is in several is a name with
//! several kinds of keys, and the first one that the client can verify is shown. Who
//! asks for an unknown name, or for none, gets the first certificate of all, as from
//! nginx: a client that does not like it can tell better than we why.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by the names in them.
#[derive(Debug)]
pub(super) struct Names {
    first: Arc<CertifiedKey>,
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Names {
    /// Of these certificates; `None` if there are none.
    pub(super) fn of(certificates: Vec<CertifiedKey>) -> Result<Option<Names>, rustls::Error> {
        let certificates: Vec<Arc<CertifiedKey>> = certificates.into_iter().map(Arc::new).collect();
        let mut named: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for certificate in &certificates {
            for name in names_in(certificate)? {
                named.entry(name).or_default().push(certificate.clone());
            }
        }
        Ok(certificates.first().cloned().map(|first| Names { first, named }))
    }

    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_ref().and_then(|name| self.named.get(name));
        // A wildcard stands for one label (RFC 6125, section 6.4.3).
        let wildcard = || {
            let (_, parent) = name.as_ref()?.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        };
        let Some(named) = exact.or_else(wildcard) else { return self.first.clone() };
        let fits = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(schemes).is_some();
        named.iter().find(fits).unwrap_or(&named[0]).clone()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(client.server_name(), client.signature_schemes()))
    }
}

fn names_in(certificate: &CertifiedKey) -> Result<Vec<String>, rustls::Error> {
    let parsed = webpki::EndEntityCert::try_from(certificate.end_entity_cert()?)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::PrivateKeyDer;

    fn certified(names: &[&str], algorithm: &'static SignatureAlgorithm) -> CertifiedKey {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &default_provider()).unwrap()
    }

    fn names() -> Names {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let certificates = vec![
            certified(&["shop.test", "www.shop.test"], ecdsa),
            certified(&["*.shop.test"], ecdsa),
            certified(&["shop.test", "other.test"], &rcgen::PKCS_ED25519),
        ];
        Names::of(certificates).unwrap().unwrap()
    }

    fn shown(names: &Names, name: Option<&str>, scheme: SignatureScheme) -> String {
        names_in(&names.find(name, &[scheme])).unwrap().join(" ")
    }

    #[test]
    fn a_name_gets_its_certificate_and_an_unknown_one_the_first() {
        let names = names();
        let ecdsa = SignatureScheme::ECDSA_NISTP256_SHA256;
        for (name, expected) in [
            (Some("shop.test"), "shop.test www.shop.test"),
            (Some("WWW.Shop.test"), "shop.test www.shop.test"),
            (Some("img.shop.test"), "*.shop.test"),
            (Some("a.img.shop.test"), "shop.test www.shop.test"),
            (Some("other.test"), "shop.test other.test"),
            (Some("unknown.test"), "shop.test www.shop.test"),
            (Some("test"), "shop.test www.shop.test"),
            (None, "shop.test www.shop.test"),
        ] {
            assert_eq!(shown(&names, name, ecdsa), expected, "{name:?}");
        }
    }

    #[test]
    fn of_two_keys_for_a_name_the_client_gets_the_one_it_can_verify() {
        let names = names();
        let ed25519 = SignatureScheme::ED25519;
        assert_eq!(shown(&names, Some("shop.test"), ed25519), "shop.test other.test");
        assert_eq!(
            shown(&names, Some("www.shop.test"), ed25519),
            "shop.test www.shop.test",
            "there is no other"
        );
    }

    #[test]
    fn no_certificates_have_no_names() {
        assert!(Names::of(Vec::new()).unwrap().is_none());
    }
}
