#![expect(unsafe_code, reason = "single instructions")]
//! Single instructions of the processor, and what the kernel and the linker agree on with it. Must not know what they
//! are used for.

use crate::base::text::Inline;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::ffi::c_int;

use crate::base::start::{FIRST_SHIFT, SPAN_START_SHIFT, START_SHIFT};

/// An error number as the kernel gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

/// Calls the kernel. Not by way of the C library, whose wrappers can be interposed, may themselves allocate, and set
/// `errno`.
///
/// # Safety
/// - `arguments` must be what system call `number` accepts; what it does to memory must be sound for the caller.
pub(crate) unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the caller answers for what the call does; the clobbers are those of the x86-64 system call convention.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if (-4095..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// Ends the process at once, for a failure inside the failure path.
pub(crate) fn trap() -> ! {
    // SAFETY: an invalid instruction; nothing runs after it.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}

/// Counts up at a constant rate on every processor of the last fifteen years.
#[inline]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and the kernel allows it.
    unsafe { _rdtsc() }
}

/// The current stack pointer.
pub(crate) fn stack_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {0}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Adds `DELTA` to a word in one instruction: a signal handler or a copy by fork sees it before or after, never
/// between. That does not make the steps around it one.
///
/// # Safety
/// - `word` is readable and writable, and no other thread writes it.
#[inline(always)]
pub(crate) unsafe fn step<const DELTA: isize>(word: *mut usize) {
    // SAFETY: the word is writable, and this thread's alone to write.
    unsafe { asm!("add qword ptr [{0}], {1}", in(reg) word, const DELTA, options(nostack)) };
}

/// As [`step`], for the word `offset` bytes behind `base`: the processor adds the two, which saves an instruction.
///
/// # Safety
/// - As for [`step`].
#[inline(always)]
pub(crate) unsafe fn step_at<const DELTA: isize>(base: *const u8, offset: usize) {
    // SAFETY: the word is writable, and this thread's alone to write.
    unsafe { asm!("add qword ptr [{0} + {1}], {2}", in(reg) base, in(reg) offset, const DELTA, options(nostack)) };
}

/// Replaces the word at `place` by `new` if it is `old`, in one instruction, which a signal handler does not interrupt;
/// whether it was. Not atomic between processors, and as quick as a store.
///
/// # Safety
/// - An aligned word is there, and only the calling thread writes it.
#[inline(always)]
pub(crate) unsafe fn exchange(place: *mut *mut u8, old: *mut u8, new: *mut u8) -> bool {
    // SAFETY: the word is there, and this thread's alone to write.
    unsafe {
        asm!("cmpxchg qword ptr [{place}], {new}", "jne {changed}", place = in(reg) place, new = in(reg) new,
            changed = label { return false }, inout("rax") old => _, options(nostack));
    }
    true
}

/// Both halves of the product of `value` xor the first word of `keys` and its second, folded by xor, with the bits of
/// the third: by hand, so that the compiler keeps no register for each word.
#[inline(always)]
pub(crate) fn keyed(keys: &[u64; 3], value: u64) -> u64 {
    let folded;
    // SAFETY: reads the three words alone.
    unsafe {
        asm!("xor rax, qword ptr [{keys}]", "mul qword ptr [{keys} + 8]", "xor rax, rdx", "or rax, qword ptr [{keys} + 16]",
            keys = in(reg) keys.as_ptr(), inlateout("rax") value => folded, out("rdx") _, options(pure, readonly, nostack));
    }
    folded
}

/// The byte at place `index` behind `base`, which other threads may write: a relaxed load that fills a whole register.
///
/// # Safety
/// - The byte can be read.
#[inline(always)]
pub(crate) unsafe fn load_u8(base: *const u8, index: usize) -> usize {
    let value: usize;
    // SAFETY: the byte is there, as the caller says.
    unsafe {
        asm!("movzx {0:e}, byte ptr [{1} + {2}]", out(reg) value, in(reg) base, in(reg) index,
            options(readonly, nostack, preserves_flags));
    }
    value
}

/// Whether `value` is below the word `OFFSET` bytes behind `base`, which other threads may write: the comparison reads
/// memory by itself, which saves the instruction that an atomic load would be.
///
/// # Safety
/// - An aligned word is there.
#[inline(always)]
pub(crate) unsafe fn is_below<const OFFSET: usize>(value: usize, base: *const u8) -> bool {
    // SAFETY: an aligned word is there. The processor reads it as a whole, so this is a relaxed load.
    unsafe {
        asm!("cmp {0}, qword ptr [{1} + {2}]", "jae {3}", in(reg) value, in(reg) base, const OFFSET, label { return false },
            options(readonly, nostack));
    }
    true
}

/// Whether `value` is at most the word `OFFSET` bytes behind `base`, as [`is_below`] asks.
///
/// # Safety
/// - An aligned word is there.
#[inline(always)]
pub(crate) unsafe fn is_at_most<const OFFSET: usize>(value: usize, base: *const u8) -> bool {
    // SAFETY: as for `is_below`.
    unsafe {
        asm!("cmp {0}, qword ptr [{1} + {2}]", "ja {3}", in(reg) value, in(reg) base, const OFFSET, label { return false },
            options(readonly, nostack));
    }
    true
}

/// Whether `value` is the word `OFFSET` bytes behind `base`, which other threads may write, as [`is_below`] asks.
///
/// # Safety
/// - An aligned word is there.
#[inline(always)]
pub(crate) unsafe fn is_at<const OFFSET: isize>(value: usize, base: *const u8) -> bool {
    // SAFETY: as for `is_below`.
    unsafe {
        asm!("cmp {0}, qword ptr [{1} + {2}]", "je {3}", in(reg) value, in(reg) base, const OFFSET, label { return true },
            options(readonly, nostack));
    }
    false
}

/// [`is_proven_at`] of the place of `address` in its region: one multiplication copies the low bits of the address to
/// the upper end of a half word.
///
/// # Safety
/// - As for [`is_proven_at`].
#[inline(always)]
pub(crate) unsafe fn proves_start<const OFFSET: usize>(address: usize, base: *const u8) -> bool {
    // SAFETY: an aligned word is there.
    unsafe {
        asm!("imul {0:e}, {1:e}, {2}", "imul {0}, qword ptr [{3} + {4}]", "cmp {0}, qword ptr [{3} + {4}]", "jae {5}",
            out(reg) _, in(reg) address, const 1 << START_SHIFT, in(reg) base, const OFFSET, label { return false },
            options(readonly, nostack));
    }
    true
}

/// [`crate::base::start::place_in_span`], by multiplications that copy and shift at once; and `word` without `MARKS`,
/// by hand, so that it stays in its register.
#[inline(always)]
pub(crate) fn place_in_span<const MARKS: usize>(address: usize, word: usize) -> [usize; 2] {
    let (place, rest);
    // SAFETY: changes registers alone.
    unsafe {
        asm!("imul {0:e}, {3:e}, {4}", "imul {1:e}, {2:e}, {5}", "add {0:e}, {1:e}", "and {2}, {6}", out(reg) place,
            out(reg) _, inlateout(reg) word => rest, in(reg) address, const 1 << SPAN_START_SHIFT,
            const -1_i32 << FIRST_SHIFT, const !(MARKS as i32), options(pure, nomem, nostack));
    }
    [place, rest]
}

/// [`crate::base::start::is_proven`] with the factor that lies `OFFSET` bytes behind `base`: two instructions read it
/// where it is.
///
/// # Safety
/// - An aligned word is there, and no other thread writes it.
#[inline(always)]
pub(crate) unsafe fn is_proven_at<const OFFSET: usize>(place: usize, base: *const u8) -> bool {
    // SAFETY: an aligned word is there.
    unsafe {
        asm!("imul {0}, qword ptr [{1} + {2}]", "cmp {0}, qword ptr [{1} + {2}]", "jae {3}",
            inout(reg) place => _, in(reg) base, const OFFSET, label { return false },
            options(readonly, nostack));
    }
    true
}

/// The number of 16 bits at place `index` of the table `OFFSET` bytes behind `base`, which other threads may write: a
/// relaxed load whose address the processor adds up by itself.
///
/// # Safety
/// - The table is there, aligned, and has that place.
#[inline(always)]
pub(crate) unsafe fn load_u16<const OFFSET: usize>(base: *const u8, index: usize) -> usize {
    let value: usize;
    // SAFETY: the place is there, as the caller says. The processor reads an aligned number as a whole.
    unsafe {
        asm!("movzx {0:e}, word ptr [{1} + 2*{2} + {3}]", out(reg) value, in(reg) base, in(reg) index, const OFFSET,
            options(readonly, nostack, preserves_flags));
    }
    value
}

/// The answer of `cpuid` for `leaf`: registers `ebx`, `ecx`, `edx`.
pub(crate) fn identity(leaf: u32) -> [u32; 3] {
    let answer = __cpuid(leaf);
    [answer.ebx, answer.ecx, answer.edx]
}

/// Asks valgrind by instructions that do nothing on a processor, and that valgrind takes for a question (a "client
/// request", part of its interface); 0 where there is no valgrind.
pub(crate) fn ask_valgrind(question: &[usize; 6]) -> usize {
    let mut answer = 0_usize;
    // SAFETY: the rotations come to nothing, and so does the exchange; valgrind reads the question and writes the
    // answer.
    unsafe {
        asm!("rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") question.as_ptr(), inout("rdx") answer, inout("rdi") 0_usize => _, options(nostack));
    }
    answer
}

