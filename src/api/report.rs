#![expect(unsafe_code, reason = "asks for the bytes of a block that the caller vouches for")]
//! Figures and requests of a Rust program: statistics, giving memory back, limits, the heap profile.
//!
//! The counterpart of `extension.rs` in Rust's types. These calls come from the program, and may allocate for it.

use core::num::NonZeroUsize;
use core::ptr::NonNull;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error;
use super::rust::Spandrel;
use crate::base::class::Class;
use crate::base::units::REGION_BYTES;
use crate::control::{dispatch, requests};
use crate::profile::sampling::{self, NoProfile};
use crate::stats::descriptor::{self, Descriptor};
use crate::stats::{self, ClassFigures, Format, Snapshot, report};

/// Figures of the allocator at one moment; sizes are in bytes. Other threads go on while they are taken: in a quiet
/// process they are exact. [`Spandrel::stats`] takes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Blocks that the program holds, by the size of the block.
    pub live_bytes: usize,
    /// Address space in use for blocks, free or not.
    pub obtained_bytes: usize,
    /// Free blocks in threads' bins.
    pub binned_bytes: usize,
    /// Free blocks in transfer caches.
    pub cached_bytes: usize,
    /// Blocks that a thread freed for another heap, and that have not arrived there yet.
    pub in_flight_bytes: usize,
    /// Regions cut into blocks of a class.
    pub span_bytes: usize,
    /// Free runs whose pages the kernel has not got back yet.
    pub dirty_bytes: usize,
    /// Given back to the kernel so far.
    pub purged_bytes: usize,
    /// The allocator's own structures.
    pub metadata_bytes: usize,
    /// Address space reserved, which costs no memory.
    pub reserved_bytes: usize,
    /// The part of it that can be read and written.
    pub committed_bytes: usize,
    /// Live large blocks.
    pub large_blocks: usize,
    /// Live blocks with a mapping of their own.
    pub direct_blocks: usize,
    /// Threads that have a heap.
    pub heaps: usize,
    /// Bins refilled so far.
    pub refills: u64,
    /// Bins flushed so far.
    pub flushes: u64,
    /// Blocks of other threads freed so far, when they were sent off.
    pub sent_blocks: u64,
    /// The same, when they arrived.
    pub received_blocks: u64,
}

impl Stats {
    fn of(snapshot: &Snapshot) -> Self {
        let [refills, flushes] = snapshot.events();
        Self {
            live_bytes: snapshot.live(),
            obtained_bytes: snapshot.obtained(),
            binned_bytes: snapshot.binned(),
            cached_bytes: snapshot.cached(),
            in_flight_bytes: snapshot.in_flight(),
            span_bytes: snapshot.spans(),
            dirty_bytes: snapshot.pages.dirty,
            purged_bytes: snapshot.pages.purged,
            metadata_bytes: snapshot.pages.metadata,
            reserved_bytes: snapshot.pages.reserved,
            committed_bytes: snapshot.pages.committed,
            large_blocks: snapshot.large.large_blocks,
            direct_blocks: snapshot.large.direct_blocks,
            heaps: snapshot.heaps,
            refills,
            flushes,
            sent_blocks: snapshot.traffic.sent_blocks,
            received_blocks: snapshot.traffic.received_blocks,
        }
    }
}

/// Figures of the blocks of one size. [`Spandrel::for_each_class`] takes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Bytes of a span, the piece of memory that is cut into blocks.
    pub span_bytes: usize,
    /// Blocks of a span.
    pub span_blocks: usize,
    /// Blocks that the program holds.
    pub live_blocks: usize,
    /// Free blocks in threads' bins.
    pub binned_blocks: usize,
    /// Free blocks in the transfer cache.
    pub cached_blocks: usize,
    /// Blocks that a thread freed for another heap, and that have not arrived there yet.
    pub in_flight_blocks: usize,
    /// Spans that have free blocks.
    pub partial_spans: usize,
    /// Spans that have no free block.
    pub full_spans: usize,
    /// Bins refilled so far.
    pub refills: u64,
    /// Bins flushed so far.
    pub flushes: u64,
}

impl ClassStats {
    fn of(class: Class, figures: &ClassFigures) -> Self {
        let geometry = class.geometry();
        Self {
            block_bytes: class.size(),
            span_bytes: geometry.regions as usize * REGION_BYTES,
            span_blocks: geometry.capacity as usize,
            live_blocks: figures.live() as usize,
            binned_blocks: figures.binned as usize,
            cached_blocks: figures.cached as usize,
            in_flight_blocks: figures.in_flight as usize,
            partial_spans: figures.partial as usize,
            full_spans: figures.full as usize,
            refills: figures.refills,
            flushes: figures.flushes,
        }
    }
}

