//! Tools that may run this process or watch its memory: valgrind, AddressSanitizer, emulators.

pub(crate) use super::libc::has_address_sanitizer;
use super::processor;

/// Whether the process runs on valgrind.
pub(crate) fn is_valgrind() -> bool {
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    processor::ask_valgrind(&[RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0]) != 0
}

/// Whether instructions are emulated by QEMU: its processors have a name in the leaf for hypervisors. One that has no
/// such leaf answers something else.
pub(crate) fn is_emulated() -> bool {
    const HYPERVISOR: u32 = 0x4000_0000;
    const NAME: [&[u8; 4]; 3] = [b"TCGT", b"CGTC", b"GTCG"];
    processor::identity(HYPERVISOR) == NAME.map(|part| u32::from_le_bytes(*part))
}
