#![expect(unsafe_code, reason = "reads the program's instructions")]
//! Which function an instruction leads to: calls and jumps with a distance, or by a word of the linker's, and the stubs
//! that linkers make for functions of other objects. A call by a register leads nowhere that could be known.
//!
//! Code and words are read after the kernel said that they can be. Must not know which functions anyone looks for.

use super::dwarf::Entry;
use super::object;
use crate::sys::call;

/// `call` with a distance, and by a word whose distance follows.
const CALL: u8 = 0xe8;
const CALL_BY_WORD: [u8; 2] = [0xff, 0x15];
/// `jmp`, in the same forms.
const JUMP: u8 = 0xe9;
const JUMP_BY_WORD: [u8; 2] = [0xff, 0x25];
/// Conditional jumps: the second byte has the condition in its lower half.
const CONDITIONAL: [u8; 2] = [0x0f, 0x80];
/// In a stub these may stand before the jump: the mark of a target, the number of the function in `r11`, a prefix.
const MARK: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const NUMBER: [u8; 2] = [0x41, 0xbb];
const PREFIX: u8 = 0xf2;
const DISTANCE: usize = size_of::<i32>();
const STUB_BYTES: usize = 16;
/// Longer functions are not searched.
const SEARCHED_BYTES: usize = 64 << 10;

/// Something found at the end of a jump.
pub(super) struct Found<T> {
    pub(super) what: T,
    /// Behind the jump that leads there from the function that was called, if that jumped at its end; else 0.
    pub(super) jump: usize,
}

/// Asks `known` about the function that the call before `after` leads to: the called one itself, or the only one that
/// it jumps to.
pub(super) fn called<T: Copy + PartialEq>(after: usize, known: &impl Fn(usize) -> Option<T>) -> Option<Found<T>> {
    let [before, opcode, distance @ ..] = code::<{ 2 + DISTANCE }>(after.wrapping_sub(2 + DISTANCE))?;
    let place = distant(after, distance);
    let target = match (before, opcode) {
        _ if [before, opcode] == CALL_BY_WORD => word(place)?,
        (_, CALL) => place,
        _ => return None,
    };
    let (what, function) = lead(target, known);
    match what {
        Some(what) => Some(Found { what, jump: 0 }),
        None => only_jump(function, known),
    }
}

/// The answer of `known` for the function at `target`, or for the one to which a stub there leads; and that function.
fn lead<T>(target: usize, known: &impl Fn(usize) -> Option<T>) -> (Option<T>, usize) {
    match known(target) {
        None => stub(target).map_or((None, target), |function| (known(function), function)),
        found => (found, target),
    }
}

/// Where the linker's stub at `at` leads.
fn stub(at: usize) -> Option<usize> {
    let bytes: [u8; STUB_BYTES] = code(at)?;
    let mut rest = bytes.as_slice();
    rest = rest.strip_prefix(&MARK).unwrap_or(rest);
    if rest.starts_with(&NUMBER) {
        rest = rest.get(NUMBER.len() + DISTANCE..)?;
    }
    rest = rest.strip_prefix(&[PREFIX]).unwrap_or(rest).strip_prefix(&JUMP_BY_WORD)?;
    let end = at + STUB_BYTES - rest.len() + DISTANCE;
    word(distant(end, *rest.first_chunk()?))
}

/// The one thing that `known` knows among the functions to which `function` jumps; `None` if there are several.
fn only_jump<T: Copy + PartialEq>(function: usize, known: &impl Fn(usize) -> Option<T>) -> Option<Found<T>> {
    let object = object::find(function)?;
    let (start, len) = Entry::find(object, function)?.extent();
    if start != function || len > SEARCHED_BYTES || !object.holds(start, len) || !call::is_readable(start) {
        return None;
    }
    // SAFETY: code of a function, which the loader mapped as a whole; a thread is about to return to its caller.
    let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(start), len) };
    let mut found: Option<Found<T>> = None;
    for at in 0..len {
        let Some((target, size)) = jump(bytes.get(at..)?, start + at) else { continue };
        let what = match target {
            Target::Code(target) if object.contains(target) => lead(target, known).0,
            Target::Word(place) if object.contains(place) => word(place).and_then(known),
            _ => None,
        };
        match (what, &found) {
            (Some(what), Some(other)) if what != other.what => return None,
            (Some(what), _) => found = Some(Found { what, jump: start + at + size }),
            (None, _) => {}
        }
    }
    found
}

