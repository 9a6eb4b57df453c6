#![expect(unsafe_code, reason = "calls functions of the program's")]
//! Providers: functions of the program's or of a plugin that serve calls; and which provider allocated which block.
//!
//! A provider stays for the life of the process, for blocks of its own may be freed at any time. Must not know when
//! providers are called.

use core::ffi::{CStr, c_void};
use core::mem::transmute;

use super::ledger::{Ledger, Record};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::libc as system;
use crate::sys::lock::{Lock, Rank};
use crate::sys::mapping::zeroed;
use crate::sys::memory;

/// malloc's type.
pub(crate) type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
/// free's type.
pub(crate) type Free = unsafe extern "C" fn(*mut c_void);
/// calloc's type.
pub(crate) type Calloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
/// realloc's type.
pub(crate) type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
/// aligned_alloc's type.
pub(crate) type AlignedAlloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
/// malloc_usable_size's type.
pub(crate) type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;

/// The functions of a provider, with the contracts of the C functions of these names. All but the first two may be
/// missing.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) malloc: Malloc,
    pub(crate) free: Free,
    pub(crate) calloc: Option<Calloc>,
    pub(crate) realloc: Option<Realloc>,
    pub(crate) aligned_alloc: Option<AlignedAlloc>,
    pub(crate) usable_size: Option<UsableSize>,
}

impl Functions {
    /// Loads the plugin at `path`; otherwise the reason, as far as it is known. That its functions have the types that
    /// docs/modes.md gives for their names is its own promise.
    pub(crate) fn of_plugin(path: &CStr) -> Result<Self, Option<&'static [u8]>> {
        let object = system::open_object(path).map_err(|why| why.map(CStr::to_bytes))?;
        let find = |name| system::symbol_of(object, name);
        // SAFETY: null is `None`; else the plugin promises the type of that name.
        let malloc = unsafe { transmute::<*mut c_void, Option<Malloc>>(find(c"spandrel_plugin_malloc")) };
        // SAFETY: as above.
        let free = unsafe { transmute::<*mut c_void, Option<Free>>(find(c"spandrel_plugin_free")) };
        let usable_size = find(c"spandrel_plugin_malloc_usable_size");
        Ok(Self {
            malloc: malloc.ok_or(Some(&b"it has no spandrel_plugin_malloc"[..]))?,
            free: free.ok_or(Some(&b"it has no spandrel_plugin_free"[..]))?,
            // SAFETY: as above.
            calloc: unsafe { transmute::<*mut c_void, Option<Calloc>>(find(c"spandrel_plugin_calloc")) },
            // SAFETY: as above.
            realloc: unsafe { transmute::<*mut c_void, Option<Realloc>>(find(c"spandrel_plugin_realloc")) },
            // SAFETY: as above.
            aligned_alloc: unsafe {
                transmute::<*mut c_void, Option<AlignedAlloc>>(find(c"spandrel_plugin_aligned_alloc"))
            },
            // SAFETY: as above.
            usable_size: unsafe { transmute::<*mut c_void, Option<UsableSize>>(usable_size) },
        })
    }

    fn addresses(&self) -> [usize; 6] {
        [
            self.malloc as usize,
            self.free as usize,
            self.calloc.map_or(0, |function| function as usize),
            self.realloc.map_or(0, |function| function as usize),
            self.aligned_alloc.map_or(0, |function| function as usize),
            self.usable_size.map_or(0, |function| function as usize),
        ]
    }

    /// A block of at least `size` bytes, which read as zero if `zero`; null where there is none, or none with that
    /// alignment.
    pub(crate) fn alloc(&self, size: usize, align: Option<usize>, zero: bool) -> *mut u8 {
        let block = match (align, self.calloc) {
            // SAFETY: calloc takes any numbers, and the provider promises to keep its contract.
            (None, Some(calloc)) if zero => return unsafe { calloc(1, size) }.cast(),
            // SAFETY: malloc takes any size, as above.
            (None, _) => unsafe { (self.malloc)(size) },
            (Some(align), _) => match self.aligned_alloc {
                // SAFETY: the alignment is a power of two, as above.
                Some(aligned_alloc) => unsafe { aligned_alloc(align, size) },
                None => return core::ptr::null_mut(),
            },
        };
        if zero && !block.is_null() {
            // SAFETY: the provider promises that a block has the bytes that were asked for; the program does not have
            // it yet.
            unsafe { memory::zero(block.cast(), size) };
        }
        block.cast()
    }

    /// Frees a block that this provider allocated.
    pub(crate) fn free(&self, block: *mut u8) {
        // SAFETY: the caller took the block's note, which names this provider, out of the ledger, or has just allocated
        // it.
        unsafe { (self.free)(block.cast()) };
    }

    /// Resizes a block that this provider allocated; `None` if it has no function for that.
    pub(crate) fn realloc(&self, block: *mut u8, size: usize) -> Option<*mut u8> {
        // SAFETY: the caller took the block's note, which names this provider, out of the ledger.
        self.realloc.map(|realloc| unsafe { realloc(block.cast(), size) }.cast())
    }

    /// Usable bytes of a block that this provider allocated; `None` if it has no function for that.
    pub(crate) fn usable_size(&self, block: *mut u8) -> Option<usize> {
        // SAFETY: the block's note names this provider, and the program may not free a block that it asks about.
        self.usable_size.map(|usable_size| unsafe { usable_size(block.cast()) })
    }
}

