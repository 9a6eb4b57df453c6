//! The cache of rules, shared by all threads without a lock: one word holds an address and its rule, so it is seen whole or not at all.
//!
//! A rule stays when its object is unloaded. Should another object be loaded in the same place, a stack may be told wrongly; it is
//! never read out of bounds.

use super::rule::{RULE_BITS, Rule};
use crate::sys::atomic::{AtomicU64, Ordering};

const BITS: u32 = 13;
const MASK: usize = (1 << BITS) - 1;

/// Any thread writes; a reader that sees an old word looks the rule up again.
static RULES: [AtomicU64; 1 << BITS] = [const { AtomicU64::new(0) }; 1 << BITS];

// The part of an address that its place in the table does not tell: addresses of programs have 47 bits.
const _: () = assert!(47 - BITS + RULE_BITS == u64::BITS);

fn place(pc: usize) -> Option<&'static AtomicU64> {
    RULES.get((pc ^ pc >> BITS) & MASK)
}

/// The rule for `pc`, if it is here.
#[inline(always)]
pub(super) fn get(pc: usize) -> Option<Rule> {
    // Relaxed: the word is whole by itself.
    let word = place(pc)?.load(Ordering::Relaxed);
    if word >> RULE_BITS == (pc >> BITS) as u64 { Rule::from_bits(word as u32) } else { None }
}

/// Keeps the rule for `pc`.
pub(super) fn put(pc: usize, rule: Rule) {
    if let Some(place) = place(pc) {
        // Relaxed: as above. Addresses of the kernel's half lose bits, and are looked up again.
        place.store(((pc >> BITS) as u64) << RULE_BITS | u64::from(rule.bits()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_distant_addresses_are_told_apart() {
        let pc = 0x7f12_3456_789a;
        put(pc, Rule::FRAME_POINTER);
        assert_eq!(get(pc), Some(Rule::FRAME_POINTER));
        assert_eq!(get(pc + 1), None);
        // Of all addresses that share its place none is taken for it.
        for high in 1..1_000 {
            let other = pc ^ high << BITS ^ high & MASK;
            assert_eq!(get(other), None, "{other:x}");
        }
    }
}