/// The version of the allocator, which is that of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Questions of a program.
impl Spandrel {
    /// Whether it serves requests itself. False where `SPANDREL_FORCE_LIBC=1` or `SPANDREL_MODE=libc` has libc serve
    /// them.
    #[must_use]
    pub fn is_active(&self) -> bool {
        requests::is_active()
    }

    /// The figures of this moment; `None` if there is no memory to take them in.
    ///
    /// ```
    /// use spandrel::Spandrel;
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: Spandrel = Spandrel;
    ///
    /// fn main() {
    ///     let live = || ALLOCATOR.stats().map_or(0, |stats| stats.live_bytes);
    ///     let before = live();
    ///     let buffer = vec![0_u8; 1 << 20];
    ///     assert_eq!(live() - before, buffer.len());
    /// }
    /// ```
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        stats::with_snapshot(Stats::of)
    }

    /// Calls `visit` with the figures of each size of blocks that was ever used, the smallest first. False if there is
    /// no memory to take them in.
    ///
    /// ```
    /// use spandrel::Spandrel;
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: Spandrel = Spandrel;
    ///
    /// fn main() {
    ///     let boxes: Vec<_> = (0..1000).map(|number| Box::new([number; 12])).collect();
    ///     let mut live = 0;
    ///     assert!(ALLOCATOR.for_each_class(|class| if class.block_bytes == 48 { live = class.live_blocks }));
    ///     assert!(live >= boxes.len());
    /// }
    /// ```
    pub fn for_each_class(&self, mut visit: impl FnMut(&ClassStats)) -> bool {
        let see = |snapshot: &Snapshot| {
            snapshot.used_classes().for_each(|(class, figures)| visit(&ClassStats::of(class, figures)));
        };
        stats::with_snapshot(see).is_some()
    }

    /// Writes all figures to an open file, as text, JSON, glibc's XML or for Prometheus, without taking memory.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// spandrel::Spandrel.write_stats(std::io::stdout(), spandrel::Format::Json)
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the file does not take all bytes.
    pub fn write_stats(&self, file: impl AsFd, format: Format) -> io::Result<()> {
        if report::write_stats(file.as_fd().as_raw_fd(), format) { Ok(()) } else { Err(error::of_number(libc::EIO)) }
    }

    /// The bytes that may be used of a block: at least those of its layout, the same at every call. Its layout stays
    /// what it was.
    ///
    /// # Safety
    /// - `block` is a live block of this allocator.
    #[must_use]
    pub unsafe fn usable_size(&self, block: NonNull<u8>) -> usize {
        dispatch::usable_size(block.as_ptr())
    }

    /// The bytes of the block that a request of `size` bytes gets, so that a buffer can be made as large as it will be
    /// anyway; some threads of a process with many get more. 0 for a size that no request may have.
    ///
    /// ```
    /// assert_eq!(spandrel::Spandrel.good_size(100), 112);
    /// ```
    #[must_use]
    pub fn good_size(&self, size: usize) -> usize {
        dispatch::good_size(size)
    }

    /// Where the figures of this allocator are in memory, for tools that read them from outside; `None` until it has
    /// served a request.
    #[doc(hidden)]
    #[must_use]
    pub fn descriptor(&self) -> Option<Descriptor> {
        descriptor::current()
    }
}

/// Requests of a program.
impl Spandrel {
    /// Exchanges freed blocks with other threads, for a program's own points: a safepoint, the border between two
    /// messages, the end of an arena. Sends off the blocks of other threads that the calling thread freed, and receives
    /// blocks of its own that others freed, in whole batches (at most 124 blocks each), until `most` blocks have come;
    /// 0 for 250. True if more waits.
    ///
    /// Cheap if there is nothing to do. Never fails; does nothing in a thread that has not allocated. Not for signal
    /// handlers.
    pub fn safepoint(&self, most: usize) -> bool {
        requests::safepoint(most)
    }

    /// Returns the free blocks of the calling thread to their spans, where other sizes can use what becomes free as a
    /// whole.
    pub fn collect(&self) {
        requests::collect(false);
    }

    /// Gives free memory back to the kernel now, whichever thread freed it, but for `keep` bytes. Returns whether any
    /// went back. Takes a tenth of a second at most. Without this call free memory goes back by itself after a delay.
    ///
    /// ```
    /// # use spandrel::Spandrel;
    /// #[global_allocator]
    /// static ALLOCATOR: Spandrel = Spandrel;
    ///
    /// fn main() {
    ///     drop(vec![1_u8; 16 << 20]);
    ///     assert!(ALLOCATOR.purge(0));
    ///     assert_eq!(ALLOCATOR.stats().map(|stats| stats.dirty_bytes), Some(0));
    /// }
    /// ```
    pub fn purge(&self, keep: usize) -> bool {
        requests::trim(keep)
    }

