//! A file that appears whole: written in the same folder under a random name, and then renamed, so that no reader sees
//! half of it. Must not know its contents.
//!
//! The folder may be one in which others can make files and links. So the file is new, is no link, and is readable by
//! its owner alone; a link at its place is replaced, never followed. Devices and pipes, and the streams of the process
//! by their names, are written to as they are.

use core::ffi::CStr;

use super::call::{self, Errno};

/// Most bytes of a path, the final zero included.
pub(crate) const PATH_BYTES: usize = 1024;

/// A path being put together; one that does not fit is refused when it is used.
pub(crate) struct Path {
    bytes: [u8; PATH_BYTES],
    len: usize,
}

impl Path {
    /// The empty path.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; PATH_BYTES], len: 0 }
    }

    /// Adds bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        bytes.iter().for_each(|&byte| self.push(byte));
        self
    }

    /// Adds a decimal number.
    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        crate::base::text::each_digit(value, 10, &mut |digit| self.push(digit));
        self
    }

    /// Adds `pattern` with its places filled in: the process for `%p`, `number` for `%n`. Any other letter
    /// behind a percent sign is kept as it is.
    pub(crate) fn fill_in(&mut self, pattern: &[u8], number: u64) -> &mut Self {
        let mut signs = pattern.iter();
        while let Some(&sign) = signs.next() {
            match (sign, if sign == b'%' { signs.next() } else { None }) {
                (b'%', Some(b'p')) => self.number(u64::from(call::process_id())),
                (b'%', Some(b'n')) => self.number(number),
                (_, other) => self.raw(&[*other.unwrap_or(&sign)]),
            };
        }
        self
    }

    fn push(&mut self, byte: u8) {
        // The last byte stays zero.
        if self.len < PATH_BYTES - 1
            && let Some(place) = self.bytes.get_mut(self.len)
        {
            *place = byte;
        }
        self.len += 1;
    }

    /// As the kernel takes it; `None` if it did not fit.
    pub(crate) fn finish(&self) -> Option<&CStr> {
        let bytes = self.bytes.get(..=self.len)?;
        CStr::from_bytes_with_nul(bytes).ok()
    }
}

/// A file being written.
pub(crate) struct Output<'a> {
    path: &'a CStr,
    /// The random part of the temporary name; `None` for a file that is written in place.
    beside: Option<u64>,
    descriptor: usize,
    /// The first error.
    error: Option<i32>,
}

const MODE: usize = 0o600;
/// Random names that are tried before the file is given up.
const TRIES: usize = 4;
const WRITING: i32 = libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOCTTY;
/// The streams of the process, whatever they are: only the kernel and root make names there.
const STREAMS: [&[u8]; 5] = [b"/dev/stdout", b"/dev/stderr", b"/dev/fd/", b"/proc/self/fd/", b"/proc/thread-self/fd/"];

impl<'a> Output<'a> {
    /// Begins a file that is to be at `path`; the error number if that cannot be.
    pub(crate) fn begin(path: &'a CStr) -> Result<Self, i32> {
        if STREAMS.iter().any(|name| path.to_bytes().starts_with(name)) {
            let descriptor = open(path, WRITING | libc::O_APPEND)?;
            return Ok(Self { path, beside: None, descriptor, error: None });
        }
        if let Some(descriptor) = open_special(path) {
            return Ok(Self { path, beside: None, descriptor, error: None });
        }
        let mut error = libc::EEXIST;
        for _ in 0..TRIES {
            let number = call::random();
            let new = WRITING | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
            match with_beside(path, number, |beside| open(beside, new))? {
                Ok(descriptor) => return Ok(Self { path, beside: Some(number), descriptor, error: None }),
                Err(refused) => error = refused,
            }
            if error != libc::EEXIST {
                break;
            }
        }
        Err(error)
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = call::try_write_all(self.descriptor, bytes).err().map(|Errno(error)| error);
        }
    }

    /// Has the file come to nothing, for this reason.
    pub(crate) fn fail(&mut self, error: i32) {
        self.error.get_or_insert(error);
    }

    /// Puts the file in its place, or removes it where something failed: the error number.
    pub(crate) fn finish(mut self) -> Result<(), i32> {
        let closed = call::close(self.descriptor);
        self.note(closed);
        if let Some(number) = self.beside {
            with_beside(self.path, number, |beside| self.put(beside))?;
        }
        self.error.map_or(Ok(()), Err)
    }

    /// Gives the file that was written its place, or removes it.
    fn put(&mut self, beside: &CStr) {
        if self.error.is_none() {
            let renamed = call::rename(beside, self.path);
            self.note(renamed);
        }
        if self.error.is_some() {
            let _ = call::unlink(beside);
        }
    }

    fn note(&mut self, done: Result<usize, Errno>) {
        if let Err(Errno(error)) = done {
            self.error.get_or_insert(error);
        }
    }
}

/// The result of `work` on the name that a file has while it is written; an error if that name does not fit. The name
/// lies on the stack for the time of `work` alone.
#[inline(never)]
fn with_beside<T>(path: &CStr, number: u64, work: impl FnOnce(&CStr) -> T) -> Result<T, i32> {
    let mut name = Path::new();
    name.raw(path.to_bytes()).raw(b".").number(number).raw(b".part");
    name.finish().map(work).ok_or(libc::ENAMETOOLONG)
}

