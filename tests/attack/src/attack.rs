//! One attack: runs a row under an allocator and says what the allocator did about it.
//!
//! Knows: the lines that the driver prints, and how processes end. Must not know: cases, allocators by name.

use crate::allocators::Allocator;
use crate::program::Row;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// The signal by which the driver ends an attack that takes too long.
const ALARM: i32 = 14;

/// The answer of an allocator to an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The process was ended, or a line was printed, by the call or the access that was wrong.
    AtTheCall,
    /// The same by a later call, or at exit, before an attacker had won.
    Later,
    /// The case proved that nobody else was harmed.
    Harmless,
    /// The attacker won.
    Missed,
    /// The case does not exist under this allocator.
    NotApplicable,
    /// The process died, or complained, before anything was wrong. It earns the allocator nothing.
    Broken,
}

impl Verdict {
    /// All, in the order of tables.
    pub const ALL: [Self; 6] =
        [Self::AtTheCall, Self::Later, Self::Harmless, Self::Missed, Self::NotApplicable, Self::Broken];

    /// Its letter in the results.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::AtTheCall => 'C',
            Self::Later => 'L',
            Self::Harmless => 'H',
            Self::Missed => 'M',
            Self::NotApplicable => '-',
            Self::Broken => 'B',
        }
    }

    /// The verdict of a letter.
    #[must_use]
    pub fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.letter() == letter)
    }

    /// Its words in pages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AtTheCall => "caught at the call",
            Self::Later => "caught later",
            Self::Harmless => "harmless",
            Self::Missed => "missed",
            Self::NotApplicable => "not applicable",
            Self::Broken => "broken without an attack",
        }
    }
}

/// Runs a row; `calm` leaves the misuse out.
///
/// # Errors
/// When the driver cannot be started.
pub fn run(driver: &Path, allocator: &Allocator, row: &Row, calm: bool, scratch: &Path) -> Result<Verdict> {
    // A file, not a pipe: the driver asks how long it is.
    let errors = scratch.join("errors");
    let mut command = Command::new(driver);
    command.arg(&row.case).arg(row.size.to_string()).arg(row.threads.to_string()).args(calm.then_some("calm"));
    command.env_clear().envs(&allocator.environment);
    if let Some(library) = &allocator.library {
        command.env("LD_PRELOAD", library);
    }
    command.stdin(Stdio::null()).stderr(File::create(&errors)?);
    let output = command.output().with_context(|| format!("cannot start {}", driver.display()))?;
    let said = fs::read(&errors)?;
    let complaints = String::from_utf8_lossy(&said);
    let has_complained = complaints.lines().any(|line| !allocator.is_usual(line));
    Ok(judge(&String::from_utf8_lossy(&output.stdout), output.status, has_complained))
}

/// The driver's lines begin with `A` before the misuse; `P`, or `R` if something was printed meanwhile, after it; and in
/// the end with `H`, `m` (harm was seen, and the run went on), `M` or `N`.
fn judge(lines: &str, end: ExitStatus, has_complained: bool) -> Verdict {
    let letters: String = lines.lines().filter_map(|line| line.chars().next()).collect();
    let last = letters.chars().last().unwrap_or(' ');
    let has_died = !end.success();
    if end.signal() == Some(ALARM) {
        return Verdict::Missed;
    }
    match last {
        'N' => Verdict::NotApplicable,
        _ if letters.contains('R') => Verdict::AtTheCall,
        'M' => Verdict::Missed,
        'A' if has_died => Verdict::AtTheCall,
        _ if has_died || has_complained => {
            if letters.contains('A') {
                Verdict::Later
            } else {
                Verdict::Broken
            }
        }
        'H' => Verdict::Harmless,
        'm' => Verdict::Missed,
        _ => Verdict::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABORTED: i32 = 6;

    fn judged(letters: &str, raw: i32, has_complained: bool) -> Verdict {
        let lines: String = letters.chars().map(|letter| format!("{letter} why\n")).collect();
        judge(&lines, ExitStatus::from_raw(raw), has_complained)
    }

    #[test]
    fn a_death_counts_by_its_time() {
        assert_eq!(judged("A", ABORTED, true), Verdict::AtTheCall);
        assert_eq!(judged("APA", ABORTED, true), Verdict::AtTheCall);
        assert_eq!(judged("AP", ABORTED, true), Verdict::Later);
        assert_eq!(judged("APm", ABORTED, true), Verdict::Later);
        assert_eq!(judged("APH", ABORTED, true), Verdict::Later);
        assert_eq!(judged("", ABORTED, true), Verdict::Broken);
        assert_eq!(judged("H", ABORTED, true), Verdict::Broken);
    }

    #[test]
    fn a_line_counts_like_a_death() {
        assert_eq!(judged("ARH", 0, true), Verdict::AtTheCall);
        assert_eq!(judged("APH", 0, true), Verdict::Later);
        assert_eq!(judged("H", 0, true), Verdict::Broken);
    }

    #[test]
    fn an_attacker_that_won_has_won() {
        assert_eq!(judged("APM", 0, true), Verdict::Missed);
        assert_eq!(judged("APm", 0, false), Verdict::Missed);
        assert_eq!(judged("AP", ALARM, false), Verdict::Missed);
        assert_eq!(judged("APH", 0, false), Verdict::Harmless);
        assert_eq!(judged("N", 0, false), Verdict::NotApplicable);
        assert_eq!(judged("AP", 0, false), Verdict::Broken);
    }

    #[test]
    fn letters_and_verdicts_are_pairs() {
        assert!(Verdict::ALL.iter().all(|verdict| Verdict::of_letter(verdict.letter()) == Some(*verdict)));
        assert_eq!(Verdict::of_letter('x'), None);
    }
}
