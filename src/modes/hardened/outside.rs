//! Blocks that the shadow does not reach: requests of no bytes, and direct mappings.

use super::blocks;
use super::empty::Empty;
use super::large;
use super::state::TAIL;
use crate::central::{DirectBlock, Place, Refused};
use crate::heap::Freed;
use crate::process::state::PROCESS;

/// The addresses for requests of no bytes.
pub(super) static EMPTY: Empty = Empty::new();

/// Frees a direct mapping, or a block that is none of ours. Calls `release` with each direct mapping that is to be
/// freed now.
pub(super) fn free(block: *mut u8, release: impl FnMut(usize)) -> Freed {
    match direct_of(block) {
        Ok(Some(direct)) => {
            blocks::check("free", direct.address, direct.bytes, TAIL);
            large::hold(direct.address, direct.bytes, release);
            Freed::Direct
        }
        Ok(None) => Freed::Foreign,
        Err(Refused::Inside) => blocks::refuse(block),
        Err(refused) => {
            refused.report("free", block, 0);
            Freed::Misused
        }
    }
}

/// The live direct block that starts at `block`; `Ok(None)` for an address that is not ours.
fn direct_of(block: *mut u8) -> Result<Option<DirectBlock>, Refused> {
    match PROCESS.central.resolve(block.addr()) {
        Place::Foreign => Ok(None),
        Place::Direct(direct) if direct.address == block.addr() => {
            if large::has(direct.address) {
                Err(Refused::Double)
            } else {
                Ok(Some(direct))
            }
        }
        _ => Err(Refused::Inside),
    }
}

/// The requested size of a direct mapping; `Ok(None)` for an address that is not ours.
pub(super) fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
    let direct = direct_of(block)?;
    Ok(direct.map(|direct| blocks::check("realloc", direct.address, direct.bytes, TAIL)))
}

/// Frees one of [`EMPTY`].
pub(super) fn free_empty(block: *mut u8) -> Freed {
    if EMPTY.free(block) {
        return Freed::Small;
    }
    let refused = if EMPTY.is_live(block).is_none() { Refused::Inside } else { Refused::Double };
    refused.report("free", block, 0);
    Freed::Misused
}

/// The size of one of [`EMPTY`] that is in use.
pub(super) fn usable_empty(block: *mut u8) -> Result<Option<usize>, Refused> {
    match EMPTY.is_live(block) {
        Some(true) => Ok(Some(0)),
        Some(false) => Err(Refused::Double),
        None => Err(Refused::Inside),
    }
}
