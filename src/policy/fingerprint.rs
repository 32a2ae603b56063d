//! What the files of a policy are like, to tell a change of theirs from one beside them.
//!
//! A watch is one of directories, and a log may be written into one of these. A reload
//! that says so in that log would be followed by the next one, without an end, each
//! with a trial of the model. So contents are compared, and times as well: whoever
//! touches a policy wants it read again, for its bundle may be another.
//!
//! It does not say what has changed, nor whether that is a policy.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use super::includes::{self, Tests};

/// The files of a policy as they were when they were looked at last.
#[derive(Debug)]
pub struct Fingerprint {
    path: PathBuf,
    last: Option<u64>,
}

impl Fingerprint {
    /// Of the policy in the file or directory at `path`, which nobody has looked at yet.
    pub fn new(path: PathBuf) -> Fingerprint {
        Fingerprint { path, last: None }
    }

    /// Whether they are other than last time, tests and included files among them. The first time they are.
    pub fn has_changed(&mut self) -> bool {
        let now = self.taken();
        self.last.replace(now) != Some(now)
    }

    fn taken(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // A directory that cannot be read has no files, and then some again.
        for file in includes::files(&self.path, Tests::Beside).unwrap_or_default() {
            hash_file(&file, &mut hasher);
        }
        hasher.finish()
    }
}

/// A file that is not there is one that cannot be read.
fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let modified = fs::metadata(path).and_then(|known| known.modified());
    modified.ok().hash(hasher);
    fs::read(path).ok().hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn only_what_a_policy_consists_of_changes_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("shop.yaml"), "version: 1\ninclude: base.yaml\n").unwrap();
        let mut fingerprint = Fingerprint::new(at("shop.yaml"));
        assert!(fingerprint.has_changed(), "nobody has looked yet");
        assert!(!fingerprint.has_changed());
        fs::write(at("plimsoll.log"), "nothing has changed").unwrap();
        assert!(!fingerprint.has_changed(), "a log beside it");
        fs::write(at("base.yaml"), "version: 1\n").unwrap();
        assert!(fingerprint.has_changed(), "what it includes is there now");
        fs::write(at("shop_test.yaml"), "tests: []\n").unwrap();
        assert!(fingerprint.has_changed(), "a reload tries its tests");
        assert!(!fingerprint.has_changed());
        fs::File::options()
            .write(true)
            .open(at("shop.yaml"))
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(fingerprint.has_changed(), "somebody touched it");
    }
}
