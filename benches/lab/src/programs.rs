//! The real programs of the lab: those of the demonstration that suit it, and some of its own.
//!
//! Knows: command lines. Must not know: how they are run.

use spandrel_tools::demo::program::Program;
use spandrel_tools::demo::programs;

/// Those taken over from the demonstration.
const SHARED: &[&str] = &["python3", "lua", "sqlite3", "redis", "memcached", "g++", "ghostscript", "ruby", "node"];

/// All of them, in the order of the tables.
#[must_use]
pub fn all() -> Vec<&'static Program> {
    SHARED.iter().filter_map(|name| programs::ALL.iter().find(|program| program.name == *name)).collect()
}
