#![expect(unsafe_code, reason = "asks by assembly")]
//! Tools that may run this process or watch its memory: valgrind, AddressSanitizer, emulators.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use super::libc::weak;

/// Whether the process runs on valgrind. Instructions that do nothing on a processor, and that valgrind takes for a question (its
/// "client request" 0x1001, which is part of its interface).
pub(crate) fn is_valgrind() -> bool {
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    let question: [usize; 6] = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let mut answer = 0_usize;
    // SAFETY: the rotations come to nothing, and so does the exchange; valgrind reads the question and writes the answer.
    unsafe {
        asm!("rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") question.as_ptr(), inout("rdx") answer, inout("rdi") 0_usize => _, options(nostack));
    }
    answer != 0
}

/// Whether instructions are emulated by QEMU: its processors have a name in the leaf for hypervisors. One that has no such leaf answers
/// something else.
pub(crate) fn is_emulated() -> bool {
    const HYPERVISOR: u32 = 0x4000_0000;
    const NAME: [&[u8; 4]; 3] = [b"TCGT", b"CGTC", b"GTCG"];
    let answer = __cpuid(HYPERVISOR);
    [answer.ebx, answer.ecx, answer.edx] == NAME.map(|part| u32::from_le_bytes(*part))
}

/// Whether AddressSanitizer is linked into the process.
pub(crate) fn has_address_sanitizer() -> bool {
    weak!("__asan_init" as unsafe extern "C" fn()).is_some()
}