fn open(path: &CStr, flags: i32) -> Result<usize, i32> {
    call::open(path, flags, MODE).map_err(|Errno(error)| error)
}

/// Opens what is at `path` if it is a character device or a pipe, not a link to one.
fn open_special(path: &CStr) -> Option<usize> {
    if !is_special(call::status_of_name(path)) {
        return None;
    }
    let descriptor = open(path, WRITING | libc::O_NOFOLLOW).ok()?;
    // Something else may be there by now.
    if is_special(call::status(descriptor)) {
        return Some(descriptor);
    }
    let _ = call::close(descriptor);
    None
}

/// Whether it is a character device or a pipe.
fn is_special(status: Result<libc::stat, Errno>) -> bool {
    status.is_ok_and(|status| [libc::S_IFCHR, libc::S_IFIFO].contains(&(status.st_mode & libc::S_IFMT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    /// A folder of the test's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("spandrel-output-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn c_string(path: &std::path::Path) -> CString {
        CString::new(path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn paths_are_put_together_and_refused_when_too_long() {
        let mut path = Path::new();
        path.raw(b"a.").number(0).raw(b".").number(1234);
        assert_eq!(path.finish(), Some(c"a.0.1234"));
        path.raw(&[b'x'; PATH_BYTES]);
        assert_eq!(path.finish(), None);
        assert_eq!(Path::new().raw(b"a\0b").finish(), None);
        let process = std::process::id();
        let wanted = CString::new(format!("x{process}-7%%z")).unwrap();
        assert_eq!(Path::new().fill_in(b"x%p-%n%%%%z", 7).finish(), Some(wanted.as_c_str()));
    }

    #[test]
    fn files_come_to_be_at_the_end_or_not_at_all() {
        let folder = Folder::new("whole");
        let place = folder.0.join("file");
        let name = c_string(&place);
        let mut output = Output::begin(&name).ok().unwrap();
        output.write(b"whole");
        assert!(!place.exists() && folder.names().len() == 1);
        assert_eq!(output.finish(), Ok(()));
        assert_eq!(std::fs::read(&place).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Output::begin(c"/no/such/folder/file").err(), Some(libc::ENOENT));
        let mut full = Output::begin(&name).ok().unwrap();
        full.error = Some(libc::ENOSPC);
        full.write(b"nothing");
        assert_eq!(full.finish(), Err(libc::ENOSPC));
        assert_eq!((std::fs::read(&place).unwrap().as_slice(), folder.names().len()), (&b"whole"[..], 1));
    }

    #[test]
    fn no_link_is_followed() {
        let folder = Folder::new("links");
        let (victim, place) = (folder.0.join("victim"), folder.0.join("file"));
        std::fs::write(&victim, "untouched").unwrap();
        symlink(&victim, &place).unwrap();
        let name = c_string(&place);
        for _ in 0..2 {
            let mut output = Output::begin(&name).ok().unwrap();
            output.write(b"ours");
            assert_eq!(output.finish(), Ok(()));
            assert!(!place.is_symlink() && std::fs::read(&place).unwrap() == b"ours");
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
        // The name of the part is another one each time.
        let [first, second] = [(); 2].map(|()| Output::begin(&name).ok().unwrap());
        assert_ne!(first.beside, second.beside);
        for output in [first, second] {
            assert_eq!(output.finish(), Ok(()));
        }
        // A link to a device is a link.
        std::fs::remove_file(&place).unwrap();
        symlink("/dev/null", &place).unwrap();
        assert!(Output::begin(&name).ok().unwrap().beside.is_some());
        assert!(Output::begin(c"/dev/null").ok().unwrap().beside.is_none());
        assert!(Output::begin(c"/dev/stderr").ok().unwrap().beside.is_none());
    }

    /// Has the kernel refuse this thread any file for creation that may be there already, or may be a link.
    #[expect(unsafe_code, reason = "sets up a filter of system calls")]
    fn refuse_files_that_are_there() {
        /// Where the kernel shows the call and its third argument.
        const CALL: u32 = 0;
        const FLAGS: u32 = 32;
        let new = (libc::O_EXCL | libc::O_NOFOLLOW) as u32;
        let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut steps = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, CALL, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_openat as u32, 0, 5),
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, FLAGS, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::O_CREAT as u32, 0, 3),
            step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, new, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, new, 1, 0),
            step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EACCES as u32, 0, 0),
            step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: only this thread gets no new privileges.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
        // SAFETY: the kernel reads the steps, which are there.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) }, 0);
    }

    #[test]
    fn files_are_new_or_not_opened() {
        let folder = Folder::new("new");
        let (place, old) = (folder.0.join("file"), folder.0.join("old"));
        let name = c_string(&place);
        let thread = std::thread::spawn(move || {
            refuse_files_that_are_there();
            assert_eq!(std::fs::write(old, "old").map_err(|error| error.raw_os_error()), Err(Some(libc::EACCES)));
            let mut output = Output::begin(&name).ok().unwrap();
            output.write(b"new");
            output.finish()
        });
        assert_eq!(thread.join().unwrap(), Ok(()));
        assert_eq!(std::fs::read(&place).unwrap(), b"new");
    }
}
