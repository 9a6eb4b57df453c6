//! Layer 2: call stacks, as addresses of code. No allocation, no lock, nothing of the loader's that waits; safe in
//! signal handlers.
//!
//! ```text
//! walk: rip, rsp, rbp --> rule: cache of rules by rip          65 instructions a frame
//!        ^                  '- miss: object of rip (glibc's _dl_find_object) -> its .eh_frame -> row -> rule
//!        '-- next frame <---'        '- no table: the end of the function, frame pointers
//!
//! recent: the result of a walk of this thread from here, if no word that it read has changed: 7 instructions a frame
//!
//! trace: walk from a slow path to the call of the program --> jump: which function that call named
//! ```
//! Words of a stack are read within its bounds, or after the kernel said that they can be read; a damaged stack ends
//! the walk. Must not know what a stack is for.

mod dwarf;
mod jump;
mod kept;
mod object;
mod recent;
mod rule;
mod stack;
mod symbol;
#[cfg(test)]
mod tests;
mod trace;
mod walk;

pub(crate) use kept::{Frames, StackId, Stacks};
pub(crate) use object::{is_in_object, is_library};
pub(crate) use recent::Recent;
pub(crate) use symbol::{calls_function, describe, is_in_function, object_of};
pub(crate) use trace::Trace;
pub(crate) use walk::capture;

/// Frames that callers may ask for.
pub(crate) const FRAMES_MAX: usize = 64;

/// Frames that are searched for one of the dynamic linker.
const SEARCHED: usize = 128;

/// Whether the dynamic linker is among the callers: it starts the process, loads objects, and calls their constructors.
pub(crate) fn comes_through_loader() -> bool {
    let Some(loader) = object::loader() else { return false };
    let mut frames = [0; SEARCHED];
    let count = capture(0, &mut frames);
    frames.iter().take(count).any(|&frame| loader.contains(frame))
}
