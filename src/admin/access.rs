//! Where the admin API listens, and who may ask it.
//!
//! Loopback and a Unix socket are for whoever is on the machine; any other address needs a token, and
//! where there is one, loopback needs it as well. The socket is its owner's only. A token is compared in
//! constant time, so that it cannot be found letter by letter.
//!
//! A page in a browser on the same machine reaches loopback, too: what carries an `Origin` is refused. A page may
//! also have its own name lead to loopback (DNS rebinding), and asks without an `Origin` then: where no token is
//! asked for, whoever asks by a name that is not ours is refused. An address is nobody's name.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, UnixListener};

use crate::config::AdminSettings;

/// 128 bits in hexadecimal: what `openssl rand -hex 16` gives.
const TOKEN_BYTES_MIN: usize = 32;

/// Why the admin API cannot be reached as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// An address that others reach, and no token.
    #[error(
        "the admin API on {0} needs a token: `token_file` in the settings, or --admin-token-file; or let it \
         listen on 127.0.0.1 or unix:PATH"
    )]
    TokenNeeded(SocketAddr),
    /// The token's file is unreadable, or its token too short.
    #[error("{}: {reason}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The address or the socket cannot be used.
    #[error("the admin API cannot listen on {place}: {error}")]
    Listen {
        /// Where.
        place: String,
        /// What the system said.
        error: io::Error,
    },
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// Who may ask on one listener.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<String>,
    /// The names to ask by, where only those are answered.
    names: Option<Vec<String>>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It carries no token, or another.
    Token,
    /// It comes from a page.
    Browser,
    /// It asks for somebody else.
    Name,
}

/// A listener that is bound but not served yet, and who may ask on it.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    access: Access,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener, PathBuf),
}

/// Binds what `settings` ask for, but for the address that was `inherited`. The socket of a predecessor is
/// replaced: it is told apart by its path alone, and whoever asks there means the process that serves.
///
/// # Errors
/// A place that cannot be used, or that others reach without a token.
pub fn bind(
    settings: &AdminSettings,
    inherited: Option<std::net::TcpListener>,
    has_predecessor: bool,
) -> Result<Vec<Bound>, AccessError> {
    let token = settings.token_file.as_deref().map(read_token).transpose()?;
    let mut bound = Vec::new();
    if let Some(address) = settings.listen {
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(AccessError::TokenNeeded(address));
        }
        let listener = inherited.map_or_else(|| std::net::TcpListener::bind(address), Ok);
        let listener = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener.map_err(|error| AccessError::Listen { place: address.to_string(), error })?;
        // Who has the token is no page.
        let names = token.is_none().then(|| settings.names.clone());
        bound.push(Bound { socket: Socket::Tcp(listener), access: Access { token, names } });
    }
    if let Some(path) = &settings.socket {
        let listener = bind_socket(path, has_predecessor)
            .map_err(|error| AccessError::Listen { place: format!("unix:{}", path.display()), error })?;
        let access = Access { token: None, names: None };
        bound.push(Bound { socket: Socket::Unix(listener, path.clone()), access });
    }
    Ok(bound)
}

impl Bound {
    /// Hands it to the runtime; logs where it listens.
    ///
    /// # Errors
    /// The system does not let the runtime have it.
    pub fn into_listener(self) -> io::Result<(Listener, Access)> {
        let listener = match self.socket {
            Socket::Tcp(listener) => {
                log::info!("admin API on {}", listener.local_addr()?);
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
            Socket::Unix(listener, path) => {
                log::info!("admin API on unix:{}", path.display());
                Listener::Unix(UnixListener::from_std(listener)?)
            }
        };
        Ok((listener, self.access))
    }
}

impl Access {
    /// Whether a request with these header fields may be answered.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        if headers.contains_key(ORIGIN) {
            return Err(Denied::Browser);
        }
        if let Some(names) = &self.names
            && !headers.get_all(HOST).into_iter().all(|host| is_ours(host, names))
        {
            return Err(Denied::Name);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let is_equal = given.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())));
        if is_equal { Ok(()) } else { Err(Denied::Token) }
    }
}

/// Whether a `Host` is an address, or a name of this machine's own.
fn is_ours(host: &HeaderValue, names: &[String]) -> bool {
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host();
        let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_named = |name: &str| host.eq_ignore_ascii_case(name);
        is_address || is_named("localhost") || names.iter().any(|name| is_named(name))
    })
}

