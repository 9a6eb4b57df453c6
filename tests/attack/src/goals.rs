//! The goals: where Spandrel has to be better than which allocators.
//!
//! Knows: the goals, and the reasons where an allocator is better. Must not know: how a row is run.

use crate::allocators::{Kind, SPANDREL};
use crate::program::category;
use crate::results::{Record, Results};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// Categories of which the default mode together misses fewer rows than any other default, and none without a reason.
const FREES: [&str; 2] = ["double-free", "invalid-free"];
const DEFAULT: &str = "fast";
const HARDENED: &str = "hardened";

/// Why the default mode may miss what others do not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// The cases whose name begins with one of these.
    pub cases: Vec<String>,
    /// The allocators that are better there; all if it is empty.
    #[serde(default)]
    pub than: Vec<String>,
    /// In words.
    pub why: String,
}

#[derive(Debug, Deserialize)]
struct Reasons {
    reason: Vec<Reason>,
}

/// The reasons of a file.
///
/// # Errors
/// When it is not there or has another form.
pub fn reasons(path: &Path) -> Result<Vec<Reason>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reasons: Reasons = toml::from_str(&text).with_context(|| format!("{} has another form", path.display()))?;
    Ok(reasons.reason)
}

impl Reason {
    fn is_of(&self, case: &str) -> bool {
        self.cases.iter().any(|prefix| case.starts_with(prefix))
    }

    fn covers(&self, case: &str, peer: &str) -> bool {
        self.is_of(case) && (self.than.is_empty() || self.than.iter().any(|name| name == peer))
    }
}

/// A case in which a peer misses fewer rows than Spandrel's default mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// `CATEGORY/NAME`.
    pub case: String,
    /// The peers that are better there.
    pub than: Vec<String>,
}

/// The cases in which some default allocator misses fewer rows than Spandrel's default mode.
#[must_use]
pub fn losses(results: &Results) -> Vec<Loss> {
    let Some(own) = results.spandrel(DEFAULT) else { return Vec::new() };
    let mut losses = Vec::new();
    for case in &results.cases {
        let lost = own.counts_of_case(&case.name).lost();
        let is_better = |peer: &&Record| {
            let counts = peer.counts_of_case(&case.name);
            counts.all() > 0 && counts.lost() < lost
        };
        let than: Vec<String> = rivals(results, Kind::Default).filter(is_better).map(Record::label).collect();
        if !than.is_empty() {
            losses.push(Loss { case: case.name.clone(), than });
        }
    }
    losses
}

fn rivals(results: &Results, kind: Kind) -> impl Iterator<Item = &Record> {
    results.present().filter(move |record| record.name != SPANDREL && record.kind == kind)
}

/// The goals that are not reached, one line each.
#[must_use]
pub fn failures(results: &Results, reasons: &[Reason]) -> Vec<String> {
    let mut failures = default_failures(results, reasons);
    failures.extend(hardened_failures(results));
    failures
}

fn default_failures(results: &Results, reasons: &[Reason]) -> Vec<String> {
    let Some(own) = results.spandrel(DEFAULT) else { return vec![format!("mode {DEFAULT} was not attacked")] };
    let mut failures = Vec::new();
    let missed = |record: &Record| FREES.map(|category| record.counts_of(&format!("{category}/")).lost()).iter().sum();
    let lost: usize = missed(own);
    for peer in rivals(results, Kind::Default) {
        let theirs: usize = missed(peer);
        if lost >= theirs.max(1) {
            failures.push(format!("{DEFAULT}: {lost} wrong frees are missed, and {theirs} by {}", peer.label()));
        }
    }
    let mut is_needed = vec![false; reasons.len()];
    let mut excused = |covers: &dyn Fn(&Reason) -> bool| {
        let found = reasons.iter().position(covers);
        found.inspect(|at| is_needed[*at] = true).is_some()
    };
    for case in results.cases.iter().filter(|case| FREES.contains(&category(&case.name))) {
        let is_lost = own.counts_of_case(&case.name).lost() > 0;
        if is_lost && !excused(&|reason| reason.than.is_empty() && reason.is_of(&case.name)) {
            let letters = own.verdicts.get(&case.name).map_or("", String::as_str);
            failures.push(format!(
                "{DEFAULT}: {} is missed without a reason: {}",
                case.name,
                rows(&case.rows, letters)
            ));
        }
    }
    for loss in losses(results).iter().filter(|loss| !FREES.contains(&category(&loss.case))) {
        for peer in loss.than.iter().filter(|peer| !excused(&|reason| reason.covers(&loss.case, peer))) {
            failures.push(format!("{DEFAULT}: {} is missed more often than by {peer}, without a reason", loss.case));
        }
    }
    let idle = reasons.iter().zip(&is_needed).filter(|(_, is_needed)| !**is_needed);
    failures.extend(idle.map(|(reason, _)| format!("no case needs the reason for {}", reason.cases.join(", "))));
    failures
}

