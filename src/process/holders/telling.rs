#![expect(unsafe_code, reason = "calls a function of the program's")]
//! Reports of the limits of named heaps and accounts: by the program's function, or by a line.

use core::ffi::{c_int, c_void};

use super::table::{Callback, Holder, holder_of, records};
use crate::base::text::Line;
use crate::central::Bill;
use crate::diag::{self, Code};
use crate::pages::limits::UNLIMITED;
use crate::process::state::PROCESS;
use crate::sys::atomic::Ordering;
use crate::sys::tls;

/// The numbers of limits for that function.
const SOFT_LIMIT: c_int = 1;
const HARD_LIMIT: c_int = 2;

/// Calls the functions of the program for all soft limits of named heaps that were met since the last time. The calling
/// thread is outside the allocator.
#[cold]
pub(crate) fn tell_soft() {
    for holder in records().filter(|holder| holder.bill.has_met_soft()) {
        holder.tell(SOFT_LIMIT);
    }
}

/// Calls the function of the program for the hard limit of the heap that has `bill`. The calling thread is outside the
/// allocator.
#[cold]
pub(crate) fn tell_hard(bill: &'static Bill) {
    holder_of(bill).tell(HARD_LIMIT);
}

/// Says, once for each heap and account, that its limit refused a request of `size` bytes.
pub(crate) fn refused(bill: &'static Bill, size: usize) {
    let (holder, (_, hard)) = (holder_of(bill), bill.limits());
    // Relaxed: the line is printed by whichever thread finds false. Another one may have lifted the limit meanwhile.
    if hard != UNLIMITED && !holder.told_limit.swap(true, Ordering::Relaxed) {
        let mut what = Line::new();
        what.text("a request of ").number(size as u64).text(" bytes would exceed the hard limit of ");
        what.number(hard as u64).text(" bytes of ").text(holder.kind().word()).text(" ");
        holder.quote(&mut what);
        what.text(": ").number(bill.held() as u64).text(" bytes are held");
        diag::line(Code::HeapLimit, &[what.bytes()]);
    }
}

impl Holder {
    /// Has the bill admit `bytes` outside of a request; false if its limit forbids that, of which the program hears as of
    /// a request. The calling thread is outside the allocator.
    pub(crate) fn admit_or_tell(&'static self, bytes: usize) -> bool {
        let admit = || self.bill.admit(bytes, &PROCESS.central.pages.pending);
        if admit() {
            return true;
        }
        self.tell(HARD_LIMIT);
        let admitted = admit();
        if !admitted {
            self.bill.refuse();
            refused(&self.bill, bytes);
        }
        admitted
    }

    /// Calls the function for a limit, unless a thread is in it, or ends the heap: then a slow call checks the soft limits
    /// again after that.
    fn tell(&'static self, limit: c_int) {
        self.parts.calling.call(tls::word_address(), &PROCESS.central.pages.pending, || {
            let (soft, hard) = self.bill.limits();
            if limit == HARD_LIMIT {
                self.call(HARD_LIMIT, hard);
            } else if self.bill.take_met_soft() {
                self.call(SOFT_LIMIT, soft);
            }
        });
    }

    fn call(&self, limit: c_int, bytes: usize) {
        // Another thread may have lifted the limit meanwhile.
        if bytes == UNLIMITED {
            return;
        }
        let handle = self.handle();
        // Relaxed: it came with the handle.
        let callback = self.callback.load(Ordering::Relaxed);
        if handle == 0 || callback.is_null() {
            if !self.kind().is_heap() && limit == SOFT_LIMIT {
                self.passed_soft(bytes);
            }
            return;
        }
        // SAFETY: `create` made the pointer from a function of this type, and it is not null.
        let callback = unsafe { core::mem::transmute::<*mut c_void, Callback>(callback) };
        // SAFETY: the program set the function to be called so; this thread holds no heap and no lock.
        unsafe { callback(handle, limit, self.bill.held(), bytes, self.context.load(Ordering::Relaxed)) };
    }
}
