//! alloc-test: a large table, half full of blocks whose sizes halve in likelihood with each doubling. Each step takes a
//! place, a few places far more often than most (80/20, six times over), and fills it if it is empty or empties it if
//! it is full. All bytes are written when a block is made and read before it is freed.

use crate::harness::account::Account;
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::outcome::Outcome;

const PLACES: usize = 1 << 18;
/// Likelihoods of the seven parts of the table, and (in reverse) their lengths: the terms of (0.8 + 0.2)^6, in
/// millionths.
const PARTS: [u32; 7] = [262_144, 393_216, 245_760, 81_920, 15_360, 1536, 64];
const MILLION: u32 = 1_000_000;
const SIZE_DOUBLINGS: u32 = 7;

/// `steps` steps over all threads.
pub(crate) fn run(form: &Form, threads: usize, steps: u64) -> Outcome {
    crew::run(threads, |index, account| {
        live(Rng::new(form.seed, index as u64), PLACES / threads, form.count(steps / threads as u64), account);
    })
    .into()
}

/// The table comes from the allocator under test, as in the original.
fn live(mut rng: Rng, places: usize, steps: u64, account: &mut Account) {
    let mut table: Vec<Option<Block>> = Vec::new();
    table.resize_with(places, || None);
    for place in &mut table {
        if rng.percent(50) {
            toggle(place, &mut rng, account);
        }
    }
    let starts = starts(places);
    for _ in 0..steps {
        let mut draw = rng.below(MILLION);
        let mut part = 0;
        while draw >= PARTS[part] {
            draw -= PARTS[part];
            part += 1;
        }
        let (start, end) = (starts[part], starts[part + 1]);
        let place = start + rng.index((end - start).max(1));
        toggle(&mut table[place.min(places - 1)], &mut rng, account);
    }
    for block in table.into_iter().flatten() {
        block.free(account);
    }
}

/// Where the parts begin: the likeliest is the shortest.
fn starts(places: usize) -> [usize; PARTS.len() + 1] {
    let mut starts = [places; PARTS.len() + 1];
    let mut start = 0;
    for (part, len) in PARTS.iter().rev().enumerate() {
        starts[part] = start;
        start += places * *len as usize / MILLION as usize;
    }
    starts
}

#[inline]
fn toggle(place: &mut Option<Block>, rng: &mut Rng, account: &mut Account) {
    match place.take() {
        Some(block) => {
            block.read();
            block.free(account);
        }
        None => *place = Some(filled(rng, account)),
    }
}

/// 5 to 1024 bytes.
#[inline]
fn filled(rng: &mut Rng, account: &mut Account) -> Block {
    let doubling = (rng.below(1 << SIZE_DOUBLINGS) + 1).trailing_zeros() + 2;
    let size = 1 + (1 << doubling) + rng.below(1 << doubling);
    let mut block = Block::alloc(account, size);
    block.fill(size as u8, size);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_table() {
        let starts = starts(PLACES);
        assert_eq!(starts[0], 0);
        assert_eq!(starts[PARTS.len()], PLACES);
        assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(PARTS.iter().sum::<u32>(), MILLION);
    }
}
