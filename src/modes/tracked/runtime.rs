//! Blocks that the C and C++ runtime (libc, the dynamic linker, libstdc++, libgcc) keeps for itself, such as the buffer
//! of `stdout`: no program could free them, so they are no news in a report. Must not know how blocks are noted.
//!
//! A call stack tells. Its innermost frames are those of the runtime, if any; the outermost of these is the function
//! that the program called. The runtime keeps the block if
//!
//! - the dynamic linker or libgcc made it: neither exports a function whose block its caller has to free;
//! - one of the runtime's frames is in a function of [`KEEPERS`], or the program called one;
//! - there is no frame of a program at all, as where the loader runs the constructors of libraries.
//!
//! In doubt the block is the program's: what `strdup`, `getline` or a `std::string` allocates is for the caller to
//! free.

use crate::unwind;

/// Files of the runtime that keep each block that they allocate.
const ALWAYS: &str = "ld-linux\0libgcc_s.so\0";
/// Files of the runtime that allocate for their callers as well. Before version 2.34 glibc had the last two.
const RUNTIME: &str = "libc.so\0libstdc++.so\0libpthread.so\0libdl.so\0";

/// Exported functions of libc and libstdc++ that keep what they allocate, or call one that does. One text, because
/// pointers to many would be relocated in every process.
const KEEPERS: &str = concat!(
    // Buffers of streams.
    "_IO_doallocbuf\0",
    "_IO_file_doallocate\0",
    "_IO_wdefault_doallocate\0",
    "_IO_wdoallocbuf\0",
    "_IO_wfile_doallocate\0",
    "_ZNSt8ios_base15sync_with_stdioEb\0",
    "_ZNSt8ios_base4InitC1Ev\0",
    "_ZNSt8ios_base4InitC2Ev\0",
    // Locales, their conversions, and catalogues of messages.
    "_ZNSt6locale6globalERKS_\0",
    "_ZNSt6locale7classicEv\0",
    "_ZNSt6localeC1Ev\0",
    "_ZNSt6localeC2Ev\0",
    "__dcgettext\0",
    "bind_textdomain_codeset\0",
    "bindtextdomain\0",
    "btowc\0",
    "dcgettext\0",
    "dcngettext\0",
    "dgettext\0",
    "fwide\0",
    "gettext\0",
    "mblen\0",
    "mbrlen\0",
    "mbrtowc\0",
    "mbsnrtowcs\0",
    "mbsrtowcs\0",
    "mbstowcs\0",
    "mbtowc\0",
    "ngettext\0",
    "setlocale\0",
    "strerror\0",
    "strerror_l\0",
    "strsignal\0",
    "textdomain\0",
    "wcrtomb\0",
    "wcsnrtombs\0",
    "wcsrtombs\0",
    "wcstombs\0",
    "wctob\0",
    "wctomb\0",
    // Time zones.
    "localtime\0",
    "localtime_r\0",
    "mktime\0",
    "strftime\0",
    "strftime_l\0",
    "timelocal\0",
    "tzset\0",
    // Functions that run at exit, or when a thread ends.
    "__cxa_at_quick_exit\0",
    "__cxa_atexit\0",
    "__cxa_thread_atexit\0",
    "__cxa_thread_atexit_impl\0",
    "__register_atfork\0",
    "on_exit\0",
    // Threads: stacks, thread-local variables, values of keys.
    "pthread_create\0",
    "pthread_setspecific\0",
    "thrd_create\0",
    "tss_set\0",
    // Objects that were loaded.
    "_dl_open\0",
    "dlclose\0",
    "dlerror\0",
    "dlmopen\0",
    "dlopen\0",
    "dlsym\0",
    "dlvsym\0",
    // The environment.
    "clearenv\0",
    "putenv\0",
    "setenv\0",
    "unsetenv\0",
    // Answers in a buffer that belongs to the function.
    "endgrent\0",
    "endpwent\0",
    "getgrent\0",
    "getgrgid\0",
    "getgrnam\0",
    "gethostbyaddr\0",
    "gethostbyname\0",
    "gethostbyname2\0",
    "getmntent\0",
    "getprotobyname\0",
    "getpwent\0",
    "getpwnam\0",
    "getpwuid\0",
    "getservbyname\0",
    "getservbyport\0",
    "ptsname\0",
    "setgrent\0",
    "setpwent\0",
    "ttyname\0",
    // Others that keep a table or a message.
    "__assert_fail\0",
    "__res_ninit\0",
    "backtrace\0",
    "iconv_open\0",
    "openlog\0",
    "syslog\0",
    "vsyslog\0",
    // Exceptions in flight.
    "__cxa_allocate_exception\0",
    "__cxa_get_globals\0",
);