/// The token in a file.
///
/// # Errors
/// It cannot be read, or is short enough to be guessed.
pub fn read_token(path: &Path) -> Result<String, AccessError> {
    let failed = |reason: String| AccessError::Token { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.len() < TOKEN_BYTES_MIN || !is_visible {
        return Err(failed(format!(
            "a token has at least {TOKEN_BYTES_MIN} visible characters, and no space"
        )));
    }
    Ok(token.to_owned())
}

/// Made in a directory that only its owner enters, and moved to its place when nobody else may open it: from the
/// first moment there is no other way in. A mask for new files would do, but it is the whole process's.
fn bind_socket(path: &Path, has_predecessor: bool) -> io::Result<StdUnixListener> {
    if let Ok(found) = fs::symlink_metadata(path) {
        // One that nobody answers on is left over from a process that was killed.
        let is_free =
            found.file_type().is_socket() && (has_predecessor || UnixStream::connect(path).is_err());
        if !is_free {
            return Err(io::ErrorKind::AddrInUse.into());
        }
    }
    // Short, for the path of a socket may have some hundred bytes.
    let private = path.with_file_name(format!(".{}", std::process::id()));
    // A process of the same id may have been killed just here. If it is somebody else's, the next line fails.
    let _ = fs::remove_dir_all(&private);
    DirBuilder::new().mode(0o700).create(&private)?;
    let bound = bind_in(&private, path);
    fs::remove_dir_all(&private)?;
    bound
}

fn bind_in(private: &Path, path: &Path) -> io::Result<StdUnixListener> {
    let new = private.join("s");
    let listener = StdUnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn headers(fields: &[(http::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_whole_token_opens() {
        let access = Access { token: Some(TOKEN.to_owned()), names: None };
        let check = |value: &str| access.check(&headers(&[(AUTHORIZATION, value)]));
        assert_eq!(check(&format!("Bearer {TOKEN}")), Ok(()));
        for wrong in [TOKEN, "Bearer ", "Bearer 0123", &format!("Bearer {TOKEN}0"), &format!("Basic {TOKEN}")]
        {
            assert_eq!(check(wrong), Err(Denied::Token), "{wrong}");
        }
        assert_eq!(access.check(&HeaderMap::new()), Err(Denied::Token));
    }

    #[test]
    fn a_page_in_a_browser_may_not_ask_even_where_no_token_is_needed() {
        let access = Access { token: None, names: None };
        assert_eq!(access.check(&HeaderMap::new()), Ok(()));
        assert_eq!(access.check(&headers(&[(ORIGIN, "http://evil.test")])), Err(Denied::Browser));
    }

    #[test]
    fn a_name_that_somebody_else_has_lead_here_is_refused() {
        let access = Access { token: None, names: Some(vec!["edge-1".to_owned()]) };
        for ours in
            ["127.0.0.1:8081", "[::1]:8081", "192.0.2.7", "localhost", "LocalHost:8081", "edge-1:8081"]
        {
            assert_eq!(access.check(&headers(&[(HOST, ours)])), Ok(()), "{ours}");
        }
        for other in
            ["evil.test", "evil.test:8081", "localhost.evil.test", "127.0.0.1.evil.test", "edge-2", ""]
        {
            assert_eq!(access.check(&headers(&[(HOST, other)])), Err(Denied::Name), "{other}");
        }
        let mut both = headers(&[(HOST, "localhost")]);
        both.append(HOST, HeaderValue::from_static("evil.test"));
        assert_eq!(access.check(&both), Err(Denied::Name));
    }

    #[test]
    fn a_token_is_long_enough_and_in_one_piece() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_token(&path)
        };
        assert_eq!(read(&format!("{TOKEN}\n")).unwrap(), TOKEN);
        assert!(read(&TOKEN[1..]).is_err(), "one too short");
        assert!(read("0123456789abcdef 0123456789abcdef").is_err());
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let listen = Some("0.0.0.0:0".parse().unwrap());
        let open = AdminSettings { listen, ..AdminSettings::default() };
        assert!(matches!(bind(&open, None, false), Err(AccessError::TokenNeeded(_))));
        let local = AdminSettings { listen: Some("[::1]:0".parse().unwrap()), ..AdminSettings::default() };
        assert!(!matches!(bind(&local, None, false), Err(AccessError::TokenNeeded(_))));
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        fs::write(&token_file, TOKEN).unwrap();
        let closed = AdminSettings { listen, token_file: Some(token_file), ..AdminSettings::default() };
        assert_eq!(bind(&closed, None, false).unwrap().len(), 1);
    }

    #[test]
    fn a_socket_is_its_owners_and_one_left_over_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("admin.sock");
        let settings = AdminSettings { socket: Some(socket.clone()), ..AdminSettings::default() };
        let first = bind(&settings, None, false).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind(&settings, None, false).is_err(), "somebody answers on it");
        bind(&settings, None, true).unwrap();
        drop(first);
        bind(&settings, None, false).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "somebody's").unwrap();
        assert!(bind(&settings, None, true).is_err(), "what is no socket is not replaced");
    }
}
