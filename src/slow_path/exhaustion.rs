#![expect(unsafe_code, reason = "calls a function of the program's")]
//! Exhaustion: what a call gets when memory is used up (a pool, a limit, the kernel's refusal), and who learns of it.

use core::ffi::{c_int, c_void};

use super::foreign;
use super::mode::Mode;
use super::request::Request;
use crate::base::lane::Lane;
use crate::base::units::LARGE_MAX;
use crate::config;
use crate::diag::{self, Code};
use crate::heap;
use crate::pages::Work;
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::sys::file;

/// Requests that found no memory; any thread adds.
static REFUSALS: AtomicU32 = AtomicU32::new(0);
/// What the program wants called when a limit is met; null for nothing. Written and read by any thread.
static CALLBACK: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
/// Whether a thread is calling it.
static CALLING: AtomicBool = AtomicBool::new(false);

/// The last attempts at a request for which Spandrel's own memory does not suffice. Small requests may still fit libc's heap; for others libc
/// would ask the kernel the same. Before a refusal, all free memory that can be reclaimed is.
#[cold]
pub(super) fn alloc<M: Mode>(request: Request) -> *mut u8 {
    if PROCESS.is_bounded() {
        return reclaim_or_refuse::<M>(request);
    }
    explain_refusal();
    if Lane::of_size(request.size) == Lane::Direct || request.align > LARGE_MAX {
        return reclaim::<M>(request).unwrap_or(core::ptr::null_mut());
    }
    diag::once(Code::Exhaustion, "out of memory or address space");
    let block = foreign::alloc(Reason::Exhausted, request);
    if block.is_null() { reclaim::<M>(request).unwrap_or(core::ptr::null_mut()) } else { block }
}

/// As [`reclaim`] where memory is bounded; null, and a line, if that does not suffice.
fn reclaim_or_refuse<M: Mode>(request: Request) -> *mut u8 {
    if let Some(block) = reclaim::<M>(request) {
        return block;
    }
    let what = if PROCESS.has_pool() { "the memory of the pool is used up" } else { "the hard limit is reached" };
    diag::once(Code::PageExhaustion, what);
    core::ptr::null_mut()
}

/// Returns what mode, transfer caches and the calling thread's heap hold without need, purges free runs so that they merge, and tries again.
fn reclaim<M: Mode>(request: Request) -> Option<*mut u8> {
    let HeapAccess::Own(heap) = thread::access() else { return None };
    let shared = PROCESS.shared();
    M::give_up(Some(&heap));
    PROCESS.central.empty_caches(|batch| heap::deliver_each(shared, batch));
    if PROCESS.has_pool() {
        heap.collect_wholly(shared);
    } else {
        heap.collect(shared);
    }
    PROCESS.central.pages.purge_all();
    M::serve(&heap, request)
}

/// Says so if the kernel refuses memory for the number of the process's mappings, which ENOMEM does not suggest.
pub(crate) fn explain_refusal() {
    /// Mappings that come and go meanwhile.
    const MARGIN: usize = 16;
    // Relaxed: a counter. A process that goes on without memory asks ever more rarely.
    if !(REFUSALS.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() || diag::was_said(Code::PageExhaustion) {
        return;
    }
    let mut text = [0; 24];
    let most = file::read(c"/proc/sys/vm/max_map_count", &mut text).unwrap_or(&[]);
    let Some(most) = config::number(most.trim_ascii()) else { return };
    if file::count_lines(c"/proc/self/maps").is_some_and(|lines| lines + MARGIN >= most) {
        diag::once(Code::PageExhaustion, "the process has as many mappings as vm.max_map_count allows");
    }
}

/// A function of the program's: which limit was met (1 the soft one, 2 the hard one), the bytes held, the limit.
pub(crate) type LimitCallback = unsafe extern "C" fn(limit: c_int, held: usize, bytes: usize);

/// The numbers by which a callback knows the limits.
const SOFT: c_int = 1;
const HARD: c_int = 2;

/// Sets the function that is called when a limit is met.
pub(crate) fn set_limit_callback(callback: Option<LimitCallback>) {
    let address = callback.map_or(core::ptr::null_mut(), |callback| callback as *mut c_void);
    // Relaxed: the pointer is to code.
    CALLBACK.store(address, Ordering::Relaxed);
}

/// Calls the program's function for each limit that was met since the last time.
pub(super) fn tell_limits() {
    let pending = &PROCESS.central.pages.pending;
    let (soft, hard) = PROCESS.central.pages.limits.get();
    if pending.take(Work::HARD_LIMIT) {
        // The soft limit lies below.
        pending.take(Work::SOFT_LIMIT);
        call_back(HARD, hard);
    } else if pending.take(Work::SOFT_LIMIT) {
        call_back(SOFT, soft);
    }
}

/// Calls the program's function, unless this call comes from within it.
fn call_back(limit: c_int, bytes: usize) {
    // Relaxed: see `set_limit_callback`.
    let callback = CALLBACK.load(Ordering::Relaxed);
    if callback.is_null() || CALLING.swap(true, Ordering::Acquire) {
        return;
    }
    let pages = &PROCESS.central.pages;
    // SAFETY: the pointer was stored by `set_limit_callback`, and is not null.
    let callback = unsafe { core::mem::transmute::<*mut c_void, LimitCallback>(callback) };
    // SAFETY: the program's promise; this thread's heap is free, and no lock is held.
    unsafe { callback(limit, pages.held_bytes(), bytes) };
    // The callback knows of what it met itself.
    pages.pending.take(Work::SOFT_LIMIT);
    pages.pending.take(Work::HARD_LIMIT);
    // Release pairs with the Acquire above: two threads do not call back at once.
    CALLING.store(false, Ordering::Release);
}
