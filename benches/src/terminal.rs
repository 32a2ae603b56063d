//! The harness's only place that writes to standard output and standard error.
//!
//! Results go to standard output, so that they can be piped; a reader that has
//! gone away is no reason to fail, so write errors are ignored. What is redrawn
//! in place is drawn only on a terminal.

use ratatui::backend::CrosstermBackend;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stdout, Write, stderr, stdin, stdout};

/// Erases what stands on the terminal's current line.
const ERASE_LINE: &str = "\x1b[2K";

/// A part of the terminal that is redrawn.
pub(crate) type Screen = Terminal<CrosstermBackend<Stdout>>;

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

/// The next `height` lines, if this is a terminal that says where its cursor is.
pub(crate) fn screen(height: u16) -> Option<Screen> {
    // Where the cursor is comes back as input.
    if !stdout().is_terminal() || !stdin().is_terminal() {
        return None;
    }
    let options = TerminalOptions { viewport: Viewport::Inline(height) };
    Terminal::with_options(CrosstermBackend::new(stdout()), options).ok()
}

/// Reports an error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(stderr().lock(), "plimsoll-bench: {text}");
}
