//! An authority that signs for servers and clients, and TLS by its certificates for either end.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::bounded;

/// A certificate and its key, as PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    key: String,
}

impl Signed {
    /// Writes both, as the settings name them.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let at = |extension| directory.join(name).with_extension(extension);
        // The key first, for the certificate is what is looked at.
        for (extension, text) in [("key", &self.key), ("pem", &self.certificate)] {
            fs::write(at("new"), text).unwrap();
            fs::rename(at("new"), at(extension)).unwrap();
        }
        (at("pem"), at("key"))
    }

    /// The certificate as it is shown.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// Whoever signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this name, new each time.
    pub(crate) fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn store(&self) -> Arc<RootCertStore> {
        let mut store = RootCertStore::empty();
        store.add(self.0.der().clone()).unwrap();
        Arc::new(store)
    }

    /// A client that believes in it, speaks these versions and protocols, and may show a certificate.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        shows: Option<&Signed>,
    ) -> Arc<ClientConfig> {
        let builder =
            ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(self.store());
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(signed) => builder.with_client_auth_cert(vec![signed.der()], signed.key()).unwrap(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A server that shows a certificate; it asks for one too if `asks`.
    pub(crate) fn server(&self, shows: &Signed, asks: bool) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder();
        let verifier =
            tokio_rustls::rustls::server::WebPkiClientVerifier::builder(self.store()).build().unwrap();
        let builder =
            if asks { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
        Arc::new(builder.with_single_cert(vec![shows.der()], shows.key()).unwrap())
    }
}

/// A TLS connection of a client to a server by that name.
pub(crate) async fn connect(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    bounded("a handshake", TlsConnector::from(config).connect(name, stream)).await
}
