//! Tries mutants: first each test without any, which must pass, then each mutant, with which its test must fail.
//!
//! Knows: what the outcomes mean. Must not know: how tests are built and run, how outcomes are shown.

use crate::cargo::{Tests, Verdict};
use crate::list::{Mutant, Test};
use crate::tree::Tree;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The outcome of a mutant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its test failed.
    Killed,
    /// Its test did not end.
    Hung,
    /// Its test passed: a test is missing.
    Survived,
    /// Its patch does not fit the sources.
    Stale(String),
    /// It does not compile, and so shows nothing.
    Uncompiled(String),
    /// Its test does not pass without it, and so shows nothing.
    Broken(Verdict),
    /// Its test cannot run here.
    Skipped,
}

impl Outcome {
    /// Whether the run is a failure for it.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !matches!(self, Self::Killed | Self::Hung | Self::Skipped)
    }
}

/// A mutant with its outcome.
#[derive(Debug)]
pub struct Done<'a> {
    /// The mutant.
    pub mutant: &'a Mutant,
    /// Its outcome.
    pub outcome: Outcome,
    /// How long that took.
    pub time: Duration,
}

/// Runs each test that `mutants` name once, without any of them. A test that fails has a second chance: the machine may
/// be busy.
///
/// # Errors
/// When a test cannot be built, or not be run at all.
pub fn unmutated(mutants: &[&Mutant], tests: &dyn Tests) -> Result<BTreeMap<Test, Verdict>> {
    let named: BTreeSet<&Test> = mutants.iter().map(|mutant| &mutant.test).collect();
    let mut verdicts = BTreeMap::new();
    let mut built = BTreeSet::new();
    for test in named {
        if built.insert(&test.kind)
            && let Err(text) = tests.build(&test.kind)?
        {
            anyhow::bail!("the sources do not compile as they are:\n{text}");
        }
        let mut verdict = tests.run(test)?;
        if matches!(verdict, Verdict::Failed | Verdict::Hung) {
            verdict = tests.run(test)?;
        }
        verdicts.insert(test.clone(), verdict);
    }
    Ok(verdicts)
}

/// Tries one mutant in `tree`, whose test did `before` without it.
///
/// # Errors
/// When the tree cannot be changed, or a command not be run.
pub fn attempt<'a>(mutant: &'a Mutant, before: Verdict, tree: &Tree, tests: &dyn Tests) -> Result<Done<'a>> {
    let start = Instant::now();
    let outcome = match before {
        Verdict::Passed => outcome(mutant, tree, tests)?,
        Verdict::Skipped => Outcome::Skipped,
        other => Outcome::Broken(other),
    };
    Ok(Done { mutant, outcome, time: start.elapsed() })
}

fn outcome(mutant: &Mutant, tree: &Tree, tests: &dyn Tests) -> Result<Outcome> {
    let text = match mutant.apply(&tree.root) {
        Ok(text) => text,
        Err(error) => return Ok(Outcome::Stale(format!("{error:#}"))),
    };
    let _changed = tree.change(&mutant.file, &text)?;
    if let Err(text) = tests.build(&mutant.test.kind)? {
        return Ok(Outcome::Uncompiled(text));
    }
    Ok(match tests.run(&mutant.test)? {
        Verdict::Failed => Outcome::Killed,
        Verdict::Hung => Outcome::Hung,
        Verdict::Passed => Outcome::Survived,
        other => Outcome::Broken(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Kind, List};
    use std::fs;
    use std::path::PathBuf;

    /// Stands for a compiler and a test: a file `source`, whose words say what happens.
    struct Made(PathBuf);

    impl Tests for Made {
        fn build(&self, _: &Kind) -> Result<core::result::Result<(), String>> {
            let text = fs::read_to_string(self.0.join("source"))?;
            Ok(if text.contains("nonsense") { Err("nonsense".to_owned()) } else { Ok(()) })
        }

        fn run(&self, test: &Test) -> Result<Verdict> {
            let text = fs::read_to_string(self.0.join("source"))?;
            Ok(match test.name.as_str() {
                "missing" => Verdict::Missing,
                "elsewhere" => Verdict::Skipped,
                "wrong" => Verdict::Failed,
                _ if text.contains("forever") => Verdict::Hung,
                "blind" => Verdict::Passed,
                _ if text.contains("two is 2") => Verdict::Passed,
                _ => Verdict::Failed,
            })
        }
    }

    fn try_one(replace: &str, test: &str) -> Outcome {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("source"), "two is 2").unwrap();
        let text = format!(
            "[[mutant]]\nname = 'a'\npromise = 'b: c'\nfile = 'source'\nfind = '2'\nreplace = '{replace}'\ntest = 'unit {test}'\n"
        );
        let list = List::parse(&text).unwrap();
        let mutants: Vec<&Mutant> = list.mutants.iter().collect();
        let (tree, tests) = (Tree { root: root.path().to_path_buf() }, Made(root.path().to_path_buf()));
        let before = unmutated(&mutants, &tests).unwrap()[&mutants[0].test];
        let done = attempt(mutants[0], before, &tree, &tests).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("source")).unwrap(), "two is 2", "the change is taken back");
        done.outcome
    }

    #[test]
    fn a_test_that_fails_kills() {
        assert_eq!(try_one("3", "arithmetic"), Outcome::Killed);
        assert_eq!(try_one("forever", "arithmetic"), Outcome::Hung);
    }

    #[test]
    fn a_test_that_sees_nothing_lets_survive() {
        assert_eq!(try_one("3", "blind"), Outcome::Survived);
        assert!(Outcome::Survived.is_bad());
    }

    #[test]
    fn what_shows_nothing_is_bad() {
        assert_eq!(try_one("nonsense", "arithmetic"), Outcome::Uncompiled("nonsense".to_owned()));
        assert_eq!(try_one("3", "wrong"), Outcome::Broken(Verdict::Failed));
        assert_eq!(try_one("3", "missing"), Outcome::Broken(Verdict::Missing));
        assert!(matches!(try_one("2", "arithmetic"), Outcome::Stale(_)));
        assert!(Outcome::Broken(Verdict::Missing).is_bad() && Outcome::Stale(String::new()).is_bad());
    }

    #[test]
    fn what_cannot_run_here_is_skipped() {
        assert_eq!(try_one("3", "elsewhere"), Outcome::Skipped);
        assert!(!Outcome::Skipped.is_bad());
    }
}