enum Target {
    Code(usize),
    /// In the word at that place.
    Word(usize),
}

/// Where the instruction at the start of `bytes`, which lies at `at`, jumps to, and its size; `None` if it is no jump.
fn jump(bytes: &[u8], at: usize) -> Option<(Target, usize)> {
    let (opcode, by_word) = match bytes {
        [JUMP, ..] => (1, false),
        [first, second, ..] if [*first, *second] == JUMP_BY_WORD => (2, true),
        [first, second, ..] if [*first, *second & 0xf0] == CONDITIONAL => (2, false),
        _ => return None,
    };
    let size = opcode + DISTANCE;
    let place = distant(at + size, *bytes.get(opcode..)?.first_chunk()?);
    Some((if by_word { Target::Word(place) } else { Target::Code(place) }, size))
}

/// The address at a distance from `end`.
fn distant(end: usize, distance: [u8; DISTANCE]) -> usize {
    end.wrapping_add_signed(i32::from_le_bytes(distance) as isize)
}

/// The bytes of code at `at`, if they can be read.
pub(super) fn code<const N: usize>(at: usize) -> Option<[u8; N]> {
    if !call::is_readable(at) || !call::is_readable(at.wrapping_add(N - 1)) {
        return None;
    }
    // SAFETY: fewer bytes than a page has, and the kernel found the first and the last readable.
    Some(unsafe { core::ptr::with_exposed_provenance::<[u8; N]>(at).read_volatile() })
}

fn word(at: usize) -> Option<usize> {
    code(at).map(usize::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory for code, handed out from its start.
    struct Area(usize);

    impl Area {
        fn new() -> Self {
            Self(Box::leak(Box::new([0x90_u8; 512])).as_mut_ptr().expose_provenance() + STUB_BYTES)
        }

        /// A place that holds the bytes, and room for a stub behind them.
        fn place(&mut self, bytes: &[u8]) -> usize {
            let at = self.0;
            write(at, bytes);
            self.0 += bytes.len() + STUB_BYTES;
            at
        }

        /// An instruction with the distance to `target`; where it ends.
        fn instruction(&mut self, opcode: &[u8], target: usize) -> usize {
            let at = self.place(opcode);
            let end = at + opcode.len() + DISTANCE;
            let distance = i32::try_from(target as isize - end as isize).unwrap();
            write(end - DISTANCE, &distance.to_le_bytes());
            end
        }
    }

    fn write(at: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the test's own leaked bytes.
            unsafe { core::ptr::with_exposed_provenance_mut::<u8>(at + index).write(*byte) };
        }
    }

    #[test]
    fn calls_lead_to_functions_directly_by_words_and_through_stubs() {
        let mut area = Area::new();
        let function = area.place(&[0xc3]);
        let slot = area.place(&function.to_ne_bytes());
        let known = |address| (address == function).then_some(7);
        for (opcode, target) in [(&[CALL][..], function), (&CALL_BY_WORD, slot)] {
            let end = area.instruction(opcode, target);
            assert_eq!(called(end, &known).unwrap().what, 7);
        }
        for before in [&[][..], &MARK, &[PREFIX], &[0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0xbb, 1, 0, 0, 0]] {
            let opcode: Vec<u8> = before.iter().chain(&JUMP_BY_WORD).copied().collect();
            let stub = area.instruction(&opcode, slot) - DISTANCE - opcode.len();
            let end = area.instruction(&[CALL], stub);
            assert_eq!(called(end, &known).unwrap().what, 7, "{before:?}");
        }
    }

    #[test]
    fn other_instructions_lead_nowhere() {
        for bytes in [&[0xff, 0xd0][..], &[0x41, 0xff, 0xd4], &[CALL, 0, 0, 0, 0x7f], &[]] {
            let at = Area::new().place(bytes);
            assert!(called(at + bytes.len(), &|_| None::<i32>).is_none());
        }
        assert!(called(17, &|_| Some(1)).is_none());
    }
}
