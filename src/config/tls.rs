//! What the settings say of TLS: who we are, whom we ask for a certificate, and whom we believe.
//!
//! Files are named here and read when they are needed: a certificate is renewed while
//! we run. An upstream's certificate is always verified, so there must be a name to
//! verify; a setting that turned this off would be left on.

use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use super::read::path;
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::{Field, Section};

/// A certificate with those that sign for it, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM: the certificate first.
    pub certificate: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3: what every browser of the last ten years speaks.
    From12,
    /// 1.3 only.
    Only13,
}

/// Whether clients show certificates, and who must have signed them (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    Unasked,
    /// They are asked, and may have none.
    Requested(PathBuf),
    /// Without one there is no connection.
    Required(PathBuf),
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Which one is shown is told by the name that the client asks for; the first, if none fits.
    pub certificates: Vec<Identity>,
    /// Versions.
    pub versions: TlsVersions,
    /// Certificates of clients.
    pub clients: ClientCertificates,
}

impl ServerTls {
    /// All files it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let clients = match &self.clients {
            ClientCertificates::Unasked => None,
            ClientCertificates::Requested(path) | ClientCertificates::Required(path) => Some(path.as_path()),
        };
        let identities =
            self.certificates.iter().flat_map(|one| [one.certificate.as_path(), one.key.as_path()]);
        identities.chain(clients)
    }
}

/// TLS towards the endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that their certificate must have.
    pub server_name: String,
    /// Who must have signed it (PEM), read anew when the file changes. If absent, those the system trusts: Pingora
    /// reads them once for the process, so that a change of them takes effect with the next process (an upgrade).
    pub authorities: Option<PathBuf>,
    /// What we show them.
    pub identity: Option<Identity>,
}

impl UpstreamTls {
    /// All files it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self.identity.iter().flat_map(|one| [one.certificate.as_path(), one.key.as_path()]);
        self.authorities.as_deref().into_iter().chain(identity)
    }
}

pub(super) fn server_tls(field: &Field<'_>) -> Option<ServerTls> {
    let section = field.section()?;
    let certificates =
        section.require("certificates", "`certificates: [{ certificate: a.pem, key: a.key }]`");
    let versions = [("1.2+", TlsVersions::From12), ("1.3", TlsVersions::Only13)];
    let versions = section.get("versions").and_then(|field| field.choice(&versions));
    let clients = section.get("clients").map(|field| clients(&field));
    section.close();
    let certificates = certificates?;
    let identities: Vec<Identity> = certificates.list().iter().filter_map(identity).collect();
    if identities.is_empty() {
        certificates
            .report(Mistake::new("no certificate to show").hint("[{ certificate: a.pem, key: a.key }]"));
    }
    Some(ServerTls {
        certificates: identities,
        versions: versions.unwrap_or(TlsVersions::From12),
        clients: match clients {
            None => ClientCertificates::Unasked,
            Some(clients) => clients?,
        },
    })
}

fn identity(field: &Field<'_>) -> Option<Identity> {
    let section = field.section()?;
    let identity = required_identity(&section);
    section.close();
    identity
}

fn required_identity(section: &Section<'_>) -> Option<Identity> {
    let certificate = section.require("certificate", "`certificate: shop.pem`");
    let key = section.require("key", "`key: shop.key`");
    Some(Identity { certificate: certificate?.text()?.into(), key: key?.text()?.into() })
}

fn clients(field: &Field<'_>) -> Option<ClientCertificates> {
    let section = field.section()?;
    let authorities = section.require("authorities", "`authorities: partners.pem`");
    let choice = section
        .get("certificate")
        .and_then(|field| field.choice(&[("required", true), ("requested", false)]));
    section.close();
    let authorities = authorities?.text()?.into();
    let is_required = choice.unwrap_or(true);
    Some(if is_required {
        ClientCertificates::Required(authorities)
    } else {
        ClientCertificates::Requested(authorities)
    })
}

pub(super) fn upstream_tls(field: &Field<'_>) -> Option<UpstreamTls> {
    let section = field.section()?;
    let name = section.require("server_name", "`server_name: shop.internal`");
    let authorities = path(&section, "authorities");
    let has_identity = section.get("certificate").is_some() || section.get("key").is_some();
    let identity = if has_identity { required_identity(&section) } else { None };
    section.close();
    Some(UpstreamTls { server_name: name?.parsed(server_name)?, authorities, identity })
}

/// Pingora does not verify who answers to no name at all.
fn server_name(text: &str) -> Result<String, Mistake> {
    let mistake =
        |_| Mistake::new(format!("`{text}` is not the name of a server")).hint("as in its certificate");
    ServerName::try_from(text).map(|_| text.to_owned()).map_err(mistake)
}
