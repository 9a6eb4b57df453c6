//! The files of evidence that are made of checks.
//!
//! Knows: their names. Must not know: what a check does.

mod backend;
mod huge;
mod limits;
mod modes;
mod numa;
mod profiles;

use crate::check::Check;

/// A file, and the checks it is made of.
pub struct File {
    /// Its name in `docs/evidence`, without the ending.
    pub name: &'static str,
    /// Its first line.
    pub title: &'static str,
    /// Its checks, in the order they are made.
    pub checks: fn() -> Vec<Check>,
}

/// All of them.
pub const FILES: [File; 6] = [
    File { name: "profiles", title: "What each profile does of what it promises.", checks: profiles::checks },
    File {
        name: "page-backend",
        title: "What the page backend asks of the kernel and gives back to it.",
        checks: backend::checks,
    },
    File { name: "huge-pages", title: "What lies in huge pages, and where they are refused.", checks: huge::checks },
    File { name: "numa-wiring", title: "What of NUMA a machine with one node can show.", checks: numa::checks },
    File { name: "limits", title: "What happens at limits, at exhaustion and at the end.", checks: limits::checks },
    File { name: "modes", title: "Which mode serves, and which options are refused.", checks: modes::checks },
];

/// All profiles.
const PROFILES: [&str; 6] = ["hosted-small", "hosted-server", "freestanding", "realtime", "compiler-internal", "test-fixture"];
/// The one that has the hooks.
const HOOKED: &str = "hosted-server";
/// Those that have a pool.
const POOLED: [&str; 2] = ["freestanding", "realtime"];
/// The one that fixtures of tests have.
const FIXTURE: &str = "test-fixture";

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_evidence::record::Record;
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn every_key_is_there_once_and_every_code_is_a_documented_one() {
        let documented = include_str!("../../../../docs/diagnostics.md");
        for file in FILES {
            let checks = (file.checks)();
            let keys: BTreeSet<&String> = checks.iter().map(|check| &check.key).collect();
            assert_eq!(keys.len(), checks.len(), "{}", file.name);
            for check in &checks {
                assert!(documented.contains(&format!("\n## `{}`\n", check.code)), "{}", check.key);
            }
        }
    }

    #[test]
    fn the_files_in_the_repository_are_of_this_form() {
        for file in FILES {
            let path = harness::paths::workspace().join("docs/evidence").join(file.name).with_extension("toml");
            let keys: Vec<String> = (file.checks)().into_iter().map(|check| check.key).collect();
            Record::parse(&fs::read_to_string(path).unwrap(), &keys).unwrap();
        }
    }
}
