//! The promise of each policy for each case, and whether it was kept.
//!
//! Knows: docs/numa.md. Must not know: how the figures came.

use super::CODE;
use super::console::{Nodes, Run, Told};
use anyhow::{Context, Result};

/// The share of pages that "nearly all" are at least: a thread that moves has free blocks of the old node at hand.
const NEARLY: f64 = 0.95;
/// The share of pages that "most of them" are at least.
const MOSTLY: f64 = 0.85;
/// How far from half and half an even spread may be.
const UNEVEN: f64 = 0.05;

/// Where the pages of a case must lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::gate) enum Demand {
    /// All on this node.
    All(usize),
    /// Nearly all on this node.
    NearlyAll(usize),
    /// Half on each.
    Half,
    /// On this node as far as it has room, the others elsewhere.
    Overflow(usize),
    /// Some not on this node: the control, which shows that what the other rows demand does not come by itself.
    NotAll(usize),
}

/// A case under a policy.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Row {
    /// The value of `SPANDREL_NUMA`.
    pub(super) policy: &'static str,
    /// The case.
    pub(super) case: &'static str,
    /// Its allocations and frees.
    pub(super) what: &'static str,
    /// Where its pages must lie.
    pub(super) demand: Demand,
    /// Least and largest share of them that must be pages that the case had before.
    pub(super) again: Option<(f64, f64)>,
}

const fn row(policy: &'static str, case: &'static str, what: &'static str, demand: Demand) -> Row {
    Row { policy, case, what, demand, again: None }
}

impl Row {
    const fn again(self, least: f64, most: f64) -> Self {
        Self { again: Some((least, most)), ..self }
    }
}

use Demand::{All, Half, NearlyAll, NotAll, Overflow};

const SMALL: [&str; 2] = ["fresh 64 bytes, thread on node 0", "fresh 64 bytes, thread on node 1"];
const MEDIUM: [&str; 2] = ["fresh 5000 bytes, thread on node 0", "fresh 5000 bytes, thread on node 1"];
const LARGE: [&str; 2] = ["fresh 1 MiB, thread on node 0", "fresh 1 MiB, thread on node 1"];
const DIRECT: [&str; 2] = ["fresh 40 MiB, thread on node 0", "fresh 40 MiB, thread on node 1"];
const RUNS: [&str; 2] = ["1 MiB, back on node 0", "1 MiB after node 0 freed such, node 1"];
const SPANS: &str = "64 bytes after node 0 freed runs, node 1";
const SENT: &str = "200 bytes after freeing node 0's, node 1";
const HOME: &str = "200 bytes after node 1 freed them, node 0";
const ADOPTED: [&str; 2] = ["300 bytes, new thread on node 0", "300 bytes, new thread on node 1"];
const MOVED: &str = "700 bytes, thread moved to node 1";
const LEFT: &str = "400 bytes after freeing a gone one's, 1";
const RECORDS: [&str; 2] = ["records of node 0's regions", "records of node 1's regions"];
const METADATA: [&str; 2] = ["metadata of heaps on node 0", "metadata of heaps on node 1"];
const DATA: [&str; 2] = ["all pages of node 0's bank", "all pages of node 1's bank"];
const MORE: &str = "200 MiB, more than node 1 has";

