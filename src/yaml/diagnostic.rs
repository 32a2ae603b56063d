//! What is wrong with a policy, where, and what to write instead.
//!
//! Reading goes on after a mistake, so that an operator sees all of them at once.

use std::cell::RefCell;
use std::fmt;

/// A place in a policy's files, both counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which of the files.
    pub(crate) file: usize,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file or directory.
    pub file: String,
    /// Line and column from one, unless the whole file is meant.
    pub position: Option<(usize, usize)>,
    /// The key, as in `classes.checkout.rank`; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Every mistake of a policy, in the order of its files and lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// A message and, where there is one, its hint: a mistake that does not know its place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(message: impl Into<String>) -> Mistake {
        Mistake { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Mistake {
        Mistake { hint: Some(hint.into()), ..self }
    }

    /// An unknown `name` where one of `known` should stand.
    pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Mistake {
        let known: Vec<&str> = known.collect();
        let mistake = Mistake::new(format!("unknown {what} `{name}`"));
        match nearest(name, &known) {
            Some(near) => mistake.hint(format!("did you mean `{near}`?")),
            None => mistake.hint(format!("one of: {}", known.join(", "))),
        }
    }
}

/// The known name that `name` is likely a slip of.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this similarity a suggestion confuses more than it helps.
    const SIMILARITY_MIN: f64 = 0.75;
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILARITY_MIN).then_some(best.1)
}

/// Collects the mistakes of one reading.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    files: Vec<String>,
    found: RefCell<Vec<(Mark, Diagnostic)>>,
}

impl Mistakes {
    pub(crate) fn new(files: Vec<String>) -> Mistakes {
        Mistakes { files, found: RefCell::default() }
    }

    pub(crate) fn file(&self, mark: Mark) -> &str {
        &self.files[mark.file]
    }

    pub(crate) fn report(&self, mark: Mark, key: &str, mistake: Mistake) {
        let Mistake { message, hint } = mistake;
        let position = Some((mark.line, mark.column));
        let file = self.files[mark.file].clone();
        let diagnostic = Diagnostic { file, position, key: key.to_owned(), message, hint };
        self.found.borrow_mut().push((mark, diagnostic));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// The mistakes in the order of the text.
    pub(crate) fn into_errors(self) -> Diagnostics {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(mark, _)| (mark.file, mark.line, mark.column));
        Diagnostics(found.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }
}
