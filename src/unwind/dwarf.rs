//! Reads `.eh_frame` for one place of the code: the entry that covers it, the row that its instructions make, and
//! the value of an expression. `gimli` parses entries, instructions and operations. They are carried out here, for the
//! three registers of a walk alone. Must not know where objects are.

use gimli::{
    BaseAddresses, CallFrameInstruction, CallFrameInstructionIter, CfaRule, EhFrame, EhFrameOffset, Encoding,
    EndianSlice, Expression, Format, FrameDescriptionEntry, LittleEndian, Operation, Register, RegisterRule,
    UnwindExpression, UnwindSection,
};

use super::object::Object;
use super::stack::{Registers, Stack};

pub(super) type Bytes = EndianSlice<'static, LittleEndian>;

/// Rows that the instructions of an entry may remember at a time.
const REMEMBERED: usize = 4;
/// Most values on the stack of an expression.
const VALUES: usize = 8;
/// Expressions are those of a machine with addresses of eight bytes.
const ENCODING: Encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };

/// The entry (FDE) of one function, and the one that it shares with others (CIE).
pub(super) struct Entry {
    section: EhFrame<Bytes>,
    bases: BaseAddresses,
    entry: FrameDescriptionEntry<Bytes>,
}

/// Where the caller's registers are, at one place of the code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// The frame address: the stack pointer before the call.
    pub(super) cfa: CfaRule<usize>,
    /// `None`: the register keeps its value.
    pub(super) rbp: Option<Saved>,
    /// `None`: it is the frame address.
    pub(super) rsp: Option<Saved>,
    /// The return address.
    pub(super) rip: Option<Saved>,
}

pub(super) type Saved = RegisterRule<usize>;

/// Carries out the instructions of an entry. gimli's own `UnwindContext` keeps a rule for every register in every row:
/// 4 KiB more of a stack that may be a signal handler's, of 8 KiB.
struct Machine {
    row: Row,
    /// The row at the start of the function.
    initial: Row,
    remembered: [Row; REMEMBERED],
    remembered_count: usize,
    /// The place of the code from which on the next instructions hold.
    place: u64,
    code_unit: u64,
    data_unit: i64,
}

impl Entry {
    /// The entry that covers `pc`.
    pub(super) fn find(object: Object, pc: usize) -> Option<Self> {
        let index = object.index()?;
        let (bytes, offset) = object.entries(&index, index.entry_of(pc)?)?;
        let section = EhFrame::new(bytes, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(index.frames as u64);
        let entry = section.fde_from_offset(&bases, EhFrameOffset(offset), EhFrame::cie_from_offset).ok()?;
        entry.contains(pc as u64).then_some(Self { section, bases, entry })
    }

    /// Where the function starts, and its bytes.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.entry.initial_address() as usize, self.entry.len() as usize)
    }

    /// The row that holds at `pc`.
    #[inline(never)]
    pub(super) fn row(&self, pc: usize) -> Option<Row> {
        const EMPTY: Row = Row {
            cfa: CfaRule::RegisterAndOffset { register: Registers::RSP, offset: 0 },
            rbp: None,
            rsp: None,
            rip: None,
        };
        let (start, common) = (self.entry.initial_address(), self.entry.cie());
        let mut machine = Machine {
            row: EMPTY,
            initial: EMPTY,
            remembered: [const { EMPTY }; REMEMBERED],
            remembered_count: 0,
            place: start,
            code_unit: common.code_alignment_factor(),
            data_unit: common.data_alignment_factor(),
        };
        machine.run(common.instructions(&self.section, &self.bases), u64::MAX)?;
        machine.initial = machine.row.clone();
        machine.place = start;
        machine.run(self.entry.instructions(&self.section, &self.bases), pc as u64)?;
        Some(machine.row)
    }

    /// Whether it describes the frame that the kernel makes for a signal.
    pub(super) fn is_signal(&self) -> bool {
        self.entry.is_signal_trampoline()
    }

    /// The bytes of an expression.
    pub(super) fn bytes(&self, expression: &UnwindExpression<usize>) -> Option<Bytes> {
        expression.get(&self.section).ok().map(|expression| expression.0)
    }

    /// The value of `expression`, which begins with `first` on its stack of values; `None` if it has an operation that
    /// frames do not need.
    #[inline(never)]
    pub(super) fn evaluate(
        &self,
        expression: &UnwindExpression<usize>,
        registers: &Registers,
        first: Option<usize>,
        stack: &mut Stack,
    ) -> Option<usize> {
        let mut values = Values { values: [0; VALUES], count: 0 };
        if let Some(first) = first {
            values.push(first)?;
        }
        let mut operations = Expression(self.bytes(expression)?).operations(ENCODING);
        while let Some(operation) = operations.next().ok()? {
            let value = match operation {
                Operation::UnsignedConstant { value } => value as usize,
                Operation::SignedConstant { value } => value as usize,
                Operation::RegisterOffset { register, offset, .. } => {
                    registers.get(register)?.wrapping_add_signed(offset as isize)
                }
                Operation::Deref { size: 8, space: false, .. } => stack.word(values.pop()?)?,
                Operation::Pick { index } => values.peek(usize::from(index))?,
                Operation::PlusConstant { value } => values.pop()?.wrapping_add(value as usize),
                Operation::Neg => values.pop()?.wrapping_neg(),
                Operation::Not => !values.pop()?,
                other => {
                    let (second, first) = (values.pop()?, values.pop()?);
                    combine(&other, first, second)?
                }
            };
            values.push(value)?;
        }
        values.pop()
    }
}