/// All that the check compares.
pub(in crate::gate) const ROWS: &[Row] = &[
    row("off", "runs-node1", RUNS[1], NotAll(1)),
    row("off", "spans-node1", SPANS, NotAll(1)),
    row("off", "freed-remotely-node1", SENT, NotAll(1)),
    row("off", "adopted-node1", ADOPTED[1], NotAll(1)),
    row("off", "left-behind-node1", LEFT, NotAll(1)),
    row("first-touch", "fresh-small-node0", SMALL[0], All(0)),
    row("first-touch", "fresh-direct-node0", DIRECT[0], All(0)),
    row("first-touch", "fresh-direct-node1", DIRECT[1], All(1)),
    row("local", "fresh-small-node0", SMALL[0], All(0)),
    row("local", "fresh-small-node1", SMALL[1], All(1)),
    row("local", "fresh-medium-node0", MEDIUM[0], All(0)),
    row("local", "fresh-medium-node1", MEDIUM[1], All(1)),
    row("local", "fresh-large-node0", LARGE[0], All(0)),
    row("local", "fresh-large-node1", LARGE[1], All(1)),
    row("local", "fresh-direct-node0", DIRECT[0], All(0)),
    row("local", "fresh-direct-node1", DIRECT[1], All(1)),
    row("local", "runs-node1", RUNS[1], All(1)),
    row("local", "spans-node1", SPANS, All(1)),
    // The run cache merges and cuts what it keeps, so some pages come from elsewhere in the node.
    row("local", "runs-node0", RUNS[0], All(0)).again(MOSTLY, 1.0),
    row("local", "freed-remotely-node1", SENT, All(1)).again(0.0, 0.0),
    row("local", "home-node0", HOME, All(0)).again(NEARLY, 1.0),
    row("local", "adopted-node1", ADOPTED[1], All(1)).again(NEARLY, 1.0),
    row("local", "adopted-node0", ADOPTED[0], All(0)).again(NEARLY, 1.0),
    row("local", "moved-node1", MOVED, NearlyAll(1)),
    row("local", "left-behind-node1", LEFT, All(1)).again(0.0, 0.0),
    row("local", "records-node0", RECORDS[0], All(0)),
    row("local", "records-node1", RECORDS[1], All(1)),
    row("local", "metadata-node0", METADATA[0], All(0)),
    row("local", "metadata-node1", METADATA[1], All(1)),
    row("local", "data-node0", DATA[0], All(0)),
    row("local", "data-node1", DATA[1], All(1)),
    row("local", "more-than-node1-has", MORE, Overflow(1)),
    row("interleave", "fresh-small-node0", SMALL[0], Half),
    row("interleave", "fresh-large-node1", LARGE[1], Half),
    row("interleave", "fresh-direct-node1", DIRECT[1], Half),
    row("interleave", "runs-node1", RUNS[1], Half),
    row("bind:0", "fresh-small-node1", SMALL[1], All(0)),
    row("bind:0", "fresh-large-node1", LARGE[1], All(0)),
    row("bind:0", "fresh-direct-node1", DIRECT[1], All(0)),
    row("bind:0", "adopted-node1", ADOPTED[1], All(0)),
    row("bind:1", "fresh-small-node0", SMALL[0], All(1)),
    row("bind:1", "fresh-large-node0", LARGE[0], All(1)),
    row("bind:1", "fresh-direct-node0", DIRECT[0], All(1)),
    row("bind:1", "adopted-node0", ADOPTED[0], All(1)),
];

/// The name that the kernel must give the policy of small and of direct blocks of a thread on node 1, and how many
/// lines the library may say.
const POLICIES: &[(&str, [&str; 2], usize)] = &[
    ("off", ["default", "default"], 0),
    ("first-touch", ["local", "local"], 0),
    ("local", ["prefer:1", "local"], 0),
    ("interleave", ["interleave:0-1", "interleave:0-1"], 0),
    ("bind:0", ["bind:0", "bind:0"], 0),
    ("bind:1", ["bind:1", "bind:1"], 0),
    ("bind:5", ["default", "default"], 1),
];

/// The share of `pages` on `node`; 0 of none.
pub(in crate::gate) fn share(pages: Nodes, node: usize) -> f64 {
    let all: u64 = pages.iter().sum();
    if all == 0 { 0.0 } else { pages[node] as f64 / all as f64 }
}

impl Demand {
    /// Whether pages that lie so meet it. No pages meet nothing.
    pub(in crate::gate) fn is_met(self, pages: Nodes) -> bool {
        let full = |node: usize| pages[node] > 0 && pages[1 - node] == 0;
        match self {
            All(node) => full(node),
            NearlyAll(node) => share(pages, node) >= NEARLY,
            Half => (share(pages, 0) - 0.5).abs() <= UNEVEN,
            Overflow(node) => pages[node] > pages[1 - node] && pages[1 - node] > 0,
            NotAll(node) => pages[1 - node] > 0,
        }
    }

    /// In words.
    pub(in crate::gate) fn text(self) -> String {
        match self {
            All(node) => format!("all on node {node}"),
            NearlyAll(node) => format!("nearly all on node {node}"),
            Half => "half on each".to_owned(),
            Overflow(node) => format!("most on node {node}"),
            NotAll(node) => format!("not all on node {node}"),
        }
    }
}

