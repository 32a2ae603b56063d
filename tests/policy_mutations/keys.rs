//! The keys of a policy's text, where they stand, and what stands behind them.
//!
//! Read with the YAML parser's own events and not with Plimsoll's tree: a test that asked the code
//! under test where a key stands would believe it.

use saphyr_parser::{Event, Parser, Span};

/// A scalar as it is written: `start..end` in bytes, quotes included.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// From one.
    pub(crate) line: usize,
}

/// What stands behind a key.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    Scalar(Scalar),
    /// A list of scalars only.
    Scalars(Vec<Scalar>),
    Other,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its path, with `*` for a name of the operator's choice and `[]` for a place in a list.
    pub(crate) path: String,
    pub(crate) key: Scalar,
    pub(crate) behind: Behind,
    /// Where the mapping that holds it starts, as a line from one.
    pub(crate) parent_line: usize,
}

/// All keys of `text`.
pub(crate) fn keys(text: &str) -> Vec<Key> {
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let events: Vec<(Event<'_>, Span)> =
        Parser::new_from_str(text).map(|event| event.expect("a shipped policy is YAML")).collect();
    let mut reader = Reader { text, starts, events, at: 0, found: Vec::new() };
    while !matches!(reader.events[reader.at].0, Event::MappingStart(..)) {
        reader.at += 1;
    }
    reader.node("", 1);
    reader.found
}

struct Reader<'t> {
    text: &'t str,
    starts: Vec<usize>,
    events: Vec<(Event<'t>, Span)>,
    at: usize,
    found: Vec<Key>,
}

impl Reader<'_> {
    /// Reads the node at `self.at`, whose path is `path`; `line` is that of its key.
    fn node(&mut self, path: &str, line: usize) -> Behind {
        match self.events[self.at].0 {
            Event::Scalar(..) => Behind::Scalar(self.scalar()),
            Event::MappingStart(..) => {
                self.at += 1;
                while !matches!(self.events[self.at].0, Event::MappingEnd) {
                    self.key(path, line);
                }
                self.at += 1;
                Behind::Other
            }
            Event::SequenceStart(..) => {
                self.at += 1;
                let mut scalars = Some(Vec::new());
                while !matches!(self.events[self.at].0, Event::SequenceEnd) {
                    let own_line = self.events[self.at].1.start.line();
                    match (self.node(&format!("{path}[]"), own_line), &mut scalars) {
                        (Behind::Scalar(scalar), Some(list)) => list.push(scalar),
                        _ => scalars = None,
                    }
                }
                self.at += 1;
                scalars.map_or(Behind::Other, Behind::Scalars)
            }
            ref other => panic!("{other:?} in a policy"),
        }
    }

    fn key(&mut self, parent: &str, parent_line: usize) {
        let key = self.scalar();
        let is_free = parent == "classes" || parent.ends_with(".headers") || parent.ends_with("[].headers");
        let is_free = is_free || parent == "schedules" || parent == "schedules.*.classes";
        let is_free = is_free || parent.ends_with(".query") || parent.ends_with("[].query");
        let name = if is_free { "*" } else { key.text.as_str() };
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        let place = self.found.len();
        self.found.push(Key { path: path.clone(), key: key.clone(), behind: Behind::Other, parent_line });
        let behind = self.node(&path, key.line);
        self.found[place].behind = behind;
    }

    fn scalar(&mut self) -> Scalar {
        let (Event::Scalar(text, ..), span) = &self.events[self.at] else {
            panic!("no scalar at {}", self.at)
        };
        self.at += 1;
        let offset = |marker: &saphyr_parser::Marker| {
            let start = self.starts[marker.line() - 1];
            let ends = self.text[start..].char_indices().map(|(at, _)| at).chain([self.text.len() - start]);
            start + ends.take(marker.col() + 1).last().unwrap_or(0)
        };
        let (start, end) = (offset(&span.start), offset(&span.end));
        Scalar { text: text.to_string(), start, end, line: span.start.line() }
    }
}
