//! A rule: how the caller's frame follows from that of an instruction, in so few bits that it fits into a word together with the
//! address of the instruction. Almost all code has one of these shapes; the rest is a [`Row`].

use super::frame::{RBP, RIP, RSP};
use super::row::{Cfa, Row, Saved};

/// What the frame address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    /// The stack pointer and the offset.
    Stack = 0,
    /// The frame pointer and the offset.
    Frame = 1,
    /// The word that lies the offset below the frame pointer; the caller's frame pointer lies at it. So do frames look that were
    /// aligned anew.
    Aligned = 2,
    /// There is no caller.
    Outermost = 3,
}

/// See the module. The return address always lies in the word below the frame address.
///
/// # Invariants
/// - Fits into [`RULE_BITS`]; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule(u32);

/// Bits that a rule takes.
pub(super) const RULE_BITS: u32 = 1 + OFFSET_BITS + SAVED_BITS + BASE_BITS;
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

    /// From a cached word's low bits; `None` where nothing was cached.
    #[inline(always)]
    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        (bits & VALID != 0).then_some(Self(bits & (VALID | (VALID - 1))))
    }

    pub(super) const fn bits(self) -> u32 {
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

    /// The rule that says what `row` says, if there is one.
    pub(super) fn of(row: &Row) -> Option<Self> {
        if matches!(row.rip, Saved::Undefined) {
            return Some(Self::OUTERMOST);
        }
        if row.rsp.is_some() || !matches!(row.rip, Saved::At(offset) if offset == -WORD) {
            return None;
        }
        let (base, offset) = match row.cfa {
            Cfa::Register(RSP, offset) => (Base::Stack, offset),
            Cfa::Register(RBP, offset) => (Base::Frame, offset),
            Cfa::Register(..) => return None,
            Cfa::Expression(mut code) => {
                // The word at an offset from the frame pointer, and nothing more.
                let (register, offset, read) = (code.u8()?, code.sleb()?, code.u8()?);
                let fits = (register, read) == (BASE_REGISTER_RBP, DEREF) && code.is_done();
                return (fits && is_at_rbp(row.rbp)).then(|| Self::new(Base::Aligned, -offset, 0))?;
            }
        };
        match row.rbp {
            Saved::Same => Self::new(base, offset, 0),
            Saved::At(saved) if saved < 0 => Self::new(base, offset, -saved),
            _ => None,
        }
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

/// Whether the caller's frame pointer lies right where the frame pointer points.
fn is_at_rbp(saved: Saved) -> bool {
    let Saved::Expression(mut code) = saved else { return false };
    code.u8() == Some(BASE_REGISTER_RBP) && code.sleb() == Some(0) && code.is_done()
}

const _: () = assert!(RBP == 6 && RIP == 16);

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cfa: Cfa, rbp: Saved) -> Row {
        Row { cfa, rbp, rip: Saved::At(-8), rsp: None }
    }

    #[test]
    fn rules_say_what_rows_say() {
        let rule = Rule::of(&row(Cfa::Register(RSP, 48), Saved::At(-16))).unwrap();
        assert_eq!((rule.base(), rule.offset(), rule.saved()), (Base::Stack, 48, 16));
        assert_eq!(Rule::from_bits(rule.bits()), Some(rule));
        assert_eq!(Rule::of(&row(Cfa::Register(RBP, 16), Saved::At(-16))), Some(Rule::FRAME_POINTER));
        let outermost = Row { rip: Saved::Undefined, ..row(Cfa::Register(RSP, 8), Saved::Same) };
        assert_eq!(Rule::of(&outermost).map(Rule::base), Some(Base::Outermost));
        assert_eq!(Rule::from_bits(0), None);
    }

    #[test]
    fn what_does_not_fit_has_no_rule() {
        assert_eq!(Rule::of(&row(Cfa::Register(3, 16), Saved::Same)), None);
        assert_eq!(Rule::of(&row(Cfa::Register(RSP, 8 << OFFSET_BITS), Saved::Same)), None);
        assert_eq!(Rule::of(&row(Cfa::Register(RSP, 12), Saved::Same)), None);
        assert_eq!(Rule::of(&row(Cfa::Register(RSP, 16), Saved::Value(0))), None);
    }
}
