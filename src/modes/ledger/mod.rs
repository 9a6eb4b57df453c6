//! Notes about blocks, apart from the heap: tables by address. All of it lies in
//! mappings of its own, so a mode's notes never use the heap that they describe. Must not know the purpose of a note.

mod book;
mod table;

pub(crate) use book::Ledger;
pub(crate) use table::{Record, Table};