    /// Sets the limits on the bytes in use, as `SPANDREL_SOFT_LIMIT` and `SPANDREL_HARD_LIMIT` do: above the soft one
    /// memory goes back early, above the hard one requests fail.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the soft limit is not below the hard one, in a profile with a
    /// pool, and if libc serves the process.
    pub fn set_limits(&self, soft: Option<NonZeroUsize>, hard: Option<NonZeroUsize>) -> io::Result<()> {
        let or_none = |limit: Option<NonZeroUsize>| limit.map_or(0, NonZeroUsize::get);
        if requests::set_limits(or_none(soft), or_none(hard)) { Ok(()) } else { Err(error::of_number(libc::EINVAL)) }
    }

    /// Starts to sample requests for the heap profile: one every `rate` bytes on average; `None` for
    /// `SPANDREL_HEAP_PROFILE_RATE` (512 KiB). Other threads follow at their next call that takes the slow path.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # use spandrel::Spandrel;
    /// # #[global_allocator]
    /// # static ALLOCATOR: Spandrel = Spandrel;
    /// ALLOCATOR.start_profile(None)?;
    /// let buffers = vec![vec![0_u8; 1 << 20]; 10];
    /// let path = std::env::temp_dir().join("heap.pb.gz");
    /// ALLOCATOR.write_profile(&path)?;
    /// ALLOCATOR.stop_profile();
    /// assert!(std::fs::metadata(&path)?.len() > 100);
    /// # drop(buffers);
    /// # std::fs::remove_file(path)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if libc or a mode other than `fast` and `counting` serves the
    /// process.
    pub fn start_profile(&self, rate: Option<NonZeroUsize>) -> io::Result<()> {
        if !requests::is_active() {
            return Err(error::of(NoProfile::Unsampled));
        }
        sampling::start(rate.map_or(0, NonZeroUsize::get)).map_err(error::of)
    }

    /// Stops sampling. Sampled blocks stay in the profile until they are freed.
    pub fn stop_profile(&self) {
        sampling::stop();
    }

    /// Writes the heap profile to a file, in the compressed format of pprof: `spandrel profile show FILE` and `go tool
    /// pprof` read it.
    ///
    /// # Errors
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if another thread is writing it, or if no samples were ever taken;
    /// those of the file system; [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a zero byte.
    pub fn write_profile(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
        sampling::dump(Some(&path), false).map_err(error::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::alloc::Layout;

    #[test]
    fn sizes_are_those_of_the_blocks() {
        for size in [1, 100, 1024, 30_000, 100_000, 40 << 20] {
            let layout = Layout::from_size_align(size, 1).unwrap();
            let block = Spandrel.allocate(layout).unwrap().cast();
            // SAFETY: the block is live.
            assert_eq!(unsafe { Spandrel.usable_size(block) }, Spandrel.good_size(size), "{size}");
            // SAFETY: the block came with that layout.
            unsafe { Spandrel.deallocate(block, layout) };
        }
        assert_eq!(Spandrel.good_size(usize::MAX), 0);
    }

    #[test]
    fn errors_have_their_kinds() {
        let kind = |done: io::Result<()>| done.unwrap_err().kind();
        let [low, high] = [1 << 40, 1 << 41].map(NonZeroUsize::new);
        assert_eq!(kind(Spandrel.set_limits(high, low)), io::ErrorKind::InvalidInput);
        let never_sampled = Spandrel.write_profile("no such folder/file");
        assert_eq!(never_sampled.unwrap_err().raw_os_error(), Some(libc::EBUSY));
        assert_eq!(kind(Spandrel.write_profile("a\0b")), io::ErrorKind::InvalidInput);
        let closed = std::fs::File::open("/dev/null").unwrap();
        assert!(Spandrel.write_stats(closed, Format::Text).is_err());
    }

    #[test]
    fn the_layout_of_the_descriptor_is_known_and_no_other() {
        let _block = Spandrel.allocate(Layout::new::<usize>()).unwrap();
        let words = Spandrel.descriptor().unwrap().words();
        assert!(Descriptor::from_words(words).is_of_this_build());
        // A word is part of the layout, or an address or a size of this process's: nothing else.
        let is_layout = |word: &usize| {
            let mut changed = words;
            changed[*word] ^= 1 << 40;
            !Descriptor::from_words(changed).is_of_this_build()
        };
        assert!((60..90).contains(&(0..words.len()).filter(is_layout).count()));
    }
}
