//! The text of a policy as a tree that knows where everything stands.
//!
//! Built from parser events rather than a loaded YAML value, because a mistake
//! needs the position of a key, a duplicate must be seen before it is overwritten,
//! and `800` and `99.9%` must arrive as they were written, not as guessed types.
//!
//! Aliases are refused: a policy is short enough to be written out, and a reader
//! on call should not have to chase anchors. It knows no key of the schema.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostic::{DUPLICATE_KEY, Mark, Mistake, Mistakes, NOT_YAML, SAYS_NOTHING, UNKNOWN_KEY};
use super::source::Source;

/// Deeper than any policy, shallow enough for recursion.
const DEPTH_MAX: usize = 32;

/// A piece of YAML and where it starts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

/// What a piece of YAML is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing: the key stands alone.
    Null,
    /// A scalar as written, without its quotes.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in their order.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) mark: Mark,
    pub(crate) node: Node,
}

impl Node {
    /// What stands here, in an operator's words.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Text(text) => format!("`{text}`"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// Lays `over` on top: mappings merge key by key, `routes` are tried before
    /// those below, a key that stands alone changes nothing, and anything else
    /// replaces what was there.
    fn overlaid_with(self, over: Node, mistakes: &Mistakes<'_>) -> Node {
        match (self.value, over.value) {
            (Value::Map(below), Value::Map(above)) => {
                Node { mark: self.mark, value: Value::Map(overlaid(below, above, mistakes)) }
            }
            (_, value) => Node { mark: over.mark, value },
        }
    }

    /// Puts the tests of a file of tests behind those of this policy.
    fn joined_by_tests(mut self, file: Node) -> Node {
        let (Value::Map(entries), Value::Map(added)) = (&mut self.value, file.value) else { return self };
        for entry in added.into_iter().filter(|entry| entry.key == "tests") {
            match (entries.iter_mut().find(|old| old.key == "tests"), entry.node.value) {
                (Some(Entry { node: Node { value: Value::List(tests), .. }, .. }), Value::List(more)) => {
                    tests.extend(more);
                }
                (_, value) => {
                    entries.retain(|old| old.key != "tests");
                    entries.push(Entry { node: Node { mark: entry.node.mark, value }, ..entry });
                }
            }
        }
        self
    }
}

fn overlaid(mut below: Vec<Entry>, above: Vec<Entry>, mistakes: &Mistakes<'_>) -> Vec<Entry> {
    for entry in above {
        let Some(at) = below.iter().position(|old| old.key == entry.key) else {
            below.push(entry);
            continue;
        };
        if matches!(entry.node.value, Value::Null) {
            // Somebody has commented out all that stood under it, which must not wipe the base.
            warn_of_nothing(&entry, &below[at].node, mistakes);
            continue;
        }
        let old = below.remove(at);
        let node = match (old.node.value, entry.node.value) {
            (Value::List(old), Value::List(mut first)) if entry.key == "routes" => {
                first.extend(old);
                Node { mark: entry.node.mark, value: Value::List(first) }
            }
            (below, above) => {
                let below = Node { mark: old.node.mark, value: below };
                below.overlaid_with(Node { mark: entry.node.mark, value: above }, mistakes)
            }
        };
        below.insert(at, Entry { node, ..entry });
    }
    below
}

/// A mapping or a list is named alone to say that it is there; a single value is not, so one was forgotten.
fn warn_of_nothing(entry: &Entry, below: &Node, mistakes: &Mistakes<'_>) {
    if matches!(below.value, Value::Text(_)) {
        let mistake = Mistake::of(SAYS_NOTHING, format!("no value, so {} below it stays", below.kind()));
        let place = format!("{}:{}", mistakes.file(below.mark), below.mark.line);
        mistakes.warn(entry.mark, &entry.key, mistake.hint(format!("write one, or leave it to {place}")));
    }
}

/// Reads all files of `source`, each laid over those before it; `None` if one of them cannot be read,
/// for what the others lack would then be reported as mistakes of theirs.
pub(crate) fn read(source: &Source, mistakes: &Mistakes<'_>) -> Option<Node> {
    let parsed = source.files.iter().enumerate().map(|(index, file)| {
        let root = parse(&file.text, index, mistakes)?;
        if file.is_test {
            check_test(&root, mistakes);
        }
        Some(root)
    });
    // Every file is parsed before one that failed ends it, so that all mistakes are told.
    let roots: Vec<Option<Node>> = parsed.collect();
    let roots = roots.into_iter().collect::<Option<Vec<Node>>>()?;
    let (tests, policies): (Vec<Node>, Vec<Node>) =
        roots.into_iter().partition(|root| source.files[root.mark.file].is_test);
    if let (Some(first), true) = (tests.first(), policies.is_empty()) {
        let mistake = Mistake::new("tests alone are no policy");
        mistakes.report(first.mark, "", mistake.hint("name the policy: its tests are read from beside it"));
    }
    let policy = policies.into_iter().reduce(|below, above| below.overlaid_with(above, mistakes))?;
    Some(tests.into_iter().fold(policy, Node::joined_by_tests))
}

