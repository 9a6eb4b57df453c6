//! Runs a program under callgrind and adds up the instructions and branches of one shared object.
//!
//! Knows: callgrind's command line and output format. Must not know: what the program does.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// The executed instructions and branches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Instructions.
    pub(super) instructions: u64,
    /// Conditional branches, and jumps and calls by way of a register or memory.
    pub(super) branches: u64,
}

/// A run, and the part of it that counts.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// Preloaded into the program alone, through the loader: `LD_PRELOAD` would reach valgrind itself.
    pub(super) library: &'a Path,
    /// Where the output file goes.
    pub(super) output: PathBuf,
    /// Count only while this function of the program is on the stack.
    pub(super) inside: Option<&'a str>,
    /// Added to the environment.
    pub(super) environment: &'a [(&'a str, &'a str)],
}

impl Run<'_> {
    /// Counts the library's part of a run with these arguments.
    ///
    /// # Errors
    /// When valgrind cannot be run, or the program fails.
    pub(super) fn counts(&self, arguments: &[&str]) -> Result<Counts> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--error-exitcode=0", "--branch-sim=yes"]);
        command.arg(format!("--callgrind-out-file={}", self.output.display()));
        if let Some(function) = self.inside {
            command.arg(format!("--toggle-collect={function}"));
        }
        command.args([LOADER, "--preload"]).arg(self.library).arg(self.program).args(arguments);
        // Work that is due once in so many milliseconds would come fifty times as often for each call as in a program
        // that runs by itself.
        command.env_remove("LD_PRELOAD").env("SPANDREL_IDLE_RETURN", "off").envs(self.environment.iter().copied());
        let done = command.output().context("cannot run valgrind: install the package `valgrind`")?;
        if !done.status.success() {
            bail!("{:?} ended with {}: {}", command, done.status, String::from_utf8_lossy(&done.stderr));
        }
        let text = fs::read_to_string(&self.output).with_context(|| format!("no file {}", self.output.display()))?;
        self_cost(&text, &self.library.to_string_lossy())
    }
}

/// The cost of all lines that belong to the object named, without what its calls cost elsewhere.
///
/// Names are given once, `ob=(3) /path`, and then by number, `ob=(3)`; `cob=` names the object of a callee and may be
/// the first to give a name. The line after `calls=` is the inclusive cost of the call. A cost line is a position and
/// one number for each name of the line `events:`, zeros at its end left out.
fn self_cost(text: &str, object: &str) -> Result<Counts> {
    let events =
        text.lines().find_map(|line| line.strip_prefix("events: ")).context("callgrind wrote no line `events:`")?;
    let column = |name| {
        events.split(' ').position(|event| event == name).with_context(|| format!("callgrind counted no {name}"))
    };
    let (instructions, conditional, indirect) = (column("Ir")?, column("Bc")?, column("Bi")?);
    let mut names = HashMap::new();
    let mut counted = false;
    let mut skip = false;
    let mut sum = Counts::default();
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("ob=").or_else(|| line.strip_prefix("cob=")) {
            let (id, name) = named.split_once(' ').map_or((named, None), |(id, name)| (id, Some(name)));
            let name: &str = match name {
                Some(name) => names.entry(id).or_insert(name),
                None => names.get(id).copied().unwrap_or_default(),
            };
            if line.starts_with("ob=") {
                counted = name == object;
            }
        } else if line.starts_with("calls=") {
            skip = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            if counted && !skip {
                let costs: Vec<u64> = line.split(' ').skip(1).filter_map(|cost| cost.parse().ok()).collect();
                let cost = |at: usize| costs.get(at).copied().unwrap_or(0);
                sum.instructions += cost(instructions);
                sum.branches += cost(conditional) + cost(indirect);
            }
            skip = false;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "events: Ir Bc Bcm Bi Bim\n\
        ob=(1) /bin/driver\nfl=(1) a.c\nfn=(1) main\n16 400\ncob=(2) /x/lib.so\ncfn=(2) malloc\ncalls=10 5\n16 200 50 1\n+1 5\n\n\
        ob=(2)\nfn=(2)\n5 150 30 2 4 1\n* 20 6\n+3 7\ncob=(1)\ncfn=(3) other\ncalls=1 1\n+1 1000 90\n-2 3\n\n\
        ob=(1)\nfn=(3)\n9 1000 0 0 8\n\ntotals: 9999\n";

    #[test]
    fn own_costs_of_the_object_are_added_and_calls_left_out() {
        assert_eq!(self_cost(OUTPUT, "/x/lib.so").unwrap(), Counts { instructions: 180, branches: 40 });
        assert_eq!(self_cost(OUTPUT, "/bin/driver").unwrap(), Counts { instructions: 1405, branches: 8 });
        assert_eq!(self_cost(OUTPUT, "/x/none.so").unwrap(), Counts::default());
    }

    #[test]
    fn output_without_branches_is_refused() {
        assert!(self_cost("events: Ir\nob=(1) /x/lib.so\n1 5\n", "/x/lib.so").is_err());
        assert!(self_cost("ob=(1) /x/lib.so\n1 5\n", "/x/lib.so").is_err());
    }
}