/// The address of a weak symbol of the process, 0 if there is none. A program linked statically has none of libc's
/// allocator: a reference that is not weak would drag all of it in, next to ours. The reference says by itself that it
/// is weak, for it may end up in any object file.
macro_rules! weak_address {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: loads the address that the linker wrote.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address,
                options(pure, readonly, nostack),
            );
        }
        address
    }};
}

pub(crate) use weak_address;

/// The registers that programs keep addresses in, by their places in the context of a signal.
static REGISTERS: [(c_int, Inline<3>); 15] = [
    (libc::REG_RAX, Inline::of("rax")),
    (libc::REG_RBX, Inline::of("rbx")),
    (libc::REG_RCX, Inline::of("rcx")),
    (libc::REG_RDX, Inline::of("rdx")),
    (libc::REG_RSI, Inline::of("rsi")),
    (libc::REG_RDI, Inline::of("rdi")),
    (libc::REG_RBP, Inline::of("rbp")),
    (libc::REG_R8, Inline::of("r8")),
    (libc::REG_R9, Inline::of("r9")),
    (libc::REG_R10, Inline::of("r10")),
    (libc::REG_R11, Inline::of("r11")),
    (libc::REG_R12, Inline::of("r12")),
    (libc::REG_R13, Inline::of("r13")),
    (libc::REG_R14, Inline::of("r14")),
    (libc::REG_R15, Inline::of("r15")),
];

/// The registers of the context that a signal interrupted.
pub(crate) struct Registers([usize; REGISTERS.len()]);

impl Registers {
    /// Those of `context`.
    pub(crate) fn of(context: &libc::ucontext_t) -> Self {
        Self(
            REGISTERS
                .each_ref()
                .map(|(place, _)| context.uc_mcontext.gregs.get(*place as usize).map_or(0, |&value| value as usize)),
        )
    }

    /// Their names and values.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, usize)> {
        REGISTERS.iter().zip(self.0).map(|((_, name), value)| (name.text(), value))
    }
}
