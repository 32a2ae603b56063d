//! The thread that writes: takes what the taps hold, and keeps the files within their bound.
//!
//! It looks twenty times a second, so nobody has to wake it from the request path. What it cannot write (a
//! full disk) is lost and said so; it then begins a new file, with a state, as soon as that works.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::files::{EXTENSION, Header, VERSION, begin, files_at, frame};
use super::tap::Next;

/// What a crash may lose, at the most.
const PERIOD: Duration = Duration::from_millis(50);
/// Parts of the bound that a file takes: as many are kept, and one goes at a time.
const FILES: u64 = 16;

/// What a journal is written from: the gate of one pool.
pub trait Tapped: Send + Sync {
    /// Takes the records so far, see [`Tap::take`](super::tap::Tap::take).
    fn take(&self, taken: &mut Vec<u8>, next: Next) -> u64;
}

/// Where a journal goes, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// The directory.
    pub directory: PathBuf,
    /// Bytes in all.
    pub bytes_max: u64,
}

/// What operators see of a journal.
#[derive(Clone, Debug, Default)]
pub struct JournalMeters {
    /// Events that were not written, because the writer was behind or could not write.
    pub lost: Counter,
    /// Bytes written.
    pub bytes: Counter,
}

/// A journal that is being written. Dropped, it is written to its end.
#[derive(Debug)]
pub struct Journal {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Begins to write what `pools` hold, by their names; `started` is the clock's zero in nanoseconds
    /// since 1970.
    ///
    /// # Errors
    /// The directory cannot be made, or the thread not be started.
    pub fn start(
        settings: JournalSettings,
        started: u64,
        pools: Vec<(String, Arc<dyn Tapped>)>,
        meters: JournalMeters,
    ) -> io::Result<Journal> {
        fs::create_dir_all(&settings.directory)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let process = std::process::id();
        let mut writer = Writer { settings, started, process, files_begun: 0, meters, pools: Vec::new() };
        writer.pools.extend(pools.into_iter().map(|(name, tapped)| Stream::new(name, tapped)));
        let thread = thread::Builder::new().name("journal".into()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                thread::park_timeout(PERIOD);
                writer.write_all();
            }
            writer.write_all();
        })?;
        Ok(Journal { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Writes what there is, and ends.
    pub fn finish(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            // It has said in the log why it ended, if it did.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

/// One pool's part.
struct Stream {
    name: String,
    tapped: Arc<dyn Tapped>,
    buffer: Vec<u8>,
    file: Option<File>,
    written: u64,
    lost: u64,
    /// What was taken last belongs to the file still, but is the end of it.
    ends: bool,
    /// What comes next begins with a state, and a file.
    is_ended: bool,
    has_failed: bool,
}

impl Stream {
    fn new(name: String, tapped: Arc<dyn Tapped>) -> Stream {
        let (file, buffer) = (None, Vec::new());
        let (ends, is_ended, has_failed) = (false, true, false);
        Stream { name, tapped, buffer, file, written: 0, lost: 0, ends, is_ended, has_failed }
    }
}

struct Writer {
    settings: JournalSettings,
    started: u64,
    process: u32,
    files_begun: u64,
    meters: JournalMeters,
    pools: Vec<Stream>,
}

impl Writer {
    fn write_all(&mut self) {
        for index in 0..self.pools.len() {
            self.take(index);
            let written = if self.pools[index].buffer.is_empty() { Ok(()) } else { self.write(index) };
            let stream = &mut self.pools[index];
            match written {
                Ok(()) => (stream.is_ended, stream.has_failed) = (stream.is_ended || stream.ends, false),
                Err(error) => self.note_failure(index, &error),
            }
        }
    }

    fn take(&mut self, index: usize) {
        let file_bytes_max = self.settings.bytes_max / FILES;
        let stream = &mut self.pools[index];
        stream.buffer.clear();
        stream.ends = !stream.is_ended && stream.written >= file_bytes_max;
        let next = if stream.ends { Next::Begin } else { Next::Continue };
        let lost = stream.tapped.take(&mut stream.buffer, next);
        self.meters.lost.inc_by(lost - stream.lost);
        stream.lost = lost;
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        if self.pools[index].is_ended {
            self.begin_file(index)?;
        }
        let stream = &mut self.pools[index];
        let file = stream.file.as_mut().expect("a file was begun");
        file.write_all(&frame(&stream.buffer))?;
        file.write_all(&stream.buffer)?;
        self.meters.bytes.inc_by(stream.buffer.len() as u64);
        stream.written += stream.buffer.len() as u64;
        Ok(())
    }

    fn begin_file(&mut self, index: usize) -> io::Result<()> {
        self.make_room()?;
        let seconds = self.started / 1_000_000_000;
        let name = format!("{seconds:011}-{:010}-{:08}-{index}.{EXTENSION}", self.process, self.files_begun);
        self.files_begun += 1;
        let stream = &mut self.pools[index];
        // Two processes share the directory during an upgrade: neither writes over the other's files, and
        // the lock keeps them from deleting one that is being written. Where there are no locks, a journal is
        // better than none.
        let mut file = File::create_new(self.settings.directory.join(name))?;
        let _ = file.try_lock();
        let version = VERSION.to_owned();
        file.write_all(&begin(&Header { pool: stream.name.clone(), version, started: self.started }))?;
        stream.file = Some(file);
        stream.is_ended = false;
        stream.written = 0;
        Ok(())
    }

    /// Deletes the oldest files until one more fits.
    fn make_room(&self) -> io::Result<()> {
        let files = files_at(&self.settings.directory).unwrap_or_default();
        let length = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let mut bytes: u64 = files.iter().map(length).sum();
        let bytes_max = self.settings.bytes_max - self.settings.bytes_max / FILES;
        for file in &files {
            if bytes <= bytes_max {
                break;
            }
            if !is_being_written(file) {
                bytes -= length(file);
                remove(file)?;
            }
        }
        Ok(())
    }

    /// The file is given up, and what comes next begins another.
    fn note_failure(&mut self, index: usize, error: &io::Error) {
        let stream = &mut self.pools[index];
        if !stream.has_failed {
            log::error!("journal: {}: {error}: records are lost", self.settings.directory.display());
        }
        stream.has_failed = true;
        stream.file = None;
        stream.is_ended = true;
        self.meters.lost.inc();
        let mut between = Vec::new();
        stream.tapped.take(&mut between, Next::Begin);
    }
}

/// Whether a process, this one or another, has it locked.
fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
