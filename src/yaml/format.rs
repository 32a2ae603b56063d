//! One layout for operators' YAML: two spaces a level, one between words, comments where they were.
//!
//! Lines stay lines and keep their order, so a difference between two revisions is one of meaning. The parser
//! says where each value stands; between the values there are only brackets, commas and comments, which are
//! written anew. What is more than that (anchors, tags, values of several lines) is refused.
//!
//! Nothing is believed: what comes out must read as what went in, with the same comments, and be laid out the same
//! once more; or it is refused as well. It knows no key.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// Spaces a level.
const LEVEL: usize = 2;
/// Spaces before a comment behind something, at least.
const BEFORE_COMMENT: usize = 2;

/// Why a text is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {reason}")]
pub struct Unformatted {
    /// The line, from one.
    pub line: usize,
    /// What is in the way.
    pub reason: String,
}

/// Lays `text` out.
///
/// # Errors
/// It is no YAML, or holds what this cannot keep.
pub fn format(text: &str) -> Result<String, Unformatted> {
    let formatted = laid_out(text)?;
    let whole = |what: &str| Unformatted { line: 1, reason: format!("it would lose {what}") };
    if said(&formatted).map_err(|_| whole("its shape"))? != said(text)? {
        return Err(whole("what it says"));
    }
    if comments(&formatted) != comments(text) {
        return Err(whole("a comment"));
    }
    if laid_out(&formatted).as_ref() != Ok(&formatted) {
        return Err(whole("its layout"));
    }
    Ok(formatted)
}

/// What a text says, wherever it stands.
fn said(text: &str) -> Result<Vec<Event<'_>>, Unformatted> {
    Ok(events(text)?.into_iter().map(|(event, _)| event).collect())
}

fn events(text: &str) -> Result<Vec<(Event<'_>, Span)>, Unformatted> {
    let unreadable = |error: saphyr_parser::ScanError| Unformatted {
        line: error.marker().line(),
        reason: format!("not YAML: {}", error.info()),
    };
    Parser::new_from_str(text).map(|event| event.map_err(unreadable)).collect()
}

/// Comments, as a second look at the text finds them.
fn comments(text: &str) -> Option<Vec<String>> {
    let plan = Plan::of(text).ok()?;
    let comment = |(number, line): (usize, &str)| plan.pieces(number, line).ok().map(|pieces| pieces.comment);
    let comments = text.lines().enumerate().filter_map(comment).flatten();
    Some(comments.map(|(_, comment)| comment.trim_end().to_owned()).collect())
}

fn laid_out(text: &str) -> Result<String, Unformatted> {
    let plan = Plan::of(text)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let mut was_blank = true;
    for (number, line) in lines.iter().enumerate() {
        let is_blank = line.trim().is_empty();
        if !(is_blank && was_blank) {
            out.push_str(plan.line(number, line)?.trim_end());
            out.push('\n');
        }
        was_blank = is_blank;
    }
    Ok(format!("{}\n", out.trim_end()))
}

/// Where things stand, and where they go.
struct Plan {
    /// By line: how far in it goes, if a key or an item of a block begins it.
    indents: Vec<Option<usize>>,
    /// By line: the values on it, from and to, in characters.
    values: Vec<Vec<(usize, usize)>>,
    /// By line: how far in it was.
    was: Vec<usize>,
}

/// A line, taken apart.
struct Pieces {
    /// Values and punctuation, in their order.
    words: Vec<String>,
    comment: Option<(usize, String)>,
}

impl Plan {
    fn of(text: &str) -> Result<Plan, Unformatted> {
        let was: Vec<usize> =
            text.lines().map(|line| line.len() - line.trim_start_matches(' ').len()).collect();
        let count = was.len() + 1;
        let mut plan = Plan { indents: vec![None; count], values: vec![Vec::new(); count], was };
        let lines: Vec<&str> = text.lines().collect();
        let events = events(text)?;
        let mut walk = Walk { plan: &mut plan, lines: &lines, events: events.iter() };
        walk.stream()?;
        Ok(plan)
    }

    /// How much further in a line goes: as much as the last one before it that begins a key or an item.
    fn shift(&self, number: usize) -> isize {
        let owner = (0..=number).rev().find_map(|line| Some((line, self.indents[line]?)));
        owner.map_or(0, |(line, indent)| indent as isize - self.was[line] as isize)
    }

    fn indent(&self, number: usize, is_comment: bool) -> usize {
        if let Some(indent) = self.indents[number] {
            return indent;
        }
        let next = || (number..self.was.len()).find_map(|line| Some((line, self.indents[line]?)));
        match next().filter(|(line, _)| is_comment && self.was[*line] == self.was[number]) {
            Some((_, indent)) => indent,
            None => self.was[number].saturating_add_signed(self.shift(number)),
        }
    }

