#![expect(unsafe_code, reason = "system calls")]
//! Small files of the kernel's, read whole into a buffer of the caller's. Must not know what they say.

use core::ffi::CStr;

use super::call::raw;

/// What the file at `path` holds, as far as `buffer` has room; `None` if it cannot be read.
pub(crate) fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let here = libc::AT_FDCWD as usize;
    // SAFETY: the path is a C string.
    let file = unsafe { raw(libc::SYS_openat, [here, path.as_ptr().addr(), flags, 0, 0, 0]) }.ok()?;
    // SAFETY: the buffer is writable for its length.
    let len = unsafe { raw(libc::SYS_read, [file, buffer.as_mut_ptr().addr(), buffer.len(), 0, 0, 0]) };
    // SAFETY: the descriptor was opened above and is nobody else's.
    let _ = unsafe { raw(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
    buffer.get(..len.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_says_when_nothing_is() {
        let mut buffer = [0; 4];
        assert_eq!(read(c"/proc/self/comm", &mut buffer).map(<[u8]>::len), Some(4));
        assert_eq!(read(c"/no/such/file", &mut buffer), None);
        assert_eq!(read(c"/", &mut buffer), None);
    }
}
