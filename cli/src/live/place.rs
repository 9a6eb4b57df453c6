//! The content of an address of a process: which block of which span, and whether the program holds it.

use super::picture::{Owner, Picture, Span};
use super::{Parts, search};
use anyhow::Result;
use spandrel::table::{ClassInfo, REGION_BYTES};

/// The kinds of memory that an address can be in.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a block of a class.
    Block(Block),
    /// In a span, but in none of its blocks.
    Tail(ClassInfo),
    /// In a large block that begins at `start`.
    Large { start: usize, bytes: usize },
    /// In a free run of regions.
    Free { dirty: bool },
    /// In regions that were never used.
    Unused,
    /// None of Spandrel's data area. A direct block or another's memory.
    Elsewhere,
}

/// See [`Place`].
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) start: usize,
    pub(crate) class: ClassInfo,
    /// Its number in the span.
    pub(crate) index: usize,
    pub(crate) owner: Owner,
    pub(crate) state: State,
}

/// Where a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The program holds it.
    Live,
    /// In its span.
    InSpan,
    /// In the bin of this thread.
    InBin(u32),
    /// In the transfer cache or on its way home.
    OnItsWay,
}

impl Parts {
    /// See [`super::Subject::place`].
    pub(super) fn place(&self, address: usize) -> Result<Place> {
        let picture = self.picture()?;
        let region = address.wrapping_sub(picture.data) / REGION_BYTES;
        if let Some(span) =
            picture.spans.iter().find(|span| (span.region..span.region + span.class.regions).contains(&region))
        {
            return self.place_in_span(&picture, span, address);
        }
        let bytes = |large: &&super::Large| large.bytes.div_ceil(REGION_BYTES);
        if let Some(large) =
            picture.large.iter().find(|large| (large.region..large.region + bytes(large)).contains(&region))
        {
            return Ok(Place::Large {
                start: picture.data.wrapping_add(large.region * REGION_BYTES),
                bytes: large.bytes,
            });
        }
        let run = picture.runs.iter().find(|run| (run.region..run.region + run.regions).contains(&region));
        let reserved = region < self.descriptor.pages.reserved / REGION_BYTES;
        Ok(match run {
            Some(run) => Place::Free { dirty: run.dirty },
            None if reserved => Place::Unused,
            None => Place::Elsewhere,
        })
    }

    fn place_in_span(&self, picture: &Picture, span: &Span, address: usize) -> Result<Place> {
        let first = picture.data.wrapping_add(span.region * REGION_BYTES);
        let index = address.wrapping_sub(first) / span.class.block_bytes;
        if index >= span.class.blocks {
            return Ok(Place::Tail(span.class));
        }
        let start = first.wrapping_add(index * span.class.block_bytes);
        let state = if search::is_out(&self.process, &self.descriptor, span.region, index)? {
            search::holder(&self.process, &self.descriptor, span.class, start)?
        } else {
            State::InSpan
        };
        Ok(Place::Block(Block { start, class: span.class, index, owner: span.owner, state }))
    }
}
