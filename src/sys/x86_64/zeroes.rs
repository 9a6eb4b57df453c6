#![expect(unsafe_code, reason = "vector instructions")]
//! Filling memory with zeroes and testing it for zeroes, as many bytes at a time as the processor can take. Must not
//! know what the memory is for.
//!
//! Up to [`SHORT`] bytes are done in place, 16 at a time, which every x86-64 processor can; more by a function, 32 at a
//! time where the processor has AVX2. From [`SPARSE`] bytes on memory is read before it is filled, and only pieces that
//! are not zero are written: programs often use a small part of a large block, and a page that was never written stays
//! without memory of its own.

use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_setzero_si128};

use super::processor::identity;
use crate::sys::atomic::{AtomicBool, Ordering};

/// All lengths are multiples of so many bytes, and so are the addresses.
pub(crate) const STRIDE: usize = size_of::<__m128i>();
/// Most bytes that are done in place.
pub(crate) const SHORT: usize = 128;
/// Memory of so many bytes is read before it is filled.
const SPARSE: usize = 4096;
/// Bytes of a piece of such memory: filled as a whole if one of them is not zero.
const PIECE: usize = 1024;

/// Bytes of a turn of the loop that fills and tests, and of that which tests.
const TURN: usize = 64;
const TEST_TURN: usize = 128;

const _: () = assert!(PIECE.is_multiple_of(TEST_TURN) && SPARSE.is_multiple_of(PIECE) && SHORT >= TURN);

/// Whether the processor has AVX2, and the kernel keeps its registers. Written at start, read by any thread.
static HAS_AVX2: AtomicBool = AtomicBool::new(false);

/// Finds out what the processor can do. Part of the start of a mode that fills or tests; before it, 16 bytes at a time
/// are taken.
pub(crate) fn begin() {
    // Relaxed: either value is right at any time.
    HAS_AVX2.store(has_avx2(), Ordering::Relaxed);
}

fn has_avx2() -> bool {
    /// In register `ecx` of leaf 1: the kernel has set the word that says which registers it keeps, and there is AVX.
    const KEPT_AND_AVX: u32 = 1 << 27 | 1 << 28;
    /// In register `ebx` of leaf 7.
    const AVX2: u32 = 1 << 5;
    /// In the word: the registers of SSE and AVX.
    const REGISTERS: u32 = 6;
    let [_, features, _] = identity(1);
    if features & KEPT_AND_AVX != KEPT_AND_AVX {
        return false;
    }
    let kept: u32;
    // SAFETY: reads a word that the processor has, as leaf 1 says.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") kept, out("edx") _, options(nomem, nostack, preserves_flags)) };
    let [extended, ..] = identity(7);
    kept & REGISTERS == REGISTERS && extended & AVX2 != 0
}

/// Fills `len` bytes at `fill` with zeroes; whether as many bytes at `test`, other ones, are zeroes.
///
/// # Safety
/// - Both are multiples of [`STRIDE`], and so is `len`, which is not 0; the bytes at `fill` are writable, those at `test`
///   readable.
#[inline(always)]
pub(crate) unsafe fn fill_and_test(fill: *mut u8, test: *const u8, len: usize) -> bool {
    if len > SHORT {
        // SAFETY: as for this function.
        return unsafe { fill_and_test_long(fill, test, len) };
    }
    // SAFETY: as above.
    unsafe { fill_and_test_short(fill, test, len) }
}

/// As [`fill_and_test`], 16 bytes at a time.
///
/// # Safety
/// - As there.
#[inline(always)]
pub(crate) unsafe fn fill_and_test_short(fill: *mut u8, test: *const u8, len: usize) -> bool {
    let mut seen = no_bits();
    // By hand: a compiler unrolls the loop, which costs more than it saves for a few turns.
    // SAFETY: the bytes are readable and writable, by the function's condition.
    unsafe {
        asm!("2:", "por {seen}, xmmword ptr [{test} + {at}]", "movdqa xmmword ptr [{fill} + {at}], {zero}",
            "add {at}, 16", "jne 2b", seen = inout(xmm_reg) seen, zero = in(xmm_reg) no_bits(),
            test = in(reg) test.wrapping_add(len), fill = in(reg) fill.wrapping_add(len),
            at = inout(reg) len.wrapping_neg() => _, options(nostack));
    }
    is_zero(seen)
}

