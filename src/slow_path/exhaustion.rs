#![expect(unsafe_code, reason = "calls a function of the program's")]
//! Memory that is bounded by a pool or by limits: what a call gets when it is used up, and who is told.

use core::ffi::{c_int, c_void};

use crate::base::text::Line;
use crate::config;
use crate::control::introspect;
use crate::diag::{self, Code};
use crate::heap;
use crate::pages::limits::{HARD, UNLIMITED};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::alloc::Request;
use crate::slow_path::mode::Mode;
use crate::sys::atomic::Ordering;
use crate::sys::file;

/// As [`reclaim`] where memory is bounded; null, and a line, if that was of no use.
#[cold]
pub(crate) fn reclaim_or_fail<M: Mode>(request: Request) -> *mut u8 {
    if let Some(block) = reclaim::<M>(request) {
        return block;
    }
    let what = if PROCESS.has_pool() { "the memory of the pool is used up" } else { "the hard limit is reached" };
    diag::once(Code::PageExhaustion, what);
    core::ptr::null_mut()
}

/// Has what heap and caches of the calling thread hold without need go back, and free runs be purged so that they merge, and tries again.
#[cold]
pub(crate) fn reclaim<M: Mode>(request: Request) -> Option<*mut u8> {
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

/// Says if the kernel refuses memory for the number of the process's mappings, which is not what ENOMEM makes one think of.
#[cold]
pub(crate) fn explain() {
    /// Mappings that come and go meanwhile.
    const MARGIN: usize = 16;
    // Relaxed: a counter. A process that goes on without memory asks ever more rarely.
    if !(PROCESS.refusals.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() || diag::was_said(Code::PageExhaustion) {
        return;
    }
    let mut text = [0; 24];
    let most = file::read(c"/proc/sys/vm/max_map_count", &mut text).unwrap_or(&[]);
    let Some(most) = config::number(most.trim_ascii()) else { return };
    if file::count_lines(c"/proc/self/maps").is_some_and(|lines| lines + MARGIN >= most) {
        diag::once(Code::PageExhaustion, "the process has as many mappings as vm.max_map_count allows");
    }
}

/// A function of the program's: which limit was met, the bytes held, the limit.
pub(crate) type LimitCallback = unsafe extern "C" fn(limit: c_int, held: usize, bytes: usize);

/// Sets what is called when a limit is met.
pub(crate) fn set_limit_callback(callback: Option<LimitCallback>) {
    let address = callback.map_or(core::ptr::null_mut(), |callback| callback as *mut c_void);
    // Relaxed: the pointer is to code.
    PROCESS.limit_callback.store(address, Ordering::Relaxed);
}

/// Tells the program that `limit` was met; not from within that.
#[cold]
pub(crate) fn call_back(limit: u32) {
    // Relaxed: see `set_limit_callback`.
    let callback = PROCESS.limit_callback.load(Ordering::Relaxed);
    if callback.is_null() || PROCESS.calling_back.swap(true, Ordering::Acquire) {
        return;
    }
    let pages = &PROCESS.central.pages;
    let (soft, hard) = pages.limits.get();
    // SAFETY: the pointer was stored by `set_limit_callback`, and is not null.
    let callback = unsafe { core::mem::transmute::<*mut c_void, LimitCallback>(callback) };
    // SAFETY: the program's promise; this thread's heap is free, and no lock is held.
    unsafe { callback(limit as c_int, pages.held_bytes(), if limit == HARD { hard } else { soft }) };
    // What the callback itself met is no news.
    let _ = pages.limits.take_news();
    // Release pairs with the Acquire above: two threads do not call back at once.
    PROCESS.calling_back.store(false, Ordering::Release);
}

/// Sets both limits, 0 for none; false where that cannot be: with a pool, or a soft limit that is not below the hard one.
pub(crate) fn set_limits(soft: usize, hard: usize) -> bool {
    let contradict = soft != 0 && hard != 0 && soft >= hard;
    if !introspect::is_active() || PROCESS.has_pool() || contradict {
        return false;
    }
    let pages = &PROCESS.central.pages;
    let or_none = |bytes: usize| if bytes == 0 { UNLIMITED } else { bytes };
    pages.limits.set(or_none(soft), or_none(hard));
    // Relaxed: see `is_bounded`.
    PROCESS.bounded.store(hard != 0, Ordering::Relaxed);
    let held = pages.held_bytes();
    if held > or_none(hard) {
        let mut what = Line::new();
        what.text("spandrel_set_limits: the hard limit ")
            .number(hard as u64)
            .text(" is below what is in use, ")
            .number(held as u64);
        diag::line(Code::BadOption, &[what.bytes(), b"; nothing more is handed out until that is freed"]);
    }
    true
}

/// A block for a thread that has no heap, or may not touch it now; null where there cannot be one.
#[cold]
pub(crate) fn serve_alone(reason: Reason, request: Request) -> *mut u8 {
    if reason == Reason::Exhausted {
        diag::once(Code::PageExhaustion, "the pool has no room for the heap of another thread");
    }
    // A thread that gave its heap up can take the locks; one that was interrupted inside may hold them.
    if reason != Reason::Exiting {
        return core::ptr::null_mut();
    }
    let Some(fresh) = PROCESS.central.alloc_large(request.size, request.align, PROCESS.central.pages.space().bank_here()) else {
        return core::ptr::null_mut();
    };
    if request.zero {
        PROCESS.central.zero_large(fresh, request.size);
    }
    core::ptr::with_exposed_provenance_mut(fresh.address)
}
