//! A rule: what a [`Row`] says, in 30 bits, and the cache of rules by address. Almost all rows have one of four forms.
//! One word of the cache holds an address and its rule, so threads need no lock: they see it whole or not at all.
//!
//! A rule stays when its object is unloaded. If another object is loaded in its place, a stack may have wrong frames;
//! reads stay within its bounds.

use gimli::{CfaRule, Reader, RegisterRule, UnwindExpression};

use super::dwarf::{Bytes, Entry, Row};
use super::stack::Registers;
use crate::sys::atomic::{AtomicU64, Ordering};

/// The rule for the frame address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    /// The stack pointer and the offset.
    Stack = 0,
    /// The frame pointer and the offset.
    Frame = 1,
    /// The word that lies the offset below the frame pointer, which points to the caller's. Functions that align their
    /// stack have such frames.
    Aligned = 2,
    /// There is no caller.
    Outermost = 3,
}

/// Where the frame address and the caller's frame pointer are. The return address lies in the word below the frame
/// address.
///
/// # Invariants
/// - Fits into [`RULE_BITS`]; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule(u32);

const RULE_BITS: u32 = 1 + OFFSET_BITS + SAVED_BITS + BASE_BITS;
const BASE_BITS: u32 = 2;
const OFFSET_BITS: u32 = 17;
const SAVED_BITS: u32 = 10;
const WORD: i64 = size_of::<usize>() as i64;
const VALID: u32 = 1 << (RULE_BITS - 1);

const _: () = assert!(RULE_BITS == 30);

impl Rule {
    /// Frames as `push rbp; mov rbp, rsp` makes them.
    pub(super) const FRAME_POINTER: Self = Self::packed(Base::Frame, 2, 2);
    const OUTERMOST: Self = Self::packed(Base::Outermost, 0, 0);

    const fn packed(base: Base, offset: u32, saved: u32) -> Self {
        Self(VALID | base as u32 | offset << BASE_BITS | saved << (BASE_BITS + OFFSET_BITS))
    }

    /// From the low bits of a word of the cache; `None` if the word is empty.
    #[inline(always)]
    fn from_bits(bits: u32) -> Option<Self> {
        (bits & VALID != 0).then_some(Self(bits & (VALID | (VALID - 1))))
    }

    const fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) const fn base(self) -> Base {
        match self.0 & 3 {
            0 => Base::Stack,
            1 => Base::Frame,
            2 => Base::Aligned,
            _ => Base::Outermost,
        }
    }

    /// In bytes.
    #[inline(always)]
    pub(super) const fn offset(self) -> usize {
        (self.0 >> BASE_BITS & ((1 << OFFSET_BITS) - 1)) as usize * WORD as usize
    }

    /// How far below the frame address the caller's frame pointer lies, in bytes; 0 if it still is in its register.
    #[inline(always)]
    pub(super) const fn saved(self) -> usize {
        (self.0 >> (BASE_BITS + OFFSET_BITS) & ((1 << SAVED_BITS) - 1)) as usize * WORD as usize
    }

    /// The rule for an instruction that no table describes, from the bytes of the code there. If nothing but the end of
    /// the function follows, the bytes say where the return address is, whatever the frame pointer holds: CPython's
    /// trampolines for perf end so, and make no frame. Any other code is taken to have a frame pointer.
    pub(super) fn of_code(mut code: &[u8]) -> Self {
        let (mut words, mut frame_pointer) = (0, None);
        loop {
            match code {
                [0x48, 0x83, 0xc4, bytes @ 0..0x80, rest @ ..] if bytes.is_multiple_of(WORD as u8) => {
                    words += u32::from(*bytes) / WORD as u32;
                    code = rest;
                }
                [POP_RBP, rest @ ..] => {
                    frame_pointer = Some(words);
                    words += 1;
                    code = rest;
                }
                [RETURN, ..] => {
                    let frame = words + 1;
                    return Self::packed(Base::Stack, frame, frame_pointer.map_or(0, |at| frame - at));
                }
                _ => return Self::FRAME_POINTER,
            }
        }
    }

    /// The rule for `row` of `entry`, if it has one of the forms.
    pub(super) fn of(entry: &Entry, row: &Row) -> Option<Self> {
        if entry.is_signal() || row.rsp.is_some() {
            return None;
        }
        match row.rip {
            Some(RegisterRule::Undefined) => return Some(Self::OUTERMOST),
            Some(RegisterRule::Offset(offset)) if offset == -WORD => {}
            _ => return None,
        }
        let (base, offset) = match row.cfa {
            CfaRule::RegisterAndOffset { register: Registers::RSP, offset } => (Base::Stack, offset),
            CfaRule::RegisterAndOffset { register: Registers::RBP, offset } => (Base::Frame, offset),
            CfaRule::RegisterAndOffset { .. } => return None,
            CfaRule::Expression(ref code) => return Self::aligned(entry, row, code),
        };
        match row.rbp {
            None | Some(RegisterRule::SameValue) => Self::new(base, offset, 0),
            Some(RegisterRule::Offset(saved)) if saved < 0 => Self::new(base, offset, -saved),
            _ => None,
        }
    }

    /// The rule of form [`Base::Aligned`], if the expression `code` is `rbp + offset, deref` and that of the frame
    /// pointer `rbp + 0`.
    fn aligned(entry: &Entry, row: &Row, code: &UnwindExpression<usize>) -> Option<Self> {
        let Some(RegisterRule::Expression(saved)) = &row.rbp else { return None };
        let (mut code, mut saved) = (entry.bytes(code)?, entry.bytes(saved)?);
        let read = |code: &mut Bytes| Some((code.read_u8().ok()?, code.read_sleb128().ok()?));
        let (of_code, of_saved) = (read(&mut code)?, read(&mut saved)?);
        let fits = of_code.0 == BASE_REGISTER_RBP && code.slice() == [DEREF];
        let at_rbp = of_saved == (BASE_REGISTER_RBP, 0) && saved.slice().is_empty();
        (fits && at_rbp).then(|| Self::new(Base::Aligned, of_code.1.checked_neg()?, 0))?
    }

    fn new(base: Base, offset: i64, saved: i64) -> Option<Self> {
        let words = |bytes: i64, bits: u32| {
            let fits = bytes >= 0 && bytes % WORD == 0 && bytes / WORD < 1 << bits;
            fits.then_some((bytes / WORD) as u32)
        };
        Some(Self::packed(base, words(offset, OFFSET_BITS)?, words(saved, SAVED_BITS)?))
    }
}

