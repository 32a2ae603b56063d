//! The files that a policy is made of: those at its path, and what they include.
//!
//! `include:` names the files below the one that says so, from where that one lies. They are laid first, in their
//! order, and the file over them, as in a directory of overlays. Each file is laid once, where it is first needed,
//! so that two overlays may stand on one base. Running, checking, testing, comparing, laying out and watching a
//! policy all learn of its files here.
//!
//! It looks at no other key, and leaves what is no YAML to the reader, who tells all mistakes of a text.

use std::path::{Path, PathBuf};

use crate::yaml::diagnostic::{Diagnostic, Diagnostics, INVALID_VALUE, Mistake, Mistakes};
use crate::yaml::document::{self, Node, Value};
use crate::yaml::field::Field;
use crate::yaml::source::{self, Source, SourceFile};

/// A shop has a base, a site and an emergency; a host of many shops has a few of each. It also bounds how deep
/// files include files.
const FILES_MAX: usize = 64;

/// The key that names them.
pub(super) const KEY: &str = "include";

/// Which files besides the policy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tests {
    /// Those that hold tests only are left out.
    Without,
    /// Those of a directory, and `shop_test.yaml` of `shop.yaml`.
    Beside,
}

/// Reads the policy at `path`, a file or a directory of overlays, with all that it includes, and tells of every file
/// that cannot be had, at the line that includes it: without those the others are no policy.
///
/// # Errors
/// The directory cannot be read.
pub fn read(path: &Path, tests: Tests) -> Result<(Source, Vec<Diagnostic>), Diagnostics> {
    let gathered = Gathered::from(path, tests)?;
    Ok((Source { name: path.display().to_string(), files: gathered.files }, gathered.mistakes))
}

/// Every file that the policy at `path` consists of, those included that cannot be read.
///
/// # Errors
/// The directory cannot be read.
pub fn files(path: &Path, tests: Tests) -> Result<Vec<PathBuf>, Diagnostics> {
    Ok(Gathered::from(path, tests)?.paths)
}

/// What stands under `include:`, each with its place.
pub(super) fn included<'n>(field: &Field<'n>) -> Vec<(Field<'n>, &'n Path)> {
    let fields = if field.is_null() { Vec::new() } else { field.list_or_one() };
    let named = |field: Field<'n>| field.text().map(Path::new).map(|name| (field, name));
    fields.into_iter().filter_map(named).collect()
}

/// The files found so far.
#[derive(Default)]
struct Gathered {
    /// In the order in which they are laid over each other.
    files: Vec<SourceFile>,
    /// The same, and those that cannot be read.
    paths: Vec<PathBuf>,
    /// Where those that were met really lie: a link is another name of one file.
    met: Vec<PathBuf>,
    /// Those whose includes are being looked at, each included by the one before.
    open: Vec<PathBuf>,
    mistakes: Vec<Diagnostic>,
}

impl Gathered {
    fn from(path: &Path, tests: Tests) -> Result<Gathered, Diagnostics> {
        let mut gathered = Gathered::default();
        let mut paths = source::policies(path)?;
        if tests == Tests::Beside {
            paths.extend(source::tests(path)?);
        }
        for path in paths {
            if let Err(mistake) = gathered.lay(&path) {
                gathered.mistakes.push(*mistake);
            }
        }
        Ok(gathered)
    }

    /// Lays what `path` includes, and then the file itself, unless it is there already.
    fn lay(&mut self, path: &Path) -> Result<(), Box<Diagnostic>> {
        // What is not there has no other name.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(at) = self.open.iter().position(|open| *open == place) {
            let circle: Vec<_> = self.open[at..].iter().chain([&place]).map(|file| name_of(file)).collect();
            let message = format!("includes itself: {}", circle.join(" -> "));
            return Err(Box::new(refused(path, &message, "a base includes nothing that stands on it")));
        }
        if self.met.contains(&place) {
            return Ok(());
        }
        if self.met.len() == FILES_MAX {
            return Err(Box::new(refused(path, "one file too many", &format!("at most {FILES_MAX}"))));
        }
        self.met.push(place.clone());
        self.paths.push(path.to_owned());
        let file = source::file(path)?;
        self.open.push(place);
        if !file.is_test {
            self.lay_included_by(path, &file);
        }
        self.open.pop();
        self.files.push(file);
        Ok(())
    }

    fn lay_included_by(&mut self, path: &Path, file: &SourceFile) {
        let source = Source::of(&file.name, &file.text);
        // What is wrong with the text is told by whoever reads all of it.
        let Some(root) = document::parse(&file.text, 0, &Mistakes::new(&source)) else { return };
        let mistakes = Mistakes::new(&source);
        for (field, name) in include_of(&root, &mistakes).iter().flat_map(included) {
            let found = self.lay_included(&path.with_file_name(name));
            found.unwrap_or_else(|mistake| field.report(mistake));
        }
        self.mistakes.extend(mistakes.into_diagnostics().0);
    }

    fn lay_included(&mut self, path: &Path) -> Result<(), Mistake> {
        if source::is_test(path) {
            let mistake = Mistake::new("a file of tests is not included");
            return Err(mistake.hint("`plimsoll policy test` reads those beside the policy"));
        }
        self.lay(path).map_err(|diagnostic| {
            let hint = diagnostic.hint.clone().unwrap_or_default();
            Mistake::of(diagnostic.rule, Diagnostic { hint: None, ..*diagnostic }.to_string()).hint(hint)
        })
    }
}

/// The field `include:` of a file, if it has one.
fn include_of<'n>(root: &'n Node, mistakes: &'n Mistakes<'n>) -> Option<Field<'n>> {
    let Value::Map(entries) = &root.value else { return None };
    let has_one = entries.iter().any(|entry| entry.key == KEY);
    has_one.then(|| Field::root(root, mistakes).section()?.get(KEY)).flatten()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn refused(path: &Path, message: &str, hint: &str) -> Diagnostic {
    Diagnostic { rule: INVALID_VALUE, ..source::diagnostic(path, message, hint) }
}
