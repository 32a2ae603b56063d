//! Typed reading of a policy's tree, mistakes collected on the way.
//!
//! A reader asks a [`Section`] for the keys it knows; whatever nobody asked for is
//! unknown, so the schema is written once, where it is read. A getter answers
//! `None` both for an absent key and for a mistake, which is then on record.
//!
//! The same reader, run over `Field::outlined`, reads nothing and has what it asks
//! for noted instead: every key is then there once, and holds no value.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::diagnostic::{MISSING_KEY, Mark, Mistake, Mistakes, UNKNOWN_KEY};
use super::document::{Entry, Node, Value};
use super::outline::Outline;
use super::units::Kind;

/// A value with its place and its key path.
#[derive(Clone, Debug)]
pub struct Field<'n> {
    node: &'n Node,
    /// Where a mistake is shown: at a single value, or at the key of anything larger.
    mark: Mark,
    key: String,
    mistakes: &'n Mistakes<'n>,
    /// Where to note what is asked for, instead of reading.
    outline: Option<Outline>,
}

/// The name of something, and where it is used.
#[derive(Clone, Debug)]
pub struct Named<'n> {
    /// Where it is used.
    pub field: Field<'n>,
    /// The name.
    pub name: &'n str,
}

/// A number that an operator may write.
pub trait Number: FromStr + PartialOrd + Display {
    /// Whether it has no decimals.
    const IS_WHOLE: bool;
}

impl Number for u8 {
    const IS_WHOLE: bool = true;
}
impl Number for u16 {
    const IS_WHOLE: bool = true;
}
impl Number for u32 {
    const IS_WHOLE: bool = true;
}
impl Number for u64 {
    const IS_WHOLE: bool = true;
}
impl Number for usize {
    const IS_WHOLE: bool = true;
}
impl Number for f32 {
    const IS_WHOLE: bool = false;
}
impl Number for f64 {
    const IS_WHOLE: bool = false;
}

/// A mapping of known keys.
pub struct Section<'n> {
    field: Field<'n>,
    entries: &'n [Entry],
    asked: RefCell<Vec<&'static str>>,
}

impl<'n> Field<'n> {
    pub(crate) fn root(node: &'n Node, mistakes: &'n Mistakes<'n>) -> Field<'n> {
        Field { node, mark: node.mark, key: String::new(), mistakes, outline: None }
    }

    /// A field that reads nothing and notes in `outline` what it is asked for.
    pub(crate) fn outlined(node: &'n Node, mistakes: &'n Mistakes<'n>, outline: Outline) -> Field<'n> {
        Field { outline: Some(outline), ..Field::root(node, mistakes) }
    }

    /// `file:line`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.mistakes.file(self.mark), self.mark.line)
    }

    /// The path of the file in which it stands; of a text in memory, its name.
    pub(crate) fn file(&self) -> &'n Path {
        Path::new(self.mistakes.file(self.node.mark))
    }

    /// Says that this is wrong.
    pub fn report(&self, mistake: Mistake) {
        self.mistakes.report(self.mark, &self.key, mistake);
    }

    /// Says that this can be applied, but hardly means what it says.
    pub fn warn(&self, mistake: Mistake) {
        self.mistakes.warn(self.mark, &self.key, mistake);
    }

    fn expected(&self, what: &str, example: &str) {
        let mistake = Mistake::new(format!("expected {what}, found {}", self.node.kind()));
        self.report(mistake.hint(format!("for example {example}")));
    }

    /// Whether the key stands alone.
    pub fn is_null(&self) -> bool {
        if let Some(outline) = &self.outline {
            outline.null();
            return false;
        }
        matches!(self.node.value, Value::Null)
    }

    /// Whether this word stands here.
    pub fn is_word(&self, word: &str) -> bool {
        if let Some(outline) = &self.outline {
            outline.word(word);
            return false;
        }
        matches!(&self.node.value, Value::Text(text) if text == word)
    }

