#![expect(unsafe_code, reason = "exports C functions")]
//! Figures by size class: a part of `include/spandrel.h`, which is generated from `extension.rs`, this file and
//! `modes.rs`.

use super::c::refuse;
use super::extension::hand_out;
use crate::base::class::{self, Class};
use crate::base::units::REGION_BYTES;
use crate::stats::{self, ClassFigures};

/// Figures of one class.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct spandrel_class_stats {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Bytes of a span, and the blocks in it.
    pub span_bytes: usize,
    /// See span_bytes.
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
    /// Refills served by the transfer cache, by a span without an owner, and by a new span.
    pub cache_hits: u64,
    /// See cache_hits.
    pub adopted_spans: u64,
    /// See cache_hits.
    pub made_spans: u64,
    /// Refills served by spans of the thread's own, and by blocks that other threads freed.
    pub own_refills: u64,
    /// See own_refills.
    pub received_refills: u64,
}

/// The same structure by a name for C++, where `spandrel_class_stats` is the function.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_class_stats_t = spandrel_class_stats;

impl spandrel_class_stats {
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
            cache_hits: figures.central.cache_hits,
            adopted_spans: figures.central.adopted,
            made_spans: figures.central.made,
            own_refills: figures.own(),
            received_refills: figures.received,
        }
    }
}

/// Fills the first `struct_size` bytes of `*stats` with the figures of class `index`, counted from 0, the smallest
/// blocks first. Returns false and sets errno to EINVAL if there is no such class, if `stats` is NULL, or if
/// `struct_size` is larger than this version's structure.
///
/// # Safety
/// - `stats` is NULL or writable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_class_stats(
    index: usize,
    stats: *mut spandrel_class_stats_t,
    struct_size: usize,
) -> bool {
    let Some(class) = Class::from_index(index) else {
        return refuse(libc::EINVAL);
    };
    match stats::with_snapshot(|snapshot| spandrel_class_stats::of(class, &snapshot.of_class(class))) {
        // SAFETY: the caller says that `stats` is NULL or writable for `struct_size` bytes.
        Some(filled) => unsafe { hand_out(&filled, stats, struct_size) },
        None => refuse(libc::ENOMEM),
    }
}

/// As spandrel_class_stats, for every class at one moment: fills `count` structures of `struct_size` bytes each in
/// `stats`, the smallest blocks first. Returns the number of classes, which may be more than `count`; if it fails, it
/// returns 0 and sets errno to EINVAL or ENOMEM.
///
/// # Safety
/// - `stats` is NULL, with a `count` of 0, or writable for `count` times `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_every_class_stats(
    stats: *mut spandrel_class_stats_t,
    count: usize,
    struct_size: usize,
) -> usize {
    let filled = stats::with_snapshot(|snapshot| {
        Class::all().take(count).enumerate().all(|(index, class)| {
            let filled = spandrel_class_stats::of(class, &snapshot.of_class(class));
            let place = stats.wrapping_byte_add(index * struct_size);
            let place = if stats.is_null() { core::ptr::null_mut() } else { place };
            // SAFETY: the caller says that there is room for `count` structures of `struct_size` bytes.
            unsafe { hand_out(&filled, place, struct_size) }
        })
    });
    match filled {
        Some(true) => class::COUNT,
        Some(false) => 0,
        None => usize::from(refuse(libc::ENOMEM)),
    }
}
