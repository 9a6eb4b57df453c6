//! `docs/evidence/stress.toml`: what the scenarios did when they were last recorded, and the comparison with what they
//! do now.
//!
//! Knows: the file's form. Must not know: how figures are measured.
//!
//! # Invariants
//! - The file is compared, never trusted: each recorded scenario runs again. Its tolerance is set by people and stays
//!   when it is renewed.

use super::{Purpose, Scope, Subject, Tally};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use spandrel_stress::report;
use spandrel_stress::run::{Done, Order, Outcome};
use spandrel_stress::scenario::{self, Profile, Scenario};
use std::collections::BTreeMap;

/// The figures of the file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Runs {
    /// How long each scenario ran.
    seconds: f64,
    /// How much worse than recorded the ratio of resident to live memory may be, as a part of it.
    tolerance: f64,
    /// By `scenario.profile`.
    runs: BTreeMap<String, Recorded>,
}

/// One recorded run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Recorded {
    /// `passed`, or `skipped: ` and why.
    outcome: String,
    /// Seed of its random numbers.
    seed: u64,
    /// Blocks got, resized and freed.
    operations: u64,
    /// The most that was live.
    peak_live_mib: f64,
    /// The most that was resident.
    peak_rss_mib: f64,
    /// The second over the first.
    rss_over_live: f64,
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

impl Recorded {
    fn of(done: &Done) -> Self {
        let peaks = done.peaks();
        let outcome = match &done.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
            Outcome::Failed(failure) => format!("failed: {failure}"),
        };
        Self {
            outcome,
            seed: done.order.seed,
            operations: done.operations(),
            peak_live_mib: hundredths(peaks.live),
            peak_rss_mib: hundredths(peaks.resident),
            rss_over_live: hundredths(peaks.ratio()),
        }
    }

    fn is_sound(&self) -> bool {
        let numbers = [self.peak_live_mib, self.peak_rss_mib, self.rss_over_live];
        let skipped = self.outcome.starts_with("skipped: ");
        let figures = (self.operations > 0) != skipped;
        let ratio = if self.peak_live_mib > 0.0 { self.peak_rss_mib / self.peak_live_mib } else { 0.0 };
        let consistent = (ratio - self.rss_over_live).abs() <= 0.02 + ratio * 0.01;
        numbers.iter().all(|number| number.is_finite() && *number >= 0.0)
            && (skipped || self.outcome == "passed")
            && figures
            && consistent
    }
}

impl Runs {
    /// Makes sure that the file has all of `cases` and no others, and that they passed.
    fn validate(&self, cases: &[String]) -> Result<()> {
        for (name, value) in [("seconds", self.seconds), ("tolerance", self.tolerance)] {
            if !(value.is_finite() && value > 0.0) {
                bail!("{name} = {value} is no positive number");
            }
        }
        if let Some(missing) = cases.iter().find(|case| !self.runs.contains_key(*case)) {
            bail!("[runs.{missing:?}] is missing");
        }
        for (name, run) in &self.runs {
            if !cases.contains(name) {
                bail!("[runs.{name:?}] is no scenario that is run");
            }
            if !run.is_sound() {
                bail!("[runs.{name:?}] contradicts itself, or did not pass");
            }
        }
        Ok(())
    }

    /// The line for a run that is worse now than recorded.
    fn worse(&self, done: &Done) -> Option<String> {
        let name = done.order.name();
        let Some(recorded) = self.runs.get(&name) else { return Some(format!("{name}: not recorded")) };
        match &done.outcome {
            Outcome::Failed(failure) => Some(format!("{name}: {failure}")),
            Outcome::Skipped(_) => None,
            Outcome::Passed => {
                let (now, before) = (done.peaks().ratio(), recorded.rss_over_live);
                let most = before * (1.0 + self.tolerance);
                (recorded.outcome == "passed" && now > most).then(|| {
                    format!("{name}: {now:.2} times the live bytes are resident, {before:.2} are recorded and {most:.2} allowed")
                })
            }
        }
    }

    /// The recorded runs, to be made again.
    fn orders(&self) -> Result<Vec<Order>> {
        let orders = self.runs.iter().map(|(name, run)| {
            let (scenario, profile) = name.split_once('.').context("a name without a profile")?;
            let scenario = Scenario::named(scenario).with_context(|| format!("no scenario {scenario}"))?;
            let profile = Profile::named(profile).with_context(|| format!("no profile {profile}"))?;
            Ok(Order { scenario, profile, seconds: self.seconds, seed: run.seed, options: Vec::new(), before: None })
        });
        orders.collect()
    }

    /// The same tolerance and duration with what was measured now.
    fn renewed(self, all: &[Done]) -> Self {
        Self { runs: all.iter().map(|done| (done.order.name(), Recorded::of(done))).collect(), ..self }
    }

    /// The text below the circumstances.
    fn text(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }
}

fn cases() -> Vec<String> {
    scenario::cases().map(|(scenario, profile)| scenario::case_name(scenario, profile)).collect()
}

/// The scenarios of the stress suite.
pub(super) struct Stress;

impl Subject for Stress {
    type Figures = Runs;
    type Measured = Vec<Done>;

