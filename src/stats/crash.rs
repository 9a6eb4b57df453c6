#![expect(unsafe_code, reason = "handles faults")]
//! Crash reports, an option: which memory of Spandrel's a fault, and the registers at it, have to do with.
//!
//! The handler runs on a stack of its own, takes no lock and no memory, and may have interrupted anything. Afterwards
//! it does what would have happened without it, a core dump included. A program that sets a handler of its own replaces
//! this one.

use core::ffi::{c_int, c_void};

use super::address;
use crate::base::text::{Inline, Line};
use crate::diag::{self, Code};
use crate::heap::Heap;
use crate::process::feature::Feature;
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::signal::{self, Action, Cause, Info};

/// The actions before, by signal. Set at start.
static BEFORE: [SetOnce<Option<Action>>; SIGNALS.len()] = [const { SetOnce::new() }; SIGNALS.len()];
/// Whether a thread has made a report. Any thread writes and reads.
static REPORTED: AtomicBool = AtomicBool::new(false);

static CRASH: Feature =
    Feature { thread_begins: Some(prepare_thread), thread_ends: Some(leave_thread), ..Feature::NONE };

static SIGNALS: [(c_int, Inline<7>); 2] = [(signal::SEGV, Inline::of("SIGSEGV")), (signal::BUS, Inline::of("SIGBUS"))];
/// Enough for the report, with room for a handler of the program's.
const STACK_BYTES: usize = 32 << 10;

/// Sets the handlers. Part of the start.
#[cold]
#[inline(never)]
pub(crate) fn register() {
    PROCESS.features.register(&CRASH);
    for ((number, _), before) in SIGNALS.iter().zip(&BEFORE) {
        let action = signal::action(*number);
        // SAFETY: the start happens once, and `on_fault`, which reads this, is not the handler yet.
        unsafe { before.set(action) };
        let _ = signal::handle(*number, on_fault, 0);
    }
}

/// Gives a thread that has none a stack for its handlers, which stays with its heap: a stack that overflowed has no
/// room for one.
fn prepare_thread(heap: &Heap) {
    if heap.is_part() || signal::has_stack() {
        return;
    }
    if heap.thread.handler_stack.get().is_null() {
        let Some(piece) = PROCESS.central.pages.acquire_metadata(STACK_BYTES) else { return };
        heap.thread.handler_stack.set(piece);
    }
    // SAFETY: the piece is the thread's as long as it has the heap, and `leave_thread` takes the stack back before that
    // ends.
    unsafe { signal::set_stack(heap.thread.handler_stack.get(), STACK_BYTES) };
}

/// Takes the stack back from a thread that gives its heap up.
fn leave_thread(heap: &Heap) {
    if !heap.thread.handler_stack.get().is_null() {
        signal::drop_stack(heap.thread.handler_stack.get());
    }
}

extern "C" fn on_fault(number: c_int, info: &mut Info, context: *mut c_void) {
    // Relaxed: one thread finds false, whichever it is.
    if !REPORTED.swap(true, Ordering::Relaxed) {
        // SAFETY: the kernel passed both to this handler of a fault.
        let cause = unsafe { Cause::of(info, context) };
        report(number, &cause);
    }
    pass_on(number, info, context);
}

fn report(number: c_int, cause: &Cause) {
    let name = SIGNALS.iter().find(|(other, _)| *other == number).map_or("signal", |(_, name)| name.text());
    let print = |line: &[u8]| PROCESS.reports.write(line);
    diag::described(Code::Crash, |line| describe_cause(line.text(name), cause), print);
    if cause.is_sent() {
        return;
    }
    for (register, value) in cause.registers() {
        let mut what = Line::new();
        if address::describe(PROCESS.shared(), value, &mut what) {
            let describe = |line: &mut Line| {
                line.text(register).text("=").address(value).text(": ").raw(what.bytes());
            };
            diag::described(Code::Crash, describe, print);
        }
    }
}

fn describe_cause(line: &mut Line, cause: &Cause) {
    match cause.address() {
        Some(fault) => {
            line.text(" at ").address(fault).text(": ");
            address::describe_fault(PROCESS.shared(), fault, line);
        }
        None if cause.is_sent() => {
            line.text(", sent by a process");
        }
        None => {
            line.text(": an address that no memory can have");
        }
    }
    if !thread::is_outside() {
        line.text("; the thread was inside the allocator");
    }
}

/// Does what the action before says.
fn pass_on(number: c_int, info: &mut Info, context: *mut c_void) {
    let index = SIGNALS.iter().position(|(other, _)| *other == number).unwrap_or(0);
    // SAFETY: `register` set it before the handler.
    let before = BEFORE.get(index).and_then(|before| *unsafe { before.get() });
    // SAFETY: the kernel passed both to this handler.
    unsafe { signal::pass_on(number, before.as_ref(), info, context) };
}