/// The note of a live block.
#[derive(Clone, Copy)]
pub(crate) struct Note {
    pub(crate) address: usize,
    /// As asked for.
    pub(crate) size: usize,
    pub(crate) provider: Provider,
}

zeroed!(Provider { 0 } Note { address, size, provider });

impl Record for Note {
    fn key(&self) -> usize {
        self.address
    }
}

/// A provider; 0 is Spandrel itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Provider(usize);

/// Most sets of functions that a process can have in the course of time.
pub(crate) const PROVIDERS_MAX: usize = 64;

/// All providers, and all their live blocks.
pub(crate) struct Providers {
    functions: [SetOnce<Functions>; PROVIDERS_MAX],
    /// How many there are. Only grows.
    count: Lock<usize>,
    /// The one that serves now. Any thread writes and reads; a block is noted with the provider that was read.
    current: AtomicUsize,
    pub(crate) notes: Ledger<Note>,
}

impl Providers {
    /// No providers: Spandrel serves.
    pub(crate) const fn new() -> Self {
        Self {
            functions: [const { SetOnce::new() }; PROVIDERS_MAX],
            count: Lock::new(Rank::Providers, 0),
            current: AtomicUsize::new(0),
            notes: Ledger::new(),
        }
    }

    /// Has `functions` serve from now on; none for Spandrel itself. False if there are too many already.
    pub(crate) fn choose(&self, functions: Option<Functions>) -> bool {
        let provider = match functions {
            None => Provider(0),
            Some(functions) => match self.find_or_add(functions) {
                Some(provider) => provider,
                None => return false,
            },
        };
        // Release pairs with the Acquire in `current`: the functions are there.
        self.current.store(provider.0, Ordering::Release);
        true
    }

    fn find_or_add(&self, functions: Functions) -> Option<Provider> {
        let mut count = self.count.lock();
        let known = (1..=*count)
            .map(Provider)
            .find(|&provider| self.functions(provider).is_some_and(|known| known.addresses() == functions.addresses()));
        if known.is_some() {
            return known;
        }
        let place = self.functions.get(*count)?;
        // SAFETY: the lock is held, and the number of this place is not handed out before `count` names it.
        unsafe { place.set(functions) };
        *count += 1;
        Some(Provider(*count))
    }

    /// The provider that serves now; none if Spandrel does.
    pub(crate) fn current(&self) -> Option<(Provider, &Functions)> {
        // Acquire pairs with the Release in `choose`.
        let provider = Provider(self.current.load(Ordering::Acquire));
        Some((provider, self.functions(provider)?))
    }

    /// The functions of `provider`; none for Spandrel itself.
    pub(crate) fn functions(&self, provider: Provider) -> Option<&Functions> {
        let place = self.functions.get(provider.0.checked_sub(1)?)?;
        // SAFETY: `find_or_add` sets the functions before it hands the number out.
        Some(unsafe { place.get() })
    }
}
