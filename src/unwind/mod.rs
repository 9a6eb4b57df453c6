//! Layer 2: call stacks, as addresses of code. No allocation, no lock, nothing of the loader's that waits; safe in signal handlers.
//!
//! ```text
//! pc, rsp, rbp -> cache: pc -> rule     some 40 instructions a frame
//!                 '- miss: object of pc (glibc's _dl_find_object) -> table of .eh_frame_hdr -> FDE -> rows -> rule
//!                          '- none: frame pointers
//! ```
//! What is read from a stack is read within its bounds, or after the kernel was asked; a damaged stack ends the walk. Must not know
//! what a stack is wanted for.

mod bounds;
mod cache;
mod expression;
mod frame;
mod object;
mod reader;
mod row;
mod rule;
mod symbol;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use symbol::describe;
pub(crate) use walk::capture;

/// Frames looked at to see who called.
const LOOKED_AT: usize = 128;

/// Whether the dynamic linker is among the callers: it starts the process, loads objects, and calls their constructors.
pub(crate) fn comes_through_loader() -> bool {
    let Some(loader) = object::loader() else { return false };
    let mut frames = [0; LOOKED_AT];
    let count = capture(0, &mut frames);
    frames.iter().take(count).any(|frame| (loader.start..loader.end).contains(frame))
}

/// Whether `address` lies in the program or in a loaded library, as far as the C library tells.
pub(crate) fn is_in_object(address: usize) -> bool {
    object::lists(address)
}
