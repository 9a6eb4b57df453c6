//! The costs of the flows: recorded costs and budgets, and the comparison with what callgrind counts now. Code that
//! must not be on the fast path, which the machine code shows.
//!
//! Knows: the form of `docs/evidence/fast-path.toml`. Must not know: callgrind, x86.
//! Figures are written by a program; budgets are set by people, and kept when figures are written.

use super::{Purpose, Scope, Subject, Tally, stale};
use crate::count::bench::Bench;
use crate::count::cases::{Cost, FLOWS};
use crate::count::listing;
use crate::evidence::output;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// The code of the line that says a flow is over its budget.
const CODE: &str = "ALLOCATOR_FAST_PATH_BUDGET";

/// How far a recorded figure may be from the measured one, as a part of it.
const TOLERANCE: f64 = 0.02;
/// Digits written behind the point.
const DIGITS: usize = 2;

/// One recorded flow.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    what: String,
    instructions: f64,
    instructions_budget: f64,
    branches: f64,
    branches_budget: f64,
}

/// The figures of the file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Flows {
    flows: BTreeMap<String, Row>,
}

/// A flow as measured now.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    key: &'static str,
    what: &'static str,
    /// Per block.
    cost: Cost,
}

/// The faults that a comparison found; none, if all is well.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    /// Figures above their budget.
    over: Vec<String>,
    /// Recorded figures that are not what was measured.
    stale: Vec<String>,
}

impl Flows {
    /// Makes sure that the file has these flows and no others, and numbers to compare with.
    fn validate(&self, keys: &[&str]) -> Result<()> {
        for key in keys {
            self.flows.get(*key).with_context(|| format!("[flows.{key}] is missing"))?;
        }
        for (key, row) in &self.flows {
            if !keys.contains(&key.as_str()) {
                bail!("[flows.{key}] is no flow that is measured");
            }
            let numbers = [row.instructions, row.instructions_budget, row.branches, row.branches_budget];
            if !numbers.iter().all(|number| number.is_finite() && *number >= 0.0) {
                bail!("[flows.{key}] has a number that is negative or not finite");
            }
        }
        Ok(())
    }

    /// Compares what is recorded of a flow with what was measured.
    fn compare(&self, flow: &Measured) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(row) = self.flows.get(flow.key) else {
            verdict.stale.push(format!("{}: not recorded", flow.key));
            return verdict;
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
        verdict
    }

    /// The budgets of a flow: instructions, branches.
    fn budgets(&self, key: &str) -> Option<(f64, f64)> {
        self.flows.get(key).map(|row| (row.instructions_budget, row.branches_budget))
    }

    /// The same budgets with the figures of now.
    fn renewed(mut self, measured: &[Measured]) -> Self {
        for flow in measured {
            if let Some(row) = self.flows.get_mut(flow.key) {
                row.what = flow.what.to_owned();
                row.instructions = flow.cost.instructions;
                row.branches = flow.cost.branches;
            }
        }
        self
    }

    /// The tables of the file, in the order measured.
    fn text(&self, order: &[&str]) -> String {
        let mut text = String::new();
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

fn keys() -> Vec<&'static str> {
    FLOWS.iter().map(|(key, _)| *key).collect()
}

/// The flows of malloc and free.
pub(super) struct FastPath;

impl Subject for FastPath {
    type Figures = Flows;
    type Measured = Vec<Measured>;

    fn name(&self) -> &'static str {
        "fast-path"
    }

    fn title(&self) -> String {
        "What the flows cost per block, inside the library. `make evidence` writes all but the budgets; README.md explains."
            .to_owned()
    }

    fn validate(&self, recorded: &Flows) -> Result<()> {
        recorded.validate(&keys())
    }

