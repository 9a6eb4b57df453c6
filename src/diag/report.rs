//! Reports: one line on fd 2, then the policy.
//!
//! A report makes no allocation and takes no lock. Must not know what failed.

use crate::base::text::Line;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::call;

use super::code::{CODES, Code};

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
/// Set by the first report that is about to abort; a second one, from inside it, traps.
static ABORTING: AtomicBool = AtomicBool::new(false);
/// The codes that [`once`] has reported; any thread sets them.
static SAID: [AtomicBool; CODES.len()] = [const { AtomicBool::new(false) }; CODES.len()];

/// Sets the policy for misuse.
pub(crate) fn set_policy(policy: Policy) {
    // Relaxed: one word, and either value is valid.
    POLICY.store(policy as u32, Ordering::Relaxed);
}

/// A misuse to report.
pub(crate) struct Misuse {
    /// Its code.
    pub(crate) code: Code,
    /// The call that was misused.
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
    // Relaxed: see `set_policy`.
    let policy = POLICY.load(Ordering::Relaxed);
    if policy == Policy::Ignore as u32 {
        return;
    }
    let mut text = start(misuse.code);
    text.text(misuse.call).text("(").address(misuse.pointer).text("): ").text(misuse.what);
    if misuse.block_bytes != 0 {
        text.text(" (block of ").number(misuse.block_bytes as u64).text(" bytes)");
    }
    if policy == Policy::Report as u32 {
        call::write(STANDARD_ERROR, text.finish());
        return;
    }
    abort_with(&mut text);
}

/// As [`misuse`], where more is known: `tell` writes the line, and `more` may print others.
#[cold]
#[inline(never)]
pub(crate) fn misuse_told(code: Code, tell: impl FnOnce(&mut Line), more: impl FnOnce(&mut dyn FnMut(&[u8]))) {
    // Relaxed: see `set_policy`.
    let policy = POLICY.load(Ordering::Relaxed);
    if policy == Policy::Ignore as u32 {
        return;
    }
    let mut text = start(code);
    tell(&mut text);
    let aborts = policy == Policy::Abort as u32;
    // Relaxed: as in `abort_with`.
    if aborts && ABORTING.swap(true, Ordering::Relaxed) {
        call::trap();
    }
    let mut print = |line: &[u8]| call::write(STANDARD_ERROR, line);
    print(text.finish());
    more(&mut print);
    if aborts {
        call::abort();
    }
}

/// Prints a line of the form `spandrel: CODE: text` and goes on.
#[cold]
pub(crate) fn line(code: Code, parts: &[&[u8]]) {
    let mut text = start(code);
    for part in parts {
        text.raw(part);
    }
    call::write(STANDARD_ERROR, text.finish());
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
    // Relaxed: of several threads one is the first.
    if SAID.get(code as usize).is_some_and(|said| !said.swap(true, Ordering::Relaxed)) {
        line(code, &[what.as_bytes()]);
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
    // Relaxed: a thread that races here only prints nothing more.
    if ABORTING.swap(true, Ordering::Relaxed) {
        call::trap();
    }
    call::write(STANDARD_ERROR, text.finish());
    call::abort()
}
