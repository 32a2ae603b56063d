//! What files are like, to tell a change of theirs from one beside them.
//!
//! A watch is one of directories, and a log may be written into one of these. A reload
//! that says so in that log would be followed by the next one, without an end. So
//! contents are compared, and times as well: whoever touches a policy wants it read
//! again, for its bundle may be another.
//!
//! It does not say what has changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

/// Files as they were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Fingerprint {
    last: Option<u64>,
}

impl Fingerprint {
    /// Whether `files` are others, or other, than last time. The first time they are.
    pub(super) fn has_changed<'a>(&mut self, files: impl IntoIterator<Item = &'a PathBuf>) -> bool {
        let mut hasher = DefaultHasher::new();
        files.into_iter().for_each(|file| hash_file(file, &mut hasher));
        let now = hasher.finish();
        self.last.replace(now) != Some(now)
    }
}

/// A file that is not there is one that cannot be read, as a directory is; of that its time tells.
fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let modified = fs::metadata(path).and_then(|known| known.modified());
    modified.ok().hash(hasher);
    fs::read(path).ok().hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::includes::{self, Tests};
    use std::time::SystemTime;

    #[test]
    fn only_what_a_policy_consists_of_changes_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("shop.yaml"), "version: 1\ninclude: base.yaml\n").unwrap();
        let mut fingerprint = Fingerprint::default();
        let mut has_changed = || {
            let files = includes::files(&at("shop.yaml"), Tests::Beside).unwrap();
            fingerprint.has_changed(&files)
        };
        assert!(has_changed(), "nobody has looked yet");
        assert!(!has_changed());
        fs::write(at("plimsoll.log"), "nothing has changed").unwrap();
        assert!(!has_changed(), "a log beside it");
        fs::write(at("base.yaml"), "version: 1\n").unwrap();
        assert!(has_changed(), "what it includes is there now");
        fs::write(at("shop_test.yaml"), "tests: []\n").unwrap();
        assert!(has_changed(), "a reload tries its tests");
        assert!(!has_changed());
        let file = fs::File::options().write(true).open(at("shop.yaml")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(has_changed(), "somebody touched it");
    }
}
