//! The printed form of a run: a line for each mutant, and one at the end.
//!
//! Knows: layout. Must not know: how outcomes come about.

use crate::list::Untested;
use crate::run::{Done, Outcome};

const NAME: usize = 30;
const WORD: usize = 12;

/// The heading.
#[must_use]
pub fn heading() -> String {
    format!("{:<NAME$} {:<WORD$} {:>7}  {:<60} promise", "mutant", "outcome", "seconds", "test")
}

/// The line of one mutant; below it what helps where the run fails for it.
#[must_use]
pub fn line(done: &Done<'_>) -> String {
    let (word, more) = match &done.outcome {
        Outcome::Killed => ("killed", String::new()),
        Outcome::Hung => ("killed, hung", String::new()),
        Outcome::Survived => ("SURVIVED", "no test sees the promise broken: write one".to_owned()),
        Outcome::Stale(why) => ("STALE", why.clone()),
        Outcome::Uncompiled(text) => ("UNCOMPILED", text.trim_end().to_owned()),
        Outcome::Broken(verdict) => ("NO TEST", format!("without the mutant its test ends as {verdict:?}")),
        Outcome::Skipped => ("skipped", "its test cannot run here".to_owned()),
    };
    let (mutant, seconds) = (done.mutant, done.time.as_secs_f64());
    let line = format!(
        "{:<NAME$} {word:<WORD$} {seconds:>7.1}  {:<60} {}",
        mutant.name,
        mutant.test.to_string(),
        mutant.promise
    );
    if more.is_empty() { line } else { format!("{line}\n  {}", more.replace('\n', "\n  ")) }
}

/// The promises that no mutant breaks, and why.
#[must_use]
pub fn untested(all: &[Untested]) -> String {
    all.iter().map(|one| format!("not tried: {} ({})\n", one.promise, one.reason)).collect()
}

/// The last line.
#[must_use]
pub fn summary(all: &[Done<'_>]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| all.iter().filter(|done| wanted(&done.outcome)).count();
    let survived = count(|outcome| *outcome == Outcome::Survived);
    let skipped = count(|outcome| *outcome == Outcome::Skipped);
    let bad = count(Outcome::is_bad) - survived;
    let killed = all.len() - survived - skipped - bad;
    format!("mutants: {killed} killed, {survived} survived, {bad} without effect, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::List;
    use std::time::Duration;

    #[test]
    fn every_outcome_is_counted_once() {
        let text = "[[mutant]]\nname = 'a'\npromise = 'b: c'\nfile = 'x'\nfind = '2'\nreplace = '3'\ntest = 'unit t'\n";
        let list = List::parse(text).unwrap();
        let outcomes = [
            Outcome::Killed,
            Outcome::Hung,
            Outcome::Survived,
            Outcome::Stale("why".to_owned()),
            Outcome::Uncompiled("error\nmore".to_owned()),
            Outcome::Skipped,
        ];
        let all = outcomes.map(|outcome| Done { mutant: &list.mutants[0], outcome, time: Duration::ZERO });
        assert_eq!(summary(&all), "mutants: 2 killed, 1 survived, 2 without effect, 1 skipped");
        assert!(line(&all[2]).contains("SURVIVED") && line(&all[4]).ends_with("\n  error\n  more"));
        assert_eq!(line(&all[0]).lines().count(), 1);
    }
}
