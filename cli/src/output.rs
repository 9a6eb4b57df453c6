//! What commands print with `--json`: one value, with a line feed behind it.

use anyhow::Result;
use serde_json::Value;

/// Prints a value.
///
/// # Errors
/// Where a string in it is none of JSON's.
pub(crate) fn json(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
