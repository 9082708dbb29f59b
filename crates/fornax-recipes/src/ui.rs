//! What goes to the terminal: results to standard output, everything else to standard error.

use std::io::{IsTerminal, Write, stderr, stdout};

/// A line of result.
pub(crate) fn out(line: impl AsRef<str>) {
    // A reader that closed the pipe has what it wanted.
    let _ = writeln!(stdout(), "{}", line.as_ref());
}

/// A line for whoever watches.
pub(crate) fn note(line: impl AsRef<str>) {
    let _ = writeln!(stderr(), "{}", line.as_ref());
}

/// Whether results may be coloured: on a terminal, unless NO_COLOR is set.
pub(crate) fn coloured() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// One clear line, in red on a terminal.
pub(crate) fn error(error: &anyhow::Error) {
    let text = format!("{error:#}").replace('\n', " ");
    let red = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let prefix = if red { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    note(format!("{prefix} {text}"));
}