    fn line(&self, number: usize, line: &str) -> Result<String, Unformatted> {
        let Pieces { words, comment } = self.pieces(number, line)?;
        let mut out = String::new();
        if !words.is_empty() || comment.is_some() {
            out.push_str(&" ".repeat(self.indent(number, words.is_empty())));
        }
        for (place, word) in words.iter().enumerate() {
            if place > 0 && has_gap(&words[place - 1], word) {
                out.push(' ');
            }
            out.push_str(word);
        }
        if let Some((column, comment)) = comment {
            if !words.is_empty() {
                // Where comments of several lines stand below each other, they go on to, if there is room.
                let gap = column.saturating_sub(out.chars().count()).max(BEFORE_COMMENT);
                out.push_str(&" ".repeat(gap));
            }
            out.push_str(&comment);
        }
        Ok(out)
    }

    fn pieces(&self, number: usize, line: &str) -> Result<Pieces, Unformatted> {
        let characters: Vec<char> = line.chars().collect();
        let text =
            |from: usize, to: usize| characters[from..to.min(characters.len())].iter().collect::<String>();
        let mut pieces = Pieces { words: Vec::new(), comment: None };
        let mut at = 0;
        while at < characters.len() {
            let value = self.values[number].iter().find(|(from, to)| *from == at && to > from);
            match (value, characters[at]) {
                (Some((from, to)), _) => {
                    pieces.words.push(text(*from, *to));
                    at = *to;
                }
                (None, ' ') => at += 1,
                (None, '#') => {
                    pieces.comment = Some((at, text(at, characters.len()).trim_end().to_owned()));
                    break;
                }
                (None, mark @ ('{' | '}' | '[' | ']' | ',' | ':' | '-')) => {
                    pieces.words.push(mark.to_string());
                    at += 1;
                }
                (None, other) => {
                    let reason = format!("`{other}` is not something that can be laid out");
                    return Err(Unformatted { line: number + 1, reason });
                }
            }
        }
        Ok(pieces)
    }
}

/// Whether a space stands between two pieces of a line.
fn has_gap(before: &str, after: &str) -> bool {
    !matches!((before, after), (_, "," | ":") | ("{", "}") | ("[", _) | (_, "]"))
}

/// Goes through the events once.
struct Walk<'p, 't, 'e> {
    plan: &'p mut Plan,
    lines: &'p [&'t str],
    events: std::slice::Iter<'e, (Event<'t>, Span)>,
}

impl<'t, 'e> Walk<'_, 't, 'e> {
    fn next(&mut self) -> Option<&'e (Event<'t>, Span)> {
        self.events.next()
    }

    fn stream(&mut self) -> Result<(), Unformatted> {
        let mut has_document = false;
        while let Some((event, span)) = self.next() {
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(is_explicit) if *is_explicit || has_document => {
                    return Err(refused(span, "`---` has no place in a policy"));
                }
                Event::DocumentStart(_) => has_document = true,
                event => self.node(event, span, Some(0))?,
            }
        }
        Ok(())
    }

    /// A node; `block` is how far in its keys or items go, if it may be a block.
    fn node(&mut self, event: &Event<'t>, span: &Span, block: Option<usize>) -> Result<(), Unformatted> {
        let block = block.filter(|_| !self.is_at(&span.start, &['{', '[']));
        match event {
            Event::Scalar(_, style, 0, None) => self.scalar(*style, span),
            Event::MappingStart(0, None) => self.mapping(block),
            Event::SequenceStart(0, None) => self.sequence(block),
            _ => Err(refused(span, "anchors, aliases and tags are not kept: write the value out")),
        }
    }

    fn mapping(&mut self, block: Option<usize>) -> Result<(), Unformatted> {
        while let Some((key, span)) = self.next() {
            if matches!(key, Event::MappingEnd) {
                break;
            }
            if !matches!(
                key,
                Event::Scalar(
                    _,
                    ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted,
                    0,
                    None
                )
            ) {
                return Err(refused(span, "a key is a plain word"));
            }
            self.node(key, span, None)?;
            if let Some(indent) = block {
                self.begin(span, indent);
            }
            let Some((value, span)) = self.next() else { break };
            self.node(value, span, block.map(|indent| indent + LEVEL))?;
        }
        Ok(())
    }

    fn sequence(&mut self, block: Option<usize>) -> Result<(), Unformatted> {
        while let Some((item, span)) = self.next() {
            if matches!(item, Event::SequenceEnd) {
                break;
            }
            if let Some(indent) = block {
                self.dash(span, indent)?;
            }
            self.node(item, span, block.map(|indent| indent + LEVEL))?;
        }
        Ok(())
    }

    /// Notes that a key begins its line, unless a dash does.
    fn begin(&mut self, span: &Span, indent: usize) {
        let line = span.start.line() - 1;
        if self.plan.was[line] == span.start.col() {
            self.plan.indents[line] = Some(indent);
        }
    }

    /// Notes that an item begins its line, with its dash.
    fn dash(&mut self, span: &Span, indent: usize) -> Result<(), Unformatted> {
        let line = span.start.line() - 1;
        let before: String = self.lines[line].chars().take(span.start.col()).collect();
        // The mark of a block within an item is its first key's, or the dash itself.
        if before.trim() == "-" || before.trim().is_empty() && self.is_at(&span.start, &['-']) {
            self.plan.indents[line] = Some(indent);
            return Ok(());
        }
        Err(refused(span, "an item begins on the line of its dash, and has one"))
    }

    fn scalar(&mut self, style: ScalarStyle, span: &Span) -> Result<(), Unformatted> {
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return Err(refused(span, "a block of text is not kept: write it in quotes"));
        }
        let (start, end) = (span.start, span.end);
        if end.line() > start.line() {
            return Err(refused(span, "a value of several lines is not kept: write it on one"));
        }
        // What is left out has a place, too, which may be behind the last line.
        if let Some(values) = self.plan.values.get_mut(start.line().saturating_sub(1)) {
            values.push((start.col(), end.col()));
        }
        Ok(())
    }

    fn is_at(&self, mark: &Marker, characters: &[char]) -> bool {
        let at = self.lines.get(mark.line().wrapping_sub(1)).and_then(|line| line.chars().nth(mark.col()));
        at.is_some_and(|character| characters.contains(&character))
    }
}

