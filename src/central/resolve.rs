//! Resolves a pointer: the one function from an address to span, class and owner.

use super::direct::DirectBlock;
use super::span::{Refused, Span, State, header};
use super::store::Central;
use crate::base::class::Class;
use crate::base::units::Region;
use crate::pages::Entry;

/// The kind of memory that an address lies in.
pub(crate) enum Place<'a> {
    /// It lies in a span. Whether a block starts there, and is out, is for `Span::is_out` to say.
    Small {
        span: &'a Span,
        class: Class,
        /// Its entry in the map, which names the owner.
        entry: Entry,
        /// The address, counted from the start of the span.
        offset: usize,
    },
    /// A large block starts there.
    Large {
        /// Its header.
        span: &'a Span,
        /// Its first region.
        region: Region,
    },
    /// It lies in a direct mapping.
    Direct(DirectBlock),
    /// It lies in our data area, but nothing that can be freed is there.
    Nowhere,
    /// It is none of our addresses.
    Foreign,
}

impl Central {
    /// Says what `address` is.
    pub(crate) fn resolve(&self, address: usize) -> Place<'_> {
        let space = self.pages.space();
        let Some(region) = space.region_of(address) else {
            if space.reserves(address) {
                return Place::Nowhere;
            }
            return self.direct.find(address).map_or(Place::Foreign, Place::Direct);
        };
        let entry = space.entry(region);
        let here = header(space, region);
        if let Some(class) = entry.class() {
            let first = here.first();
            let offset = address.wrapping_sub(space.address(first));
            return Place::Small { span: header(space, first), class, entry, offset };
        }
        if entry == Entry::LARGE && here.state() == State::Large && address == space.address(region) {
            return Place::Large { span: here, region };
        }
        Place::Nowhere
    }

    /// Why nothing can be freed at `address`, which is in our data area: a block that was there and is gone, or never
    /// one.
    pub(crate) fn why_nowhere(&self, address: usize) -> Refused {
        let space = self.pages.space();
        let gone = space.region_of(address).is_some_and(|region| {
            let here = header(space, region);
            let was_large = here.state() == State::FreedLarge && address == space.address(region);
            (here.state() == State::FreedSpan || was_large) && !self.is_in_large(region)
        });
        let destroyed = || {
            let region = space.region_of(address);
            region.is_some_and(|region| self.span(region).state() == State::Destroyed && !self.is_in_large(region))
        };
        match gone {
            true => Refused::Double,
            false if destroyed() => Refused::Destroyed,
            false => Refused::Inside,
        }
    }

    /// Whether `region` is a later region of a live large block, whose header may still tell of an earlier use.
    fn is_in_large(&self, region: Region) -> bool {
        self.large_around(self.pages.space().address(region)).is_some()
    }

    /// The header of the live large block among whose usable bytes `address` lies. Passes all free regions below it, so
    /// it is for questions and reports, and for no call of malloc's family.
    pub(crate) fn large_around(&self, address: usize) -> Option<&Span> {
        let space = self.pages.space();
        let region = space.region_of(address)?;
        // The first region of a bank is never handed out. Only the first one of a large block has an entry.
        let lowest = space.first_region(space.bank_of(region)).plus(1);
        let start = (lowest.0..=region.0).rev().map(Region).find(|&start| space.entry(start) != Entry::NONE)?;
        let span = header(space, start);
        let is_inside = space.entry(start) == Entry::LARGE && address - space.address(start) < span.large_bytes();
        is_inside.then_some(span)
    }
}

impl Place<'_> {
    /// Usable bytes of the live block that starts at `address`; why there is none otherwise. `None` within `Ok` for
    /// foreign addresses. The bitmap is read only if `asker` owns the span and holds its spans: other owners change
    /// theirs meanwhile.
    pub(crate) fn usable(&self, address: usize, asker: usize) -> Result<Option<usize>, Refused> {
        match self {
            Place::Small { span, class, offset, entry } => {
                let geometry = class.geometry();
                if entry.owner() == asker {
                    span.is_out(geometry, *offset)?;
                } else if !geometry.locate(*offset).1 {
                    return Err(Refused::Inside);
                }
                Ok(Some(class.size()))
            }
            Place::Large { span, .. } => Ok(Some(span.large_bytes())),
            Place::Direct(block) if block.address == address => Ok(Some(block.bytes)),
            Place::Direct(_) | Place::Nowhere => Err(Refused::Inside),
            Place::Foreign => Ok(None),
        }
    }
}
