//! One layout for operators' YAML: spaces are laid out, lines are their author's.
//!
//! The layout is pretty_yaml's, the one that dprint has, with two differences: what is in one line stays in one,
//! a list that fills several stays as it fills them, and comments that stand apart keep their column. A policy is
//! read as a table of routes, and its author knows what belongs together.
//!
//! The result is not believed: it must say what the text said, to the parser that reads policies, or the text is
//! left as it is. It knows no key.

use std::fmt::Write as _;

use pretty_yaml::config::{FormatOptions, LayoutOptions};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use yaml_parser::SyntaxKind;

/// No line is broken that its author did not break.
const WIDTH: usize = u16::MAX as usize;
/// A comment this far from what it is about stands in a column of its own.
const APART: usize = 2;
/// What stands for a list while everything around it is laid out. Where an author uses it, the text is left as it is.
const STAND_IN: &str = "plimsoll-lays-out-";

/// Why a text is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unformatted {
    /// It cannot be read.
    #[error("{line}: not YAML: {reason}")]
    NoYaml {
        /// The line, from one.
        line: usize,
        /// What is in the way.
        reason: String,
    },
    /// It can be read, but not laid out.
    #[error("1: cannot be laid out: {0}")]
    NoLayout(String),
    /// What it says would change.
    #[error("1: laid out, it would say something else; it is left as it is")]
    Changed,
}

/// Lays `text` out.
///
/// # Errors
/// It is no YAML, or would not say the same.
pub fn format(text: &str) -> Result<String, Unformatted> {
    let before = said(text)?;
    let (outline, filled) = outline(text)?;
    let layout = LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() };
    let options = FormatOptions { layout, ..FormatOptions::default() };
    let outline = pretty_yaml::format_text(&outline, &options).map_err(no_layout)?;
    let formatted = with_comments_apart(&with_filled(outline, &filled), text)?;
    if said(&formatted).as_ref() == Ok(&before) { Ok(formatted) } else { Err(Unformatted::Changed) }
}

fn no_layout(error: impl ToString) -> Unformatted {
    Unformatted::NoLayout(error.to_string())
}

/// A list or map in brackets that fills several lines, and the column of its first bracket.
struct Filled {
    text: String,
    column: usize,
}

/// The text with a word instead of each list that fills several lines. One that begins with a line break is laid
/// out an item a line, and is not among them.
fn outline(text: &str) -> Result<(String, Vec<Filled>), Unformatted> {
    let tree = yaml_parser::parse(text).map_err(no_layout)?;
    let (mut outline, mut filled, mut end) = (String::new(), Vec::new(), 0);
    let lists =
        tree.descendants().filter(|node| matches!(node.kind(), SyntaxKind::FLOW_SEQ | SyntaxKind::FLOW_MAP));
    for list in lists {
        let start = usize::from(list.text_range().start());
        let of_list = list.to_string();
        let is_filled = of_list.lines().count() > 1
            && of_list.lines().next().is_some_and(|first| !first[1..].trim_start().is_empty());
        if start < end || !is_filled {
            continue;
        }
        outline.push_str(&text[end..start]);
        write!(outline, "{STAND_IN}{}-", filled.len()).expect("a string takes what is written");
        end = start + of_list.len();
        filled.push(Filled { column: column(text, start), text: of_list });
    }
    outline.push_str(&text[end..]);
    Ok((outline, filled))
}

/// The lists back in their places, each moved sideways with its first line.
fn with_filled(mut outline: String, filled: &[Filled]) -> String {
    for (number, Filled { text, column: before }) in filled.iter().enumerate() {
        let stand_in = format!("{STAND_IN}{number}-");
        let Some(at) = outline.find(&stand_in) else { continue };
        let now = column(&outline, at);
        let moved = text.lines().enumerate().map(|(line, text)| match line {
            0 => text.trim_end().to_owned(),
            _ => {
                let indent = text.len() - text.trim_start().len();
                format!("{}{}", " ".repeat((indent + now).saturating_sub(*before)), text.trim())
            }
        });
        let moved = moved.collect::<Vec<_>>().join("\n");
        outline.replace_range(at..at + stand_in.len(), &moved);
    }
    outline
}

/// A comment: where it begins, in bytes and in its line, and how far from what it is about.
struct Comment {
    start: usize,
    column: usize,
    gap: usize,
}

