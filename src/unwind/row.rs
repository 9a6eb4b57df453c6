//! A row of the table of frames: where the caller's registers are, at one place of the code. Made by carrying out the instructions of an
//! entry up to that place. Knows the instructions; must not read stacks.

use super::frame::{RBP, RIP, RSP};
use super::reader::Reader;
use super::table::Description;

/// The canonical frame address: the stack pointer before the call.
#[derive(Clone, Copy)]
pub(super) enum Cfa {
    /// A register and an offset.
    Register(u64, i64),
    /// What an expression computes.
    Expression(Reader),
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy)]
pub(super) enum Saved {
    /// Still in the register.
    Same,
    /// There is none: the outermost frame.
    Undefined,
    /// In memory, so far from the frame address.
    At(i64),
    /// The frame address and an offset.
    Value(i64),
    /// In memory, where an expression says.
    Expression(Reader),
    /// What an expression computes.
    ValueExpression(Reader),
    /// In another register.
    Register(u64),
}

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) cfa: Cfa,
    pub(super) rbp: Saved,
    /// The return address.
    pub(super) rip: Saved,
    /// `None`: the frame address itself.
    pub(super) rsp: Option<Saved>,
}

/// Rows that may be put aside at a time.
const ASIDE: usize = 4;

struct Machine {
    row: Row,
    /// What holds at the start of the function.
    initial: Row,
    aside: [Row; ASIDE],
    aside_count: usize,
    /// The place that the next instructions are about.
    place: usize,
}

/// The row for `pc` of the function that `description` describes.
pub(super) fn find(description: &Description, pc: usize) -> Option<Row> {
    let row = Row { cfa: Cfa::Register(RSP, 0), rbp: Saved::Same, rip: Saved::Same, rsp: None };
    let mut machine = Machine { row, initial: row, aside: [row; ASIDE], aside_count: 0, place: description.start };
    machine.run(description, description.common, usize::MAX)?;
    machine.initial = machine.row;
    machine.place = description.start;
    machine.run(description, description.own, pc)?;
    Some(machine.row)
}

impl Machine {
    /// Carries out `code` until it speaks of places behind `pc`.
    fn run(&mut self, description: &Description, mut code: Reader, pc: usize) -> Option<()> {
        const OPERAND: u8 = 0x3f;
        while !code.is_done() {
            let instruction = code.u8()?;
            let operand = u64::from(instruction & OPERAND);
            match instruction >> 6 {
                1 => self.advance(operand, description),
                2 => {
                    let offset = (code.uleb()? as i64).wrapping_mul(description.data_unit);
                    self.save(operand, Saved::At(offset));
                }
                3 => self.restore(operand),
                _ => self.extended(instruction, description, &mut code)?,
            }
            if self.place > pc {
                return Some(());
            }
        }
        Some(())
    }

    fn advance(&mut self, units: u64, description: &Description) {
        self.place = self.place.wrapping_add(units.wrapping_mul(description.code_unit) as usize);
    }

    /// The instructions without an operand in their first byte.
    fn extended(&mut self, instruction: u8, description: &Description, code: &mut Reader) -> Option<()> {
        let scaled = |offset: i64| offset.wrapping_mul(description.data_unit);
        match instruction {
            0x00 => {}
            0x01 => self.place = code.pointer(description.encoding, 0)?,
            0x02 => self.advance(u64::from(code.u8()?), description),
            0x03 => self.advance(u64::from(code.u16()?), description),
            0x04 => self.advance(u64::from(code.u32()?), description),
            0x05 => {
                let register = code.uleb()?;
                self.save(register, Saved::At(scaled(code.uleb()? as i64)));
            }
            0x06 => self.restore(code.uleb()?),
            0x07 => self.save(code.uleb()?, Saved::Undefined),
            0x08 => self.save(code.uleb()?, Saved::Same),
            0x09 => {
                let register = code.uleb()?;
                self.save(register, Saved::Register(code.uleb()?));
            }
            0x0a => {
                *self.aside.get_mut(self.aside_count)? = self.row;
                self.aside_count += 1;
            }
            0x0b => {
                self.aside_count = self.aside_count.checked_sub(1)?;
                self.row = *self.aside.get(self.aside_count)?;
            }
            0x0c..=0x0f | 0x12 | 0x13 => self.define(instruction, scaled, code)?,
            0x10 | 0x16 => {
                let register = code.uleb()?;
                let len = code.uleb()? as usize;
                let expression = code.split(len)?;
                let is_place = instruction == 0x10;
                self.save(register, if is_place { Saved::Expression(expression) } else { Saved::ValueExpression(expression) });
            }
            0x11 => {
                let register = code.uleb()?;
                self.save(register, Saved::At(scaled(code.sleb()?)));
            }
            0x14 => {
                let register = code.uleb()?;
                self.save(register, Saved::Value(scaled(code.uleb()? as i64)));
            }
            0x15 => {
                let register = code.uleb()?;
                self.save(register, Saved::Value(scaled(code.sleb()?)));
            }
            // GNU's bytes of arguments, which do not matter here.
            0x2e => drop(code.uleb()?),
            _ => return None,
        }
        Some(())
    }

    /// Instructions that say what the frame address is.
    fn define(&mut self, instruction: u8, scaled: impl Fn(i64) -> i64, code: &mut Reader) -> Option<()> {
        self.row.cfa = match (instruction, self.row.cfa) {
            (0x0c, _) => {
                let register = code.uleb()?;
                Cfa::Register(register, code.uleb()? as i64)
            }
            (0x12, _) => {
                let register = code.uleb()?;
                Cfa::Register(register, scaled(code.sleb()?))
            }
            (0x0d, Cfa::Register(_, offset)) => Cfa::Register(code.uleb()?, offset),
            (0x0e, Cfa::Register(register, _)) => Cfa::Register(register, code.uleb()? as i64),
            (0x13, Cfa::Register(register, _)) => Cfa::Register(register, scaled(code.sleb()?)),
            (0x0f, _) => {
                let len = code.uleb()? as usize;
                Cfa::Expression(code.split(len)?)
            }
            _ => return None,
        };
        Some(())
    }

    fn save(&mut self, register: u64, saved: Saved) {
        match register {
            RBP => self.row.rbp = saved,
            RIP => self.row.rip = saved,
            RSP => self.row.rsp = Some(saved),
            // Not followed.
            _ => {}
        }
    }

    fn restore(&mut self, register: u64) {
        match register {
            RBP => self.row.rbp = self.initial.rbp,
            RIP => self.row.rip = self.initial.rip,
            RSP => self.row.rsp = self.initial.rsp,
            _ => {}
        }
    }
}
