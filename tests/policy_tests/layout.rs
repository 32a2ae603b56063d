//! The one layout of policies, as `plimsoll policy fmt` gives it.

use std::fs;

use super::{plimsoll, text};

#[cfg(unix)]
#[test]
fn a_link_to_a_policy_stays_one_when_it_is_laid_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("shared/shop.yaml"), "version:  1\nclasses:\n    a: {rank: 0}\n").unwrap();
    std::os::unix::fs::symlink("shared/shop.yaml", at("shop.yaml")).unwrap();
    assert!(plimsoll(directory.path(), &["policy", "fmt", "shop.yaml"]).status.success());
    assert!(fs::symlink_metadata(at("shop.yaml")).unwrap().is_symlink());
    let laid_out = fs::read_to_string(at("shared/shop.yaml")).unwrap();
    assert!(laid_out.starts_with("version: 1\n"), "{laid_out}");
    assert_eq!(fs::read_dir(at("shared")).unwrap().count(), 1);
}

#[test]
fn a_policy_is_laid_out_once_and_a_check_tells_whether_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.yaml");
    fs::write(&path, "version:  1   # the first\nclasses:\n    a: {rank: 0}\n").unwrap();
    let checked = plimsoll(directory.path(), &["policy", "fmt", "--check", "."]);
    assert_eq!((checked.status.code(), text(&checked.stdout).trim()), (Some(1), "./shop.yaml"));
    assert!(plimsoll(directory.path(), &["policy", "fmt", "."]).status.success());
    let laid_out = fs::read_to_string(&path).unwrap();
    assert!(
        laid_out.starts_with("version: 1") && laid_out.ends_with("classes:\n  a: { rank: 0 }\n"),
        "{laid_out}"
    );
    assert!(laid_out.contains("# the first"), "{laid_out}");
    let again = plimsoll(directory.path(), &["policy", "fmt", "--check", "shop.yaml"]);
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    fs::write(&path, "version: [1\n").unwrap();
    let refused = plimsoll(directory.path(), &["policy", "fmt", "shop.yaml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not YAML"), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "version: [1\n");
}
