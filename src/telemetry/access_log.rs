//! The access log: one JSON object a line on standard output, sampled or off.
//!
//! A thread writes; the request path only hands over, and drops the record (and
//! counts it) when the thread is a few thousand behind, because a full disk or
//! a slow terminal must not slow a shop down. Sampling goes by request id, so
//! all proxies of a chain that share the id log the same requests.
//!
//! No cookie, address or query is written, and no parameter of a path, which
//! may be a session (`;jsessionid=`); the session is a keyed hash that
//! means nothing outside this process.

use std::io::Write;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

/// Records that may wait for the writer.
const BACKLOG: usize = 4_096;

/// One request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Seconds since 1970, in UTC.
    pub time: f64,
    /// The request's id.
    pub request_id: String,
    /// Its method.
    pub method: String,
    /// Its path as it was sent, as far as it is [`loggable`].
    pub path: String,
    /// Its class.
    pub class: String,
    /// Who decided that: route, model or fallback.
    pub class_by: &'static str,
    /// The generation it was decided under.
    pub generation: u64,
    /// Its session, as a keyed hash.
    pub session: String,
    /// `admit`, `shed`, `reject` or `leave`.
    pub decision: &'static str,
    /// Why it was not simply admitted.
    pub reason: &'static str,
    /// What was answered, 0 if nothing was.
    pub status: u16,
    /// Time waited for a seat.
    pub wait_ms: f64,
    /// Time to the upstream's first byte.
    pub upstream_ms: f64,
    /// Time from the head to the end.
    pub total_ms: f64,
}

/// A path up to its first parameter (RFC 3986, section 3.3): some servers keep the session of a client without
/// cookies there.
pub fn loggable(path: &str) -> &str {
    path.split(';').next().unwrap_or_default()
}

/// Where records go.
#[derive(Debug)]
pub struct AccessLog {
    sender: SyncSender<Record>,
    sample_millionths: u32,
    dropped: Counter,
}

impl AccessLog {
    /// Logs about so many millionths of all requests; `None` for none of them. `dropped` counts the
    /// records that the writer was too slow for.
    pub fn start(sample_millionths: u32, dropped: Counter) -> Option<AccessLog> {
        if sample_millionths == 0 {
            return None;
        }
        let (sender, receiver) = sync_channel::<Record>(BACKLOG);
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                for record in receiver {
                    let Ok(mut line) = serde_json::to_vec(&record) else { continue };
                    line.push(b'\n');
                    // A closed standard output ends the log, not the proxy.
                    if std::io::stdout().lock().write_all(&line).is_err() {
                        return;
                    }
                }
            })
            .ok()?;
        Some(AccessLog { sender, sample_millionths, dropped })
    }

    /// Whether a request with these random bits is logged.
    pub fn samples(&self, bits: u64) -> bool {
        bits % 1_000_000 < u64::from(self.sample_millionths)
    }

    /// Hands a record over.
    pub fn write(&self, record: Record) {
        if self.sender.try_send(record).is_err() {
            self.dropped.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_logged_up_to_its_first_parameter() {
        for (path, logged) in [
            ("/cart/7", "/cart/7"),
            ("/cart;jsessionid=5A?x", "/cart"),
            ("/a;v=1/b;jsessionid=5A", "/a"),
            (";", ""),
        ] {
            assert_eq!(loggable(path), logged);
        }
    }

    #[test]
    fn a_record_that_the_writer_has_no_room_for_is_counted() {
        let (sender, backlog) = sync_channel(1);
        let log = AccessLog { sender, sample_millionths: 1_000_000, dropped: Counter::default() };
        log.write(Record::default());
        assert_eq!(log.dropped.get(), 0);
        log.write(Record::default());
        assert_eq!(log.dropped.get(), 1);
        assert!(backlog.try_recv().is_ok());
        log.write(Record::default());
        assert_eq!(log.dropped.get(), 1);
    }
}
