//! NUMA: on which nodes the kernel places the pages of the data area and of mappings of their own. Raw system calls, no
//! library.

use super::bank::Bank;
use crate::config::Numa;
use crate::sys::call;
use crate::sys::memory::{self, NODE_WORDS};

/// The wished placement on NUMA nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    Nothing,
    /// One policy for all pages.
    Policy(u32),
    /// A bank for each node; mappings of their own have the policy of first touch.
    ByNode,
}

/// Where the kernel places pages.
pub(crate) struct Placement {
    wish: Wish,
    nodes: [u64; NODE_WORDS],
}

const WORD_BITS: usize = u64::BITS as usize;
const NO_NODES: [u64; NODE_WORDS] = [0; NODE_WORDS];
const FIRST_TOUCH: u32 = libc::MPOL_LOCAL as u32;

impl Placement {
    /// Wherever the process's own policy says.
    pub(crate) const UNSAID: Self = Self { wish: Wish::Nothing, nodes: NO_NODES };

    /// The placement that `numa` asks for; `None` if the kernel does not know of nodes, or not of that one.
    pub(crate) fn of(numa: Numa) -> Option<Self> {
        let allowed = memory::allowed_nodes()?;
        let (wish, nodes) = match numa {
            Numa::Off => (Wish::Nothing, NO_NODES),
            Numa::FirstTouch => (Wish::Policy(FIRST_TOUCH), NO_NODES),
            Numa::Local => (Wish::ByNode, allowed),
            Numa::Interleave => (Wish::Policy(libc::MPOL_INTERLEAVE as u32), allowed),
            Numa::Bind(node) if has(&allowed, node) => (Wish::Policy(libc::MPOL_BIND as u32), only(node)),
            Numa::Bind(_) => return None,
        };
        Some(Self { wish, nodes })
    }

    /// The wished placement.
    pub(super) const fn wish(&self) -> Wish {
        self.wish
    }

    /// How many nodes it names.
    pub(super) fn nodes(&self) -> u32 {
        self.nodes.iter().map(|word| word.count_ones()).sum()
    }

    /// Asks the kernel to place the pages of a range so, from the next touch on; false if it refuses.
    pub(crate) fn apply(&self, address: usize, len: usize) -> bool {
        match self.wish {
            Wish::Nothing => true,
            Wish::Policy(mode) => apply(mode, &self.nodes, address, len),
            Wish::ByNode => apply(FIRST_TOUCH, &NO_NODES, address, len),
        }
    }

    /// Asks the kernel to prefer the node of `bank` for the pages of a range; false if it refuses.
    pub(super) fn apply_of(&self, bank: Bank, address: usize, len: usize) -> bool {
        let node = (0..NODE_WORDS * WORD_BITS).filter(|&node| has(&self.nodes, node)).nth(bank.0 as usize);
        node.is_some_and(|node| apply(libc::MPOL_PREFERRED as u32, &only(node), address, len))
    }

    /// The bank of the node on which the calling thread runs: banks are in the order of the nodes. The first one where
    /// there is no memory of that node to be had.
    #[cold]
    pub(super) fn bank_here(&self) -> Bank {
        call::node().filter(|&node| has(&self.nodes, node)).map_or(Bank::FIRST, |node| self.bank_of_node(node))
    }

    /// The bank of `node`, which is one of its own.
    fn bank_of_node(&self, node: usize) -> Bank {
        let (word, bit) = (node / WORD_BITS, node % WORD_BITS);
        let before: u32 = self.nodes.iter().take(word).map(|word| word.count_ones()).sum();
        let below = self.nodes.get(word).map_or(0, |nodes| (nodes & !(u64::MAX << bit)).count_ones());
        Bank(before + below)
    }
}

fn has(nodes: &[u64; NODE_WORDS], node: usize) -> bool {
    nodes.get(node / WORD_BITS).is_some_and(|word| word >> (node % WORD_BITS) & 1 == 1)
}

fn only(node: usize) -> [u64; NODE_WORDS] {
    let mut nodes = NO_NODES;
    if let Some(word) = nodes.get_mut(node / WORD_BITS) {
        *word = 1 << (node % WORD_BITS);
    }
    nodes
}

fn apply(mode: u32, nodes: &[u64; NODE_WORDS], address: usize, len: usize) -> bool {
    memory::place(address, len, mode, nodes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banks_are_in_the_order_of_the_nodes() {
        let mut nodes = NO_NODES;
        (nodes[0], nodes[1]) = (0b1_0110, 1);
        let placement = Placement { wish: Wish::ByNode, nodes };
        let banks: Vec<u32> = [1, 2, 4, 64].map(|node| placement.bank_of_node(node).0).to_vec();
        assert_eq!((placement.nodes(), banks), (4, vec![0, 1, 2, 3]));
        assert!(!has(&nodes, 0) && !has(&nodes, 3) && has(&nodes, 64) && !has(&nodes, 1 << 20));
    }

    #[test]
    fn a_node_that_does_not_exist_is_refused() {
        assert!(Placement::of(Numa::Bind(0)).is_some() || memory::allowed_nodes().is_none());
        assert!(Placement::of(Numa::Bind(900)).is_none());
        assert!(Placement::of(Numa::Bind(1 << 20)).is_none());
    }
}
