#![expect(unsafe_code, reason = "exports a symbol, turns words into a descriptor and back")]
//! The descriptor: where in a process's memory its figures are, for tools that read them from outside.
//!
//! The product exports it as `spandrel_live`. The start writes it once, and it costs the process nothing afterwards; a
//! tool finds it by its name in the object's symbols and all figures through it. Addresses are the process's; offsets
//! count from the start of a structure. All of it is words, so that it means the same to a tool that is built apart.

pub use crate::central::{CentralDescriptor, CentralListFigures, LargeFigures, RECEIVED_PER_TURN};
pub use crate::heap::{HeapDescriptor, Traffic};
pub use crate::pages::{BANKS, PageFigures, PagesDescriptor};
pub use crate::process::holders::HoldersDescriptor;
pub use crate::slow_path::sampled::{REQUEST_WORDS, START, STOP, SamplesDescriptor};
pub use crate::stats::Format;
pub use crate::stats::bills::{Bills, HolderFigures};
pub use crate::stats::snapshot::{ClassFigures, HeapFigures, Snapshot};

use crate::base::class::{self, Class, GEOMETRY_BYTES};
#[cfg(not(feature = "export"))]
use crate::process::state::PROCESS;
use crate::process::state::Process;
use crate::sys::cell::SetOnce;
use crate::sys::memory::{self, COUNTED_CALLS};

/// The name of the symbol.
pub const SYMBOL: &str = "spandrel_live";
/// The first word of a descriptor that was written.
pub const MAGIC: usize = usize::from_le_bytes(*b"spandrel");
/// Changes whenever the descriptor's own layout does.
pub const VERSION: usize = 7;

/// The descriptor of this process, by the name under which tools find it. All zeroes until the allocator has started,
/// and in a process that libc serves.
#[cfg_attr(feature = "export", unsafe(no_mangle))]
#[cfg_attr(not(feature = "export"), expect(non_upper_case_globals, reason = "a name of C"))]
static spandrel_live: SetOnce<Descriptor> = SetOnce::new();

/// Writes the descriptor of this process. Part of the start.
/// `profiling` are [`Descriptor::sampling`] and [`Descriptor::samples`].
pub(crate) fn describe(process: &Process, profiling: ([usize; 3], SamplesDescriptor)) {
    let descriptor = Descriptor::of(
        process.options().profile.row().name,
        [memory::calls_address(), COUNTED_CALLS],
        process.central.pages.descriptor(),
        process.central.descriptor(),
        process.registry.layout(),
        profiling,
    );
    // SAFETY: the start happens once, and `current` reads it only after the start.
    unsafe { spandrel_live.set(descriptor) };
}

/// The descriptor of this process; `None` until the allocator has started.
#[cfg(not(feature = "export"))]
pub(crate) fn current() -> Option<Descriptor> {
    // SAFETY: a process that is ready has been through `describe`.
    PROCESS.is_ready().then(|| *unsafe { spandrel_live.get() })
}

/// Where the figures of a process are.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// [`MAGIC`], once the rest is there.
    pub magic: usize,
    /// [`VERSION`].
    pub version: usize,
    /// Bytes of a descriptor.
    pub bytes: usize,
    /// Where the name of the profile is, and its bytes.
    pub profile: [usize; 2],
    /// How many classes there are.
    pub classes: usize,
    /// Where the table of classes is, and the bytes of a row. A row begins with block bytes, regions and blocks of a
    /// span, each four bytes.
    pub geometry: [usize; 2],
    /// Where the counts of system calls are, a word each, and how many.
    pub calls: [usize; 2],
    /// The data area and its page runs.
    pub pages: PagesDescriptor,
    /// Central lists, large blocks and direct mappings.
    pub central: CentralDescriptor,
    /// Heaps.
    pub heap: HeapDescriptor,
    /// Named heaps.
    pub holders: HoldersDescriptor,
    /// How a tool has the process start or end a heap profile: the address of a byte, what to write there once the
    /// words of the request are there, and their address ([`REQUEST_WORDS`]). Zeroes where requests cannot be sampled.
    pub sampling: [usize; 3],
    /// Where its heap profile is.
    pub samples: SamplesDescriptor,
}

/// Words of a descriptor.
pub const WORDS: usize = size_of::<Descriptor>() / size_of::<usize>();

impl Descriptor {
    /// The words that are the same in every process of this version; addresses, and values that differ from process to
    /// process, are 0.
    const LAYOUT: Self = Self {
        magic: MAGIC,
        version: VERSION,
        bytes: size_of::<Self>(),
        profile: [0; 2],
        classes: class::COUNT,
        geometry: [0, GEOMETRY_BYTES],
        calls: [0, COUNTED_CALLS],
        pages: PagesDescriptor::LAYOUT,
        central: CentralDescriptor::LAYOUT,
        heap: HeapDescriptor::LAYOUT,
        holders: HoldersDescriptor::LAYOUT,
        sampling: [0; 3],
        samples: SamplesDescriptor::NONE,
    };

    /// Whether sizes, distances and offsets are those of the library that this is compiled into. Only then may a tool
    /// follow the addresses, and has to check each, for the process can write anything into its descriptor.
    #[must_use]
    pub fn is_of_this_build(&self) -> bool {
        let [_, row] = self.geometry;
        let [_, calls] = self.calls;
        let layout = Self {
            profile: [0; 2],
            geometry: [0, row],
            calls: [0, calls],
            pages: self.pages.layout(),
            central: self.central.layout(),
            heap: self.heap.layout(),
            holders: self.holders.layout(),
            sampling: [0; 3],
            samples: SamplesDescriptor::NONE,
            ..*self
        };
        layout == Self::LAYOUT
    }

    /// Its words, as they lie in memory.
    #[must_use]
    pub fn words(self) -> [usize; WORDS] {
        // SAFETY: the descriptor and its parts are `repr(C)` structures of words, so it has no padding.
        unsafe { core::mem::transmute::<Self, [usize; WORDS]>(self) }
    }

    /// The descriptor of which these are the words, read from a process.
    #[must_use]
    pub fn from_words(words: [usize; WORDS]) -> Self {
        // SAFETY: as in `words`, and any words are a descriptor.
        unsafe { core::mem::transmute::<[usize; WORDS], Self>(words) }
    }

    /// The descriptor of a process whose parts are these.
    #[must_use]
    pub(crate) fn of(
        profile: &'static str,
        calls: [usize; 2],
        pages: PagesDescriptor,
        central: CentralDescriptor,
        heap: HeapDescriptor,
        (sampling, samples): ([usize; 3], SamplesDescriptor),
    ) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            bytes: size_of::<Self>(),
            profile: [profile.as_ptr().addr(), profile.len()],
            classes: class::COUNT,
            geometry: [Class::geometry_address(), GEOMETRY_BYTES],
            calls,
            pages,
            central,
            heap,
            holders: HoldersDescriptor::own(),
            sampling,
            samples,
        }
    }
}
