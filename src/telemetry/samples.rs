//! What a model can learn from: sessions as they were at some of their requests, and the orders they led to.
//!
//! One JSON object a line, in files of their own beside the journal. A request has the session in the very
//! terms that `plimsoll features` reads, so that training computes what serving did, and of its own features the
//! places of those that hold; the first line of a file tells by which schema. Where the value would
//! have decided, some requests draw one at random: who was let in by that was not chosen by a model, and
//! `propensity` tells with which chance a request of its kind is written at all.
//!
//! A thread writes; what it has no room for is counted and gone. No address, cookie or path is written; a
//! session is a keyed hash that means nothing outside this process. The words of a path are places of a small
//! table: none can be read from them, but a guess can be tried.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::json;

use crate::classify::features::{LocalTime, RequestFeatures, schema_hash};
use crate::classify::session::SessionView;

/// Lines that may wait for the writer.
const BACKLOG: usize = 4_096;
/// Bytes of a file: some thirty-five thousand requests.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that are kept; the oldest goes first.
const FILES_MAX: usize = 8;
/// How the name of a file begins and ends.
const NAME: (&str, &str) = ("samples-", ".jsonl");

/// A line.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Sample {
    /// A session at one of its requests.
    Request(Box<Seen>),
    /// A session has bought.
    Order(Order),
}

/// A session at one of its requests.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Seconds since 1970, in UTC.
    pub at: f64,
    /// Whose, as a keyed hash.
    pub key: String,
    /// The request's class.
    pub class: String,
    /// Its class before its session's stage lifted it.
    pub own_class: String,
    /// Who decided that: `route`, `model` or `fallback`.
    pub class_by: &'static str,
    /// What the model sees of it, whether it was asked or not.
    pub features: RequestFeatures,
    /// What was known of the session.
    pub session: SessionView,
    /// The hour, 0 to 23, in UTC.
    pub hour: u8,
    /// The day of the week, Monday is 0.
    pub weekday: u8,
    /// What it was worth; null where nothing depended on that.
    pub value: Option<f32>,
    /// Whether that was drawn at random.
    pub drawn: bool,
    /// The chance with which a request of its kind is written.
    pub propensity: f64,
    /// What was decided: `admit`, `shed` and the other decisions of the access log.
    pub decision: &'static str,
}

/// A session that bought.
#[derive(Clone, Debug, Serialize)]
pub struct Order {
    /// Seconds since 1970, in UTC.
    pub at: f64,
    /// Whose, as a keyed hash.
    pub key: String,
    /// What the order was worth, if the shop tells.
    pub order: Option<f64>,
}

impl Seen {
    /// The session `key` as it was at a request of these features that a route gave `class`, so many seconds
    /// since 1970.
    pub fn new(
        key: u64,
        class: &str,
        features: RequestFeatures,
        view: &SessionView,
        at: f64,
        time: LocalTime,
    ) -> Seen {
        let LocalTime { hour, weekday } = time;
        let (key, session) = (format!("{key:016x}"), *view);
        Seen {
            at,
            key,
            class: class.to_owned(),
            own_class: class.to_owned(),
            class_by: "route",
            features,
            session,
            hour,
            weekday,
            value: None,
            drawn: false,
            propensity: 1.0,
            decision: "admit",
        }
    }
}

/// Where samples go.
#[derive(Debug)]
pub struct Samples {
    sender: SyncSender<Sample>,
    lost: Counter,
}

impl Samples {
    /// Writes into `directory`, which there must be, files that are told apart by `started`; `lost` counts
    /// what the writer was too slow for. `None` if there is no thread to be had.
    pub fn start(directory: &Path, started: u64, lost: Counter) -> Option<Samples> {
        let (sender, receiver) = sync_channel(BACKLOG);
        let files = Files { directory: directory.to_owned(), started, begun: 0, file: None };
        let write = move || files.write_all(&receiver);
        thread::Builder::new().name("samples".into()).spawn(write).ok()?;
        Some(Samples { sender, lost })
    }

    /// Hands a sample over.
    pub fn write(&self, sample: Sample) {
        if self.sender.try_send(sample).is_err() {
            self.lost.inc();
        }
    }
}

/// The files, and the one that is written to.
struct Files {
    directory: PathBuf,
    started: u64,
    begun: u32,
    file: Option<(File, u64)>,
}

impl Files {
    fn write_all(mut self, samples: &Receiver<Sample>) {
        for sample in samples {
            if let Err(error) = self.write(&sample) {
                log::error!("{}: samples are not written: {error}", self.directory.display());
                return;
            }
        }
    }

    fn write(&mut self, sample: &Sample) -> io::Result<()> {
        let mut line = serde_json::to_vec(sample)?;
        line.push(b'\n');
        let (mut file, written) = match self.file.take() {
            Some((file, written)) if written < FILE_BYTES_MAX => (file, written),
            _ => (self.begin()?, 0),
        };
        file.write_all(&line)?;
        self.file = Some((file, written + line.len() as u64));
        Ok(())
    }

    fn begin(&mut self) -> io::Result<File> {
        let mut known = files(&self.directory)?;
        while known.len() >= FILES_MAX {
            fs::remove_file(known.remove(0))?;
        }
        let (start, end) = NAME;
        let name = format!("{start}{:011}-{:08}{end}", self.started, self.begun);
        self.begun += 1;
        let mut file = File::create(self.directory.join(name))?;
        writeln!(file, "{}", json!({ "schema": schema_hash() }))?;
        Ok(file)
    }
}

/// The files there are, the oldest first.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_one = |name: &str| name.starts_with(NAME.0) && name.ends_with(NAME.1);
    let paths: io::Result<Vec<PathBuf>> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = paths?;
    files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_one));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn written(directory: &TempDir) -> Files {
        Files { directory: directory.path().to_owned(), started: 7, begun: 0, file: None }
    }

    fn order(number: u32) -> Sample {
        Sample::Order(Order { at: number.into(), key: "0".into(), order: None })
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_the_oldest_of_too_many_goes() {
        let directory = TempDir::new().unwrap();
        let mut writer = written(&directory);
        for number in 0..=FILES_MAX as u32 {
            writer.write(&order(number)).unwrap();
            let (_, bytes) = writer.file.as_mut().unwrap();
            *bytes = FILE_BYTES_MAX;
        }
        let files = files(directory.path()).unwrap();
        assert_eq!(files.len(), FILES_MAX);
        assert!(files[0].ends_with("samples-00000000007-00000001.jsonl"), "{files:?}");
        let expected =
            format!("{}\n{{\"at\":1.0,\"key\":\"0\",\"order\":null}}\n", json!({ "schema": schema_hash() }));
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), expected);
    }

    #[test]
    fn a_file_with_room_is_written_on() {
        let directory = TempDir::new().unwrap();
        let mut writer = written(&directory);
        (0..3).for_each(|number| writer.write(&order(number)).unwrap());
        assert_eq!(files(directory.path()).unwrap().len(), 1);
    }
}
