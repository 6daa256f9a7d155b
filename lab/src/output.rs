//! What the commands print: results to standard output, everything else to standard error.
//!
//! The standard library's macros panic when nobody reads any more. `eastfall explain RUN | head` is no reason to: what
//! can't be printed is not, and the command comes to its end.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a result as it is.
pub fn text(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line of a result.
pub fn line(line: impl Display) {
    text(format_args!("{line}\n"));
}

/// Tells what is not the result: how it goes, and what went wrong.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
