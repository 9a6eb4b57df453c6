//! Reports: one line on fd 2, for a misuse the stack of the call behind it, then the policy.
//!
//! A report makes no allocation and takes no lock. Must not know what failed.

use crate::base::text::Line;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::call as sys;
use crate::unwind::Trace;

use super::call::{self, Call};
use super::code::{CODES, Code};
use super::stack;

const STANDARD_ERROR: i32 = 2;

/// The action that follows the report of a misuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Policy {
    /// Print the line and abort.
    Abort = 0,
    /// Print the line; the call does nothing.
    Report = 1,
    /// The call does nothing.
    Ignore = 2,
}

/// The policy in force: written at start, read by any thread, which may see the default for a moment.
static POLICY: AtomicU32 = AtomicU32::new(Policy::Abort as u32);
/// The thread whose report is about to abort, set by the first one; a second report, from inside it, traps.
static ABORTING: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = 0;
/// Milliseconds for which other threads wait for that.
const PATIENCE: u32 = 10_000;
/// The codes that [`once`] has reported; any thread sets them.
static SAID: [AtomicBool; CODES.len()] = [const { AtomicBool::new(false) }; CODES.len()];

/// Sets the policy for misuse.
pub(crate) fn set_policy(policy: Policy) {
    // Relaxed: one word, and either value is valid.
    POLICY.store(policy as u32, Ordering::Relaxed);
}

/// A misuse to report.
pub(crate) struct Misuse {
    pub(crate) code: Code,
    /// The call that was misused, as the slow path knows it: it stands in the report if the program's instruction does
    /// not say more.
    pub(crate) call: &'static str,
    /// The pointer it was given.
    pub(crate) pointer: usize,
    /// The fault found in it.
    pub(crate) what: &'static str,
    /// Bytes of the block in question, 0 if there is none.
    pub(crate) block_bytes: usize,
}

/// Reports a misuse and follows the policy; returns where the call is to do nothing.
#[cold]
#[inline(never)]
pub(crate) fn misuse(misuse: &Misuse) {
    report(misuse.code, |line, call| misuse.describe(line, call, false), |_| {});
}

/// As [`misuse`], for one that an earlier call made: the stack is that of the call which found it.
#[cold]
#[inline(never)]
pub(crate) fn misuse_found_later(misuse: &Misuse) {
    report(misuse.code, |line, call| misuse.describe(line, call, true), |_| {});
}

/// As [`misuse`], where more is known: `tell` adds to the line, and `more` may print others behind the call stack.
#[cold]
#[inline(never)]
pub(crate) fn misuse_with(misuse: &Misuse, tell: impl FnOnce(&mut Line), more: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    let tell = |line: &mut Line, call| {
        misuse.describe(line, call, false);
        tell(line);
    };
    report(misuse.code, tell, more);
}

/// As [`misuse_with`], where `tell` writes the whole line.
#[cold]
#[inline(never)]
pub(crate) fn misuse_told(code: Code, tell: impl FnOnce(&mut Line), more: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    report(code, |line, _| tell(line), more);
}

impl Misuse {
    /// Writes the line, with the name of the call that the program wrote where that is known. A call that takes no
    /// block found the misuse of an earlier one.
    fn describe(&self, line: &mut Line, written: Option<Call>, late: bool) {
        let late = late || written.is_some_and(|call| !call.takes_block);
        let called = written.filter(|_| !late);
        let name = called.as_ref().map_or(self.call, |call| call.name.text());
        line.text(name).text("(").address(self.pointer).text("): ").text(self.what);
        if self.block_bytes != 0 {
            line.text(" (block of ").number(self.block_bytes as u64).text(" bytes)");
        }
        if late {
            line.text("; found later");
            if let Some(call) = written {
                line.text(", by ").text(call.name.text());
            }
        }
    }
}

/// Prints the line that `tell` writes, the stack of the call and what `more` prints; then follows the policy.
#[inline(always)]
fn report(code: Code, tell: impl FnOnce(&mut Line, Option<Call>), more: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    // Relaxed: see `set_policy`.
    let policy = POLICY.load(Ordering::Relaxed);
    if policy == Policy::Ignore as u32 {
        return;
    }
    let aborts = policy == Policy::Abort as u32;
    if aborts {
        claim_abort();
    }
    let mut text = start(code);
    // Frames of the program are read after the line was written: one that cannot be read must not cost the line.
    let (mut trace, written) = Trace::of_call(call::at);
    tell(&mut text, written);
    let mut print = |line: &[u8]| sys::write(STANDARD_ERROR, line);
    print(text.finish());
    stack::print_trace(&mut trace, &mut print);
    more(&mut print);
    if aborts {
        sys::abort();
    }
}

/// Prints a line of the form `spandrel: CODE: text` and goes on.
#[cold]
pub(crate) fn line(code: Code, parts: &[&[u8]]) {
    let mut text = start(code);
    for part in parts {
        text.raw(part);
    }
    sys::write(STANDARD_ERROR, text.finish());
}

/// Hands `print` a line of the form `spandrel: CODE: ` and what `describe` adds.
pub(crate) fn described(code: Code, describe: impl FnOnce(&mut Line), print: impl FnOnce(&[u8])) {
    let mut text = start(code);
    describe(&mut text);
    print(text.finish());
}

/// As [`line`], but only the first time for each code.
#[cold]
pub(crate) fn once(code: Code, what: &str) {
    once_described(code, |line| {
        line.text(what);
    });
}

/// Prints a line of the form `spandrel: CODE: ` and what `describe` adds, the first time for each code.
#[cold]
pub(crate) fn once_described(code: Code, describe: impl FnOnce(&mut Line)) {
    // Relaxed: of several threads one is the first.
    if SAID.get(code as usize).is_some_and(|said| !said.swap(true, Ordering::Relaxed)) {
        described(code, describe, |text| sys::write(STANDARD_ERROR, text));
    }
}

/// Whether [`once`] has reported it.
pub(crate) fn was_said(code: Code) -> bool {
    // Relaxed: a hint.
    SAID.get(code as usize).is_some_and(|said| said.load(Ordering::Relaxed))
}

/// Reports that the allocator cannot go on, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn fatal(code: Code, what: &str) -> ! {
    let mut text = start(code);
    text.text(what);
    abort_with(&mut text)
}

fn start(code: Code) -> Line {
    let mut text = Line::new();
    text.text("spandrel: ").text(code.name()).text(": ");
    text
}

fn abort_with(text: &mut Line) -> ! {
    claim_abort();
    sys::write(STANDARD_ERROR, text.finish());
    sys::abort()
}

/// Makes this thread the one that aborts the process. A failure inside its report traps; another thread waits for the
/// abort, so that the report is printed whole.
fn claim_abort() {
    let own = sys::thread_id();
    // Relaxed: the word publishes nothing.
    match ABORTING.compare_exchange(NOBODY, own, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == own => sys::trap(),
        Err(_) => {
            sys::sleep(PATIENCE);
            sys::trap();
        }
    }
}
