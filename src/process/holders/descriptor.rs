//! Where the table of holders is, for tools that read a process from outside. Must not know how they read it.

use core::mem::offset_of;

use super::parts::Parts;
use super::table::{COUNT, Holder, PIECE, TABLE};
use crate::central::Bill;
use crate::heap::Heap;
use crate::pages::limits::UNLIMITED;

/// Addresses, sizes, and offsets of words in a record.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldersDescriptor {
    /// Where the number of records is, and the addresses of their pieces, a word each.
    pub count: usize,
    /// See `count`.
    pub pieces: usize,
    /// Records of a piece, one behind the other, and the bytes of one.
    pub piece_records: usize,
    /// See `piece_records`.
    pub record_bytes: usize,
    /// The handle of the holder; 0 for a record without one.
    pub handle: usize,
    /// Its kind, one byte: 0 for a heap, 1 and 2 for an account of threads by name and by control group, 3 for an estimate
    /// for an object.
    pub kind: usize,
    /// Its name: 64 bytes, zeroes at the end.
    pub name: usize,
    /// Its bill, which begins there, and to which the following belong.
    pub bill: usize,
    /// Bytes held.
    pub held: usize,
    /// The part of them that is large blocks.
    pub large: usize,
    /// The most that was held.
    pub peak: usize,
    /// The limits; `unlimited` for none.
    pub soft: usize,
    /// See `soft`.
    pub hard: usize,
    /// Requests that the hard limit refused.
    pub refusals: usize,
    /// Of the large blocks those that a mode places apart: how many, and in the next word their bytes.
    pub apart: usize,
    /// See `soft`: no offset, but a value.
    pub unlimited: usize,
}

impl HoldersDescriptor {
    /// The values that are the same in every process of this version; addresses are 0.
    pub(crate) const LAYOUT: Self = {
        let bill = offset_of!(Holder, bill);
        let [held, large, peak, soft, hard, refusals, apart] = Bill::OFFSETS;
        Self {
            count: 0,
            pieces: 0,
            piece_records: PIECE,
            record_bytes: size_of::<Holder>(),
            handle: offset_of!(Holder, parts) + Parts::<Heap>::HANDLE,
            kind: offset_of!(Holder, kind),
            name: offset_of!(Holder, name),
            bill,
            held: bill + held,
            large: bill + large,
            peak: bill + peak,
            soft: bill + soft,
            hard: bill + hard,
            refusals: bill + refusals,
            apart: bill + apart,
            unlimited: UNLIMITED,
        }
    };

    /// As [`HoldersDescriptor::LAYOUT`], of this one.
    pub(crate) const fn layout(self) -> Self {
        Self { count: 0, pieces: 0, ..self }
    }

    /// That of this process.
    pub(crate) fn own() -> Self {
        let (count, pieces) = (core::ptr::from_ref(&COUNT).addr(), TABLE.as_ptr().addr());
        Self { count, pieces, ..Self::LAYOUT }
    }
}
