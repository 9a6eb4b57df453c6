#![expect(unsafe_code, reason = "reads mapped memory as records")]
//! Arrays of records in a mapping of their own, straight from the kernel.
//!
//! The kernel hands pages out as zeroes, so a record is a type of which all-zero bytes are a value ([`Zeroed`]):
//! nothing is written before a mapping is used, and pages that nothing touches cost nothing. Must not know what the
//! records mean.

use core::ops::{Deref, DerefMut};

use super::atomic::AtomicUsize;
use super::memory;

/// Types of which all-zero bytes are a value. Records implement it with [`zeroed`], which checks their fields.
///
/// # Safety
/// - All-zero bytes are a value.
pub(crate) unsafe trait Zeroed: Sized {
    /// The value whose bytes are all zero.
    fn zeroed() -> Self {
        // SAFETY: the trait promises that all-zero bytes are a value.
        unsafe { core::mem::zeroed() }
    }
}

// SAFETY: an integer may have any bytes.
unsafe impl Zeroed for u8 {}
// SAFETY: as above.
unsafe impl Zeroed for u32 {}
// SAFETY: as above.
unsafe impl Zeroed for u64 {}
// SAFETY: as above.
unsafe impl Zeroed for usize {}
// SAFETY: an atomic has the bytes of its integer.
unsafe impl Zeroed for AtomicUsize {}
// SAFETY: the language guarantees that null is `None`.
unsafe impl<T> Zeroed for Option<&'static T> {}
// SAFETY: a pair of zeroed values is zeroed, wherever they lie in it.
unsafe impl<A: Zeroed, B: Zeroed> Zeroed for (A, B) {}
// SAFETY: an array is its elements, one after the other.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// Implements [`Zeroed`] for structures, of which it wants the names of all fields: it compiles only if none is missing
/// and each is `Zeroed` itself.
macro_rules! zeroed {
    ($($name:ident { $($field:tt),+ })+) => {$(
        const _: () = {
            const fn is_zeroed<T: $crate::sys::mapping::Zeroed>(_: &T) {}
            const fn check(value: &$name) {
                $(is_zeroed(&value.$field);)+
                // Does not compile where a field is missing above.
                let $name { $($field: _),+ } = value;
            }
            let _: fn(&$name) = check;
        };
        #[expect(unsafe_code, reason = "the fields are checked above")]
        // SAFETY: `check` names every field, and each is `Zeroed`.
        unsafe impl $crate::sys::mapping::Zeroed for $name {}
    )+};
}

pub(crate) use zeroed;

/// An array of records in a mapping that ends with this value.
///
/// # Invariants
/// - `start` is the address of a mapping of `count` records, which nothing else refers to; `count` is 0 without a
///   mapping.
pub(crate) struct Mapped<T> {
    start: *mut T,
    count: usize,
}

// SAFETY: the mapping belongs to this value, on whichever thread that is.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: a shared `Mapped` gives out shared records only.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// No records, and no mapping.
    pub(crate) const fn none() -> Self {
        Self { start: core::ptr::null_mut(), count: 0 }
    }
}

impl<T: Zeroed> Mapped<T> {
    /// `count` records of zeroes; `None` if the kernel has no memory, or `count` is 0.
    pub(crate) fn new(count: usize) -> Option<Self> {
        const { assert!(align_of::<T>() <= 4096, "a mapping is aligned to pages") };
        const { assert!(size_of::<T>() > 0 && !core::mem::needs_drop::<T>(), "a record is plain bytes") };
        let address = memory::map(count.checked_mul(size_of::<T>())?).ok()?;
        Some(Self { start: core::ptr::with_exposed_provenance_mut(address), count })
    }

    /// The records, in a mapping that stays.
    pub(crate) fn leak(self) -> &'static [T] {
        let kept = core::mem::ManuallyDrop::new(self);
        let records: *const [T] = &raw const **kept;
        // SAFETY: nothing unmaps the records any more, and nothing has them mutably.
        unsafe { &*records }
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: the mapping has `count` records, which are values from their zeroes on: `new` wants `Zeroed`.
        unsafe { core::slice::from_raw_parts(self.start, self.count) }
    }
}

impl<T> DerefMut for Mapped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.count == 0 {
            return &mut [];
        }
        // SAFETY: as in `deref`, and this value is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.count) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        if self.count > 0 {
            // SAFETY: the mapping is this value's own, and the value ends. Refused, the mapping stays where it is.
            let _ = unsafe { memory::unmap(self.start.addr(), self.count * size_of::<T>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Pair {
        number: u32,
        words: [usize; 2],
        next: Option<&'static u8>,
    }

    zeroed!(Pair { number, words, next });

    #[test]
    fn records_begin_as_zeroes_and_keep_what_is_written() {
        let empty = Pair { number: 0, words: [0; 2], next: None };
        assert_eq!(Pair::zeroed(), empty);
        let mut pairs = Mapped::<Pair>::new(1000).unwrap();
        assert!(pairs.len() == 1000 && pairs.iter().all(|pair| *pair == empty));
        pairs[999].number = 7;
        assert_eq!(pairs[999], Pair { number: 7, ..empty });
        assert!(Mapped::<Pair>::none().is_empty());
        assert!(Mapped::<Pair>::new(0).is_none() && Mapped::<Pair>::new(usize::MAX).is_none());
    }

    #[test]
    fn a_mapping_ends_with_its_owner_unless_it_is_leaked() {
        let is_mapped = |address: usize| super::super::call::is_readable(address);
        // So large that what other threads map meanwhile does not begin where it began.
        let words = Mapped::<usize>::new(64 << 20).unwrap();
        let address = words.as_ptr().addr();
        assert!(is_mapped(address));
        drop(words);
        assert!(!is_mapped(address));
        let kept = Mapped::<usize>::new(512).unwrap().leak();
        assert!(is_mapped(kept.as_ptr().addr()) && kept.iter().all(|&word| word == 0));
    }
}
