//! DWARF expressions, as far as tables of frames use them: the C library's signal trampoline, the entries of procedure linkage tables,
//! frames that were aligned anew. Knows the operations; must not know what the result is for.

use super::bounds::Bounds;
use super::frame::Registers;
use super::reader::Reader;

const DEPTH: usize = 8;

/// Values being worked on, the last one on top.
struct Values {
    values: [u64; DEPTH],
    count: usize,
}

impl Values {
    fn push(&mut self, value: u64) -> Option<()> {
        *self.values.get_mut(self.count)? = value;
        self.count += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        self.values.get(self.count).copied()
    }

    /// The value `depth` below the top.
    fn peek(&self, depth: usize) -> Option<u64> {
        self.values.get(self.count.checked_sub(depth + 1)?).copied()
    }

    fn unary(&mut self, operation: impl FnOnce(u64) -> u64) -> Option<()> {
        let value = self.pop()?;
        self.push(operation(value))
    }

    fn binary(&mut self, operation: impl FnOnce(u64, u64) -> u64) -> Option<()> {
        let (second, first) = (self.pop()?, self.pop()?);
        self.push(operation(first, second))
    }
}

/// What `code` computes from the registers, with `first` on the stack of values at the beginning; `None` for what it should not
/// contain.
pub(super) fn evaluate(mut code: Reader, registers: &Registers, first: Option<usize>, stack: &mut Bounds) -> Option<usize> {
    let mut values = Values { values: [0; DEPTH], count: 0 };
    if let Some(first) = first {
        values.push(first as u64)?;
    }
    while !code.is_done() {
        let operation = code.u8()?;
        match operation {
            0x06 => {
                let address = values.pop()? as usize;
                values.push(stack.word(address)? as u64)?;
            }
            0x03 | 0x08..=0x11 => values.push(constant(operation, &mut code)?)?,
            0x12 => values.push(values.peek(0)?)?,
            0x13 => drop(values.pop()?),
            0x14 => values.push(values.peek(1)?)?,
            0x15 => values.push(values.peek(usize::from(code.u8()?))?)?,
            0x23 => {
                let more = code.uleb()?;
                values.unary(|value| value.wrapping_add(more))?;
            }
            0x1a..=0x2e => arithmetic(operation, &mut values)?,
            0x30..=0x4f => values.push(u64::from(operation - 0x30))?,
            0x70..=0x8f => {
                let base = registers.get(u64::from(operation - 0x70))? as u64;
                values.push(base.wrapping_add_signed(code.sleb()?))?;
            }
            0x96 => {}
            _ => return None,
        }
    }
    values.pop().map(|value| value as usize)
}

fn constant(operation: u8, code: &mut Reader) -> Option<u64> {
    Some(match operation {
        0x03 | 0x0e | 0x0f => code.u64()?,
        0x08 => u64::from(code.u8()?),
        0x09 => code.u8()? as i8 as u64,
        0x0a => u64::from(code.u16()?),
        0x0b => code.u16()? as i16 as u64,
        0x0c => u64::from(code.u32()?),
        0x0d => code.u32()? as i32 as u64,
        0x10 => code.uleb()?,
        0x11 => code.sleb()? as u64,
        _ => return None,
    })
}

fn arithmetic(operation: u8, values: &mut Values) -> Option<()> {
    let shift = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    match operation {
        0x1a => values.binary(|first, second| first & second),
        0x1c => values.binary(u64::wrapping_sub),
        0x1e => values.binary(u64::wrapping_mul),
        0x1f => values.unary(u64::wrapping_neg),
        0x20 => values.unary(|value| !value),
        0x21 => values.binary(|first, second| first | second),
        0x22 => values.binary(u64::wrapping_add),
        0x24 => values.binary(|first, second| first.checked_shl(shift(second)).unwrap_or(0)),
        0x25 => values.binary(|first, second| first.checked_shr(shift(second)).unwrap_or(0)),
        0x27 => values.binary(|first, second| first ^ second),
        0x29 => values.binary(|first, second| u64::from(first == second)),
        0x2a => values.binary(|first, second| u64::from(first as i64 >= second as i64)),
        0x2b => values.binary(|first, second| u64::from(first as i64 > second as i64)),
        0x2c => values.binary(|first, second| u64::from(first as i64 <= second as i64)),
        0x2d => values.binary(|first, second| u64::from((first as i64) < second as i64)),
        0x2e => values.binary(|first, second| u64::from(first != second)),
        _ => None,
    }
}
