//! The expected end of a run, and the comparison with the actual one.
//!
//! Grammar: `exit N` or `signal NAME`, then any of `stderr CODE[|CODE…] [xN]` (exactly N diagnostic lines, default 1,
//! `x?` for at most one; each with one of the codes) and `stdout TEXT` (a line equal to TEXT; last, takes the rest of
//! the line). Without `stderr` not a single diagnostic line is tolerated.

use core::ops::RangeInclusive;

use crate::run::Outcome;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Exit status.
    Exit(i32),
    /// Killed by a signal.
    Signal(i32),
    /// Still running when its time was over.
    TimedOut,
}

/// A parsed expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    end: End,
    codes: Vec<String>,
    count: RangeInclusive<usize>,
    stdout: Option<String>,
}

fn signal_number(name: &str) -> Option<i32> {
    match name {
        "SIGABRT" => Some(libc::SIGABRT),
        "SIGSEGV" => Some(libc::SIGSEGV),
        "SIGKILL" => Some(libc::SIGKILL),
        "SIGILL" => Some(libc::SIGILL),
        _ => None,
    }
}

impl Expectation {
    /// Reads the text after `expect:`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("cannot read expectation `{text}`");
        let (text_before, stdout) = match text.split_once(" stdout ") {
            Some((before, line)) => (before, Some(line.trim().to_owned())),
            None => (text, None),
        };
        let mut words = text_before.split_whitespace();
        let end = match (words.next(), words.next()) {
            (Some("exit"), Some(status)) => End::Exit(status.parse().map_err(|_| bad())?),
            (Some("signal"), Some(name)) => End::Signal(signal_number(name).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        let mut expectation = Self { end, codes: Vec::new(), count: 0..=0, stdout };
        match words.next() {
            None => return Ok(expectation),
            Some("stderr") => {
                expectation.codes = words.next().ok_or_else(bad)?.split('|').map(str::to_owned).collect();
                expectation.count = 1..=1;
            }
            Some(_) => return Err(bad()),
        }
        if let Some(times) = words.next() {
            expectation.count = match times.strip_prefix('x') {
                Some("?") => 0..=1,
                Some(number) => number.parse().map(|exactly| exactly..=exactly).map_err(|_| bad())?,
                None => return Err(bad()),
            };
        }
        if words.next().is_some() { Err(bad()) } else { Ok(expectation) }
    }

    /// Compares; the error says everything needed to understand the failure.
    pub fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        let complain = |what: String| Err(format!("{what}\n{outcome}"));
        if outcome.end != self.end {
            return complain(format!("expected {:?}, got {:?}", self.end, outcome.end));
        }
        let lines = outcome.diagnostics();
        if !self.count.contains(&lines.len()) {
            return complain(format!("expected {:?} diagnostic lines, got {}", self.count, lines.len()));
        }
        if let Some(odd) = lines.iter().find(|line| !self.codes.iter().any(|code| code == line.code)) {
            return complain(format!("expected code {}, got {}", self.codes.join("|"), odd.code));
        }
        match &self.stdout {
            Some(wanted) if !outcome.stdout.lines().any(|line| line == wanted) => {
                complain(format!("no line `{wanted}` on stdout"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether some line of standard error has all pieces of `text`, in order; ` … ` stands between pieces.
pub fn says(outcome: &Outcome, text: &str) -> Result<(), String> {
    let has = |line: &str| {
        text.split(" … ").try_fold(line, |rest, piece| rest.split_once(piece).map(|(_, after)| after)).is_some()
    };
    if outcome.stderr.lines().any(has) { Ok(()) } else { Err(format!("no line on stderr says `{text}`\n{outcome}")) }
}

/// Whether the call stack behind the first diagnostic is `text`: its frames, the innermost first, as far as they are
/// named; ` … ` stands between frames, and a last `.` for the end of the stack.
pub fn has_stack(outcome: &Outcome, text: &str) -> Result<(), String> {
    let mut frames = outcome.first_stack().into_iter();
    let right = text.split(" … ").all(|piece| match (piece, frames.next()) {
        (".", frame) => frame.is_none(),
        (piece, frame) => frame.is_some_and(|frame| frame.contains(piece)),
    });
    if right { Ok(()) } else { Err(format!("no stack `{text}` behind the first diagnostic\n{outcome}")) }
}

#[cfg(test)]
mod tests {
    use super::{End, Expectation, has_stack, says};
    use crate::run::Outcome;

    fn outcome(end: End, stderr: &str) -> Outcome {
        Outcome { end, stdout: "one\ntwo words\n".to_owned(), stderr: stderr.to_owned(), command: String::new() }
    }

    #[test]
    fn pieces_are_found_in_order_on_one_line() {
        let outcome = outcome(End::Exit(0), "alpha beta gamma\ndelta\n");
        assert!(says(&outcome, "alpha … gamma").is_ok());
        assert!(says(&outcome, "gamma … alpha").is_err() && says(&outcome, "alpha … delta").is_err());
    }

    #[test]
    fn stacks_are_compared_from_their_first_frame() {
        let text = "spandrel: ALLOCATOR_A: text\nspandrel:    x+0x1 (one+0x2)\nspandrel:    x+0x3 (two+0x4)\nother\nspandrel:    x+0x5 (three+0x6)\n";
        let outcome = outcome(End::Exit(0), text);
        assert!(has_stack(&outcome, "(one").is_ok() && has_stack(&outcome, "(one … (two … .").is_ok());
        for wrong in ["(two", "(one … .", "(one … (two … (three", "."] {
            assert!(has_stack(&outcome, wrong).is_err(), "{wrong}");
        }
        assert!(outcome.diagnostics().len() == 1);
    }

    #[test]
    fn judges_end_and_codes_exactly() -> Result<(), String> {
        let twice = Expectation::parse("exit 0 stderr A_B|C x2 stdout two words")?;
        let line = "spandrel: A_B: text\nother\nspandrel: C: text\n";
        twice.judge(&outcome(End::Exit(0), line))?;
        assert!(twice.judge(&outcome(End::Exit(1), line)).is_err());
        assert!(twice.judge(&outcome(End::Exit(0), "spandrel: A_B: text\n")).is_err());
        assert!(twice.judge(&outcome(End::Exit(0), "spandrel: A_B: text\nspandrel: D: text\n")).is_err());
        assert!(Expectation::parse("exit 0")?.judge(&outcome(End::Exit(0), line)).is_err());
        assert!(Expectation::parse("exit 0 stdout two")?.judge(&outcome(End::Exit(0), "")).is_err());
        Ok(())
    }

    #[test]
    fn a_malformed_diagnostic_counts_as_a_wrong_code() -> Result<(), String> {
        let once = Expectation::parse("signal SIGABRT stderr A")?;
        assert!(once.judge(&outcome(End::Signal(6), "spandrel: A\n")).is_err());
        assert!(once.judge(&outcome(End::Signal(6), "spandrel: A: \n")).is_err());
        once.judge(&outcome(End::Signal(6), "spandrel: A: text\n"))
    }
}
