//! Heap profiles: reading them, giving addresses names, and showing what they say.
//!
//! Knows: pprof's format and the files that programs are made of. Must not know: the command line, how profiles are
//! made.

mod collapse;
mod diff;
mod flame;
mod message;
mod names;
mod outside;
mod page;
mod palette;
mod read;
mod table;

use crate::symbols::Frame;

pub(crate) use collapse::{collapse, collapsed};
pub(crate) use diff::difference;
pub(crate) use flame::{Flame, Look};
pub(crate) use names::AtRunTime;
pub(crate) use outside::pack;
pub(crate) use page::{page, tree};
pub(crate) use read::{Profile, finish, read};
pub(crate) use table::{Order, table, table_values};

/// A stack, the outermost function first, and what the profile says of it.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) frames: Vec<Frame>,
    pub(crate) values: Vec<i64>,
    /// The name of the named heap; empty for the default heap.
    pub(crate) heap: String,
}