impl Row {
    /// Where its pages lie, and how many of them the case had before.
    ///
    /// # Errors
    /// When nothing was told of it.
    pub(in crate::gate) fn figures(&self, told: &Told) -> Result<(Nodes, Option<u64>)> {
        let missing = || format!("the guest told nothing of {}, {}", self.policy, self.case);
        let run = told.runs.get(self.policy).with_context(missing)?;
        let pages = *run.pages.get(self.case).with_context(missing)?;
        let again = self.again.map(|_| run.again.get(self.case).copied().with_context(missing)).transpose()?;
        Ok((pages, again))
    }

    /// Whether such figures meet it.
    pub(in crate::gate) fn is_met(&self, pages: Nodes, again: Option<u64>) -> bool {
        let all: u64 = pages.iter().sum();
        let within = |(least, most): (f64, f64), count: u64| (least..=most).contains(&(count as f64 / all as f64));
        self.demand.is_met(pages) && self.again.zip(again).is_none_or(|(bounds, count)| within(bounds, count))
    }
}

/// The faults of the kernel's names for policies, and of the library's lines.
pub(in crate::gate) fn faults(told: &Told) -> Vec<String> {
    POLICIES
        .iter()
        .flat_map(|(policy, words, lines)| faults_of(told.runs.get(*policy), policy, *words, *lines))
        .collect()
}

fn faults_of(run: Option<&Run>, policy: &str, words: [&str; 2], lines: usize) -> Vec<String> {
    let Some(run) = run else { return vec![format!("no run under {policy}")] };
    let mut faults = Vec::new();
    for (case, word) in ["fresh-small-node1", "fresh-direct-node1"].into_iter().zip(words) {
        let told = run.policies.get(case).map_or("nothing", String::as_str);
        if told != word {
            faults.push(format!("{policy}, {case}: the kernel calls the policy {told} and not {word}"));
        }
    }
    if run.said.len() != lines || !run.said.iter().all(|line| line.contains(CODE)) {
        faults.push(format!("{policy}: {lines} lines with {CODE} expected, and there are {:?}", run.said));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_met_by_what_they_say_and_by_nothing_else() {
        for (demand, good, bad) in [
            (All(1), [0, 7], [1, 700]),
            (All(0), [7, 0], [0, 0]),
            (NearlyAll(1), [1, 99], [10, 90]),
            (Half, [52, 48], [60, 40]),
            (Overflow(1), [5, 90], [0, 95]),
            (NotAll(1), [1, 99], [0, 100]),
        ] {
            assert!(demand.is_met(good) && !demand.is_met(bad), "{demand:?}");
            assert!(!demand.is_met([0, 0]), "{demand:?}");
        }
        assert!(!Overflow(1).is_met([90, 5]));
    }

    #[test]
    fn pages_that_come_again_count() {
        let row = row("local", "case", "", All(1));
        assert!(row.again(0.9, 1.0).is_met([0, 10], Some(9)) && !row.again(0.9, 1.0).is_met([0, 10], Some(8)));
        assert!(row.again(0.0, 0.0).is_met([0, 10], Some(0)) && !row.again(0.0, 0.0).is_met([0, 10], Some(1)));
    }

    #[test]
    fn a_policy_that_is_called_otherwise_is_a_fault() {
        let policies = [("fresh-small-node1", "bind:0"), ("fresh-direct-node1", "bind:0")];
        let policies = policies.map(|(case, word)| (case.to_owned(), word.to_owned())).into_iter().collect();
        let mut run = Run { policies, ..Run::default() };
        let check = |run: &Run| faults_of(Some(run), "bind:0", ["bind:0", "bind:0"], 0).len();
        assert_eq!(check(&run), 0);
        run.said.push(format!("spandrel: {CODE}: a line"));
        assert_eq!(check(&run), 1, "it should have said nothing");
        run.policies.clear();
        assert_eq!((check(&run), faults_of(None, "bind:0", ["", ""], 0).len()), (3, 1));
        assert_eq!(faults(&Told::default()).len(), POLICIES.len());
    }

    #[test]
    fn no_row_is_there_twice_and_the_code_is_a_documented_one() {
        let keys: std::collections::BTreeSet<_> = ROWS.iter().map(|row| (row.policy, row.case)).collect();
        assert_eq!(keys.len(), ROWS.len());
        assert!(include_str!("../../../../docs/diagnostics.md").contains(&format!("\n## `{CODE}`\n")));
    }
}
