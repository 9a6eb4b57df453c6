#![expect(unsafe_code, reason = "exports C functions")]
//! glibc's statistics and tuning calls, which programs make whichever malloc they have.

use core::ffi::c_int;

use crate::base::lane::Lane;
use crate::control::requests;
use crate::stats::{self, Format, Snapshot};
use crate::sys::call;
use crate::sys::libc::set_errno;

const STANDARD_ERROR: i32 = 2;

/// glibc's `struct mallinfo2`, in bytes.
#[repr(C)]
#[derive(Default)]
struct MallInfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

/// glibc's `struct mallinfo`: the same in `int`, at most the largest `int`.
#[repr(C)]
struct MallInfo {
    fields: [c_int; 10],
}

impl MallInfo2 {
    fn of(snapshot: &Snapshot) -> Self {
        let (direct, direct_bytes) = (snapshot.large.direct_blocks, snapshot.large.direct_bytes);
        let arena = snapshot.obtained() - direct_bytes;
        let live = snapshot.live().saturating_sub(direct_bytes);
        Self {
            arena,
            hblks: direct,
            hblkhd: direct_bytes,
            smblks: snapshot.classes.iter().map(|figures| figures.binned as usize).sum(),
            fsmblks: snapshot.binned(),
            uordblks: live,
            fordblks: arena.saturating_sub(live),
            keepcost: snapshot.pages.dirty,
            ..Self::default()
        }
    }
}

/// Figures of the allocator, in bytes. `arena`: obtained but for direct mappings; `uordblks`: live; `fordblks`: the
/// rest of `arena`; `fsmblks`: free in bins; `hblks`, `hblkhd`: direct mappings; `keepcost`: bytes that `malloc_trim`
/// could give back.
#[unsafe(no_mangle)]
extern "C" fn mallinfo2() -> MallInfo2 {
    stats::with_snapshot(MallInfo2::of).unwrap_or_default()
}

/// As `mallinfo2`, in `int`.
#[unsafe(no_mangle)]
extern "C" fn mallinfo() -> MallInfo {
    let info = mallinfo2();
    let small = |value: usize| c_int::try_from(value).unwrap_or(c_int::MAX);
    MallInfo {
        fields: [
            small(info.arena),
            small(info.ordblks),
            small(info.smblks),
            small(info.hblks),
            small(info.hblkhd),
            small(info.usmblks),
            small(info.fsmblks),
            small(info.uordblks),
            small(info.fordblks),
            small(info.keepcost),
        ],
    }
}

/// Gives free memory back to the kernel, but for `keep` bytes; 1 if any was given back. Bounded in time: a very large
/// heap takes several calls.
#[unsafe(no_mangle)]
extern "C" fn malloc_trim(keep: usize) -> c_int {
    c_int::from(requests::trim(keep))
}

/// Does what a parameter of glibc asks for, as far as it has a meaning here: 1 if that holds from now on, 0 if not.
/// docs/using.md has the table, and decision 45 the reasons.
#[unsafe(no_mangle)]
extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    /// The largest request that glibc's fast bins can serve.
    const MXFAST_MAX: c_int = 160;
    let bytes = usize::try_from(value).unwrap_or(0);
    c_int::from(match parameter {
        libc::M_MXFAST => (1..=MXFAST_MAX).contains(&value),
        libc::M_TRIM_THRESHOLD => requests::keep_freed_pages(value < 0),
        libc::M_MMAP_THRESHOLD => Lane::of_size(bytes) == Lane::Large,
        libc::M_MMAP_MAX => value == 0 && requests::has_pool(),
        // glibc has given it no effect since 2.26, and says 1.
        libc::M_CHECK_ACTION => true,
        libc::M_PERTURB => requests::fills_blocks() == (value & 0xff != 0),
        _ => false,
    })
}

/// Prints the figures on fd 2.
#[unsafe(no_mangle)]
extern "C" fn malloc_stats() {
    let _ = stats::with_snapshot(|figures| Format::Text.write(figures, &mut |text| call::write(STANDARD_ERROR, text)));
}

/// Writes the figures as XML to `stream`. EINVAL unless `options` is 0; -1 and errno if the stream does not take it.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 || stream.is_null() {
        set_errno(libc::EINVAL);
        return if options != 0 { libc::EINVAL } else { -1 };
    }
    let mut written = true;
    let mut print = |text: &[u8]| {
        // SAFETY: the C contract says that the stream is open; the text has that many bytes.
        written &= unsafe { libc::fwrite(text.as_ptr().cast(), 1, text.len(), stream) } == text.len();
    };
    let taken = stats::with_snapshot(|figures| Format::Xml.write(figures, &mut print)).is_some();
    if !taken {
        set_errno(libc::ENOMEM);
    }
    if taken && written { 0 } else { -1 }
}
