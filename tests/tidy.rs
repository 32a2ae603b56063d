//! The house rules that a compiler cannot check: who imports whom, and how a file begins.
//!
//! Each rule is a table here, and each breach is reported with its place and what
//! to do; all at once. Files are read as text: code is what stands before the
//! tests of a file and is no comment. That is crude, and enough for a style that
//! writes one import per line.
//!
//! It checks layout and layers, not what code does.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};

use Imports::{AllBut, Only};

/// Longer files hold more than one idea.
const LINES_MAX: usize = 500;

/// Everything that is Rust in this repository.
const TREES: [&str; 10] = [
    "core/src",
    "core/tests",
    "src",
    "tests",
    "benches/src",
    "benches/tests",
    "benches/micro",
    "benches/peers",
    "fuzz/src",
    "fuzz/fuzz_targets",
];

/// Names that say nothing, so that anything may end up there.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared"];

/// The modules of the proxy, and what each may import of those that stand above it here.
const LAYERS: [(&str, Imports); 27] = [
    ("lib", Only(&[])),
    ("access_log", Only(&[])),
    ("yaml", Only(&[])),
    ("hygiene", Only(&[])),
    ("journal", Only(&[])),
    ("config", Only(&["hygiene", "journal", "yaml"])),
    ("tls", Only(&["config"])),
    ("classify", Only(&[])),
    ("clock", Only(&["classify"])),
    ("model", Only(&["classify"])),
    ("policy", Only(&["classify", "model", "yaml"])),
    ("clients", Only(&["policy", "classify"])),
    ("generation", Only(&["classify", "clock", "model", "policy"])),
    ("history", Only(&["generation", "model", "policy", "yaml"])),
    ("regression", Only(&[])),
    ("forecast", Only(&[])),
    ("trial", Only(&["classify", "clock", "forecast", "generation", "policy"])),
    ("explanation", Only(&["classify", "clock", "forecast", "generation", "model", "policy"])),
    ("rehearsal", Only(&["access_log", "classify", "clock", "forecast", "generation"])),
    ("gate", Only(&["clock", "journal"])),
    ("telemetry", Only(&["classify", "generation", "history", "hygiene", "journal", "policy"])),
    ("serving", AllBut(&[])),
    ("memory", Only(&["clock", "serving"])),
    ("proxy", AllBut(&[])),
    ("admin", AllBut(&["proxy"])),
    ("cli", AllBut(&[])),
    ("main", Only(&["cli"])),
];

enum Imports {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// The organs of the core, and who may know them: values pass through their caller.
const CORE_ORGANS: [(&str, &[&str]); 4] = [
    ("admission", &["controller"]),
    ("breaker", &["controller", "requests"]),
    ("limit", &["controller"]),
    ("queue", &["admission", "controller", "seats", "standing"]),
];

/// What the harness may use of the proxy: enough to judge a request, nothing that serves one.
const HARNESS_MAY_USE: [&str; 8] =
    ["access_log", "classify", "clients", "clock", "generation", "model", "policy", "yaml"];

/// Text that may stand in these places only, and what to do elsewhere.
const CONFINED: [Confined; 4] = [
    Confined {
        texts: &["pingora_"],
        places: &["src/proxy/", "src/cli/serve.rs", "benches/peers/"],
        advice: "pass plain values out of src/proxy/",
    },
    Confined {
        texts: &["rustls::"],
        places: &["src/tls/", "src/config/tls.rs", "tests/serve/", "benches/src/client/"],
        advice: "ask src/tls/",
    },
    Confined { texts: &["tract_"], places: &["src/model/"], advice: "ask a `Scorer`" },
    Confined {
        texts: &["Instant::now", "SystemTime::now", "Utc::now", "Local::now", "UNIX_EPOCH.elapsed"],
        places: &["src/clock.rs", "benches/src/clock.rs"],
        advice: "take `now`, or a `Clock`",
    },
];

struct Confined {
    texts: &'static [&'static str],
    places: &'static [&'static str],
    advice: &'static str,
}

struct SourceFile {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl SourceFile {
    fn is_test(&self) -> bool {
        self.path.contains("tests/") || self.path.ends_with("_tests.rs") || self.path.ends_with("/tests.rs")
    }

    /// The lines of code with their numbers: no comments, nothing from a file's own tests on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| self.is_test() || *line != "#[cfg(test)]");
        let numbered = lines.enumerate().map(|(index, line)| (index + 1, line.trim()));
        numbered.filter(|(_, line)| !line.starts_with("//"))
    }