/// The rows that are missed, in words.
fn rows(names: &[String], letters: &str) -> String {
    let lost = names.iter().zip(letters.chars()).filter(|(_, letter)| matches!(letter, 'M' | 'B'));
    lost.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn hardened_failures(results: &Results) -> Vec<String> {
    let Some(own) = results.spandrel(HARDENED) else { return vec![format!("mode {HARDENED} was not attacked")] };
    let mut failures = Vec::new();
    for peer in rivals(results, Kind::Hardened) {
        for category in results.categories() {
            let prefix = format!("{category}/");
            let (lost, theirs) = (own.counts_of(&prefix).lost(), peer.counts_of(&prefix).lost());
            if lost > theirs {
                failures
                    .push(format!("{HARDENED}: {category}: {lost} rows are missed, and {theirs} by {}", peer.label()));
            }
        }
        if own.counts.lost() >= peer.counts.lost().max(1) {
            failures.push(format!(
                "{HARDENED}: {} rows are missed in all, and {} by {}",
                own.counts.lost(),
                peer.counts.lost(),
                peer.label()
            ));
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;
    use crate::attack::Verdict;
    use crate::program::Row;

    fn results(verdicts: &[(&str, &str, Kind, &str)]) -> Results {
        let row = |case: &str| Row { case: case.to_owned(), size: 16, threads: 1 };
        let rows = [row("double-free/near"), row("read/freed"), row("reuse/next-malloc")];
        let mut results = Results::new(&rows, String::new(), String::new(), 1);
        let mut blank = allocators::spandrel(Path::new("/x.so"), DEFAULT).unwrap();
        for (name, mode, kind, letters) in verdicts {
            (blank.name, blank.mode, blank.kind) = ((*name).to_owned(), (*mode).to_owned(), *kind);
            let found: Vec<Verdict> = letters.chars().map(|letter| Verdict::of_letter(letter).unwrap()).collect();
            results.allocators.push(Record::new(&blank, &rows, &found));
        }
        results
    }

    fn reason(cases: &str, than: &[&str]) -> Reason {
        Reason {
            cases: vec![cases.to_owned()],
            than: than.iter().map(|name| (*name).to_owned()).collect(),
            why: "so".to_owned(),
        }
    }

    const GOOD: [(&str, &str, Kind, &str); 4] = [
        (SPANDREL, DEFAULT, Kind::Default, "CMM"),
        (SPANDREL, HARDENED, Kind::Hardened, "CHC"),
        ("a", "", Kind::Default, "MMM"),
        ("b", "", Kind::Hardened, "CHM"),
    ];

    #[test]
    fn goals_that_are_reached_are_no_failures() {
        assert_eq!(failures(&results(&GOOD), &[]), Vec::<String>::new());
    }

    #[test]
    fn a_missed_double_free_is_a_failure() {
        let mut all = GOOD;
        all[0].3 = "MMM";
        assert_eq!(failures(&results(&all), &[]).len(), 2, "no better than a, and without a reason");
        assert_eq!(failures(&results(&all), &[reason("double-free/near", &[])]).len(), 1, "still no better");
    }

    #[test]
    fn a_peer_that_is_better_needs_a_reason() {
        let mut all = GOOD;
        all[2].3 = "MHM";
        let found = results(&all);
        assert_eq!(losses(&found), [Loss { case: "read/freed".to_owned(), than: vec!["a".to_owned()] }]);
        assert_eq!(failures(&found, &[]).len(), 1);
        assert_eq!(failures(&found, &[reason("read/", &[])]), Vec::<String>::new());
        assert_eq!(failures(&found, &[reason("read/", &["c"])]).len(), 2, "that reason covers another peer");
        assert_eq!(
            failures(&found, &[reason("read/", &[]), reason("reuse/", &[])]).len(),
            1,
            "one reason is not needed"
        );
    }

    #[test]
    fn hardened_is_better_in_every_category_and_in_sum() {
        let mut all = GOOD;
        all[1].3 = "CMC";
        assert_eq!(failures(&results(&all), &[]).len(), 2, "worse in a category, and only as good in the sum");
        all[3].3 = "CMC";
        assert_eq!(failures(&results(&all), &[]).len(), 1, "as good in the sum");
    }

    #[test]
    fn an_allocator_that_breaks_has_lost() {
        let mut all = GOOD;
        all[1].3 = "BHC";
        assert!(!failures(&results(&all), &[]).is_empty());
    }
}
