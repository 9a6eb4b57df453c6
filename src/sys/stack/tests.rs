#![expect(unsafe_code, reason = "asks the C library for the same stack")]
//! Stacks of this very program, compared with the C library's, and stacks that are no stacks.

use core::ffi::c_void;
use core::hint::black_box;

use proptest::prelude::*;

use super::frame::Registers;
use super::walk::{capture, capture_from};

const DEPTH: usize = 64;

/// Both stacks, as seen from one place.
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
fn the_stack_is_that_which_the_c_library_tells() {
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
fn frames_are_left_out_and_room_is_kept_to() {
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
}
