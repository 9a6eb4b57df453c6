//! The report at exit: live blocks, summed up by the call stack that allocated them. Must not know how they are noted.

use super::note::{Block, Notes};
use super::runtime;
use crate::base::text::Line;
use crate::diag;
use crate::slow_path::mode::Print;
use crate::sys::clock::Epoch;
use crate::sys::mapping::{Mapped, zeroed};
use crate::unwind::{StackId, Stacks};

pub(super) const NAME: &str = "spandrel: tracked: ";

/// The live blocks that one call stack allocated.
#[derive(Clone, Copy, Default, Debug)]
struct Group {
    stack: StackId,
    bytes: usize,
    /// 0 if no group is here.
    blocks: usize,
    /// When the oldest one was allocated.
    oldest: u64,
}

zeroed!(Group { stack, bytes, blocks, oldest });

/// All live blocks, summed up.
struct Groups {
    /// By the hash of the stack, or where the next free place is; as many as a power of two, and more than there are
    /// stacks.
    groups: Mapped<Group>,
    bytes: usize,
    blocks: usize,
    stacks: usize,
}

/// Knuth's multiplicative hash, 2^64 by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Groups {
    /// Sums up `blocks`, of which there are at most `most`.
    fn of(blocks: impl Iterator<Item = Block>, most: usize) -> Self {
        // Without memory the groups are missing, which the sums of all blocks show.
        let groups = Mapped::new((2 * most).next_power_of_two()).unwrap_or(Mapped::none());
        let mut sums = Self { groups, bytes: 0, blocks: 0, stacks: 0 };
        blocks.for_each(|block| sums.add(&block));
        sums
    }

    fn add(&mut self, block: &Block) {
        self.bytes += block.size;
        self.blocks += 1;
        let len = self.groups.len();
        let home = (u64::from(block.by.stack.0).wrapping_mul(FACTOR) >> u32::BITS) as usize;
        for step in 0..len {
            let Some(group) = self.groups.get_mut((home + step) % len) else { return };
            if group.blocks == 0 {
                *group = Group { stack: block.by.stack, bytes: 0, blocks: 0, oldest: block.made };
                self.stacks += 1;
            } else if group.stack != block.by.stack {
                continue;
            }
            group.bytes += block.size;
            group.blocks += 1;
            group.oldest = group.oldest.min(block.made);
            return;
        }
    }

    /// Takes out, when all blocks are summed up, the groups that `is_out` names; how many they are, and their blocks and bytes.
    fn take_out(&mut self, is_out: impl Fn(StackId) -> bool) -> (usize, usize) {
        let mut out = (0, 0);
        for group in self.groups.iter_mut().filter(|group| group.blocks > 0 && is_out(group.stack)) {
            out = (out.0 + group.blocks, out.1 + group.bytes);
            self.stacks -= 1;
            *group = Group::default();
        }
        self.blocks -= out.0;
        self.bytes -= out.1;
        out
    }

    /// The groups, those of the most bytes first. A search for each: callers want the first few.
    fn largest(&self) -> impl Iterator<Item = &Group> {
        let mut last = None;
        core::iter::from_fn(move || {
            let rank = |group: &Group| (group.bytes, group.stack.0);
            let rest = self.groups.iter().filter(|group| group.blocks > 0);
            let next =
                rest.filter(|group| last.is_none_or(|last| rank(group) < last)).max_by_key(|&group| rank(group))?;
            last = Some(rank(next));
            Some(next)
        })
    }
}

/// The options of the report.
pub(super) struct Shown {
    /// How many call stacks.
    pub(super) top: usize,
    /// Whether those count whose blocks the runtime keeps.
    pub(super) runtime: bool,
    /// How many frames were kept of a stack at most.
    pub(super) frames: usize,
}

/// Hands `print` the live blocks of `notes` by call stack, those of the most bytes first.
pub(super) fn report(notes: &Notes, stacks: &Stacks, epoch: &Epoch, shown: &Shown, print: Print<'_>) {
    let live = || (0..notes.limit()).filter_map(|place| notes.copy(place));
    let mut groups = Groups::of(live(), live().count());
    let keeps = |id: StackId| {
        let frames = stacks.frames(id);
        runtime::keeps(frames.iter(), frames.len() < shown.frames)
    };
    let kept = if shown.runtime { (0, 0) } else { groups.take_out(keeps) };
    let mut line = Line::new();
    line.text(NAME).number(groups.blocks as u64).text(" blocks of ").number(groups.bytes as u64);
    line.text(" bytes are live at exit, from ").number(groups.stacks as u64).text(" call stacks");
    print(line.finish());
    for (index, group) in groups.largest().take(shown.top).enumerate() {
        let mut line = Line::new();
        line.text(NAME).text("#").number(index as u64 + 1).text(" ").number(group.bytes as u64).text(" bytes in ");
        line.number(group.blocks as u64).text(" blocks, the oldest ").number(epoch.age(group.oldest)).text(" ms old");
        print(line.finish());
        diag::print_frames(NAME, stacks.frames(group.stack).iter(), print);
    }
    if kept.0 > 0 {
        let mut line = Line::new();
        line.text(NAME).text("kept by libc and libstdc++: ").number(kept.0 as u64).text(" blocks of ");
        print(line.number(kept.1 as u64).text(" bytes").finish());
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::Act;
    use super::*;

    fn blocks() -> impl Iterator<Item = Block> {
        (1..1000_usize).map(|n| {
            let by = Act { thread: 1, stack: StackId((n % 7) as u32) };
            Block { address: n * 16, size: n, made: n as u64, by }
        })
    }

    #[test]
    fn blocks_are_summed_up_by_stack_and_the_largest_come_first() {
        let groups = Groups::of(blocks(), 999);
        assert_eq!((groups.blocks, groups.bytes, groups.stacks), (999, 999 * 500, 7));
        let largest: Vec<_> = groups.largest().collect();
        assert!(largest.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
        assert_eq!(largest.len(), 7);
        let of_three = largest.iter().find(|group| group.stack == StackId(3)).unwrap();
        assert_eq!((of_three.blocks, of_three.oldest), ((3..1000).step_by(7).count(), 3));
    }

    #[test]
    fn what_is_taken_out_is_summed_up_apart() {
        let mut groups = Groups::of(blocks(), 999);
        let of_three: Vec<Block> = blocks().filter(|block| block.by.stack == StackId(3)).collect();
        let bytes: usize = of_three.iter().map(|block| block.size).sum();
        assert_eq!(groups.take_out(|stack| stack == StackId(3)), (of_three.len(), bytes));
        assert_eq!((groups.blocks, groups.bytes, groups.stacks), (999 - of_three.len(), 999 * 500 - bytes, 6));
        assert!(groups.largest().count() == 6 && groups.largest().all(|group| group.stack != StackId(3)));
    }
}