/// As [`fill_and_test`], for more than [`SHORT`] bytes.
///
/// # Safety
/// - As there.
#[inline(never)]
unsafe fn fill_and_test_long(fill: *mut u8, test: *const u8, len: usize) -> bool {
    if len >= SPARSE {
        // SAFETY: as for this function.
        unsafe { clear(fill, len) };
        // SAFETY: as above.
        return unsafe { is_clear(test, len) };
    }
    // Relaxed: see `begin`.
    if !HAS_AVX2.load(Ordering::Relaxed) {
        // SAFETY: as above.
        return unsafe { fill_and_test_short(fill, test, len) };
    }
    // SAFETY: as above, and the processor has AVX2.
    unsafe { fill_and_test_wide(fill, test, len) }
}

/// As [`fill_and_test`], 64 bytes at a time, and the last 64 once more: the first of them may be done twice.
///
/// # Safety
/// - As there; the processor has AVX2, and `len` is more than [`SHORT`].
#[inline(always)]
unsafe fn fill_and_test_wide(fill: *mut u8, test: *const u8, len: usize) -> bool {
    let clean: u64;
    // SAFETY: the processor has the instructions; the bytes are readable and writable, by the function's condition.
    unsafe {
        asm!("vpxor xmm0, xmm0, xmm0",
            "vmovdqu ymm1, ymmword ptr [rsi + rdx]", "vpor ymm1, ymm1, ymmword ptr [rsi + rdx + 32]",
            "2:",
            "vpor ymm1, ymm1, ymmword ptr [rsi + rax]", "vpor ymm1, ymm1, ymmword ptr [rsi + rax + 32]",
            "vmovdqu ymmword ptr [rdi + rax], ymm0", "vmovdqu ymmword ptr [rdi + rax + 32], ymm0",
            "add rax, 64", "cmp rax, rdx", "jb 2b",
            "vmovdqu ymmword ptr [rdi + rdx], ymm0", "vmovdqu ymmword ptr [rdi + rdx + 32], ymm0",
            "vptest ymm1, ymm1", "sete al", "vzeroupper",
            inout("rax") 0_u64 => clean, in("rdx") len - TURN, in("rsi") test, in("rdi") fill,
            clobber_abi("sysv64"), options(nostack));
    }
    clean & 1 != 0
}

/// Fills `len` bytes with zeroes.
///
/// # Safety
/// - As for [`clear`].
pub(crate) unsafe fn fill(fill: *mut u8, len: usize) {
    if len >= SPARSE {
        // SAFETY: as for this function.
        return unsafe { clear(fill, len) };
    }
    // SAFETY: the bytes are writable, and the caller's.
    unsafe { fill.write_bytes(0, len) };
}

/// Makes `len` bytes zero, and writes no piece of them that is zero already.
///
/// # Safety
/// - `fill` and `len` are multiples of [`STRIDE`], the bytes are writable, and nothing else uses them.
pub(crate) unsafe fn clear(fill: *mut u8, len: usize) {
    for at in (0..len).step_by(PIECE) {
        let (piece, bytes) = (fill.wrapping_add(at), PIECE.min(len - at));
        // SAFETY: a part of the bytes.
        if !unsafe { is_clear(piece, bytes) } {
            // SAFETY: as above.
            unsafe { piece.write_bytes(0, bytes) };
        }
    }
}

/// Whether `len` bytes at `test` are zeroes.
///
/// # Safety
/// - `test` and `len` are multiples of [`STRIDE`], and the bytes are readable.
#[inline]
pub(crate) unsafe fn is_clear(test: *const u8, len: usize) -> bool {
    // Relaxed: see `begin`.
    let wide = if HAS_AVX2.load(Ordering::Relaxed) { len & !(TEST_TURN - 1) } else { 0 };
    // SAFETY: the first of the bytes, whole steps; the processor has AVX2 if there are any.
    if wide > 0 && !unsafe { is_clear_wide(test, wide) } {
        return false;
    }
    let mut seen = no_bits();
    for at in (wide..len).step_by(STRIDE) {
        let lane = test.wrapping_add(at).cast::<__m128i>();
        // SAFETY: readable and aligned, by the function's condition.
        let lane = unsafe { lane.read() };
        // SAFETY: every x86-64 processor has SSE2.
        seen = unsafe { core::arch::x86_64::_mm_or_si128(seen, lane) };
    }
    is_zero(seen)
}

