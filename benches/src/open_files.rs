//! Lets this process and its children open as many files as the system allows.
//!
//! In overload every waiting shopper is a connection, thousands of them, while
//! the usual soft limit is 1024. Raising it to the hard limit needs no rights.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard limit.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, the old limit may still do; if not, the run fails with "too many open files".
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How many files this process may open, and how to let it open more.
pub(crate) fn advice() -> String {
    let limit = getrlimit(Resource::Nofile).maximum;
    let limit = limit.map_or("any number of".into(), |limit| limit.to_string());
    format!(
        "this process may open {limit} files, and needed more: raise it with `ulimit -Hn 1048576` as root, \
         `LimitNOFILE=` in a systemd unit, or `--ulimit nofile=1048576` of a container"
    )
}
