//! The harness's only place that writes to standard output and standard error.
//!
//! Results go to standard output, so that they can be piped; a reader that has
//! gone away is no reason to fail, so write errors are ignored. Progress is
//! redrawn in place on a terminal and printed line by line elsewhere.

use std::io::{IsTerminal, Write, stderr, stdout};

/// Erases what stands on the terminal's current line.
const ERASE_LINE: &str = "\x1b[2K";

/// Prints a result.
pub(crate) fn line(text: &str) {
    let mut out = stdout().lock();
    let erase = if out.is_terminal() { ERASE_LINE } else { "" };
    let _ = writeln!(out, "{erase}{text}");
}

/// Shows a line that the next one replaces.
pub(crate) fn progress(text: &str) {
    let mut out = stdout().lock();
    if out.is_terminal() {
        let _ = write!(out, "{ERASE_LINE}{text}\r");
        let _ = out.flush();
    } else {
        let _ = writeln!(out, "{text}");
    }
}

/// Reports an error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(stderr().lock(), "plimsoll-bench: {text}");
}
