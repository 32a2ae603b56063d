//! What is wrong with a policy, where, and what to write instead.
//!
//! Reading goes on after a mistake, so that an operator sees all of them at once.
//! An error keeps a policy from being applied; a warning is about one that can be,
//! but hardly means what it says. How they are shown is the command line's.

use std::cell::RefCell;
use std::fmt;

use super::source::Source;

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

/// Whether a policy can be applied in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but hardly does what its author wants.
    Warning,
}

impl Severity {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A kind of mistake: a stable name for scripts and code scanning, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In lower case with hyphens.
    pub name: &'static str,
    /// A sentence.
    pub means: &'static str,
}

/// A file that cannot be had.
pub const UNREADABLE: Rule = Rule { name: "unreadable", means: "A file cannot be read." };
/// A text that is no YAML, or YAML of a kind that is refused.
pub const NOT_YAML: Rule =
    Rule { name: "not-yaml", means: "The text is not the YAML a policy is written in." };
/// A key that does not exist.
pub const UNKNOWN_KEY: Rule = Rule { name: "unknown-key", means: "There is no such key." };
/// A name that nothing has.
pub const UNKNOWN_NAME: Rule = Rule { name: "unknown-name", means: "Nothing has this name." };
/// A key that has to be there.
pub const MISSING_KEY: Rule = Rule { name: "missing-key", means: "A required key is missing." };
/// A key that is there twice.
pub const DUPLICATE_KEY: Rule = Rule { name: "duplicate-key", means: "A key stands twice in one mapping." };
/// A key of an overlay without a value.
pub const SAYS_NOTHING: Rule =
    Rule { name: "says-nothing", means: "A key of an overlay has no value, and what is below it stays." };
/// A value of the wrong type, unit or range, or one that contradicts another.
pub const INVALID_VALUE: Rule = Rule {
    name: "invalid-value",
    means: "A value has the wrong type, unit or range, or contradicts another.",
};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is.
    pub rule: Rule,
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
    /// The line it stands in, unless the whole file is meant.
    pub line_text: Option<String>,
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
pub struct Mistake {
    /// Of which kind it is.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

impl Mistake {
    /// A value that cannot stand here.
    pub fn new(message: impl Into<String>) -> Mistake {
        Mistake { rule: INVALID_VALUE, message: message.into(), hint: None }
    }

    /// A mistake of this kind.
    pub fn of(rule: Rule, message: impl Into<String>) -> Mistake {
        Mistake { rule, ..Mistake::new(message) }
    }

    /// The same, with what to write instead.
    pub fn hint(self, hint: impl Into<String>) -> Mistake {
        Mistake { hint: Some(hint.into()), ..self }
    }

    /// An unknown `name` where one of `known` should stand.
    pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Mistake {
        let known: Vec<&str> = known.collect();
        let mistake = Mistake::of(UNKNOWN_NAME, format!("unknown {what} `{name}`"));
        match nearest(name, &known) {
            Some(near) => mistake.hint(format!("did you mean `{near}`?")),
            None => mistake.hint(format!("one of: {}", known.join(", "))),
        }
    }
}

/// The known name that `name` is likely a slip of.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this similarity a suggestion confuses more than it helps.
    const SIMILARITY_MIN: f64 = 0.75;
    let scored = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILARITY_MIN).then_some(best.1)
}

/// Collects the mistakes of one reading of a source.
#[derive(Debug)]
pub(crate) struct Mistakes<'s> {
    source: &'s Source,
    found: RefCell<Vec<(Mark, Diagnostic)>>,
}

impl<'s> Mistakes<'s> {
    pub(crate) fn new(source: &'s Source) -> Mistakes<'s> {
        Mistakes { source, found: RefCell::default() }
    }

    pub(crate) fn file(&self, mark: Mark) -> &str {
        &self.source.files[mark.file].name
    }

    pub(crate) fn report(&self, mark: Mark, key: &str, mistake: Mistake) {
        self.record(Severity::Error, mark, key, mistake);
    }

    pub(crate) fn warn(&self, mark: Mark, key: &str, mistake: Mistake) {
        self.record(Severity::Warning, mark, key, mistake);
    }

    fn record(&self, severity: Severity, mark: Mark, key: &str, mistake: Mistake) {
        let Mistake { rule, message, hint } = mistake;
        let file = &self.source.files[mark.file];
        let diagnostic = Diagnostic {
            severity,
            rule,
            file: file.name.clone(),
            position: Some((mark.line, mark.column)),
            key: key.to_owned(),
            message,
            hint,
            line_text: file.text.lines().nth(mark.line - 1).map(str::to_owned),
        };
        self.found.borrow_mut().push((mark, diagnostic));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// What was found, in the order of the text.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(mark, _)| (mark.file, mark.line, mark.column));
        Diagnostics(found.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }
}
