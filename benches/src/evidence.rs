//! The recorded costs of the flows, their budgets, and the comparison with what was measured anew.
//!
//! Knows: the form of `docs/evidence/fast-path.toml`. Must not know: how it was measured.
//! Figures are written by a program; budgets are set by people, and kept when figures are written.

use crate::cases::Cost;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spandrel_evidence::Origin;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How far a recorded figure may be from the measured one, as a part of it.
const TOLERANCE: f64 = 0.02;
/// Digits written behind the point.
const DIGITS: usize = 2;

/// One recorded flow.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    what: String,
    instructions: f64,
    instructions_budget: f64,
    branches: f64,
    branches_budget: f64,
}

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Evidence {
    /// The circumstances.
    #[serde(flatten)]
    pub origin: Origin,
    flows: BTreeMap<String, Row>,
}

/// A flow as measured now.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its key.
    pub key: &'static str,
    /// Its description.
    pub what: &'static str,
    /// Its cost per block.
    pub cost: Cost,
}

/// What the comparison found; nothing, if all is well.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// Figures above their budget.
    pub over: Vec<String>,
    /// Recorded figures that are not what was measured.
    pub stale: Vec<String>,
}

impl Evidence {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is not of its form, lacks a flow or has one that is not among `keys`, or a number in it is none to compare with.
    pub fn parse(text: &str, keys: &[&str]) -> Result<Self> {
        let evidence: Self = spandrel_evidence::parse(text)?;
        evidence.origin.check()?;
        for key in keys {
            evidence.flows.get(*key).with_context(|| format!("[flows.{key}] is missing"))?;
        }
        for (key, row) in &evidence.flows {
            if !keys.contains(&key.as_str()) {
                bail!("[flows.{key}] is no flow that is measured");
            }
            let numbers = [row.instructions, row.instructions_budget, row.branches, row.branches_budget];
            if !numbers.iter().all(|number| number.is_finite() && *number >= 0.0) {
                bail!("[flows.{key}] has a number that is negative or not finite");
            }
        }
        Ok(evidence)
    }

    /// Compares what is recorded with what was measured.
    pub fn compare(&self, measured: &[Measured]) -> Verdict {
        let mut verdict = Verdict::default();
        for flow in measured {
            let Some(row) = self.flows.get(flow.key) else {
                verdict.stale.push(format!("{}: not recorded", flow.key));
                continue;
            };
            for (unit, now, recorded, budget) in [
                ("instructions", flow.cost.instructions, row.instructions, row.instructions_budget),
                ("branches", flow.cost.branches, row.branches, row.branches_budget),
            ] {
                if now > budget {
                    verdict.over.push(format!("{} {now:.DIGITS$} {unit}, budget {budget:.DIGITS$}", flow.key));
                }
                if (now - recorded).abs() > now * TOLERANCE {
                    verdict.stale.push(format!("{} {now:.DIGITS$} {unit}, recorded {recorded:.DIGITS$}", flow.key));
                }
            }
        }
        verdict
    }

    /// The budgets of a flow: instructions, branches.
    pub fn budgets(&self, key: &str) -> Option<(f64, f64)> {
        self.flows.get(key).map(|row| (row.instructions_budget, row.branches_budget))
    }

    /// The same budgets with the figures of now.
    pub fn renewed(&self, origin: Origin, measured: &[Measured]) -> Self {
        let mut renewed = Self { origin, flows: self.flows.clone() };
        for flow in measured {
            if let Some(row) = renewed.flows.get_mut(flow.key) {
                row.what = flow.what.to_owned();
                row.instructions = flow.cost.instructions;
                row.branches = flow.cost.branches;
            }
        }
        renewed
    }

