//! The call by which the program came into the allocator, as it was written, and the stack from there outwards.
//!
//! Functions of the slow path end in jumps, so the function that the program called has no frame by the time that
//! something is found. The call instruction still names it. If the program jumped there itself, at the end of a
//! function of its own, then the call of that function leads to the jump.
//!
//! Until the call is found, the walk reads frames of the allocator alone. Must not know what the calls do.

use super::jump::{self, Found};
use super::object;
use super::stack::Registers;
use super::walk::{LEFT_OUT_MAX, Walk};

/// The stack of a call.
pub(crate) struct Trace {
    walk: Walk<()>,
    /// Where the jump by which the program came would return to; 0 if it called.
    jump: usize,
    /// Whether the walk came to an end before the call.
    ended: bool,
}

/// How many frames of the allocator lie between `here` and the call of the program, as `is_call` names functions by
/// their addresses, in a program that is linked with this code; 0 in one that is not, and where no call is found.
pub(super) fn own_frames(here: Registers, is_call: impl Fn(usize) -> bool) -> usize {
    if object::is_library() {
        return 0;
    }
    let known = |address| is_call(address).then_some(());
    let mut walk = Walk::from(here);
    (0..LEFT_OUT_MAX).find(|_| walk.step() && jump::called(walk.at.rip, &known).is_some()).unwrap_or(0)
}

impl Trace {
    /// The call by which the program came here, as `known` names functions of the allocator by their addresses; `None`
    /// if the instruction does not say. Then the stack begins at the program's frame all the same, unless the allocator
    /// is linked into the program: it begins in the allocator.
    #[inline(never)]
    pub(crate) fn of_call<T: Copy + PartialEq>(known: impl Fn(usize) -> Option<T>) -> (Self, Option<T>) {
        let here = Registers::here();
        let is_library = object::is_library();
        let mut walk = Walk::from(here);
        for _ in 0..LEFT_OUT_MAX {
            if !walk.step() {
                break;
            }
            if object::is_of_library(walk.at.rip) {
                continue;
            }
            if let Some(Found { what, jump }) = jump::called(walk.at.rip, &known) {
                return (Self { walk, jump, ended: false }, Some(what));
            }
            if is_library {
                return (Self { walk, jump: 0, ended: false }, None);
            }
        }
        let mut walk = Walk::from(here);
        let ended = is_library || !walk.step();
        (Self { walk, jump: 0, ended }, None)
    }

    /// Puts the return addresses into `frames`, the innermost first; how many there are. Part of the trace is used up.
    pub(crate) fn frames(&mut self, frames: &mut [usize]) -> usize {
        if self.ended {
            return 0;
        }
        let first = usize::from(self.jump != 0).min(frames.len());
        frames.iter_mut().take(first).for_each(|frame| *frame = self.jump);
        first + self.walk.fill(frames.get_mut(first..).unwrap_or_default())
    }
}