    /// The text of a single value.
    pub fn text(&self) -> Option<&'n str> {
        if let Some(outline) = &self.outline {
            outline.text(None);
            return None;
        }
        self.scalar()
    }

    /// The text, unless it is the one word that may stand here.
    pub fn text_unless(&self, word: &str) -> Option<&'n str> {
        if let Some(outline) = &self.outline {
            outline.word(word);
            return None;
        }
        self.scalar().filter(|text| *text != word)
    }

    fn scalar(&self) -> Option<&'n str> {
        let Value::Text(text) = &self.node.value else {
            self.expected("a single value", "`key: value`");
            return None;
        };
        Some(text)
    }

    /// The text, read by `parse`.
    pub fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, Mistake>) -> Option<T> {
        parse(self.text()?).map_err(|mistake| self.report(mistake)).ok()
    }

    /// The text, which is a value of that kind.
    pub fn read_as<T>(&self, kind: &Kind<T>) -> Option<T> {
        if let Some(outline) = &self.outline {
            outline.text(Some(kind.pattern));
            return None;
        }
        self.parsed(kind.read)
    }

    /// What a single value reads as; `None` if a list or mapping stands here instead.
    pub fn single<T>(&self, kind: &Kind<T>) -> Option<Option<T>> {
        if let Some(outline) = &self.outline {
            outline.text(Some(kind.pattern));
            return None;
        }
        matches!(self.node.value, Value::Text(_)).then(|| self.parsed(kind.read))
    }

    /// The text, which is the name of something that the caller knows.
    pub fn named(self) -> Option<Named<'n>> {
        let name = self.text()?;
        Some(Named { field: self, name })
    }

    /// A number of this range.
    pub fn number<T: Number>(&self, range: RangeInclusive<T>) -> Option<T> {
        if let Some(outline) = &self.outline {
            outline.number(T::IS_WHOLE, &range.start().to_string(), &range.end().to_string());
            return None;
        }
        let text = self.scalar()?;
        let bounds = format!("a number from {} to {}", range.start(), range.end());
        let mistake = match text.parse::<T>() {
            Ok(number) if range.contains(&number) => return Some(number),
            Ok(_) => Mistake::new(format!("{text} is out of range")),
            Err(_) => Mistake::new(format!("`{text}` is not a number of this kind")),
        };
        self.report(mistake.hint(bounds));
        None
    }

    /// What the word that stands here means.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        if let Some(outline) = &self.outline {
            choices.iter().for_each(|(name, _)| outline.word(name));
            return None;
        }
        let text = self.scalar()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            self.report(Mistake::unknown("value", text, choices.iter().map(|(name, _)| *name)));
        }
        found
    }

    /// `on` or `off`.
    pub fn switch(&self) -> Option<bool> {
        self.choice(&[("on", true), ("off", false)])
    }

    /// The items of a list.
    pub fn list(&self) -> Vec<Field<'n>> {
        if let Some(outline) = &self.outline {
            return vec![self.noted(outline.list())];
        }
        let Value::List(items) = &self.node.value else {
            self.expected("a list", "`[one, two]`");
            return Vec::new();
        };
        let field = |(index, node): (usize, &'n Node)| {
            let key = format!("{}[{index}]", self.key);
            Field { node, mark: node.mark, key, mistakes: self.mistakes, outline: None }
        };
        items.iter().enumerate().map(field).collect()
    }

    /// A list, or one item without its brackets.
    pub fn list_or_one(&self) -> Vec<Field<'n>> {
        if let Some(outline) = &self.outline {
            return vec![self.noted(outline.list_or_one())];
        }
        if matches!(self.node.value, Value::Text(_)) { vec![self.clone()] } else { self.list() }
    }

    /// Keys of the operator's choice.
    pub fn entries(&self) -> Option<Vec<(&'n str, Field<'n>)>> {
        if let Some(outline) = &self.outline {
            return Some(vec![("any", self.noted(outline.map()))]);
        }
        let Value::Map(entries) = &self.node.value else {
            self.expected("a mapping", "`{ key: value }`");
            return None;
        };
        Some(entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect())
    }

    /// A mapping whose keys are known.
    pub fn section(&self) -> Option<Section<'n>> {
        if let Some(outline) = &self.outline {
            outline.section();
        }
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

    /// The same, where these words may stand as well.
    pub fn section_or(&self, words: &str) -> Option<Section<'n>> {
        if self.outline.is_none() && matches!(self.node.value, Value::Text(_)) {
            self.expected(&format!("{words} or a mapping"), "`{ key: value }`");
            return None;
        }
        self.section()
    }

    fn child(&self, entry: &'n Entry) -> Field<'n> {
        let dot = if self.key.is_empty() { "" } else { "." };
        let Entry { key, mark, node } = entry;
        let mark = if matches!(node.value, Value::Text(_)) { node.mark } else { *mark };
        Field { node, mark, key: format!("{}{dot}{key}", self.key), mistakes: self.mistakes, outline: None }
    }

    /// A field below this one, while an outline is made.
    fn noted(&self, outline: Outline) -> Field<'n> {
        Field { outline: Some(outline), ..self.clone() }
    }
}

impl<'n> Section<'n> {
    /// The value of `key`, unless it is absent.
    pub fn get(&self, key: &'static str) -> Option<Field<'n>> {
        if let Some(outline) = &self.field.outline {
            return Some(self.field.noted(outline.key(key)));
        }
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.field.child(entry))
    }

    /// The value of `key`, whose absence is a mistake.
    pub fn require(&self, key: &'static str, example: &str) -> Option<Field<'n>> {
        if let Some(outline) = &self.field.outline {
            outline.require(key);
        }
        let found = self.get(key);
        if found.is_none() {
            let mistake = Mistake::of(MISSING_KEY, format!("`{key}` is missing"));
            self.field.report(mistake.hint(format!("for example {example}")));
        }
        found
    }

    /// Whether no key stands in it.
    pub fn is_empty(&self) -> bool {
        self.field.outline.is_none() && self.entries.is_empty()
    }

    /// Reports the keys that nobody asked for: those the schema does not have.
    pub fn close(self) {
        let asked = self.asked.into_inner();
        for entry in self.entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let mistake = Mistake::unknown("key", &entry.key, asked.iter().copied());
            let mistake = Mistake { rule: UNKNOWN_KEY, ..mistake };
            let child = self.field.child(entry);
            self.field.mistakes.report(entry.mark, &child.key, mistake);
        }
    }
}
