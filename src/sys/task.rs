#![expect(unsafe_code, reason = "reads other threads' stacks")]
//! Other threads of this process, as the kernel sees them: does one sleep in a system call, and was it interrupted on the hit path
//! before it came there?
//!
//! Code of the hit path lies in a section of its own. A sleeping thread has an address of that section on its stack only if a signal
//! interrupted it there; or because a function starts at that address, or a call ends, and at both code of the hit path holds nothing
//! of a bin. (`make allocator-fast-path-check` sees to it that no other address looks as if it were behind a call.) Must not know
//! what is done with a thread that sleeps.

use core::ops::Range;

use super::stack::{is_function_start, is_in_object};
use super::{call, file, startup};

/// System calls during which somebody else may run in the thread's place, on its words: `clone`, `fork`, `vfork`, `clone3`.
const SUBSTITUTED: [usize; 4] =
    [libc::SYS_clone as usize, libc::SYS_fork as usize, libc::SYS_vfork as usize, libc::SYS_clone3 as usize];
/// Stacks in deeper use than this are not looked through.
const DEPTH_MAX: usize = 1 << 20;
/// No kernel has smaller pages.
const PAGE_MIN: usize = 4096;
/// Calls do not go further than this within an object.
const CALL_REACH: u32 = 1 << 24;
const WORD: usize = size_of::<usize>();
const PATH_MAX: usize = 48;
/// What the kernel says of a thread: ten numbers of up to eighteen characters.
const STATE_MAX: usize = 256;

/// A thread that the kernel knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Task {
    /// Its number.
    pub(crate) id: u32,
    /// Where its stack ends: an address above all frames.
    pub(crate) stack_end: usize,
}

/// The kernel tells nothing of any thread.
#[derive(PartialEq, Eq, Debug)]
struct Silent;

/// The system call in which a thread sleeps.
#[derive(PartialEq, Eq, Debug)]
struct Sleep {
    number: usize,
    stack: usize,
    code: usize,
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    /// It sleeps in a system call, its own, and was not interrupted on the hit path before.
    Sleeps,
    /// Something else, or it is gone.
    Other,
    /// The kernel does not say, of no thread: there is no `/proc`, or a sandbox forbids it.
    Unknown,
}

impl Task {
    /// The calling thread, whose number is `id`. `word` is one of its words: they lie above its stack.
    pub(crate) fn current(id: u32, word: usize) -> Self {
        Self { id, stack_end: if id == call::process_id() { startup::stack_end() } else { word } }
    }

    /// What the thread does now. One that sleeps does so after the caller's last write and sees it when it wakes up: the kernel asks
    /// the thread's run queue, whose lock orders the two. In doubt the thread is said not to sleep.
    pub(crate) fn doing(self) -> Doing {
        let Some(hit_path) = hit_path() else { return Doing::Unknown };
        match self.sleep() {
            Ok(Some(Sleep { number, stack, code }))
                if !SUBSTITUTED.contains(&number) && is_in_object(code) && has_none(&hit_path, stack, self.stack_end) =>
            {
                Doing::Sleeps
            }
            Ok(_) => Doing::Other,
            Err(Silent) => Doing::Unknown,
        }
    }

    fn sleep(self) -> Result<Option<Sleep>, Silent> {
        let mut path = [0; PATH_MAX];
        let mut text = [0; STATE_MAX];
        let Some(path) = path_of(self.id, &mut path) else { return Ok(None) };
        if let Some(text) = file::read(path, &mut text) {
            return Ok(parse(text));
        }
        // The thread may be gone; or the kernel tells nothing of anyone.
        if file::can_be_read(c"/proc/thread-self/syscall") { Ok(None) } else { Err(Silent) }
    }
}

// The functions of the hit path are in `.text.sorted.spandrel_hit_2`: the linker sorts sections so named, and these two come before
// and behind them.
#[cfg(feature = "export")]
core::arch::global_asm!(
    ".pushsection .text.sorted.spandrel_hit_1, \"ax\", @progbits",
    ".hidden spandrel_hit_start",
    ".globl spandrel_hit_start",
    "spandrel_hit_start:",
    "ud2",
    ".popsection",
    ".pushsection .text.sorted.spandrel_hit_2, \"ax\", @progbits",
    ".hidden spandrel_hit_inside",
    ".globl spandrel_hit_inside",
    "spandrel_hit_inside:",
    "ud2",
    ".popsection",
    ".pushsection .text.sorted.spandrel_hit_3, \"ax\", @progbits",
    ".hidden spandrel_hit_end",
    ".globl spandrel_hit_end",
    "spandrel_hit_end:",
    "ud2",
    ".popsection",
);

/// Where the code of the hit path lies. `None` where it is scattered over the program, as in a Rust program that inlines it, or where
/// the linker did not sort.
fn hit_path() -> Option<Range<usize>> {
    #[cfg(feature = "export")]
    {
        unsafe extern "C" {
            #[link_name = "spandrel_hit_start"]
            static START: u8;
            #[link_name = "spandrel_hit_inside"]
            static INSIDE: u8;
            #[link_name = "spandrel_hit_end"]
            static END: u8;
        }
        let [start, inside, end] = [&raw const START, &raw const INSIDE, &raw const END].map(|marker| marker.addr());
        (start..end).contains(&inside).then_some(start..end)
    }
    #[cfg(not(feature = "export"))]
    None
}

