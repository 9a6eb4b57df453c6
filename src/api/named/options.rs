#![expect(unsafe_code, reason = "calls the function that a program named")]
//! The options of a named heap: its name, its limits, and the function that is called when it meets one.

use core::ffi::{c_int, c_void};
use core::num::NonZeroUsize;
use std::io;

use super::{HeapId, NamedHeap};
use crate::api::error;
use crate::control::heaps::{self, NoHeap};
use crate::pages::limits::UNLIMITED;
use crate::process::holders::{Callback, NAME_BYTES, Wanted};

/// The heap that a program is going to make.
///
/// ```
/// use core::num::NonZeroUsize;
/// use spandrel::{HeapOptions, Limit};
///
/// # fn main() -> std::io::Result<()> {
/// let heap = HeapOptions::new("tenant")
///     .soft_limit(NonZeroUsize::new(16 << 20))
///     .hard_limit(NonZeroUsize::new(64 << 20))
///     .shared(true)
///     .on_limit(|met| if met.limit == Limit::Soft { eprintln!("a tenant holds {} bytes", met.held_bytes) })
///     .create()?;
/// assert_eq!(heap.stats().and_then(|stats| stats.hard_limit), NonZeroUsize::new(64 << 20));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HeapOptions<'name> {
    name: &'name str,
    soft: Option<NonZeroUsize>,
    hard: Option<NonZeroUsize>,
    is_shared: bool,
    on_limit: Option<fn(&LimitMet)>,
}

/// A limit of a heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// More than the soft limit is in use. Met again only after an eighth of it was free in between.
    Soft,
    /// The hard limit is about to refuse a request, which is tried again.
    Hard,
}

/// A heap that met a limit, as the function of [`HeapOptions::on_limit`] gets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LimitMet {
    /// The heap.
    pub heap: HeapId,
    /// Its limit.
    pub limit: Limit,
    /// The bytes that count against it.
    pub held_bytes: usize,
    /// The limit in bytes.
    pub limit_bytes: usize,
}

/// Calls the function that the program named, which is the context.
///
/// # Safety
/// - `context` is a `fn(&LimitMet)`.
unsafe extern "C" fn limit_met(heap: usize, limit: c_int, held_bytes: usize, limit_bytes: usize, context: *mut c_void) {
    let Some(heap) = HeapId::of(heap) else { return };
    // SAFETY: by this function's contract.
    let function = unsafe { core::mem::transmute::<*mut c_void, fn(&LimitMet)>(context) };
    let limit = if limit == 1 { Limit::Soft } else { Limit::Hard };
    function(&LimitMet { heap, limit, held_bytes, limit_bytes });
}

fn bytes_of(limit: Option<NonZeroUsize>) -> usize {
    limit.map_or(UNLIMITED, NonZeroUsize::get)
}

/// The limits in bytes.
pub(super) fn limits(soft: Option<NonZeroUsize>, hard: Option<NonZeroUsize>) -> io::Result<(usize, usize)> {
    let (soft_bytes, hard_bytes) = (bytes_of(soft), bytes_of(hard));
    if soft.is_some() && soft_bytes > hard_bytes {
        Err(error::of_number(libc::EINVAL))
    } else {
        Ok((soft_bytes, hard_bytes))
    }
}

impl<'name> HeapOptions<'name> {
    /// A heap of that name, without limits, for one thread at a time. Of the name at most 63 bytes count.
    #[must_use]
    pub const fn new(name: &'name str) -> Self {
        Self { name, soft: None, hard: None, is_shared: false, on_limit: None }
    }

    /// The bytes of spans and large blocks above which the function of [`HeapOptions::on_limit`] is called.
    #[must_use]
    pub const fn soft_limit(self, bytes: Option<NonZeroUsize>) -> Self {
        Self { soft: bytes, ..self }
    }

    /// The bytes of spans and large blocks above which requests fail. A collection of the standard library whose
    /// request fails aborts the process, unless it was `try_reserve`.
    #[must_use]
    pub const fn hard_limit(self, bytes: Option<NonZeroUsize>) -> Self {
        Self { hard: bytes, ..self }
    }

    /// Whether several threads may use the heap at the same time.
    #[must_use]
    pub const fn shared(self, is_shared: bool) -> Self {
        Self { is_shared, ..self }
    }

    /// The function that is called when the heap meets a limit: the hard one on the thread whose request it refuses,
    /// from inside that request; the soft one soon after, on any thread that makes a request. It may allocate and free;
    /// a panic in it aborts the process.
    #[must_use]
    pub const fn on_limit(self, function: fn(&LimitMet)) -> Self {
        Self { on_limit: Some(function), ..self }
    }

    /// Makes the heap.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the soft limit is above the hard one or the name has a zero
    /// byte, [`OutOfMemory`](io::ErrorKind::OutOfMemory), and [`Unsupported`](io::ErrorKind::Unsupported) if libc or
    /// mode `custom` serves the process.
    pub fn create(self) -> io::Result<NamedHeap> {
        if self.name.contains('\0') {
            return Err(error::of_number(libc::EINVAL));
        }
        let made = heaps::create(&Wanted {
            name: &self.name.as_bytes()[..self.name.floor_char_boundary(NAME_BYTES - 1)],
            limits: limits(self.soft, self.hard)?,
            callback: self.on_limit.map(|_| limit_met as Callback),
            context: self.on_limit.map_or(core::ptr::null_mut(), |function| function as *mut c_void),
            shared: self.is_shared,
        });
        let handle = made.map_err(error::of)?;
        HeapId::of(handle).map(|id| NamedHeap { id }).ok_or_else(|| error::of(NoHeap::Memory))
    }
}