/// A frame, as far as the question needs it.
trait Frame {
    /// The path of its object; empty if it lies in none.
    fn object(&self) -> &[u8];
    /// Whether it is in a function of [`KEEPERS`].
    fn is_in_keeper(&self) -> bool;
    /// Whether it called one.
    fn calls_keeper(&self) -> bool;

    fn is_of(&self, files: &str) -> bool {
        let name = self.object().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        files.split_terminator('\0').any(|file| name.starts_with(file.as_bytes()))
    }
}

fn is_keeper(name: &[u8]) -> bool {
    KEEPERS.split_terminator('\0').any(|keeper| keeper.as_bytes() == name)
}

/// A return address.
impl Frame for usize {
    fn object(&self) -> &[u8] {
        unwind::object_of(*self)
    }

    fn is_in_keeper(&self) -> bool {
        unwind::is_in_function(*self, is_keeper)
    }

    fn calls_keeper(&self) -> bool {
        unwind::calls_function(*self, is_keeper)
    }
}

/// Whether the runtime keeps the block that was allocated with these frames, the innermost first. `is_whole` says that
/// no frame was left out.
pub(super) fn keeps(frames: impl Iterator<Item = usize>, is_whole: bool) -> bool {
    judge(frames, is_whole)
}

fn judge(frames: impl Iterator<Item = impl Frame>, is_whole: bool) -> bool {
    let mut any = false;
    for frame in frames {
        if !any && frame.is_of(ALWAYS) {
            return true;
        }
        if !frame.is_of(ALWAYS) && !frame.is_of(RUNTIME) {
            // A function at whose end another one is jumped to has no frame of its own.
            return any && frame.calls_keeper();
        }
        if frame.is_in_keeper() {
            return true;
        }
        any = true;
    }
    any && is_whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";
    const CXX: &str = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30";
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    /// Path, function, and the function called.
    #[derive(Clone, Copy)]
    struct Made(&'static str, &'static str, &'static str);

    impl Frame for Made {
        fn object(&self) -> &[u8] {
            self.0.as_bytes()
        }
        fn is_in_keeper(&self) -> bool {
            is_keeper(self.1.as_bytes())
        }
        fn calls_keeper(&self) -> bool {
            is_keeper(self.2.as_bytes())
        }
    }

    fn kept(frames: &[(&'static str, &'static str)], called: &'static str, is_whole: bool) -> bool {
        judge(frames.iter().map(|&(object, function)| Made(object, function, called)), is_whole)
    }

    #[test]
    fn the_innermost_frames_of_the_runtime_decide() {
        let main = [("/usr/bin/x", "main"), (LIBC, ""), (LIBC, "__libc_start_main")];
        let with = |inner: &[(&'static str, &'static str)]| kept(&[inner, &main[..]].concat(), "", true);
        // The program, and functions that allocate for their callers.
        assert!(!with(&[]));
        assert!(!with(&[(LIBC, "strdup")]) && !with(&[(LIBC, "getdelim"), (LIBC, "getline")]));
        assert!(!with(&[(CXX, "_ZNSs9_M_createERmm")]) && !with(&[("/usr/lib/libz.so.1", "setlocale")]));
        // A keeper anywhere among the innermost frames of the runtime, and not beyond them.
        assert!(with(&[(LIBC, "_IO_file_doallocate"), (LIBC, ""), (LIBC, "printf")]));
        assert!(with(&[(LIBC, ""), (LIBC, "setlocale")]));
        assert!(!with(&[("/usr/bin/x", "compare"), (LIBC, "setlocale")]));
        // A keeper that jumped on leaves its name in the program's call.
        let program = [(LIBC, ""), ("/usr/bin/x", "main")];
        assert!(kept(&program, "setenv", true) && !kept(&program, "strdup", true));
        assert!(!kept(&program[1..], "setenv", true));
        // The loader and libgcc, where they are the innermost.
        assert!(with(&[(LOADER, "_dl_allocate_tls"), (LIBC, "pthread_create")]));
        assert!(with(&[("/lib/libgcc_s.so.1", "")]));
        assert!(!with(&[("/usr/lib/libz.so.1", "init"), (LOADER, "")]));
    }

    #[test]
    fn a_stack_without_a_program_is_the_runtimes_if_it_is_whole() {
        let start = [(CXX, ""), (LOADER, ""), (LOADER, "")];
        assert!(kept(&start, "", true) && !kept(&start, "", false));
        assert!(!kept(&[], "", true) && !kept(&[("", "")], "", true));
    }

    #[test]
    fn names_are_there_once() {
        let names: Vec<&str> = KEEPERS.split_terminator('\0').collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name) && !name.is_empty(), "{name}");
        }
    }
}