/// As [`is_clear`], 128 bytes at a time; ends at the first that are not zero.
///
/// # Safety
/// - As there; the processor has AVX2, and `len` is a multiple of 128 and not 0.
#[inline(never)]
unsafe fn is_clear_wide(test: *const u8, len: usize) -> bool {
    let clean: u64;
    // SAFETY: the processor has the instructions; the bytes are readable, by the function's condition.
    unsafe {
        asm!("2:",
            "vmovdqu ymm0, ymmword ptr [rsi + rdx]", "vmovdqu ymm1, ymmword ptr [rsi + rdx + 32]",
            "vpor ymm0, ymm0, ymmword ptr [rsi + rdx + 64]", "vpor ymm1, ymm1, ymmword ptr [rsi + rdx + 96]",
            "vpor ymm0, ymm0, ymm1", "vptest ymm0, ymm0", "jne 3f", "sub rdx, -128", "jne 2b",
            "3:", "sete al", "vzeroupper",
            out("rax") clean, in("rdx") len.wrapping_neg(), in("rsi") test.wrapping_add(len),
            clobber_abi("sysv64"), options(readonly, nostack));
    }
    clean & 1 != 0
}

#[inline(always)]
fn no_bits() -> __m128i {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { _mm_setzero_si128() }
}

#[inline(always)]
fn is_zero(bits: __m128i) -> bool {
    const ALL: i32 = 0xffff;
    // SAFETY: every x86-64 processor has SSE2.
    let equal = unsafe { _mm_cmpeq_epi8(bits, no_bits()) };
    // SAFETY: as above.
    unsafe { _mm_movemask_epi8(equal) == ALL }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Runs `look` as it is before the processor was asked, and after.
    fn with_both(look: impl Fn()) {
        HAS_AVX2.store(false, Ordering::Relaxed);
        look();
        begin();
        look();
    }

    #[test]
    fn every_byte_is_filled_and_tested_and_no_other_one() {
        let lens = (1..=20).map(|lanes| lanes * STRIDE).chain([1008, 1024, 1040, 2048, 4080, 4096, 4112, 9216, 36_864]);
        let lens: Vec<usize> = lens.collect();
        with_both(|| {
            for (&len, shift) in lens.iter().flat_map(|len| [(len, 0), (len, STRIDE)]) {
                // Bytes at odd multiples of 16, and at even ones; one more before and behind.
                let (first, second) = (2 * STRIDE + shift, 5 * STRIDE + shift + len);
                let mut memory = vec![0_u128; (second + len) / STRIDE + 2];
                let start = memory.as_mut_ptr().cast::<u8>();
                // SAFETY: callers name places in the vector.
                let byte = |at: usize| unsafe { &mut *start.wrapping_add(at) };
                let (fill, test) = (start.wrapping_add(first), start.wrapping_add(second));
                for at in (0..len).filter(|at| len < 400 || at % 61 == 0 || at + 20 > len) {
                    for base in [first, second] {
                        (*byte(base - 1), *byte(base + len)) = (9, 9);
                    }
                    (0..len).for_each(|at| *byte(first + at) = 7);
                    // SAFETY: both lie in the vector, apart from one another.
                    assert!(unsafe { fill_and_test(fill, test, len) }, "{len}");
                    assert!((0..len).all(|at| *byte(first + at) == 0), "{len}");
                    *byte(second + at) = 1 << (at % 8);
                    // SAFETY: as above.
                    assert!(!unsafe { fill_and_test(fill, test, len) }, "{len} {at}");
                    // SAFETY: as above.
                    assert!(!unsafe { is_clear(test, len) }, "{len} {at}");
                    let (fill, clear) = (self::fill as unsafe fn(_, _), clear as unsafe fn(_, _));
                    // SAFETY: as above.
                    unsafe { (if at % 2 == 0 { fill } else { clear })(test, len) };
                    // SAFETY: as above.
                    assert!(unsafe { is_clear(test, len) }, "{len} {at}");
                    for base in [first, second] {
                        assert_eq!((*byte(base - 1), *byte(base + len)), (9, 9), "{len}");
                    }
                }
            }
        });
    }
}
