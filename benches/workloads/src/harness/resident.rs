//! Resident memory of this process, as `/proc/self/statm` says it.
//!
//! Reads with plain system calls into a buffer of its own: asking does not allocate.
#![expect(unsafe_code, reason = "open and read without an allocation")]

use super::fail::fail;

const PATH: &std::ffi::CStr = c"/proc/self/statm";
const KIB: u64 = 1024;

/// Resident KiB now.
pub(crate) fn kib() -> u64 {
    let mut text = [0_u8; 128];
    // SAFETY: the path ends with a null.
    let file = unsafe { libc::open(PATH.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: the buffer is live and as long as said.
    let len = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: the file is not used afterwards.
    unsafe { libc::close(file) };
    let known = usize::try_from(len).ok().and_then(|len| std::str::from_utf8(&text[..len]).ok());
    let pages = known.and_then(|text| text.split_whitespace().nth(1)).and_then(|word| word.parse::<u64>().ok());
    let Some(pages) = pages else { fail("/proc/self/statm cannot be read") };
    pages * page_size() / KIB
}

fn page_size() -> u64 {
    // SAFETY: sysconf takes any name.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::table::Table;

    #[test]
    fn a_touched_mapping_is_resident() {
        let before = kib();
        let table = Table::new(8 << 20, |_| 1_u8);
        assert!(kib() >= before + (7 << 10));
        drop(table);
    }
}