fn refused(span: &Span, reason: &str) -> Unformatted {
    Unformatted { line: span.start.line(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_laid_out_and_comments_kept() {
        let text = "\n\n# first\nversion:   1 # one\n\n\n\nclasses:\n    # of a\n    a:  {rank: 0,floor:   20% ,queue: {}}   \n\n    b:\n        slo: { latency: 1s }    # why\n                                # and why again\nroutes:\n- {path: ['/a' ,  /b#c],class:  a}\n-   path: /x   # x\n    class: \"b\"\n  # last\n\n\n";
        let expected = "# first\nversion: 1 # one\n".replace(" # one", "  # one")
            + "\nclasses:\n  # of a\n  a: { rank: 0, floor: 20%, queue: {} }\n\n  b:\n    slo: { latency: 1s }        # why\n                            # and why again\nroutes:\n  - { path: ['/a', /b#c], class: a }\n  - path: /x     # x\n    class: \"b\"\n    # last\n";
        let formatted = format(text).unwrap();
        assert_eq!(said(&formatted).unwrap(), said(text).unwrap());
        assert_eq!(format(&formatted).unwrap(), formatted);
        let without_columns = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(without_columns(&formatted), without_columns(&expected));
        for line in [
            "version: 1 # one",
            "version: 1   # one",
            "  a: { rank: 0, floor: 20%, queue: {} }",
            "  - { path: ['/a', /b#c], class: a }",
            "    class: \"b\"",
            "  # of a",
        ] {
            assert_eq!(
                formatted.contains(&format!("{line}\n")),
                line != "version: 1 # one",
                "{line}\n{formatted}"
            );
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_line() {
        for (text, line, reason) in [
            ("a: 1\nb: &x 2\n", 2, "anchors"),
            ("a: 1\nb: !!str 2\n", 2, "tags"),
            ("a: 1\nb: |\n  text\n", 2, "a block of text"),
            ("a: 1\nb: one\n  two\n", 2, "several lines"),
            ("a: 1\n---\nb: 1\n", 2, "`---`"),
            ("a: 1\n? b\n: c\n", 2, "`?`"),
        ] {
            let error = format(text).unwrap_err();
            assert!(error.reason.contains(reason) && error.line == line, "{text}: {error}");
        }
        assert!(format("a: [\n").unwrap_err().reason.contains("not YAML"));
    }

    #[test]
    fn a_list_that_is_written_over_several_lines_moves_as_a_whole() {
        let text = "a:\n     b: [one,\n         two,   # of them\n         three]\n";
        assert_eq!(format(text).unwrap(), "a:\n  b: [one,\n      two,      # of them\n      three]\n");
    }
}