    fn measure(&self, _: &Scope, recorded: &Flows, purpose: Purpose) -> Result<(Vec<Measured>, Tally)> {
        // A new flow needs its budgets before its figures can be written.
        recorded.validate(&keys())?;
        let bench = Bench::prepare(None)?;
        let mut tally = Tally::default();
        let mut faults = Verdict { over: listing::faults(&disassembled(&bench)?)?, stale: Vec::new() };
        tally.count(faults.over.is_empty());
        println!("Inside {} per block (callgrind)", bench.library.display());
        println!("  {:<34} {:>12} {:>8}   {:>8} {:>8}", "", "instructions", "budget", "branches", "budget");
        let mut measured = Vec::new();
        for (key, case) in &FLOWS {
            let cost = bench.cost(case)?;
            let (instructions, branches) = recorded.budgets(key).context("no budget")?;
            println!(
                "  {:<34} {:>12.2} {instructions:>8.2}   {:>8.2} {branches:>8.2}",
                case.text, cost.instructions, cost.branches
            );
            let flow = Measured { key, what: case.text, cost };
            let Verdict { over, stale } = recorded.compare(&flow);
            let stale = if purpose == Purpose::Check { stale } else { Vec::new() };
            tally.count(over.is_empty() && stale.is_empty());
            faults.over.extend(over);
            faults.stale.extend(stale);
            measured.push(flow);
        }
        if !faults.over.is_empty() {
            eprintln!("spandrel: {CODE}: {}", faults.over.join("; "));
        }
        if !faults.stale.is_empty() {
            eprintln!("error: {} ({})", faults.stale.join("; "), stale(self.name()));
        }
        if tally.failed == 0 {
            let recorded = if purpose == Purpose::Check { " and as recorded" } else { "" };
            println!("no call, lock prefix or system call on the fast path; all within budget{recorded}");
        }
        Ok((measured, tally))
    }

    fn text(&self, recorded: Flows, measured: &Vec<Measured>) -> Result<String> {
        Ok(recorded.renewed(measured).text(&keys()))
    }
}

/// The machine code, as `scripts/listing` finds it.
fn disassembled(bench: &Bench) -> Result<String> {
    let file = bench.scratch.join("listing.txt");
    output(Command::new(bench.root.join("scripts/listing")).arg(&bench.library).arg(&file))?;
    fs::read_to_string(&file).with_context(|| format!("no file {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Evidence;

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

    fn parse(text: &str) -> Result<Flows> {
        let flows: Flows = Evidence::parse(text)?.figures;
        flows.validate(&KEYS).map(|()| flows)
    }

    fn compare(flows: &Flows) -> Verdict {
        let verdicts = measured().iter().map(|flow| flows.compare(flow)).collect::<Vec<_>>();
        let (over, stale) =
            verdicts.into_iter().map(|verdict| (verdict.over, verdict.stale)).unzip::<_, _, Vec<_>, Vec<_>>();
        Verdict { over: over.concat(), stale: stale.concat() }
    }

    /// The comparison of what was measured with the file, one passage of which is another.
    fn verdict(passage: &str, other: &str) -> Verdict {
        assert!(TEXT.contains(passage));
        compare(&parse(&TEXT.replacen(passage, other, 1)).unwrap())
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
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
        assert_eq!(refusal(""), "near line 1: missing field `command`");
    }

    #[test]
    fn renewing_keeps_budgets_and_is_read_back() {
        let before = parse(&TEXT.replace("= 30.50", "= 9.00")).unwrap();
        let head = TEXT.split_once("\n\n").unwrap().0;
        let read = parse(&format!("{head}\n{}", before.renewed(&measured()).text(&KEYS))).unwrap();
        assert_eq!(compare(&read), Verdict::default());
        assert_eq!(read.budgets("drain"), Some((33.0, 5.0)));
    }

    #[test]
    fn the_file_in_the_repository_is_written_as_it_is_read_and_within_its_budgets() {
        let text = include_str!("../../../docs/evidence/fast-path.toml");
        let flows: Flows = Evidence::parse(text).unwrap().figures;
        assert!(text.starts_with(&format!("# {}\n", FastPath.title())) && text.ends_with(&flows.text(&keys())));
        for (key, row) in &flows.flows {
            let within = row.instructions <= row.instructions_budget && row.branches <= row.branches_budget;
            assert!(within, "{key} is recorded above its budget");
        }
    }

    #[test]
    fn the_code_is_a_documented_one() {
        let heading = format!("\n## `{CODE}`\n");
        assert!(include_str!("../../../docs/diagnostics.md").contains(&heading));
    }
}
