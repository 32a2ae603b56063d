//! Typed reading of a policy's tree, mistakes collected on the way.
//!
//! A reader asks a [`Section`] for the keys it knows; whatever nobody asked for is
//! unknown, so the schema is written once, where it is read. A getter answers
//! `None` both for an absent key and for a mistake, which is then on record.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::diagnostic::{MISSING_KEY, Mark, Mistake, Mistakes, UNKNOWN_KEY};
use super::document::{Entry, Node, Value};

/// A value with its place and its key path.
#[derive(Clone, Debug)]
pub(crate) struct Field<'n> {
    node: &'n Node,
    /// Where a mistake is shown: at a single value, or at the key of anything larger.
    mark: Mark,
    key: String,
    mistakes: &'n Mistakes<'n>,
}

/// A mapping of known keys.
pub(crate) struct Section<'n> {
    field: Field<'n>,
    entries: &'n [Entry],
    asked: RefCell<Vec<&'static str>>,
}

impl<'n> Field<'n> {
    pub(crate) fn root(node: &'n Node, mistakes: &'n Mistakes<'n>) -> Field<'n> {
        Field { node, mark: node.mark, key: String::new(), mistakes }
    }

    /// `file:line`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.mistakes.file(self.mark), self.mark.line)
    }

    pub(crate) fn report(&self, mistake: Mistake) {
        self.mistakes.report(self.mark, &self.key, mistake);
    }

    /// Says that this can be applied, but hardly means what it says.
    pub(crate) fn warn(&self, mistake: Mistake) {
        self.mistakes.warn(self.mark, &self.key, mistake);
    }

    fn expected(&self, what: &str, example: &str) {
        let mistake = Mistake::new(format!("expected {what}, found {}", self.node.kind()));
        self.report(mistake.hint(format!("for example {example}")));
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.value, Value::Text(text) if text == word)
    }

    pub(crate) fn text(&self) -> Option<&'n str> {
        let Value::Text(text) = &self.node.value else {
            self.expected("a single value", "`key: value`");
            return None;
        };
        Some(text)
    }

    /// The text, read by `parse`.
    pub(crate) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, Mistake>) -> Option<T> {
        parse(self.text()?).map_err(|mistake| self.report(mistake)).ok()
    }

    pub(crate) fn number<T: FromStr + PartialOrd + Display>(&self, range: RangeInclusive<T>) -> Option<T> {
        let text = self.text()?;
        let bounds = format!("a number from {} to {}", range.start(), range.end());
        let mistake = match text.parse::<T>() {
            Ok(number) if range.contains(&number) => return Some(number),
            Ok(_) => Mistake::new(format!("{text} is out of range")),
            Err(_) => Mistake::new(format!("`{text}` is not a number of this kind")),
        };
        self.report(mistake.hint(bounds));
        None
    }

    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            self.report(Mistake::unknown("value", text, choices.iter().map(|(name, _)| *name)));
        }
        found
    }

    pub(crate) fn switch(&self) -> Option<bool> {
        self.choice(&[("on", true), ("off", false)])
    }

    pub(crate) fn list(&self) -> Vec<Field<'n>> {
        let Value::List(items) = &self.node.value else {
            self.expected("a list", "`[one, two]`");
            return Vec::new();
        };
        let field = |(index, node): (usize, &'n Node)| {
            let key = format!("{}[{index}]", self.key);
            Field { node, mark: node.mark, key, mistakes: self.mistakes }
        };
        items.iter().enumerate().map(field).collect()
    }

    /// A list, or one item without its brackets.
    pub(crate) fn list_or_one(&self) -> Vec<Field<'n>> {
        if matches!(self.node.value, Value::Text(_)) { vec![self.clone()] } else { self.list() }
    }

    /// Keys of the operator's choice.
    pub(crate) fn entries(&self) -> Option<Vec<(&'n str, Field<'n>)>> {
        let Value::Map(entries) = &self.node.value else {
            self.expected("a mapping", "`{ key: value }`");
            return None;
        };
        Some(entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect())
    }

    pub(crate) fn section(&self) -> Option<Section<'n>> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            // `checkout:` alone is a class with nothing but defaults.
            Value::Null => &[],
            Value::Text(_) | Value::List(_) => {
                self.expected("a mapping", "`{ key: value }`");
                return None;
            }
        };
        Some(Section { field: self.clone(), entries, asked: RefCell::default() })
    }

    fn child(&self, entry: &'n Entry) -> Field<'n> {
        let dot = if self.key.is_empty() { "" } else { "." };
        let Entry { key, mark, node } = entry;
        let mark = if matches!(node.value, Value::Text(_)) { node.mark } else { *mark };
        Field { node, mark, key: format!("{}{dot}{key}", self.key), mistakes: self.mistakes }
    }
}

impl<'n> Section<'n> {
    /// The value of `key`, unless it is absent.
    pub(crate) fn get(&self, key: &'static str) -> Option<Field<'n>> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.field.child(entry))
    }

    /// The value of `key`, whose absence is a mistake.
    pub(crate) fn require(&self, key: &'static str, example: &str) -> Option<Field<'n>> {
        let found = self.get(key);
        if found.is_none() {
            let mistake = Mistake::of(MISSING_KEY, format!("`{key}` is missing"));
            self.field.report(mistake.hint(format!("for example {example}")));
        }
        found
    }

    /// Reports the keys that nobody asked for: those the schema does not have.
    pub(crate) fn close(self) {
        let asked = self.asked.into_inner();
        for entry in self.entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let mistake = Mistake::unknown("key", &entry.key, asked.iter().copied());
            let mistake = Mistake { rule: UNKNOWN_KEY, ..mistake };
            let child = self.field.child(entry);
            self.field.mistakes.report(entry.mark, &child.key, mistake);
        }
    }
}
