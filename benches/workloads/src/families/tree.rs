//! A binary tree that is built once and walked many times: nothing counts but where its nodes lie, and on which pages.

use crate::harness::account::{Account, settle};
use crate::harness::form::Form;
use crate::harness::global::counted;
use crate::outcome::Outcome;

/// A node and its value; of 2^20 nodes 64 MiB.
struct Node {
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
    value: [u64; 5],
}

const DEPTH: u32 = 19;
const WALKS: u64 = 100;

/// The scale changes the number of walks.
pub(crate) fn run(form: &Form) -> Outcome {
    let mut account = Account::alone();
    let mut sum = 0_u64;
    let (calls, peak) = counted(|| {
        let root = Node::tree(DEPTH);
        for _ in 0..form.count(WALKS) {
            sum = sum.rotate_left(1).wrapping_add(std::hint::black_box(&root).walk());
        }
    });
    account.on_others(calls, peak);
    account.note(sum);
    settle(account).into()
}

impl Node {
    fn tree(depth: u32) -> Box<Self> {
        let mut node = Box::new(Self { left: None, right: None, value: [u64::from(depth); 5] });
        if depth > 0 {
            node.left = Some(Self::tree(depth - 1));
            node.right = Some(Self::tree(depth - 1));
        }
        node
    }

    /// The sum of one word of each node.
    fn walk(&self) -> u64 {
        let below = [&self.left, &self.right].into_iter().flatten().map(|node| node.walk()).sum::<u64>();
        below + self.value[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_meets_every_node() {
        // 8 leaves of value 0, then 4 of 1, 2 of 2 and the root.
        assert_eq!(Node::tree(3).walk(), 4 + 2 * 2 + 3);
    }
}