/// A file of tests changes nothing: it is read by `policy test` alone.
fn check_test(root: &Node, mistakes: &Mistakes<'_>) {
    let Value::Map(entries) = &root.value else { return };
    for entry in entries.iter().filter(|entry| entry.key != "tests") {
        let mistake = Mistake::of(UNKNOWN_KEY, format!("`{}` in a file of tests", entry.key));
        mistakes.report(entry.mark, &entry.key, mistake.hint("it holds `tests:` and nothing else"));
    }
}

/// Reads the one document of file number `file`; `None` if that is impossible.
pub(crate) fn parse(text: &str, file: usize, mistakes: &Mistakes<'_>) -> Option<Node> {
    let mut builder = Builder { parser: Parser::new_from_str(text), file, mistakes };
    match builder.document() {
        Ok(Some(root)) => Some(root),
        Ok(None) => {
            let mistake = Mistake::of(NOT_YAML, "the file is empty").hint("write the keys it needs");
            mistakes.report(Mark { file, line: 1, column: 1 }, "", mistake);
            None
        }
        Err(Failure { mark, mistake }) => {
            let tab = text
                .lines()
                .nth(mark.line - 1)
                .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
            let mistake = if tab { mistake.hint("indent with spaces, not tabs") } else { mistake };
            mistakes.report(mark, "", mistake);
            None
        }
    }
}

/// The text cannot be read any further.
struct Failure {
    mark: Mark,
    mistake: Mistake,
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    file: usize,
    mistakes: &'t Mistakes<'t>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Option<Node>, Failure> {
        let mut root = None;
        loop {
            let (event, mark) = self.next()?;
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(root),
                _ if root.is_some() => {
                    let mistake = Mistake::of(NOT_YAML, "a second document")
                        .hint("one file holds one policy: remove `---`");
                    return Err(Failure { mark, mistake });
                }
                event => {
                    root = Some(self.node(event, mark, 0)?).filter(|node| !matches!(node.value, Value::Null))
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Mark), Failure> {
        match self.parser.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, self.mark(&start))),
            Some(Err(error)) => Err(self.not_yaml(&error)),
            None => Ok((Event::StreamEnd, Mark { file: self.file, line: 1, column: 1 })),
        }
    }

    fn mark(&self, marker: &saphyr_parser::Marker) -> Mark {
        Mark { file: self.file, line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn not_yaml(&self, error: &ScanError) -> Failure {
        let mistake = Mistake::of(NOT_YAML, format!("not YAML: {}", error.info()));
        Failure { mark: self.mark(error.marker()), mistake }
    }

    fn node(&mut self, event: Event<'t>, mark: Mark, depth: usize) -> Result<Node, Failure> {
        if depth > DEPTH_MAX {
            return Err(Failure { mark, mistake: Mistake::of(NOT_YAML, "nested too deeply") });
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            Event::Alias(_) => {
                let mistake = Mistake::of(NOT_YAML, "an alias (`*name`)").hint("write the value out");
                self.mistakes.report(mark, "", mistake);
                Value::Null
            }
            _ => return Err(Failure { mark, mistake: Mistake::of(NOT_YAML, "not YAML") }),
        };
        Ok(Node { mark, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Failure> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, mark) => items.push(self.node(event, mark, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Failure> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, mark) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let Value::Text(key) = self.node(event, mark, depth + 1)?.value else {
                let mistake = Mistake::of(NOT_YAML, "a key is a plain word");
                return Err(Failure { mark, mistake });
            };
            let (event, value_mark) = self.next()?;
            let node = self.node(event, value_mark, depth + 1)?;
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => {
                    let mistake = Mistake::of(DUPLICATE_KEY, "the key stands here a second time")
                        .hint(format!("the first is in line {}", first.mark.line));
                    self.mistakes.report(mark, &key, mistake);
                }
                None => entries.push(Entry { key, mark, node }),
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Value::Null,
        _ => Value::Text(text.to_owned()),
    }
}
