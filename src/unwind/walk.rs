//! The walk from frame to frame: by a rule of the cache; by the row of a table; where there is no table, by the end of
//! the function if it follows at once, else by frame pointers.

use gimli::CfaRule;

use super::dwarf::{Entry, Row, Saved};
use super::jump;
use super::object;
use super::rule::{self, Base, Rule};
use super::stack::{Registers, Stack};

const WORD: usize = size_of::<usize>();
/// No code lies in the first page.
const LOWEST_CODE: usize = 4096;

/// Most frames of this library that are left out, and most that a caller may have left out.
pub(super) const LEFT_OUT_MAX: usize = 64;

/// Puts the return addresses of the calling thread's stack into `frames`, the innermost first, without frames of this
/// library and `skip` more; returns how many there are. In a program that is linked with this code the allocator's
/// frames count like others.
#[inline(never)]
pub(crate) fn capture(skip: usize, frames: &mut [usize]) -> usize {
    Walk::from(Registers::here()).capture(skip, frames)
}

/// As [`capture`], from any registers: their `rip` is the first frame.
#[cfg(test)]
pub(super) fn capture_from(registers: Registers, frames: &mut [usize]) -> usize {
    let mut walk = Walk::from(registers);
    walk.exact = true;
    walk.fill(frames)
}

/// Notes what a walk reads, so that it can be repeated.
pub(super) trait Log {
    /// Read `word` at `address`; the rest of the walk depends on it.
    fn read(&mut self, address: usize, word: usize);
    /// Read the frame pointer at `address`; the rest depends on it only after [`Log::use_frame_pointer`].
    fn read_frame_pointer(&mut self, address: usize, word: usize);
    /// Finds the next frame by the frame pointer.
    fn use_frame_pointer(&mut self);
    /// The walk depends on more than that.
    fn give_up(&mut self);
}

/// Notes nothing.
impl Log for () {
    #[inline(always)]
    fn read(&mut self, _: usize, _: usize) {}
    #[inline(always)]
    fn read_frame_pointer(&mut self, _: usize, _: usize) {}
    #[inline(always)]
    fn use_frame_pointer(&mut self) {}
    #[inline(always)]
    fn give_up(&mut self) {}
}

/// A walk: where it is, and how it goes on.
pub(super) struct Walk<L> {
    pub(super) at: Registers,
    stack: Stack,
    /// Whether `rip` is an instruction that was interrupted, not one to which a call returns.
    exact: bool,
    log: L,
}

impl Walk<()> {
    #[inline(always)]
    pub(super) fn from(at: Registers) -> Self {
        Self::new(at, Stack::around(at.rsp), ())
    }
}

impl<L: Log> Walk<L> {
    /// A walk from `at`, on `stack`.
    #[inline(always)]
    pub(super) fn new(at: Registers, stack: Stack, log: L) -> Self {
        Self { at, stack, exact: false, log }
    }

    /// As the function [`capture`], from the present frame, which is one of this library.
    #[inline(always)]
    pub(super) fn capture(&mut self, skip: usize, frames: &mut [usize]) -> usize {
        for _ in 0..LEFT_OUT_MAX {
            if !self.step() {
                return 0;
            }
            if !object::is_of_library(self.at.rip) {
                break;
            }
        }
        for _ in 0..skip.min(LEFT_OUT_MAX) {
            if !self.step() {
                return 0;
            }
        }
        self.fill(frames)
    }

    /// The notes.
    pub(super) fn log(self) -> L {
        self.log
    }

    /// Stores frames from the present one outwards.
    #[inline(always)]
    pub(super) fn fill(&mut self, frames: &mut [usize]) -> usize {
        let mut count = 0;
        for frame in frames {
            *frame = self.at.rip;
            count += 1;
            if !self.step() {
                break;
            }
        }
        count
    }

    /// Goes on to the caller; false at the end of the stack, or if the next frame cannot be found.
    #[inline(always)]
    pub(super) fn step(&mut self) -> bool {
        let next = match rule::get(self.at.rip) {
            Some(rule) if !self.exact => self.by_rule(rule),
            _ => self.step_slow(),
        };
        let Some(next) = next else { return false };
        self.at = next;
        next.rip >= LOWEST_CODE
    }

