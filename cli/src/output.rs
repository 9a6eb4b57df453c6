//! The output of `--json`: one value, with a line feed behind it; and messages besides the output.

use anyhow::Result;
use serde_json::Value;
use std::io::{self, Write};

/// Prints a value.
///
/// # Errors
/// Where a string in it is none of JSON's.
pub(crate) fn json(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Tells the user something. Nobody may be there to read it, which is no reason to end.
pub(crate) fn say(message: &str) {
    let _ = writeln!(io::stderr(), "spandrel: {message}");
}
