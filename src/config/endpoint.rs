//! An endpoint as it is written: an address, or the name of a host, and a port.
//!
//! What a name stands for is looked up while we run, and again and again; here it is only read.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The longest name of a host (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Where a shop listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At this address.
    Address(SocketAddr),
    /// At every address that this name has.
    Name {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

/// It is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host with a port, like 127.0.0.1:3000 or shop.internal:3000")]
pub struct NoEndpoint;

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Endpoint {
        Endpoint::Address(address)
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, NoEndpoint> {
        if let Ok(address) = text.parse() {
            return Ok(Endpoint::Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(NoEndpoint)?;
        let port = port.parse().map_err(|_| NoEndpoint)?;
        is_host_name(host).then(|| Endpoint::Name { host: host.to_owned(), port }).ok_or(NoEndpoint)
    }
}

/// Labels of letters, digits, `-` and, as in many a network of containers, `_`. What ends in a number would be
/// an address, and is none.
fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let labels = || text.strip_suffix('.').unwrap_or(text).split('.');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(allowed);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= NAME_BYTES_MAX && labels().all(is_label) && !labels().next_back().is_some_and(is_number)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Address(address) => address.fmt(f),
            Endpoint::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_name_with_a_port() {
        for address in ["127.0.0.1:3000", "[::1]:3000"] {
            assert_eq!(address.parse(), Ok(Endpoint::Address(address.parse().unwrap())));
        }
        for name in ["shop", "shop.internal", "shop.internal.", "my_shop-1.default.svc", "10.shop"] {
            let endpoint: Endpoint = format!("{name}:80").parse().unwrap();
            assert_eq!(endpoint, Endpoint::Name { host: name.to_owned(), port: 80 });
            assert_eq!(endpoint.to_string(), format!("{name}:80"));
        }
        let long = format!("{}:80", "a".repeat(NAME_BYTES_MAX + 1));
        for wrong in
            ["shop", ":80", "shop:http", "shop:65536", "10.0.0:80", "300.0.0.1:80", "::1:80", "a..b:1"]
        {
            assert_eq!(wrong.parse::<Endpoint>(), Err(NoEndpoint), "{wrong}");
        }
        assert_eq!(long.parse::<Endpoint>(), Err(NoEndpoint));
        assert!(long[1..].parse::<Endpoint>().is_ok());
    }
}
