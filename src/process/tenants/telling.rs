#![expect(unsafe_code, reason = "calls a function of the program's")]
//! How a program hears of the limits of named heaps and accounts: by its function, or by a line.

use core::ffi::{c_int, c_void};

use super::accounts::Kind;
use super::table::{Callback, Tenant, records, tenant_of};
use crate::base::text::Line;
use crate::central::{Bill, HARD, SOFT};
use crate::diag::{self, Code};
use crate::process::state::PROCESS;
use crate::sys::atomic::Ordering;

/// The numbers of limits for that function.
const SOFT_LIMIT: c_int = 1;
const HARD_LIMIT: c_int = 2;

/// Calls the functions of the program for all limits of named heaps that were met since the last time. The calling thread
/// is outside the allocator.
#[cold]
pub(crate) fn tell() {
    records().for_each(Tenant::tell);
}

/// Says, once for each heap and account, that its limit refused a request of `size` bytes.
pub(crate) fn refused(bill: &'static Bill, size: usize) {
    let tenant = tenant_of(bill);
    // Relaxed: the line is printed by whichever thread finds false.
    if !tenant.told_limit.swap(true, Ordering::Relaxed) {
        let name = tenant.name();
        let mut what = Line::new();
        what.text("a request of ").number(size as u64).text(" bytes would exceed the hard limit of ");
        what.number(bill.limits().1 as u64).text(" bytes of ").text(tenant.what()).text(" \"");
        let name = name.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let mut rest = Line::new();
        rest.text("\": ").number(bill.held() as u64).text(" bytes are held");
        diag::line(Code::HeapLimit, &[what.bytes(), name, rest.bytes()]);
    }
}

impl Tenant {
    /// Has the bill admit `bytes` outside of a request; false if its limit forbids that, of which the program hears as of
    /// a request. The calling thread is outside the allocator.
    pub(crate) fn admit_or_tell(&'static self, bytes: usize) -> bool {
        let admit = || self.bill.admit(bytes, &PROCESS.central.pages.pending);
        if admit() {
            return true;
        }
        self.bill.meet_hard();
        self.tell();
        let admitted = admit();
        if !admitted {
            self.bill.refuse();
            refused(&self.bill, bytes);
        }
        admitted
    }

    fn tell(&'static self) {
        // Acquire pairs with the Release below: one thread at a time is in the callback.
        if self.bill.has_met() && !self.calling.swap(true, Ordering::Acquire) {
            let (met, (soft, hard)) = (self.bill.take_met(), self.bill.limits());
            if met & HARD != 0 {
                self.call(HARD_LIMIT, hard);
            } else if met & SOFT != 0 {
                self.call(SOFT_LIMIT, soft);
            }
            // Limits that the function met by its own requests are not reported to it again.
            let _ = self.bill.take_met();
            // Release pairs with the Acquire above.
            self.calling.store(false, Ordering::Release);
        }
    }

    fn call(&self, limit: c_int, bytes: usize) {
        let handle = self.handle();
        // Relaxed: it came with the handle.
        let callback = self.callback.load(Ordering::Relaxed);
        if handle == 0 || callback.is_null() {
            if self.kind() != Kind::Heap && limit == SOFT_LIMIT {
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
