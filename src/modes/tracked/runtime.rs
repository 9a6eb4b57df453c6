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
//! In doubt the block is the program's: what `strdup`, `getline` or a `std::string` allocates is for the caller to free.

use crate::unwind;

/// Files of the runtime that keep each block that they allocate.
const ALWAYS: [&[u8]; 2] = [b"ld-linux", b"libgcc_s.so"];
/// Files of the runtime that allocate for their callers as well. Before version 2.34 glibc had the last two.
const RUNTIME: [&[u8]; 4] = [b"libc.so", b"libstdc++.so", b"libpthread.so", b"libdl.so"];

/// Exported functions of libc and libstdc++ that keep what they allocate, or call one that does.
const KEEPERS: &[&[u8]] = &[
    // Buffers of streams.
    b"_IO_doallocbuf",
    b"_IO_file_doallocate",
    b"_IO_wdefault_doallocate",
    b"_IO_wdoallocbuf",
    b"_IO_wfile_doallocate",
    b"_ZNSt8ios_base15sync_with_stdioEb",
    b"_ZNSt8ios_base4InitC1Ev",
    b"_ZNSt8ios_base4InitC2Ev",
    // Locales, their conversions, and catalogues of messages.
    b"_ZNSt6locale6globalERKS_",
    b"_ZNSt6locale7classicEv",
    b"_ZNSt6localeC1Ev",
    b"_ZNSt6localeC2Ev",
    b"__dcgettext",
    b"bind_textdomain_codeset",
    b"bindtextdomain",
    b"btowc",
    b"dcgettext",
    b"dcngettext",
    b"dgettext",
    b"fwide",
    b"gettext",
    b"mblen",
    b"mbrlen",
    b"mbrtowc",
    b"mbsnrtowcs",
    b"mbsrtowcs",
    b"mbstowcs",
    b"mbtowc",
    b"ngettext",
    b"setlocale",
    b"strerror",
    b"strerror_l",
    b"strsignal",
    b"textdomain",
    b"wcrtomb",
    b"wcsnrtombs",
    b"wcsrtombs",
    b"wcstombs",
    b"wctob",
    b"wctomb",
    // Time zones.
    b"localtime",
    b"localtime_r",
    b"mktime",
    b"strftime",
    b"strftime_l",
    b"timelocal",
    b"tzset",
    // Functions that run at exit, or when a thread ends.
    b"__cxa_at_quick_exit",
    b"__cxa_atexit",
    b"__cxa_thread_atexit",
    b"__cxa_thread_atexit_impl",
    b"__register_atfork",
    b"on_exit",
    // Threads: stacks, thread-local variables, values of keys.
    b"pthread_create",
    b"pthread_setspecific",
    b"thrd_create",
    b"tss_set",
    // Objects that were loaded.
    b"_dl_open",
    b"dlclose",
    b"dlerror",
    b"dlmopen",
    b"dlopen",
    b"dlsym",
    b"dlvsym",
    // The environment.
    b"clearenv",
    b"putenv",
    b"setenv",
    b"unsetenv",
    // Answers in a buffer that belongs to the function.
    b"endgrent",
    b"endpwent",
    b"getgrent",
    b"getgrgid",
    b"getgrnam",
    b"gethostbyaddr",
    b"gethostbyname",
    b"gethostbyname2",
    b"getmntent",
    b"getprotobyname",
    b"getpwent",
    b"getpwnam",
    b"getpwuid",
    b"getservbyname",
    b"getservbyport",
    b"ptsname",
    b"setgrent",
    b"setpwent",
    b"ttyname",
    // Others that keep a table or a message.
    b"__assert_fail",
    b"__res_ninit",
    b"backtrace",
    b"iconv_open",
    b"openlog",
    b"syslog",
    b"vsyslog",
    // Exceptions in flight.
    b"__cxa_allocate_exception",
    b"__cxa_get_globals",
];

/// A frame, as far as the question needs it.
trait Frame {
    /// The path of its object; empty if it lies in none.
    fn object(&self) -> &[u8];
    /// Whether it is in a function of [`KEEPERS`].
    fn is_in_keeper(&self) -> bool;
    /// Whether it called one.
    fn calls_keeper(&self) -> bool;

    fn is_of(&self, files: &[&[u8]]) -> bool {
        let name = self.object().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        files.iter().any(|file| name.starts_with(file))
    }
}

fn is_keeper(name: &[u8]) -> bool {
    KEEPERS.contains(&name)
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
        if !any && frame.is_of(&ALWAYS) {
            return true;
        }
        if !frame.is_of(&ALWAYS) && !frame.is_of(&RUNTIME) {
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
        for (at, name) in KEEPERS.iter().enumerate() {
            assert!(!KEEPERS[..at].contains(name), "{}", String::from_utf8_lossy(name));
        }
    }
}