/// The comments of `text` that stood apart before are back in their columns, where what they are about leaves room.
fn with_comments_apart(text: &str, before: &str) -> Result<String, Unformatted> {
    let (now, before) = (comments(text)?, comments(before)?);
    if now.len() != before.len() {
        return Err(Unformatted::Changed);
    }
    let (mut aligned, mut end) = (String::new(), 0);
    for (comment, before) in now.iter().zip(&before).filter(|(_, before)| before.gap >= APART) {
        aligned.push_str(&text[end..comment.start]);
        aligned.push_str(&" ".repeat(before.column.saturating_sub(comment.column)));
        end = comment.start;
    }
    aligned.push_str(&text[end..]);
    Ok(aligned)
}

fn comments(text: &str) -> Result<Vec<Comment>, Unformatted> {
    let tree = yaml_parser::parse(text).map_err(no_layout)?;
    let tokens = tree.descendants_with_tokens().filter_map(|element| element.into_token());
    let comments = tokens.filter(|token| token.kind() == SyntaxKind::COMMENT).map(|token| {
        let start = usize::from(token.text_range().start());
        let line = text[..start].rsplit('\n').next().unwrap_or_default();
        let about = line.trim_end();
        let gap = if about.is_empty() { 0 } else { line.len() - about.len() };
        Comment { start, column: column(text, start), gap }
    });
    Ok(comments.collect())
}

/// How many characters stand before a byte in its line.
fn column(text: &str, at: usize) -> usize {
    text[..at].chars().rev().take_while(|character| *character != '\n').count()
}

/// What a text says, wherever it stands and whichever quotes are around it.
fn said(text: &str) -> Result<Vec<Event<'_>>, Unformatted> {
    let unreadable = |error: ScanError| Unformatted::NoYaml {
        line: error.marker().line(),
        reason: error.info().to_owned(),
    };
    let events = Parser::new_from_str(text);
    events.map(|event| event.map(|(event, _)| in_double_quotes(event)).map_err(unreadable)).collect()
}

fn in_double_quotes(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Scalar(text, ScalarStyle::SingleQuoted, anchor, tag) => {
            Event::Scalar(text, ScalarStyle::DoubleQuoted, anchor, tag)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_are_laid_out_and_comments_kept() {
        let text = "# first\nversion:   1 # one\n\n\n\nclasses:\n    # of a\n    a:  {rank: 0,floor:   20% }   \n    b:\n        slo: { latency: 1s }    # why\nroutes:\n- {path: ['/a' ,  /b],class:  a}\n  # last\n";
        let expected = "# first\nversion: 1 # one\n\nclasses:\n  # of a\n  a: { rank: 0, floor: 20% }\n  b:\n    slo: { latency: 1s }        # why\nroutes:\n  - { path: [\"/a\", /b], class: a }\n# last\n";
        assert_eq!(format(text).unwrap(), expected);
        assert_eq!(format(expected).unwrap(), expected);
    }

    #[test]
    fn lines_are_their_authors() {
        let long = format!("routes: [{}]\n", vec!["/abc"; 60].join(", "));
        assert_eq!(format(&long).unwrap(), long);
        let filled =
            "routes:\n    - path: [a,\n             b, # why\n             c]    # last\n      class:  x\n";
        let expected =
            "routes:\n  - path: [a,\n           b, # why\n           c]      # last\n    class: x\n";
        assert_eq!(format(filled).unwrap(), expected);
        assert_eq!(format(expected).unwrap(), expected);
        assert_eq!(format("a: [\n b, c]\n").unwrap(), "a: [\n  b,\n  c,\n]\n");
    }

    #[test]
    fn comments_apart_keep_their_column_where_there_is_room() {
        let text =
            "a:  1      # one\nbé:    2     # two\nlonger: {x: 1,y: 2}  # three\n# alone\nc:  3 # near\n";
        let expected =
            "a: 1       # one\nbé: 2        # two\nlonger: { x: 1, y: 2 } # three\n# alone\nc: 3 # near\n";
        assert_eq!(format(text).unwrap(), expected);
        assert_eq!(format(expected).unwrap(), expected);
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        let error = format("a: 1\nb: [\n").unwrap_err();
        assert!(matches!(&error, Unformatted::NoYaml { line, .. } if *line >= 2), "{error}");
    }

    #[test]
    fn quotes_that_make_a_word_of_a_number_are_no_matter_of_layout() {
        assert_ne!(said("a: '1'"), said("a: 1"));
        assert_eq!(said("a: '1'"), said("a: \"1\""));
    }
}
