//! The files of a journal: their names, their headers, and the frames that records come in.
//!
//! Each file belongs to one pool and begins with a state, so any of them can be read by itself. A frame is
//! what the writer took at once, with its length and a checksum: a file that a crash cut off ends at its
//! last whole frame.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::codec::Reader;
use super::entry::{Decoder, Entry};

/// How a file begins; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"PLJRNL7\n";
/// How files of all formats begin.
const FAMILY: &[u8; 6] = b"PLJRNL";
/// What writes and reads here.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How the name of a file ends.
pub(super) const EXTENSION: &str = "plj";

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The pool.
    pub pool: String,
    /// The version that wrote it: only that one reads its states.
    pub version: String,
    /// What the clock's zero was, in nanoseconds since 1970: tells processes apart, too.
    pub started: u64,
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a journal that this program does not read: of another version or format, or one that ended
    /// before it said of which. What is in the others can be told all the same.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file holds something else.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// There is no file of a journal.
    #[error("{}: no journal: its files end in .plj", path.display())]
    Nothing {
        /// Where.
        path: PathBuf,
    },
}

/// One file, read.
#[derive(Debug)]
pub struct JournalFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: Header,
    bytes: Vec<u8>,
    /// Where the frames begin.
    frames: usize,
}

/// The beginning of a file.
pub(super) fn begin(header: &Header) -> Vec<u8> {
    let header = serde_json::to_vec(header).expect("a header is plain data");
    let length = u32::try_from(header.len()).expect("a pool's name is short");
    [&MAGIC[..], &length.to_le_bytes(), &header].concat()
}

/// What stands before the records of a frame.
pub(super) fn frame(records: &[u8]) -> [u8; 8] {
    let length = u32::try_from(records.len()).expect("the buffer is bounded");
    let mut frame = [0; 8];
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..].copy_from_slice(&checksum(records).to_le_bytes());
    frame
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// The files of a journal at `path`, a file or a directory, in the order in which they were begun.
///
/// # Errors
/// The directory cannot be read, or holds none.
pub fn files_at(path: &Path) -> Result<Vec<PathBuf>, JournalError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |source| JournalError::Unreadable { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(JournalError::Nothing { path: path.to_owned() }) } else { Ok(files) }
}

impl JournalFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, is another program's version of one, or no file of a journal.
    pub fn read(path: &Path) -> Result<JournalFile, JournalError> {
        let unreadable = |source| JournalError::Unreadable { path: path.to_owned(), source };
        let bytes = fs::read(path).map_err(unreadable)?;
        let damaged = |reason: String| JournalError::Damaged { path: path.to_owned(), reason };
        let foreign = |reason: String| JournalError::Foreign { path: path.to_owned(), reason };
        let Some((header, frames)) = header(&bytes) else {
            return Err(match family(&bytes) {
                Family::Own => foreign("it ends within its header".to_owned()),
                Family::Other => foreign("another format of journals".to_owned()),
                Family::None => damaged("not a journal".to_owned()),
            });
        };
        let not_a_header = |error| damaged(format!("its header: {error}"));
        // Another version may say more of itself than this one knows.
        let Written { version } = serde_json::from_slice(header).map_err(not_a_header)?;
        if version != VERSION {
            return Err(foreign(format!("written by version {version}, and this is {VERSION}")));
        }
        let header = serde_json::from_slice(header).map_err(not_a_header)?;
        Ok(JournalFile { path: path.to_owned(), header, bytes, frames })
    }

    /// Gives each record to `take`, until it says to stop.
    ///
    /// # Errors
    /// A whole frame holds something else. A last frame that is not whole is where the process ended.
    pub fn each(&self, mut take: impl FnMut(Entry) -> Flow) -> Result<(), JournalError> {
        let mut rest = &self.bytes[self.frames..];
        let mut decoder = Decoder::default();
        while let Some((records, after)) = split_frame(rest) {
            let mut input = Reader(records);
            while !input.0.is_empty() {
                let at = self.bytes.len() - after.len() - input.0.len();
                let entry = decoder.next(&mut input).ok_or_else(|| JournalError::Damaged {
                    path: self.path.clone(),
                    reason: format!("no record at byte {at}"),
                })?;
                if take(entry) == Flow::Stop {
                    return Ok(());
                }
            }
            rest = after;
        }
        Ok(())
    }
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It is.
    More,
    /// It is not.
    Stop,
}

/// What every version says of itself.
#[derive(Deserialize)]
struct Written {
    version: String,
}

/// Whose file it is, by how it begins.
enum Family {
    /// Of this format, or too short to say otherwise.
    Own,
    /// A journal of another format.
    Other,
    None,
}

fn family(bytes: &[u8]) -> Family {
    if bytes.starts_with(MAGIC) || MAGIC.starts_with(bytes) {
        Family::Own
    } else if bytes.starts_with(FAMILY) {
        Family::Other
    } else {
        Family::None
    }
}

fn header(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    Some((rest.get(..length)?, MAGIC.len() + 4 + length))
}

/// The first frame and what follows it; `None` if it is not whole.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (records, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (checksum(records) == u32::from_le_bytes(*sum)).then_some((records, after))
}
