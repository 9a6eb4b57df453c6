#![cfg_attr(loom, expect(unsafe_code, reason = "the modelled pointer is shared like the real one"))]
//! The only module that names the standard atomics. Under `cfg(loom)` the same names are loom's, and model-checked.
//!
//! loom's atomics cannot be made in a `const fn`, but every structure here has a `const fn new`; so under loom an
//! atomic is made on first use, inside the model. Must not know who shares what.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

#[cfg(loom)]
pub(crate) use modelled::*;

/// Keeps the compiler from moving stores before this point behind it. For what another copy of the process may see: a
/// fork.
#[inline(always)]
pub(crate) fn settle_stores() {
    core::sync::atomic::compiler_fence(Ordering::AcqRel);
}

/// Tells the processor that this is a spin loop.
pub(crate) fn spin() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

#[cfg(loom)]
mod modelled {
    pub(crate) use core::sync::atomic::Ordering;
    use std::sync::OnceLock;

    macro_rules! modelled {
        ($name:ident $(<$parameter:ident>)?, $value:ty) => {
            /// An atomic that loom watches, made on first use.
            pub(crate) struct $name $(<$parameter>)? {
                initial: $value,
                cell: OnceLock<loom::sync::atomic::$name $(<$parameter>)?>,
            }

            // SAFETY: the model's atomic is shared between threads by design; `initial` is only read.
            unsafe impl $(<$parameter>)? Sync for $name $(<$parameter>)? {}

            impl $(<$parameter>)? $name $(<$parameter>)? {
                pub(crate) const fn new(initial: $value) -> Self {
                    Self { initial, cell: OnceLock::new() }
                }
                fn get(&self) -> &loom::sync::atomic::$name $(<$parameter>)? {
                    self.cell.get_or_init(|| loom::sync::atomic::$name::new(self.initial))
                }
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.get().load(order)
                }
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.get().store(value, order);
                }
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.get().swap(value, order)
                }
                pub(crate) fn compare_exchange(
                    &self, current: $value, new: $value, success: Ordering, failure: Ordering,
                ) -> Result<$value, $value> {
                    self.get().compare_exchange(current, new, success, failure)
                }
                pub(crate) fn compare_exchange_weak(
                    &self, current: $value, new: $value, success: Ordering, failure: Ordering,
                ) -> Result<$value, $value> {
                    self.get().compare_exchange_weak(current, new, success, failure)
                }
            }
        };
    }
    macro_rules! arithmetic {
        ($name:ident, $value:ty) => {
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.get().fetch_add(value, order)
                }
                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.get().fetch_sub(value, order)
                }
                pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.get().fetch_max(value, order)
                }
                pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    self.get().fetch_or(value, order)
                }
                pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    self.get().fetch_and(value, order)
                }
            }
        };
    }
    modelled!(AtomicBool, bool);
    modelled!(AtomicU8, u8);
    modelled!(AtomicU32, u32);
    modelled!(AtomicU64, u64);
    modelled!(AtomicUsize, usize);
    modelled!(AtomicPtr<T>, *mut T);
    arithmetic!(AtomicU32, u32);
    arithmetic!(AtomicU64, u64);
    arithmetic!(AtomicUsize, usize);
}
