//! The report at exit: live blocks, summed up by the call stack that allocated them and by the heap that they are of.
//! Must not know how they are noted.

use super::note::{Block, Notes};
use super::runtime;
use crate::base::text::{self, Line};
use crate::diag;
use crate::process::holders::{self, NAME_BYTES};
use crate::slow_path::mode::Print;
use crate::sys::clock::Epoch;
use crate::sys::mapping::{Mapped, zeroed};
use crate::unwind::{StackId, Stacks};

pub(super) const NAME: &str = "spandrel: tracked: ";

/// The live blocks of one heap that one call stack allocated.
#[derive(Clone, Copy, Default, Debug)]
struct Group {
    stack: StackId,
    /// The handle of the named heap; 0 for the default heap.
    heap: usize,
    bytes: usize,
    /// 0 if no group is here.
    blocks: usize,
    /// When the oldest one was allocated.
    oldest: u64,
}

zeroed!(Group { stack, heap, bytes, blocks, oldest });

/// All live blocks, summed up.
struct Groups {
    /// By the hash of stack and heap, or where the next free place is; as many as a power of two, and more than there
    /// are groups.
    groups: Mapped<Group>,
    bytes: usize,
    blocks: usize,
    count: usize,
}

/// Knuth's multiplicative hash, 2^64 by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Groups {
    /// Sums up `parts`, of which there are at most `most`.
    fn of(parts: impl Iterator<Item = Group>, most: usize) -> Self {
        // Without memory the groups are missing, which the sums of all blocks show.
        let groups = Mapped::new((2 * most).next_power_of_two()).unwrap_or(Mapped::none());
        let mut sums = Self { groups, bytes: 0, blocks: 0, count: 0 };
        parts.for_each(|part| sums.add(&part));
        sums
    }

    fn add(&mut self, part: &Group) {
        self.bytes += part.bytes;
        self.blocks += part.blocks;
        let len = self.groups.len();
        let key = u64::from(part.stack.0) ^ (part.heap as u64).rotate_left(u32::BITS);
        let home = (key.wrapping_mul(FACTOR) >> u32::BITS) as usize;
        for step in 0..len {
            let Some(group) = self.groups.get_mut((home + step) % len) else { return };
            if group.blocks == 0 {
                *group = *part;
                self.count += 1;
                return;
            }
            if (group.stack, group.heap) == (part.stack, part.heap) {
                group.bytes += part.bytes;
                group.blocks += part.blocks;
                group.oldest = group.oldest.min(part.oldest);
                return;
            }
        }
    }

    /// The same blocks, of which `part` says less.
    fn by(&self, part: impl Fn(&Group) -> Group) -> Self {
        Self::of(self.groups.iter().filter(|group| group.blocks > 0).map(part), self.count)
    }

    /// The same blocks, summed up by heap alone.
    fn by_heap(&self) -> Self {
        self.by(|group| Group { stack: StackId::default(), ..*group })
    }

    /// Takes out, when all blocks are summed up, the groups that `is_out` names; how many they are, and their blocks
    /// and bytes.
    fn take_out(&mut self, is_out: impl Fn(StackId) -> bool) -> (usize, usize) {
        let mut out = (0, 0);
        for group in self.groups.iter_mut().filter(|group| group.blocks > 0 && is_out(group.stack)) {
            out = (out.0 + group.blocks, out.1 + group.bytes);
            self.count -= 1;
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
            let rank = |group: &Group| (group.bytes, group.stack.0, group.heap);
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

/// Hands `print` the live blocks of `notes` by call stack and heap, those of the most bytes first. `heap_of` knows the
/// handle of the heap that the block at an address is of.
pub(super) fn report(
    (notes, heap_of): (&Notes, fn(usize) -> usize),
    stacks: &Stacks,
    epoch: &Epoch,
    shown: &Shown,
    print: Print<'_>,
) {
    let live = || (0..notes.limit()).filter_map(|place| notes.copy(place));
    let part = |block: Block| Group {
        stack: block.by.stack,
        heap: heap_of(block.address),
        bytes: block.size,
        blocks: 1,
        oldest: block.made,
    };
    let mut groups = Groups::of(live().map(part), live().count());
    let keeps = |id: StackId| {
        let frames = stacks.frames(id);
        runtime::keeps(frames.iter(), frames.len() < shown.frames)
    };
    let kept = if shown.runtime { (0, 0) } else { groups.take_out(keeps) };
    let mut line = Line::new();
    line.text(NAME).number(groups.blocks as u64).text(" blocks of ").number(groups.bytes as u64);
    let heaps = groups.by_heap();
    let has_names = heaps.groups.iter().any(|group| group.heap != 0);
    let stacks_alone = if has_names { groups.by(|group| Group { heap: 0, ..*group }).count } else { groups.count };
    line.text(" bytes are live at exit, from ").number(stacks_alone as u64).text(" call stacks");
    print(line.finish());
    for (index, group) in groups.largest().take(shown.top).enumerate() {
        let mut line = Line::new();
        line.text(NAME).text("#").number(index as u64 + 1).text(" ").number(group.bytes as u64).text(" bytes in ");
        line.number(group.blocks as u64).text(" blocks, the oldest ").number(epoch.age(group.oldest)).text(" ms old");
        if group.heap != 0 {
            describe_heap(line.text(", in "), group.heap);
        }
        print(line.finish());
        diag::print_frames(NAME, stacks.frames(group.stack).iter(), print);
    }
    for group in heaps.largest().take(if has_names { shown.top } else { 0 }) {
        let mut line = Line::new();
        describe_heap(line.text(NAME), group.heap);
        line.text(": ").number(group.blocks as u64).text(" blocks of ").number(group.bytes as u64).text(" bytes");
        print(line.finish());
    }
    if kept.0 > 0 {
        let mut line = Line::new();
        line.text(NAME).text("kept by libc and libstdc++: ").number(kept.0 as u64).text(" blocks of ");
        print(line.number(kept.1 as u64).text(" bytes").finish());
    }
}

/// Adds the name of a heap to `line`.
fn describe_heap(line: &mut Line, heap: usize) {
    let mut name = [0; NAME_BYTES];
    if heap == 0 {
        line.text("the default heap");
    } else if holders::name_of(heap, &mut name) {
        let len = name.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
        let (name, _) = name.split_at_mut(len);
        text::make_plain(name);
        line.text("heap \"").raw(name).text("\"");
    } else {
        line.text("a heap that is gone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 7 stacks.
    fn blocks() -> impl Iterator<Item = Group> {
        let part = |n: usize| Group { stack: StackId((n % 7) as u32), heap: 0, bytes: n, blocks: 1, oldest: n as u64 };
        (1..1000_usize).map(part)
    }

    #[test]
    fn blocks_are_summed_up_by_stack_and_the_largest_come_first() {
        let groups = Groups::of(blocks(), 999);
        assert_eq!((groups.blocks, groups.bytes, groups.count), (999, 999 * 500, 7));
        let largest: Vec<_> = groups.largest().collect();
        assert!(largest.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
        assert_eq!(largest.len(), 7);
        let of_three = largest.iter().find(|group| group.stack == StackId(3)).unwrap();
        assert_eq!((of_three.blocks, of_three.oldest), ((3..1000).step_by(7).count(), 3));
    }

    #[test]
    fn what_is_taken_out_is_summed_up_apart() {
        let mut groups = Groups::of(blocks(), 999);
        let of_three: Vec<Group> = blocks().filter(|part| part.stack == StackId(3)).collect();
        let bytes: usize = of_three.iter().map(|part| part.bytes).sum();
        assert_eq!(groups.take_out(|stack| stack == StackId(3)), (of_three.len(), bytes));
        assert_eq!((groups.blocks, groups.bytes, groups.count), (999 - of_three.len(), 999 * 500 - bytes, 6));
        assert!(groups.largest().count() == 6 && groups.largest().all(|group| group.stack != StackId(3)));
    }

    #[test]
    fn heaps_are_told_apart_and_summed_up() {
        let heap = |part: &Group| [0, 5, usize::MAX][part.bytes % 3];
        let groups = Groups::of(blocks().map(|part| Group { heap: heap(&part), ..part }), 999);
        assert_eq!((groups.count, groups.blocks, groups.largest().count()), (21, 999, 21));
        assert_eq!(groups.by(|group| Group { heap: 0, ..*group }).count, 7);
        let heaps = groups.by_heap();
        assert_eq!((heaps.count, heaps.blocks, heaps.bytes), (3, 999, 999 * 500));
        for found in heaps.largest() {
            let bytes: usize = blocks().filter(|part| heap(part) == found.heap).map(|part| part.bytes).sum();
            assert_eq!((found.bytes, found.blocks), (bytes, 333));
        }
    }
}
