//! Notices that a policy has changed on disk.
//!
//! The directory is watched, not the file: editors and Kubernetes replace a file
//! by renaming another over it, and a watched inode would be the old one. Where
//! the path leads through a symlink, the directory it ends in is watched as well.
//! Changes come in bursts, and half of a file may be a policy too, so one call follows
//! when nothing has changed for 200 ms; a busy directory puts it off by 2 s at most.
//! What a policy includes may lie elsewhere, and change with it: so after each burst
//! it asks anew which files there are, and watches their directories from then on.
//! Where none of them is other than before (`fingerprint`), something beside them changed.
//!
//! It reads no policy, and calls after the first change whatever that was.

use std::collections::BTreeSet;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};

use super::fingerprint::Fingerprint;

/// How often a burst is looked at.
const STEP: Duration = Duration::from_millis(50);
/// Steps without a change that end a burst: 200 ms, longer than an editor or a copy pauses between two
/// writes, short enough for an operator.
const STEPS_QUIET: usize = 4;
/// Steps after which it ends however busy: 2 s, for whoever writes a log beside the policy.
const STEPS_MAX: usize = 40;
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

type Handler = mpsc::Sender<notify::Result<Event>>;

/// Watches until it is dropped.
pub struct PolicyWatch {
    _watched: Arc<Mutex<Watched>>,
}

/// The directories that are watched.
struct Watched {
    watcher: Box<dyn Watcher + Send>,
    directories: BTreeSet<PathBuf>,
}

impl PolicyWatch {
    /// Calls `changed`, on a thread of its own, when the file or directory at `path` has changed, or one of the
    /// `others`, which are asked for anew after each change: the files of a directory, and what lies elsewhere.
    /// Those whose directory is not there are not watched.
    ///
    /// # Errors
    /// The directory is not there, or neither the system nor polling can watch it.
    pub fn start(
        path: &Path,
        others: impl Fn() -> Vec<PathBuf> + Send + 'static,
        changed: impl FnMut() + Send + 'static,
    ) -> Result<PolicyWatch, WatchError> {
        PolicyWatch::with(path, others, changed, |handler, directories| {
            native(handler.clone(), directories).or_else(|_| polling(handler, directories, POLL))
        })
    }

    fn with(
        path: &Path,
        others: impl Fn() -> Vec<PathBuf> + Send + 'static,
        changed: impl FnMut() + Send + 'static,
        watcher: impl FnOnce(Handler, &BTreeSet<PathBuf>) -> notify::Result<Box<dyn Watcher + Send>>,
    ) -> Result<PolicyWatch, WatchError> {
        let failed = |error| WatchError { directory: path.to_owned(), error };
        // A file that is not there yet is waited for where it should stand.
        let own =
            directories(path).or_else(|error| stated(path).map(|stated| [stated].into()).or(Err(error)));
        let own: BTreeSet<PathBuf> = own.map_err(|error| failed(error.into()))?;
        let path = path.to_owned();
        let files = move || iter::once(path.clone()).chain(others()).collect::<Vec<_>>();
        let all = move |files: &[PathBuf]| {
            own.iter().cloned().chain(files.iter().flat_map(|path| near(path))).collect()
        };
        let (sender, events) = mpsc::channel();
        let directories: BTreeSet<PathBuf> = all(&files());
        let watcher = watcher(sender, &directories).map_err(failed)?;
        let watched = Arc::new(Mutex::new(Watched { watcher, directories }));
        let weak = Arc::downgrade(&watched);
        let follow = move |files: &[PathBuf]| {
            // The lock guards the set of watched directories, and nobody else takes it.
            let watched = weak.upgrade();
            if let Some(watched) = watched {
                watched.lock().unwrap_or_else(PoisonError::into_inner).follow(all(files));
            }
        };
        tell(events, files, follow, changed);
        Ok(PolicyWatch { _watched: watched })
    }
}

impl Watched {
    fn follow(&mut self, directories: BTreeSet<PathBuf>) {
        for gone in self.directories.difference(&directories) {
            // A directory that was removed is watched no more, and nothing is lost.
            let _ = self.watcher.unwatch(gone);
        }
        let is_watched = |directory: &PathBuf| {
            self.directories.contains(directory)
                || self.watcher.watch(directory, RecursiveMode::NonRecursive).is_ok()
        };
        self.directories = directories.into_iter().filter(is_watched).collect();
    }
}

fn native(handler: Handler, directories: &BTreeSet<PathBuf>) -> notify::Result<Box<dyn Watcher + Send>> {
    watching(RecommendedWatcher::new(handler, Config::default())?, directories)
}