    /// The text of the file, flows in the order measured.
    pub fn text(&self, order: &[&str]) -> String {
        let head = "# What the flows cost per block, inside the library. `make evidence` writes all but the budgets; README.md explains.\n";
        let mut text = head.to_owned() + &self.origin.text();
        for (key, row) in order.iter().filter_map(|key| self.flows.get_key_value(*key)) {
            let _ = write!(
                text,
                "\n[flows.{key}]\nwhat = {:?}\ninstructions = {:.DIGITS$}\ninstructions-budget = {:.DIGITS$}\n\
                 branches = {:.DIGITS$}\nbranches-budget = {:.DIGITS$}\n",
                row.what, row.instructions, row.instructions_budget, row.branches, row.branches_budget
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["malloc-16", "drain"];
    const TEXT: &str = "command = \"make evidence\"\ndate = \"2026-01-02\"\ncommit = \"abc\"\nkernel = \"Linux 6.1\"\ncompiler = \"rustc 1\"\n\n\
        [flows.malloc-16]\nwhat = \"malloc(16)\"\ninstructions = 12.00\ninstructions-budget = 12.00\nbranches = 2.00\n\
        branches-budget = 2.00\n\n\
        [flows.drain]\nwhat = \"drain\"\ninstructions = 30.50\ninstructions-budget = 33.00\nbranches = 4.50\nbranches-budget = 5.00\n";

    fn measured() -> Vec<Measured> {
        vec![
            Measured { key: "malloc-16", what: "malloc(16)", cost: Cost { instructions: 12.0, branches: 2.0 } },
            Measured { key: "drain", what: "drain", cost: Cost { instructions: 30.504, branches: 4.496 } },
        ]
    }

    /// The comparison of what was measured with the file, one passage of which is another.
    fn verdict(passage: &str, other: &str) -> Verdict {
        assert!(TEXT.contains(passage));
        Evidence::parse(&TEXT.replacen(passage, other, 1), &KEYS).unwrap().compare(&measured())
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", Evidence::parse(text, &KEYS).unwrap_err())
    }

    #[test]
    fn true_evidence_passes() {
        assert_eq!(verdict("drain", "drain"), Verdict::default());
    }

    #[test]
    fn a_budget_below_what_is_measured_fails() {
        let found = verdict("instructions-budget = 33.00", "instructions-budget = 30.00");
        assert_eq!(found.over, ["drain 30.50 instructions, budget 30.00"]);
        let found = verdict("branches-budget = 2.00", "branches-budget = 1.99");
        assert_eq!(found.over, ["malloc-16 2.00 branches, budget 1.99"]);
    }

    #[test]
    fn a_recorded_figure_that_is_false_fails() {
        let found = verdict("instructions = 12.00", "instructions = 11.00");
        assert_eq!(found.stale, ["malloc-16 12.00 instructions, recorded 11.00"]);
        assert_eq!(verdict("branches = 4.50", "branches = 4.60").stale, ["drain 4.50 branches, recorded 4.60"]);
        assert_eq!(verdict("branches = 4.50", "branches = 4.58").stale, Vec::<String>::new());
        assert!(!verdict("instructions = 30.50", "instructions = 29.80").stale.is_empty());
        assert!(!verdict("instructions = 30.50", "instructions = 0").stale.is_empty());
    }

    #[test]
    fn a_key_that_is_missing_or_unknown_is_refused() {
        for line in TEXT.lines().filter(|line| line.contains('=')) {
            assert!(refusal(&TEXT.replacen(&format!("{line}\n"), "", 1)).contains("missing field"), "{line}");
        }
        assert_eq!(refusal(TEXT.split("\n[flows.drain]").next().unwrap()), "[flows.drain] is missing");
        assert!(refusal(&TEXT.replace("flows.drain", "flows.drains")).contains("[flows.drain] is missing"));
        assert!(refusal(&format!("{TEXT}branch-budget = 9\n")).contains("unknown field"));
        assert!(refusal(&format!("{TEXT}\n{}", TEXT.split_once("\n\n").unwrap().1)).contains("duplicate key"));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for (passage, other) in [
            ("[flows.drain]", "[flows.drain"),
            ("instructions-budget = 33.00", "instructions-budget = \"33\""),
            ("instructions-budget = 33.00", "instructions-budget = inf"),
            ("instructions-budget = 33.00", "instructions-budget = nan"),
            ("branches = 2.00", "branches = -2.00"),
            ("commit = \"abc\"", "commit = \"\""),
        ] {
            assert!(TEXT.contains(passage));
            assert_eq!(refusal(&TEXT.replacen(passage, other, 1)).lines().count(), 1);
        }
        assert_eq!(refusal(""), "near line 1: missing field `flows`");
    }

    #[test]
    fn renewing_keeps_budgets_and_is_read_back() {
        let stale = Evidence::parse(&TEXT.replace("= 30.50", "= 9.00"), &KEYS).unwrap();
        let origin = Origin { date: "2026-03-04".to_owned(), ..stale.origin.clone() };
        let text = stale.renewed(origin, &measured()).text(&KEYS);
        let read = Evidence::parse(&text, &KEYS).unwrap();
        assert_eq!(read.compare(&measured()), Verdict::default());
        assert_eq!(read.budgets("drain"), Some((33.0, 5.0)));
        assert_eq!(read.origin.date, "2026-03-04");
    }

    #[test]
    fn the_file_in_the_repository_is_of_this_form() {
        let keys: Vec<&str> = crate::cases::FLOWS.iter().map(|(key, _)| *key).collect();
        let evidence = Evidence::parse(include_str!("../../docs/evidence/fast-path.toml"), &keys).unwrap();
        assert_eq!(evidence.text(&keys), include_str!("../../docs/evidence/fast-path.toml"));
        for (key, row) in &evidence.flows {
            let within = row.instructions <= row.instructions_budget && row.branches <= row.branches_budget;
            assert!(within, "{key} is recorded above its budget");
        }
    }
}
