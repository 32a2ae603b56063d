//! What a reader asks for, written down: the shape of a file, told by the code that reads it.
//!
//! A schema kept beside its reader drifts from it. Here the reader itself is run over
//! nothing, and whatever it asks a [`Field`] for is noted; so the
//! schema of a file is as right as its reading. What cannot be seen that way, because it
//! concerns two keys at once, is no part of it: the reader still finds it.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::diagnostic::{Mark, Mistakes};
use super::document::{self, Node};
use super::field::Field;
use super::source::Source;

/// What may stand at one place. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Outline(Rc<RefCell<Vec<Form>>>);

#[derive(Clone, Debug)]
enum Form {
    /// Any single value, or one of this pattern.
    Text(Option<&'static str>),
    /// A number of these bounds.
    Number { is_whole: bool, from: Value, to: Value },
    /// This word.
    Word(String),
    /// Nothing.
    Null,
    /// A list of these.
    List(Outline),
    /// As that other place.
    As(Outline),
    /// Keys of the operator's choice, each with this.
    Map(Outline),
    /// Known keys.
    Section(Vec<Key>),
}

#[derive(Clone, Debug)]
struct Key {
    name: &'static str,
    is_required: bool,
    outline: Outline,
}

/// What is known of a key besides its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// A sentence about it.
    pub description: Option<String>,
    /// What holds where it is left out.
    pub default: Option<String>,
}

impl Outline {
    /// What `read` asks the root of a file for.
    pub fn of(read: impl FnOnce(Field<'_>)) -> Outline {
        let source = Source::of("outline", "");
        let mistakes = Mistakes::new(&source);
        let nothing = Node { mark: Mark { file: 0, line: 1, column: 1 }, value: document::Value::Null };
        let outline = Outline::default();
        read(Field::outlined(&nothing, &mistakes, outline.clone()));
        outline
    }

    fn note(&self, form: Form) {
        self.0.borrow_mut().push(form);
    }

    pub(super) fn text(&self, pattern: Option<&'static str>) {
        self.note(Form::Text(pattern.filter(|pattern| !pattern.is_empty())));
    }

    pub(super) fn number(&self, is_whole: bool, from: &str, to: &str) {
        let bound = |text: &str| text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number);
        self.note(Form::Number { is_whole, from: bound(from), to: bound(to) });
    }

    pub(super) fn word(&self, word: &str) {
        self.note(Form::Word(word.to_owned()));
    }

    pub(super) fn null(&self) {
        self.note(Form::Null);
    }

    /// The place of an item.
    pub(super) fn list(&self) -> Outline {
        let item = Outline::default();
        self.note(Form::List(item.clone()));
        item
    }

    /// The place of an item, which may also stand alone.
    pub(super) fn list_or_one(&self) -> Outline {
        let item = self.list();
        self.note(Form::As(item.clone()));
        item
    }

    /// The place behind a key of the operator's choice.
    pub(super) fn map(&self) -> Outline {
        let value = Outline::default();
        self.note(Form::Map(value.clone()));
        value
    }

    /// Known keys stand here, even if none is asked for.
    pub(super) fn section(&self) {
        let mut forms = self.0.borrow_mut();
        if !forms.iter().any(|form| matches!(form, Form::Section(_))) {
            forms.push(Form::Section(Vec::new()));
        }
    }

    /// The place behind the key `name`.
    pub(super) fn key(&self, name: &'static str) -> Outline {
        self.with_key(name, |key| key.outline.clone())
    }

    /// Notes that the key `name` may not be missing.
    pub(super) fn require(&self, name: &'static str) {
        self.with_key(name, |key| key.is_required = true);
    }

    fn with_key<T>(&self, name: &'static str, act: impl FnOnce(&mut Key) -> T) -> T {
        self.section();
        let mut forms = self.0.borrow_mut();
        let keys = forms.iter_mut().find_map(|form| match form {
            Form::Section(keys) => Some(keys),
            _ => None,
        });
        let keys = keys.expect("the section was noted above");
        let place = keys.iter().position(|key| key.name == name).unwrap_or_else(|| {
            keys.push(Key { name, is_required: false, outline: Outline::default() });
            keys.len() - 1
        });
        act(&mut keys[place])
    }

    /// The JSON Schema of this place, whose path is `path`; `note_of` knows more of each path.
    pub fn schema(&self, path: &str, note_of: &impl Fn(&str) -> Note) -> Value {
        let Note { description, default } = note_of(path);
        let mut schema = self.forms(path, note_of);
        let fields = schema.as_object_mut().expect("a schema is an object");
        fields.extend(description.map(|text| ("description".to_owned(), Value::String(text))));
        fields.extend(default.map(|text| ("default".to_owned(), plain(&text))));
        schema
    }

    fn forms(&self, path: &str, note_of: &impl Fn(&str) -> Note) -> Value {
        let forms = self.0.borrow();
        let mut words: Vec<Value> = forms.iter().filter_map(Form::word).collect();
        // Readers of YAML 1.1 take `on` and `off` for booleans.
        let switches = [("on", true), ("off", false)];
        let taken = switches.into_iter().filter(|(word, _)| words.contains(&Value::from(*word)));
        words.extend(taken.map(|(_, switch)| Value::Bool(switch)).collect::<Vec<_>>());
        let others = forms.iter().filter(|form| form.word().is_none());
        let mut any: Vec<Value> = others.map(|form| form.schema(path, note_of)).collect();
        if !words.is_empty() {
            any.insert(0, json!({ "enum": words }));
        }
        match any.len() {
            0 => json!({}),
            1 => any.remove(0),
            _ => json!({ "anyOf": any }),
        }
    }
}

impl Form {
    fn word(&self) -> Option<Value> {
        let Form::Word(word) = self else { return None };
        Some(plain(word))
    }

    fn schema(&self, path: &str, note_of: &impl Fn(&str) -> Note) -> Value {
        match self {
            Form::Text(None) => json!({ "type": ["string", "number", "boolean"] }),
            Form::Text(Some(pattern)) => json!({ "type": "string", "pattern": pattern }),
            Form::Number { is_whole, from, to } => {
                let kind = if *is_whole { "integer" } else { "number" };
                json!({ "type": kind, "minimum": from, "maximum": to })
            }
            Form::Word(word) => json!({ "enum": [word] }),
            Form::Null => json!({ "type": "null" }),
            Form::List(item) => {
                json!({ "type": "array", "items": item.forms(&format!("{path}[]"), note_of) })
            }
            Form::As(other) => other.forms(path, note_of),
            Form::Map(value) => {
                json!({ "type": "object", "additionalProperties": value.schema(&below(path, "*"), note_of) })
            }
            Form::Section(keys) => section(keys, path, note_of),
        }
    }
}

fn section(keys: &[Key], path: &str, note_of: &impl Fn(&str) -> Note) -> Value {
    let property = |key: &Key| (key.name.to_owned(), key.outline.schema(&below(path, key.name), note_of));
    let properties: Map<String, Value> = keys.iter().map(property).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    if required.is_empty() {
        // A key that stands alone is a section with nothing but defaults.
        return json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A scalar as YAML 1.2 takes it: a number or a truth where it looks like one.
fn plain(text: &str) -> Value {
    match text.parse::<bool>() {
        Ok(truth) => Value::Bool(truth),
        Err(_) => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}