fn path_of(id: u32, buffer: &mut [u8; PATH_MAX]) -> Option<&core::ffi::CStr> {
    let mut digits = [0; 10];
    let (mut rest, mut count) = (id, 0);
    while rest > 0 || count == 0 {
        *digits.get_mut(count)? = b'0' + (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
    }
    let number = digits.iter().take(count).rev();
    let bytes = b"/proc/self/task/".iter().chain(number).chain(b"/syscall\0");
    buffer.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
    core::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

/// The kernel's line: the number of a call, its six arguments, stack pointer and instruction pointer; or `running`; or -1 and the
/// two pointers where the thread sleeps elsewhere, as in a page fault.
fn parse(text: &[u8]) -> Option<Sleep> {
    let mut fields = text.split(|&byte| byte == b' ' || byte == b'\n');
    let number = number_in(fields.next()?, 10)?;
    let mut pointer = |skip| number_in(fields.nth(skip)?.strip_prefix(b"0x")?, 16);
    Some(Sleep { number, stack: pointer(6)?, code: pointer(0)? })
}

fn number_in(digits: &[u8], base: u32) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |value, &byte| {
        let digit = char::from(byte).to_digit(base)?;
        value.checked_mul(base as usize)?.checked_add(digit as usize)
    })
}

/// Whether no word from `stack` to `end` is an address in `code`. False also where `stack` is not a plausible place on the thread's
/// own stack: another one, or one in very deep use.
fn has_none(code: &Range<usize>, stack: usize, end: usize) -> bool {
    if stack >= end || end - stack > DEPTH_MAX {
        return false;
    }
    let mut at = stack.next_multiple_of(WORD);
    while at < end {
        let page_end = (at + 1).next_multiple_of(PAGE_MIN).min(end);
        if !call::is_readable(at) {
            return false;
        }
        while at + WORD <= page_end {
            // SAFETY: the page was just found readable. Whoever writes there meanwhile writes whole words.
            let word = unsafe { core::ptr::with_exposed_provenance::<usize>(at).read_volatile() };
            if code.contains(&word) && !is_behind_call(code, word) && !is_function_start(word) {
                return false;
            }
            at += WORD;
        }
        at = page_end;
    }
    true
}

/// Whether the instruction before `address`, in `code`, is a call as compilers write them: `call relative`, `call [rip + offset]` or
/// `call register`.
fn is_behind_call(code: &Range<usize>, address: usize) -> bool {
    const LONGEST: usize = 6;
    if address - code.start < LONGEST {
        return false;
    }
    // SAFETY: code of this object, which can be read.
    let before = unsafe { core::ptr::with_exposed_provenance::<[u8; LONGEST]>(address - LONGEST).read() };
    match before {
        [_, 0xe8, a, b, c, d] => i32::from_le_bytes([a, b, c, d]).unsigned_abs() < CALL_REACH,
        [0xff, 0x15, ..] | [.., 0xff, 0xd0..=0xd7] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = b"230 0x0 0x0 0x7ffd90be04b0 0x7ffd90be04f0 0x0 0x0 0x7ffd90be0498 0x7fa071e02503\n";
        assert_eq!(parse(line), Some(Sleep { number: 230, stack: 0x7ffd_90be_0498, code: 0x7fa0_71e0_2503 }));
        for other in
            [&b"running\n"[..], b"-1 0x7ffd90be0498 0x7fa071e02503\n", b"", b"7", b"230 0x0 0x0\n", b"0 1 2 3 4 5 6 7 8\n"]
        {
            assert_eq!(parse(other), None);
        }
    }

    #[test]
    fn a_sleeper_is_told_from_a_thread_that_runs() {
        let (tell, hear) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let spinning = AtomicBool::new(false);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (spinning, done) = (&spinning, &done);
            scope.spawn(move || {
                let word = 0_usize;
                tell.send(Task::current(call::thread_id(), (&raw const word).addr())).unwrap();
                wait.recv().unwrap();
                spinning.store(true, Ordering::Relaxed);
                while !done.load(Ordering::Relaxed) {
                    core::hint::spin_loop();
                }
            });
            let task = hear.recv().unwrap();
            while task.sleep() == Ok(None) {
                std::thread::yield_now();
            }
            go_on.send(()).unwrap();
            while !spinning.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let asleep = task.sleep();
            done.store(true, Ordering::Relaxed);
            assert_eq!(asleep, Ok(None));
        });
    }

    #[test]
    fn an_address_on_the_stack_is_found_unless_a_call_left_it() {
        let code = [0x90_u8, 0xe8, 1, 0, 0, 0, 0x90, 0xff, 0x15, 1, 0, 0, 0, 0x90, 0x41, 0xff, 0xd4, 0x90, 0x90];
        let base = code.as_ptr().addr();
        let range = base..base + code.len();
        for at in 0..code.len() {
            let words = [0, 1, base + at, usize::MAX];
            let (start, end) = (words.as_ptr().addr(), words.as_ptr().addr() + size_of_val(&words));
            assert_eq!(has_none(&range, start, end), [6, 13, 17].contains(&at), "offset {at}");
            assert!(has_none(&range, start, end - 2 * WORD), "not looked at");
        }
    }

    #[test]
    fn other_stacks_are_not_looked_through() {
        let words = [0_usize; 4];
        let (start, end) = (words.as_ptr().addr(), words.as_ptr().addr() + size_of_val(&words));
        assert!(has_none(&(1..2), start, end));
        assert!(!has_none(&(1..2), end, start), "not below the end");
        assert!(!has_none(&(1..2), 64, 128), "nothing is there");
        assert!(!has_none(&(1..2), end - 2 * DEPTH_MAX, end), "too far away");
    }
}
