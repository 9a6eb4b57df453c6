//! A treap of free runs, ordered by length and then address: the first run that fits is the best fit at the lowest
//! address.
//!
//! The nodes are the regions' records and the links are region numbers, so the tree needs no memory of its own. A
//! treap's shape depends on nothing but its keys (Seidel and Aragon, "Randomized search trees"), which keeps every step
//! a short loop. Must not know pages.

use core::cell::Cell;

pub(crate) const RECORD_BYTES: usize = 128;
/// Bytes of a record that belong to the user of the region.
pub(crate) const SPAN_BYTES: usize = RECORD_BYTES - size_of::<Node>();

/// A run's place among the free runs. Only fields of the first region of a run count, but for `back`. Guarded by the
/// lock of the runs.
#[repr(C)]
pub(crate) struct Node {
    /// Left child in the tree of free runs.
    pub(crate) left: Cell<u32>,
    /// Right child.
    pub(crate) right: Cell<u32>,
    /// Regions of the free run that starts here; 0 if none does.
    pub(crate) len: Cell<u32>,
    /// On the last region of a free run: where it starts; else 0.
    pub(crate) back: Cell<u32>,
    /// When the run was freed, in milliseconds modulo 2^32.
    pub(crate) stamp: Cell<u32>,
    /// The next dirty run, freed later.
    pub(crate) newer: Cell<u32>,
    /// The dirty run before this one.
    pub(crate) older: Cell<u32>,
    /// Whether pages of the run may hold something.
    pub(crate) dirty: Cell<bool>,
}

const _: () = assert!(size_of::<Node>() == 32);

/// Finds the node of a region.
pub(super) trait Nodes {
    /// The node of region `index`, which is not 0.
    fn node(&self, index: u32) -> &Node;
}

/// The root of the tree.
pub(super) struct Tree {
    root: Cell<u32>,
}

const NONE: u32 = 0;

fn priority(index: u32) -> u32 {
    // Fibonacci hashing, then the high half folded in, so that neighbours get unrelated priorities.
    let mixed = u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 ^ mixed as u32
}

fn key<N: Nodes>(nodes: &N, index: u32) -> (u32, u32) {
    (nodes.node(index).len.get(), index)
}

impl Tree {
    /// An empty tree.
    pub(super) const fn new() -> Self {
        Self { root: Cell::new(NONE) }
    }

    /// Adds the run that starts at `index`, whose length is set.
    pub(super) fn insert<N: Nodes>(&self, nodes: &N, index: u32) {
        let wanted = key(nodes, index);
        let mut link = &self.root;
        while link.get() != NONE && priority(link.get()) >= priority(index) {
            let node = nodes.node(link.get());
            link = if wanted < key(nodes, link.get()) { &node.left } else { &node.right };
        }
        let mut below = link.replace(index);
        let mut smaller = &nodes.node(index).left;
        let mut larger = &nodes.node(index).right;
        while below != NONE {
            let node = nodes.node(below);
            if key(nodes, below) < wanted {
                smaller.set(below);
                smaller = &node.right;
                below = smaller.get();
            } else {
                larger.set(below);
                larger = &node.left;
                below = larger.get();
            }
        }
        smaller.set(NONE);
        larger.set(NONE);
    }

    /// Takes out the run that starts at `index`; its length is as it was when it was added.
    pub(super) fn remove<N: Nodes>(&self, nodes: &N, index: u32) {
        let wanted = key(nodes, index);
        let mut link = &self.root;
        while link.get() != index {
            if link.get() == NONE {
                return;
            }
            let node = nodes.node(link.get());
            link = if wanted < key(nodes, link.get()) { &node.left } else { &node.right };
        }
        let mut left = nodes.node(index).left.get();
        let mut right = nodes.node(index).right.get();
        while left != NONE && right != NONE {
            if priority(left) >= priority(right) {
                link.set(left);
                link = &nodes.node(left).right;
                left = link.get();
            } else {
                link.set(right);
                link = &nodes.node(right).left;
                right = link.get();
            }
        }
        link.set(if left == NONE { right } else { left });
    }

    /// The shortest run of at least `len` regions, at the lowest address of those; 0 if there is none.
    pub(super) fn best_fit<N: Nodes>(&self, nodes: &N, len: u32) -> u32 {
        let mut best = NONE;
        let mut at = self.root.get();
        while at != NONE {
            let node = nodes.node(at);
            if node.len.get() >= len {
                best = at;
                at = node.left.get();
            } else {
                at = node.right.get();
            }
        }
        best
    }

    /// The longest run, at the highest address of those; 0 if there is none.
    pub(super) fn longest<N: Nodes>(&self, nodes: &N) -> u32 {
        let (mut last, mut at) = (NONE, self.root.get());
        while at != NONE {
            (last, at) = (at, nodes.node(at).right.get());
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    struct Table(Vec<Node>);

    impl Nodes for Table {
        fn node(&self, index: u32) -> &Node {
            &self.0[index as usize]
        }
    }

    fn table(size: usize) -> Table {
        let node = || Node {
            left: Cell::new(7),
            right: Cell::new(7),
            len: Cell::new(0),
            back: Cell::new(0),
            stamp: Cell::new(0),
            newer: Cell::new(0),
            older: Cell::new(0),
            dirty: Cell::new(false),
        };
        Table((0..size).map(|_| node()).collect())
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_set(steps in prop::collection::vec((1_u32..64, 1_u32..9, any::<bool>()), 1..400)) {
            let table = table(64);
            let tree = Tree::new();
            let mut model = BTreeSet::new();
            for (index, len, query) in steps {
                let present = model.iter().find(|&&(_, start)| start == index).copied();
                if query {
                    let expected = model.range((len, 0)..).next().map_or(0, |&(_, start)| start);
                    prop_assert_eq!(tree.best_fit(&table, len), expected);
                    prop_assert_eq!(tree.longest(&table), model.last().map_or(0, |&(_, start)| start));
                } else if let Some(key) = present {
                    tree.remove(&table, index);
                    model.remove(&key);
                } else {
                    table.node(index).len.set(len);
                    tree.insert(&table, index);
                    model.insert((len, index));
                }
            }
        }
    }
}
