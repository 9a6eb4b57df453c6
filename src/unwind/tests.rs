#![expect(unsafe_code, reason = "asks the C library for the same stack, and the kernel for pages")]
//! Stacks of this program, compared with the C library's; tables made by hand; damaged registers and damaged tables.

use core::ffi::c_void;
use core::hint::black_box;

use gimli::CfaRule;
use proptest::prelude::*;

use super::dwarf::{Entry, Row};
use super::object::Object;
use super::rule::{Base, Rule};
use super::stack::{Registers, Stack};
use super::walk::{capture, capture_from};

const DEPTH: usize = 64;

/// Our stack and the C library's, from one place.
#[inline(never)]
fn both() -> (Vec<usize>, Vec<usize>) {
    let mut theirs = [core::ptr::null_mut::<c_void>(); DEPTH];
    // SAFETY: the array has that many places.
    let count = unsafe { libc::backtrace(theirs.as_mut_ptr(), DEPTH as i32) } as usize;
    let mut ours = [0; DEPTH];
    let len = capture(0, &mut ours);
    (ours[..len].to_vec(), theirs[..count].iter().map(|frame| frame.addr()).collect())
}

#[inline(never)]
fn nested(depth: usize, then: &mut dyn FnMut()) {
    // Frames of different sizes.
    let room = black_box([depth as u8; 40]);
    if depth == 0 {
        then()
    } else {
        nested(depth - 1, then)
    }
    black_box(room);
}

#[test]
fn stacks_are_those_of_the_c_library() {
    for _ in 0..3 {
        nested(20, &mut || {
            let (ours, theirs) = both();
            // They differ in the place within `both` from which they were called.
            assert_eq!(ours[1..], theirs[1..theirs.len().min(ours.len())]);
            assert!(ours.len() > 20 && ours.len() >= theirs.len());
        });
    }
}

#[test]
fn frames_are_left_out_and_room_is_respected() {
    nested(8, &mut || {
        let mut all = [0; DEPTH];
        let mut some = [0; 4];
        let len = capture(0, &mut all);
        assert_eq!(capture(3, &mut some), 4);
        assert!(len > 7);
        assert_eq!(all[3..7], some);
        assert_eq!(capture(1000, &mut all), 0);
        assert_eq!(capture(0, &mut []), 0);
    });
}

#[test]
fn threads_have_stacks_of_their_own() {
    let thread = std::thread::spawn(|| nested(5, &mut || assert!(both().0.len() > 5)));
    thread.join().unwrap();
}

/// Where the function of [`Tables`] starts, counted from their start.
const FUNCTION: usize = 1 << 20;
const FUNCTION_BYTES: usize = 64;

/// The tables of an object with one function, at the end of a page behind which nothing can be read.
struct Tables {
    object: Object,
    function: usize,
    pages: *mut c_void,
}

const PAGE: usize = 4096;

