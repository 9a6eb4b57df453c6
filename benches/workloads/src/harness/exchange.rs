//! A few places where threads swap blocks, so that each frees some of the others'.

use super::block::Block;
use super::table::Table;
use std::sync::{Mutex, PoisonError};

/// Places for blocks on their way.
#[derive(Debug)]
pub(crate) struct Exchange(Table<Mutex<Option<Block>>>);

impl Exchange {
    pub(crate) fn new(places: usize) -> Self {
        Self(Table::new(places, |_| Mutex::new(None)))
    }

    pub(crate) fn places(&self) -> usize {
        self.0.len()
    }

    /// Puts `block` at `place` and takes what was there.
    #[inline]
    pub(crate) fn swap(&self, place: usize, block: Option<Block>) -> Option<Block> {
        let mut held = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut held, block)
    }
}
