//! Small files of the kernel's, read whole into a buffer of the caller's. Must not know what they say.

use core::ffi::CStr;

use super::call;

/// The contents of the file at `path`, as far as `buffer` has room; `None` if it cannot be read.
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

/// The lines of a file, one after the other, through a buffer of the caller's. The rest of a line
/// that does not fit into the buffer is left out.
pub(crate) struct Lines<'a> {
    file: usize,
    buffer: &'a mut [u8],
    /// The part of the buffer that was read and not yet handed out, up to `end`.
    start: usize,
    end: usize,
    /// Whether the rest of a line that did not fit is to be passed over.
    cut: bool,
}

impl<'a> Lines<'a> {
    /// The lines of the file at `path`; `None` if it cannot be read.
    pub(crate) fn open(path: &CStr, buffer: &'a mut [u8]) -> Option<Self> {
        Some(Self { file: open(path)?, buffer, start: 0, end: 0, cut: false })
    }

    /// The next line, without its end.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let rest = self.buffer.get(self.start..self.end)?;
            let (len, whole) = match rest.iter().position(|&byte| byte == b'\n') {
                Some(len) => (len, true),
                None if rest.len() < self.buffer.len() && self.read_more() => continue,
                None => (self.end - self.start, false),
            };
            if len == 0 && !whole {
                return None;
            }
            let line = self.start..self.start + len;
            self.start = line.end + usize::from(whole);
            if !core::mem::replace(&mut self.cut, !whole) {
                return self.buffer.get(line);
            }
        }
    }

    /// Reads behind what is left, which moves to the front; false at the end of the file.
    fn read_more(&mut self) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let got = self.buffer.get_mut(self.end..).and_then(|room| fill(self.file, room)).unwrap_or(0);
        self.end += got;
        got > 0
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        close(self.file);
    }
}

fn open(path: &CStr) -> Option<usize> {
    call::open(path, libc::O_RDONLY | libc::O_CLOEXEC, 0).ok()
}

fn fill(file: usize, buffer: &mut [u8]) -> Option<usize> {
    call::read(file, buffer).ok()
}

fn close(file: usize) {
    let _ = call::close(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_or_cut_but_never_joined() {
        let place = std::env::temp_dir().join(format!("spandrel-lines-{}", std::process::id()));
        std::fs::write(&place, "one\n\ntwo is too long\nthree").unwrap();
        let name = std::ffi::CString::new(place.to_str().unwrap()).unwrap();
        let mut buffer = [0; 8];
        let mut lines = Lines::open(&name, &mut buffer).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            found.push(String::from_utf8_lossy(line).into_owned());
        }
        std::fs::remove_file(place).unwrap();
        assert_eq!(found, ["one", "", "two is t", "three"]);
    }

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
