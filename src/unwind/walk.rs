//! The walk from frame to frame. Knows how to take one step by rule, row or frame pointer; must not know what the stack is for.

use super::bounds::Bounds;
use super::cache;
use super::expression::evaluate;
use super::frame::Registers;
use super::object;
use super::row::{self, Cfa, Row, Saved};
use super::rule::{Base, Rule};
use super::table;

const WORD: usize = size_of::<usize>();
/// No code lies in the first page.
const LOWEST_CODE: usize = 4096;

/// Frames of our own, and those to leave out, at most.
const PASSED_MAX: usize = 64;

/// How the next frame is found.
enum Step {
    Rule(Rule),
    /// The row, and whether the caller was interrupted by a signal there.
    Row(Row, bool),
}

/// Puts the return addresses of the calling thread's stack into `frames`, the innermost first: those behind frames of this library and
/// `skip` more. How many there are. In a program that this code is linked into the frames of the allocator count like others.
#[inline(never)]
pub(crate) fn capture(skip: usize, frames: &mut [usize]) -> usize {
    let mut walk = Walk::from(Registers::here());
    for _ in 0..PASSED_MAX {
        if !walk.step() {
            return 0;
        }
        if !object::is_of_library(walk.at.rip) {
            break;
        }
    }
    for _ in 0..skip.min(PASSED_MAX) {
        if !walk.step() {
            return 0;
        }
    }
    walk.fill(frames)
}

/// As [`capture`], from any registers: their `rip` comes first.
#[cfg(test)]
pub(super) fn capture_from(registers: Registers, frames: &mut [usize]) -> usize {
    let mut walk = Walk::from(registers);
    walk.exact = true;
    walk.fill(frames)
}

struct Walk {
    at: Registers,
    stack: Bounds,
    /// Whether `rip` is the next instruction, rather than where a call comes back.
    exact: bool,
}

impl Walk {
    fn from(at: Registers) -> Self {
        Self { at, stack: Bounds::around(at.rsp), exact: false }
    }

    /// From the present frame outwards.
    fn fill(&mut self, frames: &mut [usize]) -> usize {
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

    /// Goes on to the caller; false at the end of the stack, or where it cannot be followed.
    #[inline(always)]
    fn step(&mut self) -> bool {
        let next = match cache::get(self.at.rip) {
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
        match self.look_up(exact)? {
            Step::Rule(rule) => {
                if !exact {
                    cache::put(self.at.rip, rule);
                }
                self.by_rule(rule)
            }
            Step::Row(row, is_signal) => self.by_row(&row, is_signal),
        }
    }

    fn look_up(&self, exact: bool) -> Option<Step> {
        // A call may be the last instruction of its function.
        let pc = if exact { self.at.rip } else { self.at.rip - 1 };
        let described = object::find(pc).and_then(|object| table::find(object, pc));
        let Some(description) = described else { return Some(Step::Rule(Rule::FRAME_POINTER)) };
        let row = row::find(&description, pc)?;
        let rule = if description.is_signal { None } else { Rule::of(&row) };
        Some(rule.map_or(Step::Row(row, description.is_signal), Step::Rule))
    }

    #[inline(always)]
    fn by_rule(&mut self, rule: Rule) -> Option<Registers> {
        let at = self.at;
        let (cfa, saved) = match rule.base() {
            Base::Stack => (at.rsp.wrapping_add(rule.offset()), None),
            Base::Frame => (at.rbp.wrapping_add(rule.offset()), None),
            Base::Aligned => (self.stack.word(at.rbp.wrapping_sub(rule.offset()))?, Some(at.rbp)),
            Base::Outermost => return None,
        };
        // Callers lie further up.
        if cfa <= at.rsp {
            return None;
        }
        let rip = self.stack.word(cfa - WORD)?;
        let rbp = match (saved, rule.saved()) {
            (Some(place), _) => self.stack.word(place)?,
            (None, 0) => at.rbp,
            (None, below) => self.stack.word(cfa.wrapping_sub(below))?,
        };
        Some(Registers { rip, rsp: cfa, rbp })
    }

    fn by_row(&mut self, row: &Row, is_signal: bool) -> Option<Registers> {
        let cfa = match row.cfa {
            Cfa::Register(register, offset) => self.at.get(register)?.wrapping_add_signed(offset as isize),
            Cfa::Expression(code) => evaluate(code, &self.at, None, &mut self.stack)?,
        };
        let rip = self.saved(row.rip, cfa, self.at.rip)?;
        let rbp = self.saved(row.rbp, cfa, self.at.rbp)?;
        let rsp = row.rsp.map_or(Some(cfa), |saved| self.saved(saved, cfa, self.at.rsp))?;
        if is_signal {
            // The handler may have had a stack of its own.
            self.stack = Bounds::around(rsp);
            self.exact = true;
        } else if rsp <= self.at.rsp {
            return None;
        }
        Some(Registers { rip, rsp, rbp })
    }

    /// The caller's value of a register that is `same` now.
    fn saved(&mut self, saved: Saved, cfa: usize, same: usize) -> Option<usize> {
        match saved {
            Saved::Same => Some(same),
            Saved::Undefined => None,
            Saved::At(offset) => self.stack.word(cfa.wrapping_add_signed(offset as isize)),
            Saved::Value(offset) => Some(cfa.wrapping_add_signed(offset as isize)),
            Saved::Expression(code) => {
                let place = evaluate(code, &self.at, Some(cfa), &mut self.stack)?;
                self.stack.word(place)
            }
            Saved::ValueExpression(code) => evaluate(code, &self.at, Some(cfa), &mut self.stack),
            Saved::Register(register) => self.at.get(register),
        }
    }
}
