//! Layer 2: notes about blocks, beside the heap: tables by address, and call stacks kept once each. All of it lies in mappings of its
//! own, so the heap that is described is never used for it. Must not know what a note is for.

mod book;
mod stacks;
mod table;

pub(crate) use book::Ledger;
pub(crate) use stacks::{StackId, Stacks};
pub(crate) use table::{Record, Table};
