//! The shape of a load, taken from a file of counts: a CSV, or numbers between spaces.
//!
//! A trace of a real site knows what no formula does: how steep a morning is, how
//! ragged a minute. Only its shape is used. Its mean becomes one, so that `load`
//! scales it, and its rows are spread over the phase, whatever time they stand for.
//!
//! It knows no dates: rows are taken as equally long.

use crate::units::Times;
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::units::Kind;
use std::path::Path;

/// A day in seconds times fifty: more than any trace has, and less than memory.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How a trace is named: `requests.csv`, or `requests.csv#rate` for one of its columns.
pub(super) const FILE: Kind<String> = Kind { pattern: r"^[^\[\]{}]+\.[a-z]+(#.+)?$", read: file };

fn file(text: &str) -> Result<String, Mistake> {
    let path = text.split('#').next().unwrap_or_default();
    match Path::new(path).extension() {
        Some(_) => Ok(text.to_owned()),
        None => Err(Mistake::new(format!("`{text}` is no shape"))
            .hint("a list like [0.5x, 2x, 1x], or a file like requests.csv#rate")),
    }
}

/// The shape that a file beside the scenario has, in at most `parts_max` parts.
pub(super) fn shape(name: &str, directory: &Path, parts_max: usize) -> Result<Vec<Times>, Mistake> {
    let (file, column) = name.split_once('#').map_or((name, None), |(file, column)| (file, Some(column)));
    let path = directory.join(file);
    let unreadable = |error: std::io::Error| {
        let mistake = Mistake::new(format!("cannot read the trace {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::InvalidData => mistake.hint("it is no text: unpack it first"),
            _ => mistake.hint("the path is relative to the scenario's"),
        }
    };
    if std::fs::metadata(&path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(Mistake::new("the trace is too long").hint("at most 256 MiB: cut it"));
    }
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let counts = counts(&text, column)?;
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    if mean <= 0.0 {
        return Err(Mistake::new("the trace is of no load at all").hint("one number must be above zero"));
    }
    Ok(averaged(&counts, parts_max).map(|count| Times(count / mean)).collect())
}

/// The numbers of one column, the last one unless it is named; of a file of one line, all numbers.
fn counts<'t>(text: &'t str, column: Option<&str>) -> Result<Vec<f64>, Mistake> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let heading = fields(lines.peek().copied().unwrap_or_default());
    let place = match column {
        Some(name) => match heading.iter().position(|field| *field == name) {
            Some(place) => Some(place),
            None => return Err(Mistake::unknown("column", name, heading.iter().copied())),
        },
        None => None,
    };
    let has_heading = heading.iter().all(|field| number(field).is_none());
    let rows: Vec<(usize, &'t str)> = lines.enumerate().skip(usize::from(has_heading)).collect();
    let chosen: Vec<(usize, Option<&'t str>)> = match rows.as_slice() {
        [] => return Err(Mistake::new("the trace holds no numbers").hint("one number a line, or a CSV")),
        [(_, only)] if !has_heading => fields(only).into_iter().map(|field| (0, Some(field))).collect(),
        rows => {
            let pick = |(line, row): &(usize, &'t str)| {
                let fields = fields(row);
                (*line, fields.get(place.unwrap_or(fields.len().saturating_sub(1))).copied())
            };
            rows.iter().map(pick).collect()
        }
    };
    let read = |(line, field): (usize, Option<&str>)| {
        let field = field.unwrap_or_default();
        let message = || Mistake::new(format!("line {} of the trace: `{field}` is no count", line + 1));
        number(field).ok_or_else(|| message().hint("a number of zero or more"))
    };
    chosen.into_iter().map(read).collect()
}

fn fields(line: &str) -> Vec<&str> {
    let is_separator = |letter: char| letter == ',' || letter == ';' || letter.is_whitespace();
    line.split(is_separator).map(|field| field.trim_matches('"')).filter(|field| !field.is_empty()).collect()
}

fn number(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

/// At most `parts_max` means of as many counts each, as nearly as can be.
fn averaged(counts: &[f64], parts_max: usize) -> impl Iterator<Item = f64> {
    let parts = counts.len().min(parts_max);
    (0..parts).map(move |part| {
        let (from, to) = (part * counts.len() / parts, (part + 1) * counts.len() / parts);
        counts[from..to].iter().sum::<f64>() / (to - from) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(text: &str, column: &str, parts_max: usize) -> Result<Vec<f64>, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("t.csv"), text).unwrap();
        let shape = shape(&format!("t.csv{column}"), directory.path(), parts_max);
        shape.map(|shape| shape.iter().map(|times| times.0).collect()).map_err(|mistake| mistake.message)
    }

    #[test]
    fn mean_becomes_one_and_rows_are_averaged() {
        assert_eq!(shaped("1\n3\n", "", 9), Ok(vec![0.5, 1.5]));
        assert_eq!(shaped("1\n3\n5\n7\n", "", 2), Ok(vec![0.5, 1.5]));
        assert_eq!(shaped("0 1 0 3", "", 9), Ok(vec![0.0, 1.0, 0.0, 3.0]));
    }

    #[test]
    fn column_is_named_or_the_last() {
        let text = "time,rate,errors\n10:00,1,2\n10:01,3,2\n";
        assert_eq!(shaped(text, "#rate", 9), Ok(vec![0.5, 1.5]));
        assert_eq!(shaped(text, "", 9), Ok(vec![1.0, 1.0]));
        assert!(shaped(text, "#rats", 9).unwrap_err().contains("unknown column `rats`"));
    }

    #[test]
    fn trace_that_is_packed_is_to_be_unpacked_first() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("t.tbz2"), b"BZh91AY\xff\xfe").unwrap();
        let mistake = shape("t.tbz2", directory.path(), 9).unwrap_err();
        assert_eq!(mistake.hint.as_deref(), Some("it is no text: unpack it first"));
        let mistake = shape("u.csv", directory.path(), 9).unwrap_err();
        assert_eq!(mistake.hint.as_deref(), Some("the path is relative to the scenario's"));
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        assert!(shaped("1\ntwo\n", "", 9).unwrap_err().contains("line 2 of the trace: `two`"));
        assert!(shaped("", "", 9).unwrap_err().contains("no numbers"));
        assert!(shaped("0\n0\n", "", 9).unwrap_err().contains("no load at all"));
        assert!(shape("none.csv", Path::new("/nowhere"), 1).unwrap_err().message.contains("cannot read"));
    }
}
