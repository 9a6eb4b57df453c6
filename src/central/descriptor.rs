//! Where the figures of what heaps share are, for tools that read them from outside; see `stats::descriptor`.

use core::mem::offset_of;

use super::batch::Batch;
use super::central_list::CentralList;
use super::span::{Span, State};
use super::store::{Central, ClassStore};
use crate::base::class::BATCH_BLOCKS_MAX;

/// Addresses and offsets; what is not a word is said.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CentralDescriptor {
    /// Where the central list of the smallest class is, and the distance to the next one.
    pub lists: usize,
    /// See `lists`.
    pub list_step: usize,
    /// In a central list: the last batch of the transfer cache, batches given, spans given; and, before all that, spans
    /// made.
    pub batches: usize,
    /// See `batches`.
    pub taken: usize,
    /// See `batches`.
    pub adopted: usize,
    /// Where the smallest class counts the spans made; the others follow at the same distance.
    pub made: usize,
    /// Where the smallest class counts the turns of refills by received blocks; the others follow as for `made`.
    pub received_turns: usize,
    /// In a batch: the next one, how many slots are used and how many of the first hold nothing any more (four bytes
    /// each), the first slot; and most slots.
    pub batch_next: usize,
    /// See `batch_next`.
    pub batch_len: usize,
    /// See `batch_next`.
    pub batch_gone: usize,
    /// See `batch_next`.
    pub batch_blocks: usize,
    /// See `batch_next`.
    pub batch_max: usize,
    /// In the header of a span: its first region and its blocks that are out, four bytes each, its state, one byte, how
    /// many KiB of it were purged since a block was last taken, two bytes, a large block's bytes.
    pub span_first: usize,
    /// See `span_first`.
    pub span_out: usize,
    /// See `span_first`.
    pub span_state: usize,
    /// See `span_first`.
    pub span_purged: usize,
    /// See `span_first`.
    pub span_bytes: usize,
    /// Where the bitmap of the blocks that are out is, a bit each in words.
    pub span_bitmap: usize,
    /// In the header of a large block: the regions of its run where these are more than its bytes need, two bytes, else
    /// 0; the place of the record that has the block's bill, counted from 1, or 0, a word.
    pub span_room: usize,
    /// See `span_room`.
    pub span_bill: usize,
    /// A bit among the blocks that are out which is not a number.
    pub out_mark: usize,
    /// The state of a span with every block out.
    pub state_full: usize,
    /// Where direct blocks and their bytes are counted.
    pub direct_blocks: usize,
    /// See `direct_blocks`.
    pub direct_bytes: usize,
    /// Where the blocks that a mode places apart are counted; their bytes are in the next word.
    pub apart: usize,
}

impl CentralDescriptor {
    /// The values that are the same in every process of this version; addresses are 0.
    pub(crate) const LAYOUT: Self = {
        let [batches, taken, adopted] = CentralList::OFFSETS;
        let [batch_next, batch_len, batch_gone, batch_blocks] = Batch::OFFSETS;
        let [span_first, span_out, span_state, span_purged, span_bytes, span_bitmap] = Span::OFFSETS;
        let [span_room, inline] = Span::LARGE_OFFSETS;
        Self {
            lists: 0,
            list_step: size_of::<ClassStore>(),
            batches,
            taken,
            adopted,
            made: 0,
            received_turns: 0,
            batch_next,
            batch_len,
            batch_gone,
            batch_blocks,
            batch_max: BATCH_BLOCKS_MAX,
            span_first,
            span_out,
            span_state,
            span_purged,
            span_bytes,
            span_bitmap,
            span_room,
            span_bill: inline,
            out_mark: Span::FULL,
            state_full: State::Full as usize,
            direct_blocks: 0,
            direct_bytes: 0,
            apart: 0,
        }
    };

    /// As [`CentralDescriptor::LAYOUT`], of this one.
    pub(crate) const fn layout(self) -> Self {
        Self { lists: 0, made: 0, received_turns: 0, direct_blocks: 0, direct_bytes: 0, apart: 0, ..self }
    }
}

impl Central {
    /// See [`CentralDescriptor`].
    pub(crate) fn descriptor(&self) -> CentralDescriptor {
        let first = &self.classes[0];
        let [direct_blocks, direct_bytes] = self.direct.addresses();
        CentralDescriptor {
            lists: first.list.value_address(),
            made: core::ptr::from_ref(first).addr() + offset_of!(ClassStore, made),
            received_turns: core::ptr::from_ref(first).addr() + offset_of!(ClassStore, received_turns),
            direct_blocks,
            direct_bytes,
            apart: core::ptr::from_ref(&self.apart).addr(),
            ..CentralDescriptor::LAYOUT
        }
    }
}
