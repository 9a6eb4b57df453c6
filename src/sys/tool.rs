#![expect(unsafe_code, reason = "asks by assembly")]
//! Tools that watch memory themselves and may run this process: valgrind, AddressSanitizer.

use core::arch::asm;

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

/// Whether AddressSanitizer is linked into the process.
pub(crate) fn has_address_sanitizer() -> bool {
    weak!("__asan_init" as unsafe extern "C" fn()).is_some()
}
