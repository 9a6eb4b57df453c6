#![expect(unsafe_code, reason = "system calls")]
//! Small files of the kernel's, read whole into a buffer of the caller's. Must not know what they say.

use core::ffi::CStr;

use super::call::raw;

/// What the file at `path` holds, as far as `buffer` has room; `None` if it cannot be read.
pub(crate) fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = open(path)?;
    let len = fill(file, buffer);
    close(file);
    buffer.get(..len?)
}

/// How many lines the file at `path` has; `None` if it cannot be read.
pub(crate) fn count_lines(path: &CStr) -> Option<usize> {
    let file = open(path)?;
    let mut buffer = [0; 4096];
    let mut lines = 0;
    while let Some(len) = fill(file, &mut buffer).filter(|&len| len > 0) {
        lines += buffer.iter().take(len).filter(|&&byte| byte == b'\n').count();
    }
    close(file);
    Some(lines)
}

fn open(path: &CStr) -> Option<usize> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let here = libc::AT_FDCWD as usize;
    // SAFETY: the path is a C string.
    unsafe { raw(libc::SYS_openat, [here, path.as_ptr().addr(), flags, 0, 0, 0]) }.ok()
}

fn fill(file: usize, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer is writable for its length.
    unsafe { raw(libc::SYS_read, [file, buffer.as_mut_ptr().addr(), buffer.len(), 0, 0, 0]) }.ok()
}

fn close(file: usize) {
    // SAFETY: callers opened the descriptor, and it is nobody else's.
    let _ = unsafe { raw(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
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
        assert_eq!(count_lines(c"/no/such/file"), None);
        assert!(count_lines(c"/proc/self/maps").is_some_and(|lines| lines > 10));
    }
}
