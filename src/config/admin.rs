//! Where the admin API listens: `admin:` in the settings, `--admin` on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::read::{path, socket_address};
use crate::yaml::diagnostic::Mistake;
use crate::yaml::field::Field;

/// Where the admin API listens, if anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminSettings {
    /// An address.
    pub listen: Option<SocketAddr>,
    /// A Unix socket, for its owner only.
    pub socket: Option<PathBuf>,
    /// A file with the token that is asked for on the address; needed if others reach it.
    pub token_file: Option<PathBuf>,
    /// Names by which it is asked for on loopback, besides `localhost`.
    pub names: Vec<String>,
}

/// A place on the command line: an address, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPlace {
    /// An address.
    Address(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl AdminPlace {
    /// Reads a place.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<AdminPlace, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("a path is needed, like unix:/run/plimsoll/admin.sock".to_owned()),
            Some(path) => Ok(AdminPlace::Socket(path.into())),
            None => text.parse().map(AdminPlace::Address).map_err(|_| {
                format!("`{text}` is no place: write it like 127.0.0.1:8081 or unix:/run/plimsoll/admin.sock")
            }),
        }
    }
}

pub(super) fn read(field: &Field<'_>) -> AdminSettings {
    let Some(admin) = field.section() else { return AdminSettings::default() };
    let settings = AdminSettings {
        listen: admin.get("listen").and_then(|field| field.parsed(socket_address)),
        socket: path(&admin, "socket"),
        token_file: path(&admin, "token_file"),
        names: admin.get("names").map(|field| names(&field)).unwrap_or_default(),
    };
    if settings.listen.is_none() && settings.socket.is_none() {
        let mistake = Mistake::new("the admin API listens nowhere");
        field.report(mistake.hint("`listen: 127.0.0.1:8081`, or `socket: /run/plimsoll/admin.sock`"));
    }
    admin.close();
    settings
}

fn names(field: &Field<'_>) -> Vec<String> {
    field.list_or_one().iter().filter_map(Field::text).map(str::to_owned).collect()
}