impl Machine {
    /// Carries out `code` up to the first instruction for a place behind `pc`.
    fn run(&mut self, mut code: CallFrameInstructionIter<'_, Bytes>, pc: u64) -> Option<()> {
        while let Some(instruction) = code.next().ok()? {
            self.carry_out(instruction)?;
            if self.place > pc {
                break;
            }
        }
        Some(())
    }

    fn carry_out(&mut self, instruction: CallFrameInstruction<usize>) -> Option<()> {
        use CallFrameInstruction as On;
        let unit = self.data_unit;
        match instruction {
            On::SetLoc { address } => self.place = address,
            On::AdvanceLoc { delta } => {
                self.place = self.place.wrapping_add(u64::from(delta).wrapping_mul(self.code_unit))
            }
            On::DefCfa { register, offset } => {
                self.row.cfa = CfaRule::RegisterAndOffset { register, offset: offset as i64 }
            }
            On::DefCfaSf { register, factored_offset } => {
                self.row.cfa = CfaRule::RegisterAndOffset { register, offset: factored_offset.wrapping_mul(unit) };
            }
            On::DefCfaRegister { register } => *self.cfa()?.0 = register,
            On::DefCfaOffset { offset } => *self.cfa()?.1 = offset as i64,
            On::DefCfaOffsetSf { factored_offset } => *self.cfa()?.1 = factored_offset.wrapping_mul(unit),
            On::DefCfaExpression { expression } => self.row.cfa = CfaRule::Expression(expression),
            On::Undefined { register } => self.save(register, Saved::Undefined),
            On::SameValue { register } => self.save(register, Saved::SameValue),
            On::Offset { register, factored_offset } => {
                self.save(register, Saved::Offset((factored_offset as i64).wrapping_mul(unit)));
            }
            On::OffsetExtendedSf { register, factored_offset } => {
                self.save(register, Saved::Offset(factored_offset.wrapping_mul(unit)));
            }
            On::ValOffset { register, factored_offset } => {
                self.save(register, Saved::ValOffset((factored_offset as i64).wrapping_mul(unit)));
            }
            On::ValOffsetSf { register, factored_offset } => {
                self.save(register, Saved::ValOffset(factored_offset.wrapping_mul(unit)));
            }
            On::Register { dest_register, src_register } => self.save(dest_register, Saved::Register(src_register)),
            On::Expression { register, expression } => self.save(register, Saved::Expression(expression)),
            On::ValExpression { register, expression } => self.save(register, Saved::ValExpression(expression)),
            On::Restore { register } => {
                if let (Some(now), Some(initial)) = (self.row.of(register), self.initial.of(register)) {
                    now.clone_from(initial);
                }
            }
            On::RememberState => {
                self.remembered.get_mut(self.remembered_count)?.clone_from(&self.row);
                self.remembered_count += 1;
            }
            On::RestoreState => {
                self.remembered_count = self.remembered_count.checked_sub(1)?;
                self.row.clone_from(self.remembered.get(self.remembered_count)?);
            }
            On::ArgsSize { .. } | On::Nop => {}
            _ => return None,
        }
        Some(())
    }

    /// Register and offset of the frame address, if it has that form.
    fn cfa(&mut self) -> Option<(&mut Register, &mut i64)> {
        match &mut self.row.cfa {
            CfaRule::RegisterAndOffset { register, offset } => Some((register, offset)),
            CfaRule::Expression(_) => None,
        }
    }

    fn save(&mut self, register: Register, saved: Saved) {
        if let Some(rule) = self.row.of(register) {
            *rule = Some(saved);
        }
    }
}

impl Row {
    /// The rule of `register`, if it is one of the three.
    fn of(&mut self, register: Register) -> Option<&mut Option<Saved>> {
        match register {
            Registers::RBP => Some(&mut self.rbp),
            Registers::RSP => Some(&mut self.rsp),
            Registers::RIP => Some(&mut self.rip),
            _ => None,
        }
    }
}

/// The stack of an expression.
struct Values {
    values: [usize; VALUES],
    count: usize,
}

impl Values {
    fn push(&mut self, value: usize) -> Option<()> {
        *self.values.get_mut(self.count)? = value;
        self.count += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<usize> {
        self.count = self.count.checked_sub(1)?;
        self.values.get(self.count).copied()
    }

    /// The value `depth` below the top.
    fn peek(&self, depth: usize) -> Option<usize> {
        self.values.get(self.count.checked_sub(depth + 1)?).copied()
    }
}

/// The value of an operation on two values.
fn combine(operation: &Operation<Bytes>, first: usize, second: usize) -> Option<usize> {
    let amount = u32::try_from(second).unwrap_or(u32::MAX);
    let (left, right) = (first as isize, second as isize);
    Some(match operation {
        Operation::Plus => first.wrapping_add(second),
        Operation::Minus => first.wrapping_sub(second),
        Operation::Mul => first.wrapping_mul(second),
        Operation::And => first & second,
        Operation::Or => first | second,
        Operation::Xor => first ^ second,
        Operation::Shl => first.checked_shl(amount).unwrap_or(0),
        Operation::Shr => first.checked_shr(amount).unwrap_or(0),
        Operation::Eq => usize::from(left == right),
        Operation::Ne => usize::from(left != right),
        Operation::Ge => usize::from(left >= right),
        Operation::Gt => usize::from(left > right),
        Operation::Le => usize::from(left <= right),
        Operation::Lt => usize::from(left < right),
        _ => return None,
    })
}
