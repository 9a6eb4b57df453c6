//! Calls that cannot be served in the usual way in a process whose memory is a fixed pool: libc, which would ask the kernel, is no way
//! out.

use super::cold::{self, Request};
use super::process::PROCESS;
use super::thread::{self, Standing};
use crate::diag;
use crate::heap;
use crate::modes::tally::Reason;

/// Has what heap and caches of the calling thread hold without need go back, and tries again; null if that was of no use.
#[cold]
pub(super) fn squeeze(request: Request) -> *mut u8 {
    if let Standing::Own(heap) = thread::standing() {
        let shared = PROCESS.shared();
        PROCESS.central.empty_caches(|batch| heap::settle(shared, batch));
        heap.collect(shared);
        if let Some(block) = cold::serve(&heap, request) {
            return block;
        }
    }
    diag::exhausted("the memory of the pool is used up");
    core::ptr::null_mut()
}

/// A block for a thread that has no heap, or may not touch it now; null where there cannot be one.
#[cold]
pub(super) fn serve_alone(reason: Reason, request: Request) -> *mut u8 {
    // A thread that gave its heap up can take the locks; one that was interrupted inside may hold them.
    if reason != Reason::Exiting {
        return core::ptr::null_mut();
    }
    let Some(fresh) = PROCESS.central.alloc_large(request.size, request.align) else {
        return core::ptr::null_mut();
    };
    if request.zero {
        PROCESS.central.zero_large(fresh, request.size);
    }
    core::ptr::with_exposed_provenance_mut(fresh.address)
}
