//! Runs a program under callgrind and adds up the instructions of one shared object.
//!
//! Knows: callgrind's command line and output format. Must not know: what the program does.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What to run and what to count.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// Preloaded into the program alone, through the loader: `LD_PRELOAD` would reach valgrind itself.
    pub(crate) library: &'a Path,
    /// Where the output file goes.
    pub(crate) output: PathBuf,
    /// Count only while this function of the program is on the stack.
    pub(crate) inside: Option<&'a str>,
}

impl Run<'_> {
    /// Instructions that the library executed when the program is run with these arguments.
    pub(crate) fn instructions(&self, arguments: &[&str]) -> Result<u64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--error-exitcode=0"]);
        command.arg(format!("--callgrind-out-file={}", self.output.display()));
        if let Some(function) = self.inside {
            command.arg(format!("--toggle-collect={function}"));
        }
        command.args([LOADER, "--preload"]).arg(self.library).arg(self.program).args(arguments);
        let done = command.env_remove("LD_PRELOAD").output().context("cannot run valgrind: install the package `valgrind`")?;
        if !done.status.success() {
            bail!("{:?} ended with {}: {}", command, done.status, String::from_utf8_lossy(&done.stderr));
        }
        let text = fs::read_to_string(&self.output).with_context(|| format!("no file {}", self.output.display()))?;
        Ok(self_cost(&text, &self.library.to_string_lossy()))
    }
}

/// The cost of all lines that belong to the object named, without what its calls cost elsewhere.
///
/// Names are given once, `ob=(3) /path`, and then by number, `ob=(3)`; `cob=` names the object of a callee and may be the first
/// to give a name. The line after `calls=` is the inclusive cost of the call.
fn self_cost(text: &str, object: &str) -> u64 {
    let mut names = HashMap::new();
    let mut counted = false;
    let mut skip = false;
    let mut sum = 0;
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
                sum += line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            }
            skip = false;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "events: Ir\n\
        ob=(1) /bin/driver\nfl=(1) a.c\nfn=(1) main\n16 400\ncob=(2) /x/lib.so\ncfn=(2) malloc\ncalls=10 5\n16 200\n+1 5\n\n\
        ob=(2)\nfn=(2)\n5 150\n* 20\n+3 7\ncob=(1)\ncfn=(3) other\ncalls=1 1\n+1 1000\n-2 3\n\n\
        ob=(1)\nfn=(3)\n9 1000\n\ntotals: 9999\n";

    #[test]
    fn own_costs_of_the_object_are_added_and_calls_left_out() {
        assert_eq!(self_cost(OUTPUT, "/x/lib.so"), 180);
        assert_eq!(self_cost(OUTPUT, "/bin/driver"), 1405);
        assert_eq!(self_cost(OUTPUT, "/x/none.so"), 0);
    }
}