    fn name(&self) -> &'static str {
        "stress"
    }

    fn title(&self) -> String {
        "What the scenarios of the stress suite did. `make evidence` writes all but the tolerance; README.md explains."
            .to_owned()
    }

    fn validate(&self, recorded: &Runs) -> Result<()> {
        recorded.validate(&cases())
    }

    fn measure(&self, scope: &Scope, recorded: &Runs, purpose: Purpose) -> Result<(Vec<Done>, Tally)> {
        let orders = match purpose {
            // The file may lack a scenario that is new, or have one that is gone.
            Purpose::Record => scenario::orders(recorded.seconds, scenario::seed_of_now(), |_, _| true),
            Purpose::Check => {
                let chosen =
                    |names: &[String], name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
                let mut orders = recorded.orders()?;
                orders.retain(|order| {
                    chosen(&scope.scenarios, order.scenario.name) && chosen(&scope.profiles, order.profile.name())
                });
                orders
            }
        };
        if orders.is_empty() {
            bail!("none of these scenarios is run in that profile; `spandrel-stress list` shows where they are run");
        }
        let all = report::run_all(&orders)?;
        let mut tally = Tally::default();
        for done in &all {
            let fault = match (purpose, &done.outcome) {
                (Purpose::Check, _) => recorded.worse(done),
                (Purpose::Record, Outcome::Failed(failure)) => Some(format!("{}: {failure}", done.order.name())),
                (Purpose::Record, _) => None,
            };
            match (&fault, &done.outcome) {
                (None, Outcome::Skipped(_)) => tally.skipped += 1,
                _ => tally.count(fault.is_none()),
            }
            if let Some(fault) = fault {
                eprintln!("error: {fault}");
            }
        }
        Ok((all, tally))
    }

    fn text(&self, recorded: Runs, measured: &Vec<Done>) -> Result<String> {
        recorded.renewed(measured).text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Origin};
    use spandrel_stress::judge::Failure;
    use spandrel_stress::sample::Sample;

    const MIB: u64 = 1 << 20;

    fn done(outcome: Outcome, resident: u64) -> Done {
        let scenario = Scenario::named("churn").unwrap();
        let order =
            Order { scenario, profile: Profile::HostedSmall, seconds: 1.0, seed: 7, options: Vec::new(), before: None };
        let sample = Sample { live: 100 * MIB, resident: resident * MIB, operations: 5000, ..Sample::default() };
        Done { order, samples: vec![sample; 10], outcome }
    }

    fn recorded() -> Runs {
        Runs { seconds: 1.0, tolerance: 0.5, runs: BTreeMap::new() }.renewed(&[done(Outcome::Passed, 150)])
    }

    fn text() -> String {
        let [command, date, commit, kernel, compiler] =
            ["make evidence", "2026-01-02", "abc", "Linux 6.1", "rustc 1"].map(str::to_owned);
        Origin { command, date, commit, kernel, compiler }.text() + &recorded().text().unwrap()
    }

    fn parse(text: &str) -> Result<Runs> {
        let runs: Runs = Evidence::parse(text)?.figures;
        runs.validate(&["churn.hosted-small".to_owned()]).map(|()| runs)
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(parse(&text()).unwrap(), recorded());
        assert!(text().contains("rss-over-live = 1.5\n"));
    }

    #[test]
    fn the_same_again_passes_and_worse_does_not() {
        let worse = |outcome, resident| recorded().worse(&done(outcome, resident));
        assert_eq!(worse(Outcome::Passed, 150), None);
        assert_eq!(worse(Outcome::Passed, 224), None);
        let line = "churn.hosted-small: 2.30 times the live bytes are resident, 1.50 are recorded and 2.25 allowed";
        assert_eq!(worse(Outcome::Passed, 230).as_deref(), Some(line));
        let failed = worse(Outcome::Failed(Failure::new("leak", "9 bytes")), 150);
        assert_eq!(failed.as_deref(), Some("churn.hosted-small: leak: 9 bytes"));
        assert_eq!(worse(Outcome::Skipped("no kernel".into()), 0), None);
    }

    #[test]
    fn evidence_made_false_fails() {
        let text = text();
        let refusal = |passage: &str, other: &str| {
            assert!(text.contains(passage), "{passage}");
            format!("{:#}", parse(&text.replacen(passage, other, 1)).unwrap_err())
        };
        let better = text
            .replace("rss-over-live = 1.5", "rss-over-live = 1.0")
            .replace("peak-rss-mib = 150.0", "peak-rss-mib = 100.0");
        assert!(parse(&better).unwrap().worse(&done(Outcome::Passed, 151)).is_some());
        assert!(refusal("rss-over-live = 1.5", "rss-over-live = 9.0").contains("contradicts itself"));
        assert!(refusal("\"passed\"", "\"failed: leak\"").contains("did not pass"));
        assert!(refusal("operations = 5000", "operations = 0").contains("contradicts itself"));
        assert!(refusal("runs.\"churn.hosted-small\"", "runs.\"churn.hosted-tiny\"").contains("is missing"));
        assert!(refusal("tolerance = 0.5", "tolerance = -1.0").contains("no positive number"));
        assert!(refusal("commit = \"abc\"", "commit = \"\"").contains("commit is empty"));
        assert!(refusal("seed = 7\n", "").contains("missing field"));
        assert!(refusal("kernel = ", "kernels = ").contains("missing field"));
        assert_eq!(refusal("[runs", "[runs.").lines().count(), 1);
    }
}
