//! Runs one command and writes what the kernel counted for it and for the children it waited for.
//!
//! Usage: `spandrel-measure RESULT PROGRAM [ARGUMENT…]`. PROGRAM is a path, the environment is passed on. RESULT
//! receives one line: `wait-status user-µs system-µs peak-KiB wall-µs minor-faults major-faults context-switches`.
//!
//! Knows: six system calls and the entry stack of x86-64 Linux. Must not know: std, libc, what it measures. A new
//! program inherits the peak memory of the process that started it, so the starter has to be smaller than everything
//! measured: this one is a few pages, and being static it takes no notice of an `LD_PRELOAD` meant for its child.
#![cfg_attr(not(test), no_std)]
#![no_main]
#![expect(unsafe_code, reason = "entry point and raw system calls")]

use core::arch::{asm, global_asm};

const SYS_WRITE: usize = 1;
const SYS_OPEN: usize = 2;
const SYS_FORK: usize = 57;
const SYS_EXECVE: usize = 59;
const SYS_WAIT4: usize = 61;
const SYS_CLOCK_GETTIME: usize = 228;
const SYS_EXIT_GROUP: usize = 231;

const OPEN_WRITE_CREATE_TRUNCATE: usize = 0o1 | 0o100 | 0o1000;
const MODE_READ_ALL: usize = 0o644;
const USAGE_ERROR: usize = 125;
const CANNOT_START: usize = 127;
const CLOCK_MONOTONIC: usize = 1;
const MICROS_PER_SECOND: u64 = 1_000_000;
const NANOS_PER_MICRO: u64 = 1_000;

/// The kernel's `struct rusage`: two times as seconds and microseconds, the peak in KiB, then counters.
#[repr(C)]
struct Usage {
    user: [u64; 2],
    system: [u64; 2],
    peak_kib: u64,
    _integrals: [u64; 3],
    minor_faults: u64,
    major_faults: u64,
    _transfers: [u64; 6],
    voluntary_switches: u64,
    involuntary_switches: u64,
}

const NO_USAGE: Usage = Usage {
    user: [0; 2],
    system: [0; 2],
    peak_kib: 0,
    _integrals: [0; 3],
    minor_faults: 0,
    major_faults: 0,
    _transfers: [0; 6],
    voluntary_switches: 0,
    involuntary_switches: 0,
};

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

/// # Safety
/// - The arguments must be valid for the system call `number`.
unsafe fn call(number: usize, first: usize, second: usize, third: usize, fourth: usize) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") first, in("rsi") second, in("rdx") third,
             in("r10") fourth, lateout("rcx") _, lateout("r11") _);
    }
    result
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes any code.
        unsafe { call(SYS_EXIT_GROUP, code, 0, 0, 0) };
    }
}

/// A line of decimal numbers, large enough for the eight that are reported.
struct Line {
    bytes: [u8; 192],
    len: usize,
}

impl Line {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn number(&mut self, value: u64, end: u8) {
        let mut divisor = 1;
        while value / divisor >= 10 {
            divisor *= 10;
        }
        while divisor > 0 {
            self.push(b'0' + (value / divisor % 10) as u8);
            divisor /= 10;
        }
        self.push(end);
    }
}

/// Microseconds on a clock that only goes forward.
fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: the address is of a live local of the size that the kernel writes.
    unsafe { call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, &raw mut time as usize, 0, 0) };
    time[0] * MICROS_PER_SECOND + time[1] / NANOS_PER_MICRO
}

/// # Safety
/// - `stack` must be the stack pointer at process entry.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the entry stack begins with the argument count.
    let count = unsafe { *stack };
    if count < 3 {
        exit(USAGE_ERROR);
    }
    // SAFETY: the argument pointers follow the count, then a null, then the environment.
    let arguments = unsafe { stack.add(1) };
    // SAFETY: there are at least three arguments.
    let result_at = unsafe { arguments.add(1) };
    // SAFETY: as above.
    let result = unsafe { *result_at };
    // SAFETY: as above.
    let command = unsafe { arguments.add(2) };
    // SAFETY: one null follows the arguments.
    let environment = unsafe { arguments.add(count + 1) };

    let started = now();
    // SAFETY: fork has no arguments.
    let child = unsafe { call(SYS_FORK, 0, 0, 0, 0) };
    if child == 0 {
        // SAFETY: command points at the first of the null-terminated pointers of the new program's arguments.
        let path = unsafe { *command };
        // SAFETY: all three are as the kernel handed them to us.
        unsafe { call(SYS_EXECVE, path, command as usize, environment as usize, 0) };
        exit(CANNOT_START);
    }
    if child < 0 {
        exit(USAGE_ERROR);
    }
    let mut status = 0_u32;
    let mut usage = NO_USAGE;
    // SAFETY: both addresses are of live locals of the size that the kernel writes.
    while unsafe { call(SYS_WAIT4, child as usize, &raw mut status as usize, 0, &raw mut usage as usize) } != child {}
    let ended = now();
    let mut line = Line { bytes: [0; 192], len: 0 };
    line.number(u64::from(status), b' ');
    line.number(usage.user[0] * MICROS_PER_SECOND + usage.user[1], b' ');
    line.number(usage.system[0] * MICROS_PER_SECOND + usage.system[1], b' ');
    line.number(usage.peak_kib, b' ');
    line.number(ended - started, b' ');
    line.number(usage.minor_faults, b' ');
    line.number(usage.major_faults, b' ');
    line.number(usage.voluntary_switches + usage.involuntary_switches, b'\n');
    // SAFETY: result is a null-terminated path.
    let file = unsafe { call(SYS_OPEN, result, OPEN_WRITE_CREATE_TRUNCATE, MODE_READ_ALL, 0) };
    if file < 0 {
        exit(USAGE_ERROR);
    }
    // SAFETY: the buffer is live and `len` bytes long.
    let written = unsafe { call(SYS_WRITE, file as usize, line.bytes.as_ptr() as usize, line.len, 0) };
    exit(if written == line.len as isize { 0 } else { USAGE_ERROR })
}

/// The compiler may call this for the zeroed locals above; without libc it has to be here.
///
/// # Safety
/// - `to` must be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: as the caller vouches.
    unsafe { asm!("rep stosb", inout("rdi") to => _, inout("rcx") len => _, in("al") byte as u8) };
    to
}

/// As [`memset`], for moves of structures.
///
/// # Safety
/// - `to` and `from` must be valid for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: as the caller vouches.
    unsafe { asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len => _) };
    to
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(USAGE_ERROR)
}

/// The precompiled `core` names the unwinder's hook; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
