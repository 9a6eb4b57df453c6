//! The order of the folders of `src/` and which path of the crate a file may name.
//!
//! Knows: the table of the architecture page. Must not know: source text.

use std::path::Path;

/// From the ground up. Folders of one level do not know each other.
const LEVELS: &[&[&str]] = &[
    &["base"],
    &["sys"],
    &["unwind"],
    &["diag", "config"],
    &["pages"],
    &["central"],
    &["heap"],
    &["process"],
    &["slow_path"],
    &[ALTERNATIVES, "account", "profile", "stats"],
    &["control"],
    &["api"],
];

/// The folder whose modules are alternatives and do not know each other.
const ALTERNATIVES: &str = "modes";

/// Why `file` may not name this path of the crate (segments after `crate::`), or none if it may.
pub(super) fn forbidden(file: &Path, segments: &[String]) -> Option<String> {
    let folders: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let (own, rest) = folders.split_first()?;
    let target = segments.first()?.as_str();
    if rest.is_empty() {
        // Files directly in src/ put the crate together.
        return None;
    }
    let Some(own_level) = level(own) else {
        return Some(format!("is in `{own}/`, which is not a layer"));
    };
    if own == &target {
        return sibling(rest, segments)
            .map(|other| format!("`{ALTERNATIVES}` are alternatives: may not use `{other}`"));
    }
    match level(target) {
        None => Some(format!("`crate::{target}` is not a layer")),
        Some(target_level) if target_level < own_level => None,
        Some(_) => Some(format!("`{own}` may not use `{target}`: it is not below it")),
    }
}

fn level(folder: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&folder))
}

/// The other alternative that a file of the alternatives' folder names, if it does.
fn sibling<'a>(rest: &[&str], segments: &'a [String]) -> Option<&'a str> {
    let [folder, other, ..] = segments else { return None };
    let own = rest.first()?.trim_end_matches(".rs");
    let is_module = other.chars().next().is_some_and(char::is_lowercase);
    (folder == ALTERNATIVES && own != "mod" && own != other && is_module).then_some(other)
}
