//! How much memory the control groups of this process leave it.
//!
//! A limit holds for a group and for all below it, so the least of our own group's and its
//! ancestors' counts. In a container our group is usually the root of what is mounted; as a
//! service of a machine it is not, and the root then has no limit at all. Both versions of
//! control groups are read, for a machine may have either.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the system mounts them.
const MOUNT: &str = "/sys/fs/cgroup";

/// The least limit, if there is one.
pub(super) fn memory_bytes_max() -> Option<u64> {
    least(Path::new(MOUNT), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The least limit in the files below `mount` of the groups that `/proc/self/cgroup` tells.
fn least(mount: &Path, groups: &str) -> Option<u64> {
    let files = groups.lines().flat_map(|line| limit_files(mount, line));
    // `max` is no number, and no limit.
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// The files of the group in one line, and of those that it is in: `0::/system.slice/plimsoll.service`, or
/// `4:memory:/docker/12ab` in the first version (cgroups(7)).
fn limit_files(mount: &Path, line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (directory, file) = match controllers {
        "" => (mount.to_owned(), "memory.max"),
        some if some.split(',').any(|one| one == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let below = Path::new(group.trim_start_matches('/'));
    below.ancestors().map(|group| directory.join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mount: &Path, file: &str, text: &str) {
        let file = mount.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn the_least_limit_of_our_group_and_of_those_it_is_in_counts() {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path();
        let groups = "1:name=systemd:/init\n0::/system.slice/plimsoll.service\n";
        assert_eq!(least(mount, groups), None);
        write(mount, "system.slice/plimsoll.service/memory.max", "max\n");
        write(mount, "other.slice/memory.max", "1\n");
        assert_eq!(least(mount, groups), None);
        write(mount, "system.slice/memory.max", "3000\n");
        assert_eq!(least(mount, groups), Some(3_000));
        write(mount, "system.slice/plimsoll.service/memory.max", "2000\n");
        assert_eq!(least(mount, groups), Some(2_000));
        write(mount, "memory.max", "1000\n");
        assert_eq!(least(mount, groups), Some(1_000));
    }

    #[test]
    fn groups_of_the_first_version_are_read_and_a_group_that_is_not_mounted_here_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let mount = directory.path();
        write(mount, "memory/memory.limit_in_bytes", "4000\n");
        write(mount, "cpu/memory.limit_in_bytes", "1\n");
        assert_eq!(least(mount, "5:cpu,cpuacct:/docker/12ab\n4:memory:/docker/12ab\n0::/\n"), Some(4_000));
        assert_eq!(least(mount, "nonsense\n"), None);
    }
}