    /// The module of a file right below `tree`, or the one it belongs to.
    fn module(&self, tree: &str) -> Option<&str> {
        self.path.strip_prefix(tree)?.strip_prefix('/')?.split(['/', '.']).next()
    }

    /// The modules named after the crate's name `root`, with their lines.
    fn imports<'a>(&'a self, root: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.code().flat_map(move |(number, line)| {
            let named = line.match_indices(root).filter(|(at, _)| !line[..*at].ends_with(is_name));
            named.map(move |(at, _)| (number, first_name(&line[at + root.len()..])))
        })
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The name that `text` begins with; empty in front of a brace.
fn first_name(text: &str) -> &str {
    text.split(|character| !is_name(character)).next().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<SourceFile> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut directories: Vec<PathBuf> = TREES.iter().map(|tree| root().join(tree)).collect();
    while let Some(directory) = directories.pop() {
        for entry in
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.unwrap().path();
            let list = if path.is_dir() { &mut directories } else { &mut paths };
            list.push(path);
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    paths
        .iter()
        .map(|path| SourceFile { path: relative(path), text: fs::read_to_string(path).unwrap() })
        .collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/")
}

fn assert_tidy(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// The breaches that `check` finds in each file.
fn breaches<C: IntoIterator<Item = String>>(check: impl Fn(&SourceFile) -> C) -> Vec<String> {
    files().iter().flat_map(check).collect()
}

#[test]
fn every_file_says_first_what_it_is_for() {
    assert_tidy(breaches(|file| {
        let opens = file.text.starts_with("//! ");
        (!opens).then(|| {
            format!("{}:1: begin with `//!`: what it does, why this way, what it does not do", file.path)
        })
    }));
}

#[test]
fn no_file_is_longer_than_one_idea() {
    assert_tidy(breaches(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines; split what is more than one idea", file.path))
    }));
}

#[test]
fn no_file_has_an_empty_name() {
    assert_tidy(breaches(|file| {
        let names = file.path.split(['/', '.', '_']);
        let empty = names.into_iter().find(|name| EMPTY_NAMES.contains(name));
        empty.map(|name| format!("{}: `{name}` says nothing; name what it does", file.path))
    }));
}

#[test]
fn nothing_is_imported_by_a_glob() {
    assert_tidy(breaches(|file| {
        let is_glob = |line: &str| line.contains("use ") && line.contains("::*");
        let found = file.code().filter(|(_, line)| !file.is_test() && is_glob(line));
        let tell = |(number, _)| format!("{}:{number}: name what is imported", file.path);
        found.map(tell).collect::<Vec<_>>()
    }));
}

#[test]
fn what_is_confined_stays_in_its_place() {
    assert_tidy(breaches(|file| {
        let own_rules = file.path == "tests/tidy.rs";
        let elsewhere =
            |rule: &&Confined| !own_rules && !rule.places.iter().any(|place| file.path.starts_with(place));
        let found = CONFINED.iter().filter(elsewhere).flat_map(|rule| {
            let breaks = |line: &str| rule.texts.iter().find(|text| line.contains(**text));
            let found = file.code().filter_map(move |(number, line)| Some((number, breaks(line)?)));
            found.map(|(number, text)| {
                format!("{}:{number}: `{text}` has no place here; {}", file.path, rule.advice)
            })
        });
        found.collect::<Vec<_>>()
    }));
}

/// Whether `module` stands below `other` and may import it; an error if it has no place.
fn may_import(module: &str, other: &str) -> Result<bool, String> {
    let place = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name);
    let own = place(module).ok_or_else(|| format!("`{module}` is in no layer; give it one in LAYERS"))?;
    let is_above = place(other).is_some_and(|other| other < own);
    Ok(is_above
        && match LAYERS[own].1 {
            Only(modules) => modules.contains(&other),
            AllBut(modules) => !modules.contains(&other),
        })
}

#[test]
fn the_proxy_imports_in_one_direction() {
    assert_tidy(breaches(|file| {
        let Some(module) = file.module("src") else { return Vec::new() };
        // `main` is a crate of its own, and sees the library by its name.
        let root = if module == "main" { "plimsoll::" } else { "crate::" };
        let breach = |(number, name): (usize, &str)| match may_import(module, name) {
            _ if name == module => None,
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{}:{number}: `{module}` does not know `{name}`; let a caller of both pass a value",
                file.path
            )),
            Err(homeless) => Some(format!("{}: {homeless}", file.path)),
        };
        file.imports(root).filter_map(breach).collect()
    }));
}

