//! The record of a live block, and blocks summed up by the call stack that allocated them. Must not know when that
//! happens.

use crate::modes::ledger::{Ledger, Record, Table};
use crate::sys::mapping::zeroed;
use crate::unwind::StackId;

/// A live block: 32 bytes.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) address: usize,
    /// As asked for.
    pub(crate) size: usize,
    /// When it was allocated, by the processor's counter.
    pub(crate) made: u64,
    /// The thread that allocated it, by the kernel's number.
    pub(crate) thread: u32,
    /// The call stack of that.
    pub(crate) stack: StackId,
}

const _: () = assert!(size_of::<Block>() == 32);

zeroed!(Block { address, size, made, thread, stack });

impl Record for Block {
    fn key(&self) -> usize {
        self.address
    }
}

/// The live blocks that one call stack allocated.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Group {
    key: usize,
    pub(crate) bytes: usize,
    pub(crate) blocks: usize,
    /// When the oldest one was allocated.
    pub(crate) oldest: u64,
}

zeroed!(Group { key, bytes, blocks, oldest });

impl Record for Group {
    fn key(&self) -> usize {
        self.key
    }
}

impl Group {
    /// Not 0 for the unknown stack either, and above the bits that tables leave out of their hash.
    fn key_of(stack: StackId) -> usize {
        (stack.0 as usize + 1) << 3
    }

    /// The call stack.
    pub(crate) fn stack(&self) -> StackId {
        StackId((self.key >> 3).wrapping_sub(1) as u32)
    }

    /// The order of groups.
    fn rank(&self) -> (usize, usize) {
        (self.bytes, self.key)
    }
}

/// All live blocks, summed up.
pub(crate) struct Groups {
    table: Table<Group>,
    pub(crate) bytes: usize,
    pub(crate) blocks: usize,
}

impl Groups {
    /// Sums up the blocks of `ledger`, one shard after the other.
    pub(crate) fn of(ledger: &Ledger<Block>) -> Self {
        let mut groups = Self { table: Table::new(), bytes: 0, blocks: 0 };
        for shard in ledger.shards() {
            shard.iter().for_each(|block| groups.add(block));
        }
        groups
    }

    fn add(&mut self, block: &Block) {
        self.bytes += block.size;
        self.blocks += 1;
        let key = Group::key_of(block.stack);
        if let Some(group) = self.table.get_mut(key) {
            group.bytes += block.size;
            group.blocks += 1;
            group.oldest = group.oldest.min(block.made);
        } else {
            // Without memory the group is missing, which the sums of all blocks show.
            let _ = self.table.insert(Group { key, bytes: block.size, blocks: 1, oldest: block.made });
        }
    }

    /// How many call stacks there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The groups, those of the most bytes first. A search for each: callers want the first few.
    pub(crate) fn largest(&self) -> impl Iterator<Item = &Group> {
        let mut last = None;
        core::iter::from_fn(move || {
            let rest = self.table.iter().filter(|group| last.is_none_or(|last| group.rank() < last));
            let next = rest.max_by_key(|group| group.rank())?;
            last = Some(next.rank());
            Some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_summed_up_by_stack_and_the_largest_come_first() {
        let ledger = Box::leak(Box::new(Ledger::new()));
        for n in 1..1000_usize {
            let stack = StackId((n % 7) as u32);
            let block = Block { address: n * 16, size: n, made: n as u64, thread: 1, stack };
            assert!(ledger.shard(block.address).insert(block));
        }
        let groups = Groups::of(ledger);
        assert_eq!((groups.blocks, groups.bytes, groups.len()), (999, 999 * 500, 7));
        let largest: Vec<_> = groups.largest().collect();
        assert!(largest.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
        assert_eq!(largest.len(), 7);
        let of_three = largest.iter().find(|group| group.stack() == StackId(3)).unwrap();
        assert_eq!((of_three.blocks, of_three.oldest), ((3..1000).step_by(7).count(), 3));
    }
}
