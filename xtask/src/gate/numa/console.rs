//! The output of the guest.
//!
//! Knows: the words of `benches/numa/init.c` and `nodes.c`. Must not know: what is right.
//! Lines of others, such as the kernel's, are passed over; a guest that did not get to its end is an error.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// How many pages lie on node 0 and on node 1.
pub(in crate::gate) type Nodes = [u64; 2];

/// All that was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::gate) struct Told {
    /// The release of the kernel.
    pub(super) kernel: String,
    /// A run for each policy.
    pub(super) runs: BTreeMap<String, Run>,
}

/// The output under one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::gate) struct Run {
    /// Where the pages of each case lie.
    pub(super) pages: BTreeMap<String, Nodes>,
    /// How many of them the case had before.
    pub(super) again: BTreeMap<String, u64>,
    /// The kernel's name for the policy of its memory.
    pub(super) policies: BTreeMap<String, String>,
    /// The library's own lines.
    pub(super) said: Vec<String>,
}

/// Reads the text of the console.
///
/// # Errors
/// When a program in the guest failed, or the guest did not come to its end.
pub(in crate::gate) fn read(text: &str) -> Result<Told> {
    let mut told = Told::default();
    let mut policy = String::new();
    let mut done = false;
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let run = told.runs.get_mut(&policy);
        match (words.as_slice(), run) {
            (["kernel", release], _) => told.kernel = (*release).to_owned(),
            (["run", name], _) => {
                policy = (*name).to_owned();
                told.runs.insert(policy.clone(), Run::default());
            }
            (["failed", ..], _) => bail!("the guest, under {policy}: {line}"),
            (["ended", status], _) if *status != "0" => bail!("the guest, under {policy}: status {status}"),
            (["done"], _) => done = true,
            (["pages", case, first, second], Some(run)) => {
                run.pages.insert((*case).to_owned(), [number(first, line)?, number(second, line)?]);
            }
            (["again", case, count], Some(run)) => {
                run.again.insert((*case).to_owned(), number(count, line)?);
            }
            (["policy", case, word], Some(run)) => {
                run.policies.insert((*case).to_owned(), (*word).to_owned());
            }
            (["spandrel:", ..], Some(run)) => run.said.push(line.to_owned()),
            _ => {}
        }
    }
    if !done || told.kernel.is_empty() {
        bail!("the guest did not come to its end");
    }
    Ok(told)
}

fn number(word: &str, line: &str) -> Result<u64> {
    word.parse().with_context(|| format!("the guest printed `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[    1.0] booting\r\nkernel 6.1.0\r\nrun local\r\npages fresh 3 4\r\nagain fresh 2\r\npolicy fresh prefer:0\r\n\
        spandrel: CODE: a line\r\nended 0\r\nrun off\r\nended 0\r\ndone\r\n[    2.0] reboot\r\n";

    #[test]
    fn what_was_told_is_read_by_policy() {
        let told = read(TEXT).unwrap();
        let local = &told.runs["local"];
        assert_eq!((told.kernel.as_str(), told.runs.len()), ("6.1.0", 2));
        assert_eq!((local.pages["fresh"], local.again["fresh"]), ([3, 4], 2));
        assert_eq!((local.policies["fresh"].as_str(), local.said.len()), ("prefer:0", 1));
        assert_eq!(told.runs["off"], Run::default());
    }

    #[test]
    fn a_guest_that_failed_or_stopped_is_an_error() {
        for (passage, other) in [
            ("done", "stopped"),
            ("ended 0", "ended 256"),
            ("pages fresh 3 4", "failed 88 block != NULL"),
            ("pages fresh 3 4", "pages fresh 3 -4"),
            ("kernel 6.1.0", ""),
        ] {
            assert!(TEXT.contains(passage));
            assert!(read(&TEXT.replacen(passage, other, 1)).is_err(), "{other}");
        }
    }
}