#[test]
fn a_module_at_the_root_is_named_from_the_root() {
    assert_tidy(breaches(|file| {
        let is_at_root = ["src", "core/src"].into_iter().any(|tree| {
            let below = file.path.strip_prefix(tree).and_then(|path| path.strip_prefix('/'));
            below.is_some_and(|path| path.trim_end_matches("/mod.rs").split('/').count() == 1)
        });
        let found = file.code().filter(|(_, line)| is_at_root && line.contains("super::"));
        let tell = |(number, _)| format!("{}:{number}: write `crate::` for `super::`", file.path);
        found.map(tell).collect::<Vec<_>>()
    }));
}

#[test]
fn the_core_imports_what_was_declared_before_it() {
    let declared = fs::read_to_string(root().join("core/src/lib.rs")).unwrap();
    let order: Vec<&str> = declared
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?.strip_suffix(';')
        })
        .collect();
    assert!(order.contains(&"controller"), "the modules of core/src/lib.rs: {order:?}");
    let place = |name: &str| order.iter().position(|other| *other == name);
    assert_tidy(breaches(|file| {
        let Some(module) = file.module("core/src").filter(|module| *module != "lib") else {
            return Vec::new();
        };
        let later = file.imports("crate::").filter(|(_, name)| place(name) > place(module));
        later
            .map(|(number, name)| {
                format!("{}:{number}: `{name}` is declared after `{module}` in lib.rs", file.path)
            })
            .collect()
    }));
}

#[test]
fn the_organs_of_the_core_do_not_know_each_other() {
    assert_tidy(breaches(|file| {
        let Some(module) = file.module("core/src") else { return Vec::new() };
        let knows = |name: &str| {
            let organ = CORE_ORGANS.iter().find(|(organ, _)| *organ == name);
            organ.is_none_or(|(_, friends)| name == module || friends.contains(&module))
        };
        let strangers = file.imports("crate::").filter(|(_, name)| !knows(name));
        strangers
            .map(|(number, name)| format!("{}:{number}: `{name}` is the controller's to ask", file.path))
            .collect()
    }));
}

#[test]
fn the_core_depends_on_nothing() {
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).unwrap();
    let sections: Vec<_> = manifest.lines().filter(|line| line.starts_with('[')).collect();
    assert!(sections.contains(&"[package]"), "{sections:?}");
    let dependencies: Vec<_> =
        sections.iter().filter(|name| name.contains("dependencies") && !name.contains("dev-")).collect();
    assert!(dependencies.is_empty(), "core/Cargo.toml: {dependencies:?}: the core is std only");
}

#[test]
fn the_harness_uses_nothing_that_serves() {
    assert_tidy(breaches(|file| {
        let Some(_) = file.module("benches/src") else { return Vec::new() };
        let serving = file.imports("plimsoll::").filter(|(_, name)| !HARNESS_MAY_USE.contains(name));
        serving
            .map(|(number, name)| format!("{}:{number}: `plimsoll::{name}` is not the harness's", file.path))
            .collect()
    }));
}

/// That target is built by a nightly toolchain alone, so that nobody would notice until somebody digs. A file that is
/// taken by its path cannot have modules beside it, unless it is a `mod.rs`.
#[test]
fn the_fuzz_target_for_scenarios_has_every_module_that_is_asked_for() {
    const TARGET: &str = "fuzz/fuzz_targets/scenario/";
    let sources = files();
    let named = |prefix: &'static str, suffix: &'static str| {
        let of_target = sources.iter().filter(|file| file.path.starts_with(TARGET));
        let lines = of_target.flat_map(|file| file.text.lines());
        lines.filter_map(move |line| line.strip_prefix(prefix)?.strip_suffix(suffix)).collect::<Vec<_>>()
    };
    let has = named("mod ", ";");
    let taken = named("#[path = \"../../../", "\"]");
    assert!(
        has.contains(&"scenario") && taken.contains(&"benches/src/scenario/mod.rs"),
        "{has:?} of {taken:?}"
    );
    let (directories, alone): (Vec<&str>, Vec<&str>) =
        taken.iter().partition(|path| path.ends_with("/mod.rs"));
    assert_tidy(breaches(|file| {
        let is_below = |path: &&str| file.path.starts_with(path.trim_end_matches("mod.rs"));
        let is_alone = alone.contains(&file.path.as_str());
        if file.is_test() || !is_alone && !directories.iter().any(is_below) {
            return Vec::new();
        }
        let missing = file.imports("crate::").filter(|(_, name)| !has.contains(name));
        let modules =
            file.code().filter(|(_, line)| is_alone && line.contains("mod ") && line.ends_with(';'));
        missing
            .chain(modules)
            .map(|(number, name)| format!("{}:{number}: the target in {TARGET} has no `{name}`", file.path))
            .collect()
    }));
}