    #[cold]
    #[inline(never)]
    fn step_slow(&mut self) -> Option<Registers> {
        let exact = core::mem::replace(&mut self.exact, false);
        // A call may be the last instruction of its function: its return address belongs to the next one.
        let pc = if exact { self.at.rip } else { self.at.rip - 1 };
        let entry = object::find(pc).and_then(|object| Entry::find(object, pc));
        let rule = match &entry {
            None => {
                jump::code::<{ rule::CODE_BYTES }>(self.at.rip).map_or(Rule::FRAME_POINTER, |code| Rule::of_code(&code))
            }
            Some(entry) => {
                let row = entry.row(pc)?;
                match Rule::of(entry, &row) {
                    Some(rule) => rule,
                    None => return self.by_row(entry, &row),
                }
            }
        };
        if !exact {
            rule::put(self.at.rip, rule);
        }
        self.by_rule(rule)
    }

    #[inline(always)]
    fn by_rule(&mut self, rule: Rule) -> Option<Registers> {
        let at = self.at;
        let (cfa, saved) = match rule.base() {
            Base::Stack => (at.rsp.wrapping_add(rule.offset()), None),
            Base::Frame => {
                self.log.use_frame_pointer();
                (at.rbp.wrapping_add(rule.offset()), None)
            }
            Base::Aligned => {
                self.log.use_frame_pointer();
                (self.word(at.rbp.wrapping_sub(rule.offset()))?, Some(at.rbp))
            }
            Base::Outermost => return None,
        };
        // The stack grows downwards: a caller's frame lies higher.
        if cfa <= at.rsp {
            return None;
        }
        let rip = self.word(cfa - WORD)?;
        let place = match (saved, rule.saved()) {
            (Some(place), _) => place,
            (None, 0) => return Some(Registers { rip, rsp: cfa, rbp: at.rbp }),
            (None, below) => cfa.wrapping_sub(below),
        };
        let Some(rbp) = self.stack.word(place) else {
            self.log.give_up();
            return None;
        };
        self.log.read_frame_pointer(place, rbp);
        Some(Registers { rip, rsp: cfa, rbp })
    }

    /// The word at `address`, on which the rest of the walk depends.
    #[inline(always)]
    fn word(&mut self, address: usize) -> Option<usize> {
        let word = self.stack.word(address);
        match word {
            Some(word) => self.log.read(address, word),
            None => self.log.give_up(),
        }
        word
    }

    fn by_row(&mut self, entry: &Entry, row: &Row) -> Option<Registers> {
        self.log.give_up();
        let cfa = match &row.cfa {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.at.get(*register)?.wrapping_add_signed(*offset as isize)
            }
            CfaRule::Expression(code) => entry.evaluate(code, &self.at, None, &mut self.stack)?,
        };
        let rip = self.saved(entry, &row.rip, cfa, self.at.rip)?;
        let rbp = self.saved(entry, &row.rbp, cfa, self.at.rbp)?;
        let rsp = if row.rsp.is_some() { self.saved(entry, &row.rsp, cfa, self.at.rsp)? } else { cfa };
        if entry.is_signal() {
            // The interrupted code may stand on another stack than the handler.
            self.stack = Stack::around(rsp);
            self.exact = true;
        } else if rsp <= self.at.rsp {
            return None;
        }
        Some(Registers { rip, rsp, rbp })
    }

    /// The caller's value of a register that is `same` now.
    fn saved(&mut self, entry: &Entry, rule: &Option<Saved>, cfa: usize, same: usize) -> Option<usize> {
        match rule {
            None | Some(Saved::SameValue) => Some(same),
            Some(Saved::Offset(offset)) => self.stack.word(cfa.wrapping_add_signed(*offset as isize)),
            Some(Saved::ValOffset(offset)) => Some(cfa.wrapping_add_signed(*offset as isize)),
            Some(Saved::Register(register)) => self.at.get(*register),
            Some(Saved::Expression(code)) => {
                let place = entry.evaluate(code, &self.at, Some(cfa), &mut self.stack)?;
                self.stack.word(place)
            }
            Some(Saved::ValExpression(code)) => entry.evaluate(code, &self.at, Some(cfa), &mut self.stack),
            // There is no caller, or the rule is one for other machines.
            _ => None,
        }
    }
}
