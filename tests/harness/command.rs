//! How a command line of this project ends.
//!
//! Knows: exit codes. Must not know: what a command does.

use core::fmt::Display;
use std::process::ExitCode;

/// The exit code of a command: success only if all went as it should. An error is printed, with its causes.
pub fn exit<E: Display>(done: Result<bool, E>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
