//! `docs/evidence/stress.toml`: what the scenarios did when they were last recorded, and the comparison with what they do now.
//!
//! Knows: the file's form. Must not know: how figures are measured.
//!
//! # Invariants
//! - The file is compared, never trusted: each recorded scenario runs again. Its tolerance is set by people and stays when it is renewed.

use crate::run::{Done, Outcome};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use spandrel_evidence::Origin;
use std::collections::BTreeMap;

const HEAD: &str =
    "# What the scenarios of the stress suite did. `make evidence` writes all but the tolerance; README.md explains.\n";

/// The file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// The circumstances.
    #[serde(flatten)]
    pub origin: Origin,
    /// How long each scenario ran.
    pub seconds: f64,
    /// How much worse than recorded the ratio of resident to live memory may be, as a part of it.
    pub tolerance: f64,
    /// By `scenario.profile`.
    pub runs: BTreeMap<String, Recorded>,
}

/// One recorded run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recorded {
    /// `passed`, or `skipped: ` and why.
    pub outcome: String,
    /// Seed of its random numbers.
    pub seed: u64,
    /// Blocks got, resized and freed.
    pub operations: u64,
    /// The most that was live.
    pub peak_live_mib: f64,
    /// The most that was resident.
    pub peak_rss_mib: f64,
    /// The second over the first.
    pub rss_over_live: f64,
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

impl Evidence {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is not of its form, or lacks one of `cases`, or has one more.
    pub fn parse(text: &str, cases: &[String]) -> Result<Self> {
        let evidence: Self = spandrel_evidence::parse(text)?;
        evidence.origin.check()?;
        for (name, value) in [("seconds", evidence.seconds), ("tolerance", evidence.tolerance)] {
            if !(value.is_finite() && value > 0.0) {
                bail!("{name} = {value} is no positive number");
            }
        }
        if let Some(missing) = cases.iter().find(|case| !evidence.runs.contains_key(*case)) {
            bail!("[runs.{missing:?}] is missing");
        }
        for (name, run) in &evidence.runs {
            if !cases.contains(name) {
                bail!("[runs.{name:?}] is no scenario that is run");
            }
            if !run.is_sound() {
                bail!("[runs.{name:?}] contradicts itself, or did not pass");
            }
        }
        Ok(evidence)
    }

    /// What is worse now than recorded, a line for each.
    pub fn compare(&self, all: &[Done]) -> Vec<String> {
        let mut worse = Vec::new();
        for done in all {
            let name = done.order.name();
            let Some(recorded) = self.runs.get(&name) else {
                worse.push(format!("{name}: not recorded"));
                continue;
            };
            match &done.outcome {
                Outcome::Failed(failure) => worse.push(format!("{name}: {failure}")),
                Outcome::Skipped(_) => {}
                Outcome::Passed => {
                    let (now, most) = (done.peaks().ratio(), recorded.rss_over_live * (1.0 + self.tolerance));
                    if recorded.outcome == "passed" && now > most {
                        let before = recorded.rss_over_live;
                        worse.push(format!(
                            "{name}: {now:.2} times the live bytes are resident, {before:.2} are recorded and {most:.2} allowed"
                        ));
                    }
                }
            }
        }
        worse
    }

    /// The same tolerance and duration with what was seen now.
    pub fn renewed(&self, origin: &Origin, all: &[Done]) -> Self {
        Self {
            origin: origin.clone(),
            runs: all.iter().map(|done| (done.order.name(), Recorded::of(done))).collect(),
            ..self.clone()
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that the form of the file allows.
    pub fn text(&self) -> Result<String> {
        Ok(format!("{HEAD}{}", toml::to_string(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Failure;
    use crate::run::Order;
    use crate::sample::Sample;
    use crate::scenario::{self, Profile, Scenario};

    const MIB: u64 = 1 << 20;

    fn done(outcome: Outcome, resident: u64) -> Done {
        let scenario = Scenario::named("churn").unwrap();
        let order = Order { scenario, profile: Profile::HostedSmall, seconds: 1.0, seed: 7, options: Vec::new(), before: None };
        let sample = Sample { live: 100 * MIB, resident: resident * MIB, operations: 5000, ..Sample::default() };
        Done { order, samples: vec![sample; 10], outcome }
    }

    fn recorded() -> Evidence {
        let [command, date, commit, kernel, compiler] =
            ["make evidence", "2026-01-02", "abc", "Linux 6.1", "rustc 1"].map(str::to_owned);
        let origin = Origin { command, date, commit, kernel, compiler };
        let empty = Evidence { origin: origin.clone(), seconds: 1.0, tolerance: 0.5, runs: BTreeMap::new() };
        empty.renewed(&origin, &[done(Outcome::Passed, 150)])
    }

    fn cases() -> Vec<String> {
        vec!["churn.hosted-small".to_owned()]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = recorded().text().unwrap();
        assert_eq!(Evidence::parse(&text, &cases()).unwrap(), recorded());
        assert!(text.contains("rss-over-live = 1.5\n"));
    }

    #[test]
    fn the_same_again_passes_and_worse_does_not() {
        let evidence = recorded();
        assert_eq!(evidence.compare(&[done(Outcome::Passed, 150)]), Vec::<String>::new());
        assert_eq!(evidence.compare(&[done(Outcome::Passed, 224)]), Vec::<String>::new());
        let worse = evidence.compare(&[done(Outcome::Passed, 230)]);
        assert_eq!(worse, ["churn.hosted-small: 2.30 times the live bytes are resident, 1.50 are recorded and 2.25 allowed"]);
        let failed = evidence.compare(&[done(Outcome::Failed(Failure::new("leak", "9 bytes")), 150)]);
        assert_eq!(failed, ["churn.hosted-small: leak: 9 bytes"]);
        assert_eq!(evidence.compare(&[done(Outcome::Skipped("no kernel".into()), 0)]), Vec::<String>::new());
    }

    #[test]
    fn evidence_made_false_fails() {
        let text = recorded().text().unwrap();
        let refusal = |passage: &str, other: &str| {
            assert!(text.contains(passage), "{passage}");
            format!("{:#}", Evidence::parse(&text.replacen(passage, other, 1), &cases()).unwrap_err())
        };
        let better =
            text.replace("rss-over-live = 1.5", "rss-over-live = 1.0").replace("peak-rss-mib = 150.0", "peak-rss-mib = 100.0");
        let better = Evidence::parse(&better, &cases()).unwrap();
        assert_eq!(better.compare(&[done(Outcome::Passed, 151)]).len(), 1);
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

    #[test]
    fn the_file_in_the_repository_is_of_this_form() {
        let cases: Vec<String> = scenario::cases().map(|(scenario, profile)| scenario::case_name(scenario, profile)).collect();
        Evidence::parse(include_str!("../../../docs/evidence/stress.toml"), &cases).unwrap();
    }
}
