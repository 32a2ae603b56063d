//! Notices that a policy has changed on disk.
//!
//! The directory is watched, not the file: editors and Kubernetes replace a file
//! by renaming another over it, and a watched inode would be the old one. Where
//! the path leads through a symlink, the directory it ends in is watched as well.
//! Changes come in bursts, so one call follows [`QUIET`] after the last of them.
//!
//! It reads no policy and may call once too often; whoever is called compares.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};

/// Long enough for an editor's write and rename, short enough for an operator.
const QUIET: Duration = Duration::from_millis(200);
/// How often to look where the system cannot tell: network mounts, no inotify left.
const POLL: Duration = Duration::from_secs(2);

/// Why a policy cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {error}", path = .directory.display())]
pub struct WatchError {
    directory: PathBuf,
    #[source]
    error: notify::Error,
}

/// Watches until it is dropped.
pub struct PolicyWatch {
    _watcher: Box<dyn Watcher + Send>,
}

impl PolicyWatch {
    /// Calls `changed`, on a thread of its own, whenever the policy at `path` may have changed.
    ///
    /// # Errors
    /// The directory that neither the system nor polling can watch.
    pub fn start(path: &Path, changed: impl FnMut() + Send + 'static) -> Result<PolicyWatch, WatchError> {
        let (sender, events) = mpsc::channel();
        // Nobody listens any more once the watch is over.
        let handler = move |event| _ = sender.send(event);
        let directories = directories(path);
        let native = RecommendedWatcher::new(handler.clone(), Config::default());
        let watcher = native.and_then(|watcher| watching(watcher, &directories)).or_else(|_| {
            let polling = Config::default().with_poll_interval(POLL).with_compare_contents(true);
            watching(PollWatcher::new(handler, polling)?, &directories)
        });
        let _watcher = watcher.map_err(|error| WatchError { directory: path.to_owned(), error })?;
        // The thread ends when the watcher, which owns the sender, is dropped.
        thread::spawn(move || debounce(&events, changed));
        Ok(PolicyWatch { _watcher })
    }
}

fn watching<W: Watcher + Send + 'static>(
    mut watcher: W,
    directories: &BTreeSet<PathBuf>,
) -> notify::Result<Box<dyn Watcher + Send>> {
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(Box::new(watcher))
}

/// The directory in which the path stands, and the one in which it ends.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let holding = |path: &Path| {
        let parent = if path.is_dir() { Some(path) } else { path.parent() };
        match parent {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    };
    let target = path.canonicalize().ok().map(|target| holding(&target));
    let stated = holding(path);
    let stated = stated.canonicalize().unwrap_or(stated);
    BTreeSet::from_iter(target.into_iter().chain([stated]))
}

fn debounce(events: &Receiver<notify::Result<Event>>, mut changed: impl FnMut()) {
    while let Ok(event) = events.recv() {
        // Our own reading of the policy is an access; answering it would never end.
        // An error is a directory that polling does not find: nothing to read there.
        if event.map_or(true, |event| event.kind.is_access()) {
            continue;
        }
        while events.recv_timeout(QUIET).is_ok() {}
        changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Bounds a wait that ends as soon as the watcher calls.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn watch(path: &Path) -> (PolicyWatch, Receiver<()>) {
        let (sender, calls) = mpsc::channel();
        let watch = PolicyWatch::start(path, move || _ = sender.send(())).unwrap();
        (watch, calls)
    }

    #[test]
    fn a_rewritten_file_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.yaml");
        fs::write(&policy, "version: 1").unwrap();
        let (_watch, calls) = watch(&policy);
        fs::write(directory.path().join("new"), "version: 1 # changed").unwrap();
        fs::rename(directory.path().join("new"), &policy).unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_swapped_symlink_is_noticed() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for generation in ["one", "two"] {
            fs::create_dir(at(generation)).unwrap();
            fs::write(at(generation).join("policy.yaml"), generation).unwrap();
        }
        symlink("one", at("..data")).unwrap();
        symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
        let (_watch, calls) = watch(&at("policy.yaml"));
        symlink("two", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
        assert_eq!(fs::read_to_string(at("policy.yaml")).unwrap(), "two");
    }

    #[test]
    fn a_directory_that_the_system_cannot_watch_is_polled() {
        let directory = tempfile::tempdir().unwrap();
        let later = directory.path().join("mounted-later");
        let (_watch, calls) = watch(&later.join("policy.yaml"));
        fs::create_dir(&later).unwrap();
        fs::write(later.join("policy.yaml"), "version: 1").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
    }
}
