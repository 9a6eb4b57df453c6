//! Holders of bills: each has a name, a bill and limits. They are the named heaps, which a program makes
//! ([`crate::heap`] has their parts), and the accounts of threads and objects, which an option asks for.
//!
//! A program knows a holder by its handle, a number that no other one gets: its place in the table, and the number of
//! holders that were made before. So the handle of a heap that is gone is recognised, whatever has its place by now.
//!
//! # Invariants
//! - A record whose `handle` is not 0 is that of a holder. Records are never unmapped.
//! - The parts of a heap stay its own until its handle is 0 and one thread has taken all of them (`parts.rs`).

mod accounts;
mod descriptor;
mod parts;
mod table;
mod telling;
mod usage;

pub(crate) use accounts::{Kind, handle_of_bill, is_account, on_account};
pub use descriptor::HoldersDescriptor;
pub(crate) use parts::Unavailable;
pub(crate) use table::{
    Callback, Figures, Holder, NAME_BYTES, Wanted, create, each, each_handle, figures_of, heap_of_bill, name_of, remove,
};
pub(crate) use telling::{refused, tell_hard, tell_soft};
pub(crate) use usage::{
    be_outside, current, find_bill_or_report, find_or_report, pop, pop_aligned, switch, take_all, visit,
};
