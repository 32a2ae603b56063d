//! One layout for operators' YAML: two spaces a level, comments kept.
//!
//! The layout is pretty_yaml's, the one that dprint has. Its result is not believed: it must say what the text
//! said, to the parser that reads policies, or the text is left as it is. It knows no key.

use pretty_yaml::config::{FormatOptions, LayoutOptions};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

/// As long as a line of this project's own policies may be.
const WIDTH: usize = 120;

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
    let layout = LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() };
    let options = FormatOptions { layout, ..FormatOptions::default() };
    let formatted =
        pretty_yaml::format_text(text, &options).map_err(|error| Unformatted::NoLayout(error.to_string()))?;
    if said(&formatted).as_ref() == Ok(&before) { Ok(formatted) } else { Err(Unformatted::Changed) }
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
        let expected = "# first\nversion: 1 # one\n\nclasses:\n  # of a\n  a: { rank: 0, floor: 20% }\n  b:\n    slo: { latency: 1s } # why\nroutes:\n  - { path: [\"/a\", /b], class: a }\n# last\n";
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
