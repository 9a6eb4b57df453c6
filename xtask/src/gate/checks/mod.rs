//! The files of evidence that are made of checks: programs that are run, and the figures that they show.
//!
//! Knows: the names of the files, the lines that are printed. Must not know: what a check does.

mod backend;
mod check;
mod huge;
mod limits;
mod machine;
mod modes;
mod numa;
mod profiles;

use super::{Purpose, Scope, Subject, Tally, stale};
use crate::evidence::figures::{self, Found, Made, Record};
use check::Check;

/// A file, and the checks it is made of.
pub(super) struct File {
    /// Its name in `docs/evidence`, without the ending.
    name: &'static str,
    /// Its first line.
    title: &'static str,
    /// Its checks, in the order they are made.
    checks: fn() -> Vec<Check>,
}

/// All of them.
pub(super) const FILES: [File; 6] = [
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
const PROFILES: [&str; 6] =
    ["hosted-small", "hosted-server", "freestanding", "realtime", "compiler-internal", "test-fixture"];
/// The one that has the hooks.
const HOOKED: &str = "hosted-server";
/// Those that have a pool.
const POOLED: [&str; 2] = ["freestanding", "realtime"];
/// The one that fixtures of tests have.
const FIXTURE: &str = "test-fixture";

impl Subject for File {
    type Figures = Record;
    type Measured = Vec<Made>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> String {
        format!("{} `make evidence` writes this file; README.md explains.", self.title)
    }

    fn blank(&self) -> Option<Record> {
        Some(Record::default())
    }

    fn validate(&self, recorded: &Record) -> anyhow::Result<()> {
        let keys: Vec<String> = (self.checks)().into_iter().map(|check| check.key).collect();
        recorded.validate(&keys)
    }

    fn measure(&self, scope: &Scope, recorded: &Record, purpose: Purpose) -> anyhow::Result<(Vec<Made>, Tally)> {
        let (mut all, mut tally) = (Vec::new(), Tally::default());
        for check in (self.checks)().into_iter().filter(|check| check.quick || !scope.quick) {
            let made = find(&check);
            self.judge(&check, &made, (purpose == Purpose::Check).then_some(recorded), &mut tally);
            all.extend(made);
        }
        Ok((all, tally))
    }

    fn text(&self, _: Record, measured: &Vec<Made>) -> anyhow::Result<String> {
        Ok(figures::text(measured))
    }
}

/// Makes a check; or says, as the only word, why it could not be made.
fn find(check: &Check) -> Result<Made, String> {
    let found = check.make()?;
    Ok(Made { key: check.key.clone(), what: check.what.clone(), found })
}

impl File {
    /// Prints what came of a check, and counts it.
    fn judge(&self, check: &Check, made: &Result<Made, String>, record: Option<&Record>, tally: &mut Tally) {
        let faults = match made {
            Err(why) => vec![why.clone()],
            Ok(made) => {
                let recorded = record.map_or_else(Vec::new, |record| record.stale(made));
                let recorded = recorded.into_iter().map(|what| format!("{what} ({})", stale(self.name)));
                made.found.broken().into_iter().chain(recorded).collect()
            }
        };
        let name = format!("{} {}", self.name, check.key);
        let text = made.as_ref().map_or_else(|_| "could not be made".to_owned(), |made| made.found.text());
        if !faults.is_empty() {
            tally.failed += 1;
            println!("FAILED  {name:<40} {}: {text}", check.what);
            eprintln!("spandrel: {}: {name}: {}", check.code, faults.join("; "));
        } else if matches!(made, Ok(Made { found: Found::Impossible(_), .. })) {
            tally.skipped += 1;
            println!("skipped {name:<40} {}: {text}", check.what);
        } else {
            tally.passed += 1;
            let note = if record.is_some_and(|record| record.calls_impossible(&check.key)) {
                "; not in the record"
            } else {
                ""
            };
            println!("ok      {name:<40} {}: {text}{note}", check.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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
}