const BASE_REGISTER_RBP: u8 = 0x76;
const DEREF: u8 = 0x06;

/// Bytes of code that [`Rule::of_code`] reads: `add rsp, bytes`, `pop rbp` and `ret`.
pub(super) const CODE_BYTES: usize = 6;
const POP_RBP: u8 = 0x5d;
const RETURN: u8 = 0xc3;

/// Bits of a place in the cache.
const BITS: u32 = 13;
const MASK: usize = (1 << BITS) - 1;

/// The cache. Any thread writes; a reader that sees an old word makes the rule again.
static RULES: [AtomicU64; 1 << BITS] = [const { AtomicU64::new(0) }; 1 << BITS];

// Addresses of programs have 47 bits; the place in the cache stands for the lower ones.
const _: () = assert!(47 - BITS + RULE_BITS == u64::BITS);

fn place(pc: usize) -> Option<&'static AtomicU64> {
    RULES.get((pc ^ pc >> BITS) & MASK)
}

/// The rule for `pc`, if the cache has it.
#[inline(always)]
pub(super) fn get(pc: usize) -> Option<Rule> {
    // Relaxed: the word publishes no other memory.
    let word = place(pc)?.load(Ordering::Relaxed);
    if word >> RULE_BITS == (pc >> BITS) as u64 { Rule::from_bits(word as u32) } else { None }
}

/// Keeps the rule for `pc`.
pub(super) fn put(pc: usize, rule: Rule) {
    if let Some(place) = place(pc) {
        // Relaxed: as in `get`. An address of the kernel's half loses bits here, so its rule is never found.
        place.store(((pc >> BITS) as u64) << RULE_BITS | u64::from(rule.bits()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_word_is_no_rule() {
        assert_eq!(Rule::from_bits(0), None);
        assert_eq!(Rule::from_bits(Rule::OUTERMOST.bits()), Some(Rule::OUTERMOST));
    }

    #[test]
    fn the_end_of_a_function_says_where_the_return_address_is() {
        let of = |code: &[u8]| {
            let rule = Rule::of_code(code);
            (rule.base(), rule.offset(), rule.saved())
        };
        // A trampoline of CPython 3.12, and one that makes a frame.
        assert_eq!(of(&[0x48, 0x83, 0xc4, 8, 0xc3, 0x90]), (Base::Stack, 16, 0));
        assert_eq!(of(&[0x5d, 0xc3]), (Base::Stack, 16, 16));
        assert_eq!(of(&[0x48, 0x83, 0xc4, 0x10, 0x5d, 0xc3]), (Base::Stack, 32, 16));
        assert_eq!(of(&[0xc3]), (Base::Stack, 8, 0));
        // More of the function follows, or nothing is known of what does.
        for code in [&[][..], &[0x5d], &[0xc9, 0xc3], &[0x48, 0x83, 0xc4, 7, 0xc3], &[0x48, 0x83, 0xc4, 0xf8, 0xc3]] {
            assert_eq!(Rule::of_code(code), Rule::FRAME_POINTER, "{code:x?}");
        }
    }

    #[test]
    fn the_cache_mistakes_no_address_for_another() {
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
