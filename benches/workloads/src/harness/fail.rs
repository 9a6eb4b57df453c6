//! The end of a run that went wrong: one line, exit code 1.

use std::process;

/// Prints `message` and ends the process.
#[cold]
#[inline(never)]
pub(crate) fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    process::exit(1)
}