impl Tables {
    fn before_a_gap(bytes: &[u8]) -> Self {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new pages, anywhere.
        let pages = unsafe { libc::mmap(core::ptr::null_mut(), 2 * PAGE, access, kind, -1, 0) };
        assert!(pages != libc::MAP_FAILED && bytes.len() <= PAGE);
        let gap = pages.cast::<u8>().wrapping_add(PAGE);
        // SAFETY: the second of the two pages, which nobody uses.
        assert_eq!(unsafe { libc::mprotect(gap.cast(), PAGE, libc::PROT_NONE) }, 0);
        let first = gap.wrapping_sub(bytes.len());
        // SAFETY: the end of the first page has room for them.
        unsafe { first.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        let start = first.expose_provenance();
        Self { object: Object::of_bytes(start, bytes.len()), function: start + FUNCTION, pages }
    }

    fn entry(&self, offset: usize) -> Option<Entry> {
        Entry::find(self.object, self.function.wrapping_add(offset))
    }

    fn row(&self, offset: usize) -> Option<Row> {
        self.entry(offset)?.row(self.function + offset)
    }

    fn rule(&self) -> Option<Rule> {
        let entry = self.entry(0)?;
        Rule::of(&entry, &entry.row(self.function)?)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // SAFETY: the pages that `before_a_gap` made; no entry outlives these tables in the tests.
        unsafe { libc::munmap(self.pages, 2 * PAGE) };
    }
}

/// Tables of one function of [`FUNCTION_BYTES`], whose entry has these instructions. At its start the frame address is
/// the stack pointer and 8, and the return address lies below it. Afterwards some bytes are overwritten.
fn made_damaged(instructions: &[u8], damages: &[(usize, u8)]) -> Tables {
    let header_bytes = 20_usize;
    let common = [0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0];
    let entry = header_bytes + 4 + common.len();
    let word = |bytes: &mut Vec<u8>, value: usize| bytes.extend((value as u32).to_le_bytes());
    let mut bytes = vec![1, 0x1b, 0x03, 0x3b];
    for value in [header_bytes - 4, 1, FUNCTION, entry, common.len()] {
        word(&mut bytes, value);
    }
    bytes.extend(common);
    for value in [13 + instructions.len(), entry + 4 - header_bytes, FUNCTION - (entry + 8), FUNCTION_BYTES] {
        word(&mut bytes, value);
    }
    bytes.push(0);
    bytes.extend(instructions);
    for &(place, byte) in damages {
        let place = place % bytes.len();
        bytes[place] = byte;
    }
    Tables::before_a_gap(&bytes)
}

fn made(instructions: &[u8]) -> Tables {
    made_damaged(instructions, &[])
}

#[test]
fn rows_hold_from_their_place_on() {
    // def_cfa_offset 16; at 4: remember, def_cfa_offset 32; at 8: restore; at 12: def_cfa rbp 16.
    let tables = made(&[0x0e, 16, 0x44, 0x0a, 0x0e, 32, 0x44, 0x0b, 0x44, 0x0c, 6, 16]);
    let frame = |offset| match tables.row(offset).unwrap().cfa {
        CfaRule::RegisterAndOffset { register, offset } => (register, offset),
        CfaRule::Expression(_) => panic!("no expression"),
    };
    assert_eq!([0, 3, 4, 7, 8, 11].map(frame), [16, 16, 32, 32, 16, 16].map(|offset| (Registers::RSP, offset)));
    assert_eq!([12, 63].map(frame), [(Registers::RBP, 16); 2]);
    assert!(tables.entry(FUNCTION_BYTES).is_none() && tables.entry(usize::MAX).is_none());
}

#[test]
fn instructions_without_room_or_sense_have_no_row() {
    const REMEMBER: u8 = 0x0a;
    assert!(made(&[REMEMBER; 4]).row(0).is_some());
    assert!(made(&[REMEMBER; 5]).row(0).is_none());
    // Restore without remember; an unknown instruction; one that is cut off.
    for senseless in [&[0x0b][..], &[0x3f], &[0x0c, 7]] {
        assert!(made(senseless).row(0).is_none(), "{senseless:?}");
    }
}

#[test]
fn rules_say_what_rows_say() {
    let parts = |instructions: &[u8]| made(instructions).rule().map(|rule| (rule.base(), rule.offset(), rule.saved()));
    assert_eq!(parts(&[]), Some((Base::Stack, 8, 0)));
    // def_cfa_offset 48; rbp at -16.
    assert_eq!(parts(&[0x0e, 48, 0x86, 2]), Some((Base::Stack, 48, 16)));
    // def_cfa rbp 16; rbp at -16.
    assert_eq!(made(&[0x0c, 6, 16, 0x86, 2]).rule(), Some(Rule::FRAME_POINTER));
    // def_cfa_expression rbp - 8, deref; rbp at expression rbp + 0.
    assert_eq!(parts(&[0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0]), Some((Base::Aligned, 8, 0)));
    // The return address is undefined.
    assert_eq!(parts(&[0x07, 16]), Some((Base::Outermost, 0, 0)));
    // def_cfa: rbx; too large; no multiple of eight. A value for rbp; a place for rsp. Another expression; one without
    // a rule for rbp.
    let others: [&[u8]; 7] = [
        &[0x0c, 3, 16],
        &[0x0c, 7, 0x80, 0x80, 0x40],
        &[0x0c, 7, 12],
        &[0x14, 6, 0],
        &[0x87, 1],
        &[0x0f, 2, 0x77, 8],
        &[0x0f, 3, 0x76, 0x78, 0x06],
    ];
    for other in others {
        assert_eq!(made(other).rule(), None, "{other:?}");
    }
}

#[test]
fn expressions_are_those_of_procedure_linkage_tables() {
    // rsp + 8 + ((rip & 15) >= 11) << 3
    let tables = made(&[0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22]);
    let entry = tables.entry(0).unwrap();
    let CfaRule::Expression(code) = tables.row(0).unwrap().cfa else { panic!("an expression") };
    let mut stack = Stack::around(crate::sys::processor::stack_pointer());
    for rip in 0x1000..0x1010 {
        let registers = Registers { rip, rsp: 0x2000, rbp: 0 };
        let expected = if rip & 15 >= 11 { 0x2010 } else { 0x2008 };
        assert_eq!(entry.evaluate(&code, &registers, None, &mut stack), Some(expected));
    }
}

proptest! {
    #[test]
    fn damaged_registers_end_the_walk(rip: usize, rsp: usize, rbp: usize, near in 0_usize..1 << 14) {
        let mut frames = [0; DEPTH];
        let here = crate::sys::processor::stack_pointer();
        let code = capture_from as fn(Registers, &mut [usize]) -> usize as usize;
        for registers in [
            Registers { rip, rsp, rbp },
            Registers { rip, rsp: here, rbp: here.wrapping_add(near & !7) },
            Registers { rip: code.wrapping_add(near), rsp: here.wrapping_add(near & !7), rbp },
            Registers { rip: code.wrapping_add(near), rsp, rbp: here },
        ] {
            prop_assert!(capture_from(registers, &mut frames) <= DEPTH);
        }
    }

    #[test]
    fn damaged_tables_are_read_within_their_bounds(
        instructions in proptest::collection::vec(any::<u8>(), 0..60),
        damages in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        rip: usize,
        rsp: usize,
    ) {
        let tables = made_damaged(&instructions, &damages);
        let registers = Registers { rip, rsp, rbp: tables.function };
        let mut stack = Stack::around(crate::sys::processor::stack_pointer());
        for offset in 0..FUNCTION_BYTES {
            let (Some(entry), Some(row)) = (tables.entry(offset), tables.row(offset)) else { continue };
            let _ = Rule::of(&entry, &row);
            if let CfaRule::Expression(code) = row.cfa {
                let _ = entry.evaluate(&code, &registers, None, &mut stack);
            }
        }
    }
}
