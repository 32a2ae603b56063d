//! Mistakes for people: the place, the line, a caret below what is wrong, what to write instead.
//!
//! The first line of each is `file:line:column: error: ...`, which editors and terminals make a
//! link of.

use std::path::Path;

use super::corpus::Coverage;
use super::{Checked, count};
use crate::cli::policy::note_on;
use crate::yaml::diagnostic::{Diagnostic, Severity};

/// Prints what was found to standard error and what is good to standard output.
pub(super) fn print(checked: &[Checked]) {
    for file in checked {
        for one in &file.found {
            eprintln!("{}", rendered(one));
        }
        match (&file.policy, count(file, Severity::Warning)) {
            (Some(policy), warnings) => println!(
                "{}: ok, {} classes, {} routes{}",
                file.name,
                policy.classes.len(),
                policy.routes.routes().len(),
                if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) },
            ),
            (None, _) => {
                let errors = counted(count(file, Severity::Error), "error");
                eprint!("{}: {errors}\n{}", file.name, note_on(Path::new(&file.name)));
            }
        }
        if let Some(coverage) = &file.coverage {
            println!("{}", reached(coverage));
        }
    }
}

fn reached(coverage: &Coverage) -> String {
    let Coverage { requests, bad_lines, routes_reached, routes_untold } = coverage;
    format!(
        "  {requests} requests ({bad_lines} more lines are none) reach {}; {} for what a log does not tell",
        counted(*routes_reached, "route"),
        if *routes_untold == 1 { "1 asks".to_owned() } else { format!("{routes_untold} ask") },
    )
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn rendered(one: &Diagnostic) -> String {
    let place = one.position.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
    let key = if one.key.is_empty() { String::new() } else { format!("{}: ", one.key) };
    let mut text = format!("{}{place}: {}: {key}{}\n", one.file, one.severity.name(), one.message);
    let hint = one.hint.as_deref().unwrap_or_default();
    match (one.position, &one.line_text) {
        (Some((line, column)), Some(source)) => text.push_str(&snippet(line, column, source, hint)),
        _ if !hint.is_empty() => text.push_str(&format!("  {hint}\n")),
        _ => {}
    }
    text
}

/// The line and a caret below the word at `column`, with the hint behind it.
fn snippet(line: usize, column: usize, source: &str, hint: &str) -> String {
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    // Tabs stay tabs, so that the caret stands below its word however wide they are shown.
    let pad = |letter| if letter == '\t' { '\t' } else { ' ' };
    let before: String = source.chars().take(column - 1).map(pad).collect();
    let rest: String = source.chars().skip(column - 1).collect();
    let caret = "^".repeat(word_length(&rest));
    let below = format!("  {margin} | {before}{caret} {hint}");
    format!("  {number} | {source}\n{}\n", below.trim_end())
}

/// How many characters the word at the start of `rest` has; at least one.
fn word_length(rest: &str) -> usize {
    let quote = rest.chars().next().filter(|letter| matches!(letter, '"' | '\''));
    let end = match quote {
        Some(quote) => rest.chars().skip(1).position(|letter| letter == quote).map(|at| at + 2),
        None => rest.chars().position(|letter| letter.is_whitespace() || ":,]}".contains(letter)),
    };
    end.unwrap_or(rest.chars().count()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile::compile;
    use crate::yaml::source::Source;

    #[test]
    fn a_caret_stands_below_what_is_wrong() {
        let text = "version: 1\nclasses:\n  cart: { slo: { latency: 800 } }\n";
        let found = compile(&Source::of("shop.yaml", text)).unwrap_err();
        assert_eq!(
            rendered(&found.0[0]),
            "shop.yaml:3:27: error: classes.cart.slo.latency: `800` has no unit\n  \
             3 |   cart: { slo: { latency: 800 } }\n    \
               |                           ^^^ write 800ms or 800s\n"
        );
    }

    #[test]
    fn a_mistake_beyond_the_text_has_one_caret() {
        assert_eq!(snippet(1, 1, "", "write something"), "  1 | \n    | ^ write something\n");
        assert_eq!(snippet(12, 4, "\ta: \"é x\"", ""), "  12 | \ta: \"é x\"\n     | \t  ^\n");
        assert_eq!(word_length("\"é x\" }"), 5);
    }
}