fn polling(
    handler: Handler,
    directories: &BTreeSet<PathBuf>,
    interval: Duration,
) -> notify::Result<Box<dyn Watcher + Send>> {
    // Contents are compared: on network mounts the times of files are not to be trusted.
    let config = Config::default().with_poll_interval(interval).with_compare_contents(true);
    watching(PollWatcher::new(handler, config)?, directories)
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

/// The directories of a file that may not be there yet: of what is not there, the one it should stand in.
fn near(path: &Path) -> BTreeSet<PathBuf> {
    directories(path).or_else(|_| stated(path).map(|stated| BTreeSet::from([stated]))).unwrap_or_default()
}

/// The directory in which the path stands, and the one in which it ends.
fn directories(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let target = path.canonicalize()?;
    if path.is_dir() {
        return Ok(BTreeSet::from([target]));
    }
    let ends = target.parent().map(Path::to_owned);
    Ok(BTreeSet::from_iter(ends.into_iter().chain([stated(path)?])))
}

/// The directory that the path names.
fn stated(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).canonicalize()
}

/// Calls `changed` after each burst of events that changed one of `files`, on a thread that ends when the watcher,
/// which owns the sender, is dropped.
fn tell(
    events: Receiver<notify::Result<Event>>,
    files: impl Fn() -> Vec<PathBuf> + Send + 'static,
    follow: impl Fn(&[PathBuf]) + Send + 'static,
    mut changed: impl FnMut() + Send + 'static,
) {
    let mut fingerprint = Fingerprint::default();
    thread::spawn(move || {
        debounce(&events, || {
            let files = files();
            // First, so that nothing changes unseen between being read and being watched.
            follow(&files);
            if fingerprint.has_changed(&files) {
                changed();
            }
        });
    });
}

fn debounce(events: &Receiver<notify::Result<Event>>, mut changed: impl FnMut()) {
    while let Ok(event) = events.recv() {
        if !is_change(&event) {
            continue;
        }
        settle(|| {
            thread::sleep(STEP);
            // All that have come are taken, not only up to the first that counts.
            events.try_iter().filter(is_change).count() > 0
        });
        changed();
    }
}

/// Our own reading of the policy is an access; answering it would never end. An error is a directory that
/// polling does not find: nothing to read there.
fn is_change(event: &notify::Result<Event>) -> bool {
    event.as_ref().is_ok_and(|event| !event.kind.is_access())
}

/// Waits, step by step, for the end of a burst.
fn settle(mut is_stirred: impl FnMut() -> bool) {
    let mut quiet = 0;
    for _ in 0..STEPS_MAX {
        quiet = if is_stirred() { 0 } else { quiet + 1 };
        if quiet == STEPS_QUIET {
            return;
        }
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
        let watch = PolicyWatch::start(path, Vec::new, move || _ = sender.send(())).unwrap();
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

    #[test]
    fn what_changes_beside_a_file_is_no_change_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.yaml");
        fs::write(&policy, "version: 1").unwrap();
        let (_watch, calls) = watch(&policy);
        fs::write(&policy, "version: 1 # changed").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
        fs::write(directory.path().join("plimsoll.log"), "nothing has changed").unwrap();
        // Five times as long as a burst is listened to.
        assert!(calls.recv_timeout(Duration::from_secs(1)).is_err());
        fs::write(&policy, "version: 1 # changed again").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn a_burst_ends_when_it_is_quiet_or_goes_on_for_too_long() {
        // The steps that are waited for if the last change comes in step `last`.
        let steps = |last: usize| {
            let mut step = 0;
            settle(|| {
                step += 1;
                step <= last
            });
            step
        };
        assert_eq!((steps(0), steps(1), steps(7)), (STEPS_QUIET, 1 + STEPS_QUIET, 7 + STEPS_QUIET));
        assert_eq!(steps(STEPS_MAX - STEPS_QUIET), STEPS_MAX);
        assert_eq!(steps(usize::MAX), STEPS_MAX, "a busy directory does not put it off for ever");
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
    fn where_the_system_cannot_tell_polling_notices() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.yaml");
        fs::write(&policy, "version: 1").unwrap();
        let (sender, calls) = mpsc::channel();
        let polled = |handler, directories: &_| polling(handler, directories, Duration::from_millis(10));
        let _watch = PolicyWatch::with(&policy, Vec::new, move || _ = sender.send(()), polled).unwrap();
        fs::write(&policy, "version: 1 # changed").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn what_is_included_later_is_watched_from_then_on() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (policy, base) = (directory.path().join("policy.yaml"), elsewhere.path().join("base.yaml"));
        fs::write(&policy, "version: 1").unwrap();
        let (sender, calls) = mpsc::channel();
        let (own, other) = (policy.clone(), base.clone());
        // It includes the base once it says so, and the base is not there yet.
        let others = move || {
            let includes = fs::read_to_string(&own).is_ok_and(|text| text.contains("include"));
            Some(other.clone()).filter(|_| includes).into_iter().collect()
        };
        let _watch = PolicyWatch::start(&policy, others, move || _ = sender.send(())).unwrap();
        fs::write(&policy, "include: base.yaml").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
        while calls.try_recv().is_ok() {}
        fs::write(&base, "version: 1").unwrap();
        calls.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let absent = Path::new("/nowhere/at/all/policy.yaml");
        assert!(
            PolicyWatch::start(absent, Vec::new, || {})
                .is_err_and(|error| error.to_string().contains("/nowhere/at"))
        );
    }
}
