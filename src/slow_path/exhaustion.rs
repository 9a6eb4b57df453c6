#![expect(unsafe_code, reason = "calls a function of the program's")]
//! Exhaustion: the last attempts of a call for which there is no memory (a pool is used up, a limit is met, the kernel
//! refuses), the lines that say so, and the program's callback for limits.

use core::ffi::{c_int, c_void};

use super::foreign;
use super::mode::Mode;
use super::request::Request;
use crate::base::lane::Lane;
use crate::base::units::LARGE_MAX;
use crate::central::Bill;
use crate::config;
use crate::diag::{self, Code};
use crate::heap::Heap;
use crate::pages::Work;
use crate::process::calling::Calling;
use crate::process::feature::Feature;
use crate::process::holders;
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::sys::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sys::{file, tls};

/// Requests that found no memory. Written and read by any thread.
static REFUSALS: AtomicU32 = AtomicU32::new(0);
/// The program's function for limits that are met; null if it set none. Written and read by any thread.
static CALLBACK: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
/// The right to call that function.
static CALLING: Calling = Calling::new();
/// The part of that function in forks.
static LIMITS: Feature = Feature { in_child: Some(forget_caller), ..Feature::NONE };

/// The last attempts at a request for which Spandrel's own memory does not suffice. Small and large requests may fit
/// into libc's heap; for a direct one libc would ask the kernel for the same mapping. A call fails only after a
/// reclaim.
#[cold]
pub(super) fn alloc<M: Mode>(request: Request) -> *mut u8 {
    if let Some((heap, bill)) = thread::at_rest().and_then(|heap| Some((heap, heap.bill()?)))
        && (bill.is_limited() || heap.is_part())
    {
        return reclaim_or_bill::<M>(bill, request);
    }
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

/// Reclaims, for a process whose memory is bounded. If that does not suffice, prints one line and returns null.
fn reclaim_or_refuse<M: Mode>(request: Request) -> *mut u8 {
    reclaim::<M>(request).unwrap_or_else(|| {
        explain_bounds(request);
        core::ptr::null_mut()
    })
}

/// Says once that a pool, or the hard limit of the process, does not allow `request`.
fn explain_bounds(request: Request) {
    let pages = &PROCESS.central.pages;
    diag::once_described(Code::PageExhaustion, |line| {
        line.text("a request of ").number(request.size as u64);
        if PROCESS.has_pool() {
            line.text(" bytes does not fit into the pool: ");
        } else {
            line.text(" bytes would exceed the hard limit of ").number(pages.limits.get().1 as u64).text(" bytes: ");
        }
        line.number(pages.held_bytes() as u64).text(" bytes are in use");
    });
}

/// Reclaims what a heap with a bill holds and does not need. If that does not suffice, counts and tells the refusal, and
/// returns null: libc's memory would be on no bill.
#[cold]
fn reclaim_or_bill<M: Mode>(bill: &'static Bill, request: Request) -> *mut u8 {
    let before = bill.denials();
    // A request may be too large for an admission to be tried.
    let is_limit = || bill.denials() != before || !bill.has_room(request.size);
    let served = collect_and_serve::<M>(request).or_else(|| if is_limit() { None } else { reclaim::<M>(request) });
    if let Some(block) = served {
        return block;
    }
    if !is_limit() {
        if PROCESS.is_bounded() {
            explain_bounds(request);
        } else {
            explain_refusal();
        }
        return core::ptr::null_mut();
    }
    holders::tell_hard(bill);
    // The program's function may have freed something, and may have left the heap.
    let is_on_bill = thread::at_rest().and_then(Heap::bill).is_some_and(|now| core::ptr::eq(now, bill));
    let served = if is_on_bill { collect_and_serve::<M>(request) } else { None };
    served.unwrap_or_else(|| {
        bill.refuse();
        holders::refused(bill, request.size);
        core::ptr::null_mut()
    })
}

/// Takes the free blocks that the mode and the calling thread's heap keep back to their spans, and tries the request once
/// more. Nothing is taken from other heaps: a heap at its limit must not slow them.
fn collect_and_serve<M: Mode>(request: Request) -> Option<*mut u8> {
    serve_after::<M>(request, |heap| heap.collect(PROCESS.shared()))
}

/// Reclaims: takes the free blocks that the mode, the transfer caches and the calling thread's heap keep back to their
/// spans, purges all free runs, so that they merge, and tries the request once more.
fn reclaim<M: Mode>(request: Request) -> Option<*mut u8> {
    serve_after::<M>(request, |heap| {
        let shared = PROCESS.shared();
        shared.empty_caches();
        if PROCESS.has_pool() {
            heap.collect_wholly(shared);
        } else {
            heap.collect(shared);
        }
        PROCESS.central.pages.purge_all();
    })
}

/// Has the mode reclaim what it keeps back, does `collect` with the calling thread's heap, and tries the request again.
fn serve_after<M: Mode>(request: Request, collect: impl FnOnce(&Heap)) -> Option<*mut u8> {
    let HeapAccess::Own(heap) = thread::access() else { return None };
    M::reclaim(Some(&heap));
    collect(&heap);
    M::serve(&heap, request)
}

/// Prints a line if the process has as many mappings as the kernel allows, a reason for ENOMEM that the error does not
/// suggest.
pub(crate) fn explain_refusal() {
    /// Other threads map and unmap while the mappings are counted.
    const MARGIN: usize = 16;
    // Relaxed: a counter. Only every refusal whose number is a power of two reads the files below.
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

/// The program's function for limits. Arguments: the limit that was met (1 soft, 2 hard), the bytes held, the limit in
/// bytes.
pub(crate) type LimitCallback = unsafe extern "C" fn(limit: c_int, held: usize, bytes: usize);

/// The limits, as [`LimitCallback`] numbers them.
const SOFT: c_int = 1;
const HARD: c_int = 2;

/// Sets the function that a slow call calls after a limit was met.
pub(crate) fn set_limit_callback(callback: Option<LimitCallback>) {
    let address = callback.map_or(core::ptr::null_mut(), |callback| callback as *mut c_void);
    PROCESS.features.register(&LIMITS);
    // Relaxed: the pointer is to code, so nothing has to be published with it.
    CALLBACK.store(address, Ordering::Relaxed);
}

/// Calls the program's function if a limit was met since the last time; if both were, for the hard one only.
pub(super) fn report_limits() {
    let pending = &PROCESS.central.pages.pending;
    if pending.take(Work::BILL_LIMIT) {
        holders::tell_soft();
    }
    let (soft, hard) = PROCESS.central.pages.limits.get();
    if pending.take(Work::HARD_LIMIT) {
        // The soft limit is lower, so the hard one implies it.
        pending.take(Work::SOFT_LIMIT);
        call_back(HARD, hard);
    } else if pending.take(Work::SOFT_LIMIT) {
        call_back(SOFT, soft);
    }
}

/// Calls the program's function, unless this call comes from within it.
fn call_back(limit: c_int, bytes: usize) {
    // Relaxed: nothing was published with the pointer; see `set_limit_callback`.
    let callback = CALLBACK.load(Ordering::Relaxed);
    if callback.is_null() || !CALLING.begin(tls::word_address()) {
        return;
    }
    let pages = &PROCESS.central.pages;
    // SAFETY: `set_limit_callback` made the pointer from a function of this type, and it is not null.
    let callback = unsafe { core::mem::transmute::<*mut c_void, LimitCallback>(callback) };
    // SAFETY: the program set the function to be called so; this thread's heap is released, and no lock is held.
    unsafe { callback(limit, pages.held_bytes(), bytes) };
    // Limits that the function met by its own requests are not reported to it again.
    pages.pending.take(Work::SOFT_LIMIT);
    pages.pending.take(Work::HARD_LIMIT);
    CALLING.end(&pages.pending);
}

/// In the child of a fork no other thread is in the function.
fn forget_caller(_: bool) {
    CALLING.forget_other(tls::word_address(), &PROCESS.central.pages.pending);
}
