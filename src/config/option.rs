//! The table of options and the values they take. `docs/options.md` is made from it.
//!
//! Unknown names that begin with `SPANDREL_`, malformed values and values that the profile rules out are handed to the caller's
//! `complain`, and the default stays.

use super::account::{self, Account};
use super::parse;
use super::profile::{self, Chosen};
use super::value::{
    self, CacheBytes, GuardedSide, HugePages, IdleReturn, Limit, ModeName, Numa, OnError, Path, Prefault, SpreadSpans,
};
use crate::sys::startup::Startup;

/// A row of the table, for documentation.
pub struct OptionInfo {
    /// Name of the environment variable.
    pub name: &'static str,
    /// The form of its value.
    pub kind: &'static str,
    /// The default, as one would write it.
    pub default: &'static str,
    /// Its effect.
    pub help: &'static str,
}

/// The fault of an entry of the environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Complaint {
    /// Its value is not of this form, or there is no such option.
    Form(&'static str),
    /// The profile has no huge pages.
    HugePages,
    /// The profile has no placement of pages.
    Numa,
    /// It contradicts the profile or another option; how, and what is done.
    Clash(&'static str),
}

/// The letters that all options begin with.
pub(crate) const PREFIX: &[u8] = b"SPANDREL_";

/// Whether the process must not go on without this entry of the environment: one whose limit is refused must not run as
/// if it had none.
pub(crate) fn is_limit(entry: &[u8]) -> bool {
    entry.starts_with(b"SPANDREL_HARD_LIMIT=") || entry.starts_with(b"SPANDREL_ACCOUNT_LIMITS=")
}

macro_rules! options {
    ($($field:ident: $type:ty = $default:expr,
        $name:literal, $kind:expr, $written:literal, $parse:path, $help:literal;)+) => {
        /// The options in force.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) struct Options {
            $(#[doc = $help] pub(crate) $field: $type,)+
        }

        impl Options {
            /// The defaults, before any profile.
            const DEFAULT: Self = Self { $($field: $default,)+ };

            /// Sets the option of that name; the form it should have had, if the value or the name is wrong.
            fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
                $(if name == $name.as_bytes() {
                    self.$field = $parse(value).ok_or($kind)?;
                    return Ok(());
                })+
                Err("no option of this version; see docs/options.md")
            }
        }

        /// All options, for documentation and tools.
        pub const OPTIONS: &[OptionInfo] =
            &[$(OptionInfo { name: $name, kind: $kind, default: $written, help: $help },)+];
    };
}

options! {
    conf: bool = false, "SPANDREL_CONF", value::PATH, "", value::path,
        "A file with options, one `NAME=VALUE` a line; empty lines and lines that begin with `#` are ignored. The environment wins.";
    profile: Chosen = profile::default(), "SPANDREL_PROFILE", profile::NAMES, "hosted-small", profile::named,
        "A set of defaults for the other options: see below. Options that are set explicitly win.";
    mode: ModeName = ModeName::Fast, "SPANDREL_MODE", value::MODE, "fast", ModeName::named,
        "How calls are served, and what is checked or recorded: see docs/modes.md.";
    plugin: bool = false, "SPANDREL_PLUGIN", value::PATH, "", value::path,
        "A shared object whose functions serve the calls: mode `custom`.";
    tracked_top: usize = 10, "SPANDREL_TRACKED_TOP", value::COUNT, "10", parse::number,
        "In mode `tracked`: how many call stacks the report at exit shows, beginning with the stack that holds the most bytes.";
    tracked_frames: usize = 16, "SPANDREL_TRACKED_FRAMES", value::FRAMES_OR_NONE, "16", value::frames_or_none,
        "In mode `tracked`: how many frames of each call stack are recorded; 0 for no call stacks.";
    tracked_runtime: bool = false, "SPANDREL_TRACKED_RUNTIME", value::FLAG, "0", parse::flag,
        "In mode `tracked`: the report at exit also lists the blocks that libc and libstdc++ keep for themselves.";
    quarantine: usize = 16 << 10, "SPANDREL_QUARANTINE", value::SIZE, "16K", parse::size,
        "In mode `hardened`: the quarantine of small blocks, in bytes for each class in each heap. That makes 4 to 256 blocks, and fewer while the heap has few blocks of the class or there are more than 8 threads; with 0 one block.";
    quarantine_large: usize = 256 << 20, "SPANDREL_QUARANTINE_LARGE", value::SIZE, "256M", parse::size,
        "In mode `hardened`: the quarantine of large blocks, in bytes of address space without memory and access. Blocks up to a 192nd of it keep their memory in a quarantine of their own, of a 64th of it, and as much again is ready for reuse. 0 for none.";
    spread: SpreadSpans = SpreadSpans::First, "SPANDREL_SPREAD", value::SPREAD, "first", value::spread,
        "In mode `hardened`: in which spans fresh blocks come in random order and apart from one another: in the `first` span of each class in a heap, in `all`, which causes many cache misses, or in `none`.";
    realloc_moves: bool = false, "SPANDREL_REALLOC_MOVES", value::FLAG, "0", parse::flag,
        "In mode `hardened`: every realloc moves the block, so that uses of the old pointer are found.";
    guard_regions: usize = 4096, "SPANDREL_GUARD_REGIONS", value::COUNT, "4096", parse::number,
        "In mode `hardened`: how many large blocks at a time have guard regions without access on both sides. Each may take three of the mappings that `vm.max_map_count` allows.";
    guarded_rate: usize = 5000, "SPANDREL_GUARDED_RATE", value::ONE_IN, "5000", value::one_in,
        "In mode `guarded`: on average, one in this many requests gets a page of its own.";
    guarded_slots: usize = 256, "SPANDREL_GUARDED_SLOTS", value::SLOTS, "256", value::slots,
        "In mode `guarded`: the number of such pages, for live and freed blocks together.";
    guarded_frames: usize = 16, "SPANDREL_GUARDED_FRAMES", value::FRAMES, "16", value::frames,
        "In mode `guarded`: how many frames of each call stack are recorded.";
    guarded_side: GuardedSide = GuardedSide::Both, "SPANDREL_GUARDED_SIDE", value::SIDE, "both", value::guarded_side,
        "In mode `guarded`: the end of its page at which a block is placed, so that an overflow (`right`) or an underflow (`left`) faults; `both` chooses one at random for each block.";
    guarded_exact: bool = false, "SPANDREL_GUARDED_EXACT", value::FLAG, "0", parse::flag,
        "In mode `guarded`: blocks at the right end of a page end exactly there, so that an overflow by one byte faults. Then a block whose size is not a multiple of 16 is not aligned to 16 bytes, unless the program asks for an alignment.";
    guarded_mismatch: bool = true, "SPANDREL_GUARDED_MISMATCH", value::FLAG, "1", parse::flag,
        "In mode `guarded`: reports mismatched calls, such as `free` or `delete` of a block from `new[]`.";
    guarded_sigsegv: bool = false, "SPANDREL_GUARDED_SIGSEGV", value::FLAG, "0", parse::flag,
        "In mode `guarded`: installs a SIGSEGV handler that reports the sampled block at the faulting address, and then restores the previous handler.";
    force_libc: bool = false, "SPANDREL_FORCE_LIBC", value::FLAG, "0", parse::flag,
        "Sends every call to libc's own allocator: the same as `SPANDREL_MODE=libc`.";
    diag: usize = 0, "SPANDREL_DIAG", value::LEVEL, "0", value::level,
        "1: counts every call and prints at exit, on fd 2, which allocator served which calls, and why; also reports valgrind or AddressSanitizer. 2: also the bytes requested, and those of the blocks, by class. Slow: every call takes the slow path.";
    diag_range: (usize, usize) = (256, 1040), "SPANDREL_DIAG_RANGE", value::RANGE, "256-1040", parse::range,
        "The request sizes for which `SPANDREL_DIAG` proves that no call went to libc.";
    on_error: OnError = OnError::Abort, "SPANDREL_ON_ERROR", value::POLICY, "abort", value::on_error,
        "What follows an invalid free, a double free or another misuse: a line and abort; a line, and the call does nothing; or no line, and the call does nothing.";
    error_frames: usize = 16, "SPANDREL_ERROR_FRAMES", value::FRAMES_OR_NONE, "16", value::frames_or_none,
        "How many frames of the call stack are printed after the line about a misuse; 0 for none.";
    symbolizer: usize = 0, "SPANDREL_SYMBOLIZER", value::COUNT, "0", parse::number,
        "Set by `spandrel run`: the number of the local socket of the process that adds source files and lines to call stacks; 0 for none.";
    keep_deepbind: bool = false, "SPANDREL_DEEPBIND", value::DEEPBIND, "clear", value::deepbind,
        "Whether `dlopen` keeps the flag RTLD_DEEPBIND: `clear` removes it, so that the opened object uses Spandrel; with `keep` the object uses libc's allocator.";
    purge_delay: Option<u64> = Some(500), "SPANDREL_PURGE_DELAY", value::DELAY, "500", value::delay,
        "How long free page runs keep their memory for reuse before the allocator purges them, that is, gives it back to the kernel. 0 purges at once.";
    reserve: usize = 1 << 40, "SPANDREL_RESERVE", value::SIZE, "1T", value::reserve,
        "Address space to reserve, 8M to 16T; if the kernel refuses, half as much, and so on. Costs no memory. Under QEMU's emulation the default is 4G.";
    idle_return: IdleReturn = IdleReturn::Calls, "SPANDREL_IDLE_RETURN", value::IDLE_RETURN, "calls", value::idle_return,
        "Which threads give back the free memory of idle threads, after the purge delay: those that call malloc and free (`calls`), these and a background thread of the allocator (`thread`), or none (`off`).";
    bin_bytes: usize = 64 << 10, "SPANDREL_BIN_BYTES", value::SIZE, "64K", value::bin_bytes,
        "The most bytes of free blocks of one class in the cache (bin) of one thread, but at least 3 blocks.";
    cache_bytes: CacheBytes = CacheBytes::Bytes(256 << 10), "SPANDREL_CACHE_BYTES", value::CACHE, "256K", value::cache_bytes,
        "The most bytes of free blocks of one class in the transfer cache between threads, but at least one batch. `cpus`: 256K for each processor that affinity mask and container (cgroup) allow.";
    stats: bool = false, "SPANDREL_STATS", value::FLAG, "0", parse::flag,
        "Prints `malloc_stats` on fd 2 at exit.";
    stats_file: Option<Path> = None, "SPANDREL_STATS_FILE", value::FILE, "none", value::file,
        "The file for statistics instead of fd 2; it is replaced each time, and only its owner can read it. `%p` is the process number, `%n` counts the reports. The ending `.json`, `.prom` or `.xml` selects that format. If no other option says when, statistics are written at exit.";
    stats_every: usize = 0, "SPANDREL_STATS_EVERY", value::SECONDS, "0", parse::number,
        "Writes statistics every this many seconds, 0 for never. Calls on the slow path read the clock for it, so a process that does not allocate writes nothing.";
    crash_report: bool = false, "SPANDREL_CRASH_REPORT", value::FLAG, "0", parse::flag,
        "On SIGSEGV and SIGBUS, prints on fd 2 which blocks are at the faulting address and at the addresses in registers; then the previous action of the signal follows.";
    stats_signal: Option<i32> = None, "SPANDREL_STATS_SIGNAL", value::SIGNAL, "none", value::signal,
        "Writes statistics when this signal comes, unless the program has a handler of its own for it.";
    huge_pages: HugePages = HugePages::Off, "SPANDREL_HUGEPAGES", value::HUGE_PAGES, "off", value::huge_pages,
        "Only in profile `hosted-server`: transparent huge pages once the heap is large (`madvise`) or from the start (`thp`), or explicit huge pages of 2 MiB (`hugetlb`) or 1 GiB (`hugetlb-1g`).";
    huge_from: usize = 2 << 20, "SPANDREL_HUGEPAGES_FROM", value::SIZE, "2M", parse::size,
        "With `SPANDREL_HUGEPAGES=madvise`: the size of the heap from which on the kernel is asked for huge pages.";
    huge_within: usize = 2000, "SPANDREL_HUGEPAGES_WITHIN", value::COUNT, "2000", parse::number,
        "With `SPANDREL_HUGEPAGES=madvise`: if the kernel takes more microseconds than this for a huge page, ordinary pages are used.";
    numa: Numa = Numa::Off, "SPANDREL_NUMA", value::NUMA, "off", value::numa,
        "Only in profile `hosted-server`: on which NUMA nodes pages are placed; see docs/numa.md.";
    prefault: Prefault = Prefault::Off, "SPANDREL_PREFAULT", value::PREFAULT, "off", value::prefault,
        "Makes all pages of fresh spans and large blocks present at once: by a write to each page (`touch`) or by one system call (`populate`). Fewer page faults, more memory.";
    pool: Option<usize> = None, "SPANDREL_POOL", value::POOL, "none", value::pool,
        "Only in profiles `freestanding` and `realtime`: the size of the pool, which is taken from the kernel at the first call and is all memory that the process can allocate; a sixteenth of it is metadata.";
    lock: bool = false, "SPANDREL_LOCK", value::FLAG, "0", parse::flag,
        "Only in profiles `freestanding` and `realtime`: locks the pool in memory.";
    fixed_address: bool = false, "SPANDREL_FIXED_ADDRESS", value::FLAG, "0", parse::flag,
        "Reserves memory at a fixed address, so that a program with one thread gets the same addresses in each run.";
    junk: bool = false, "SPANDREL_JUNK", value::FLAG, "0", parse::flag,
        "Fills fresh blocks with the byte 0xA5 and freed ones with 0x5A. Slow: every call takes the slow path.";
    leaks: bool = false, "SPANDREL_LEAKS", value::FLAG, "0", parse::flag,
        "Reports the blocks that are live at exit; if there are any, status 0 becomes 23.";
    heap_profile: Option<Path> = None, "SPANDREL_HEAP_PROFILE", value::FILE, "none", value::file,
        "Samples requests for a heap profile and writes it at exit, in pprof's format, to this file: `%p` is the process number, `%n` counts the dumps; without either `.PID.N.pb.gz` is added. The other options of the heap profile need this one. See docs/profiling.md.";
    heap_profile_rate: usize = 512 << 10, "SPANDREL_HEAP_PROFILE_RATE", value::RATE, "512K", value::rate,
        "Requested bytes between two samples of the heap profile, on average.";
    heap_profile_every: Option<usize> = None, "SPANDREL_HEAP_PROFILE_EVERY", value::EVERY, "none", value::every,
        "Also writes a dump whenever this many bytes were requested.";
    heap_profile_peaks: bool = false, "SPANDREL_HEAP_PROFILE_PEAKS", value::FLAG, "0", parse::flag,
        "Also writes a dump whenever live memory is an eighth above that at the last such dump.";
    heap_profile_signal: Option<i32> = None, "SPANDREL_HEAP_PROFILE_SIGNAL", value::SIGNAL, "none", value::signal,
        "Also writes a dump on this signal, unless the program has a handler of its own for it. With `SPANDREL_HEAP_PROFILE_WAIT` the first signal starts the sampling.";
    heap_profile_wait: bool = false, "SPANDREL_HEAP_PROFILE_WAIT", value::FLAG, "0", parse::flag,
        "Takes no samples until the signal of `SPANDREL_HEAP_PROFILE_SIGNAL` arrives or the program calls `spandrel_profile_start`.";
    heap_profile_ends: bool = false, "SPANDREL_HEAP_PROFILE_ENDS", value::FLAG, "0", parse::flag,
        "Also writes a dump before SIGTERM or SIGHUP ends the process, and after the first signal of `SPANDREL_HEAP_PROFILE_SIGNAL` also before SIGINT does. Handlers of the program for these signals stay in force.";
    soft_limit: Limit = Limit::None, "SPANDREL_SOFT_LIMIT", value::LIMIT, "none", value::limit,
        "If more memory than this is in use, freed memory goes back to the kernel at once. `container`: seven eighths of the container's (cgroup's) limit.";
    hard_limit: Limit = Limit::None, "SPANDREL_HARD_LIMIT", value::LIMIT, "none", value::limit,
        "A request that needs more memory than this in use fails. `container`: fifteen sixteenths of the container's (cgroup's) limit.";
    account: Account = Account::Off, "SPANDREL_ACCOUNT", account::ACCOUNT, "off", account::account,
        "Memory statistics and limits by thread name, by control group, or by the object that allocates: see docs/accounts.md.";
    account_limits: bool = false, "SPANDREL_ACCOUNT_LIMITS", value::PATH, "", value::path,
        "A file with limits of accounts by name: lines `NAME SOFT HARD`, where `*` in a name stands for any characters or none, and `none` for no limit. See docs/accounts.md.";
}

/// Whether the process's environment has any option.
pub(crate) fn any(startup: Startup) -> bool {
    startup.has_entry(PREFIX)
}

/// Reads the options among `environment`, which come on top of what the profile sets. Calls `complain` with the entry and what is
/// wrong with it.
pub(crate) fn read<'a>(
    environment: impl Iterator<Item = &'a [u8]> + Clone,
    mut complain: impl FnMut(&[u8], Complaint),
) -> Options {
    let entries = environment.filter(|entry| entry.starts_with(PREFIX)).map(|entry| {
        let equals = entry.iter().position(|&byte| byte == b'=').unwrap_or(entry.len());
        let (name, rest) = entry.split_at_checked(equals).unwrap_or((entry, &[]));
        (entry, name, rest.get(1..).unwrap_or(&[]))
    });
    let named = entries.clone().filter(|(_, name, _)| *name == b"SPANDREL_PROFILE");
    let profile = named.filter_map(|(_, _, value)| profile::named(value)).last().unwrap_or(profile::default());
    let mut options = of_profile(profile);
    for (entry, name, value) in entries {
        let before = options;
        let complaint = match options.set(name, value) {
            Err(form) => Some(Complaint::Form(form)),
            Ok(()) if options == before => None,
            Ok(()) => options.clash(name),
        };
        if let Some(complaint) = complaint {
            options = before;
            complain(entry, complaint);
        }
    }
    options
}

/// Options that have no meaning where there is a pool.
const WITHOUT_POOL: [&[u8]; 8] = [
    b"SPANDREL_RESERVE",
    b"SPANDREL_PURGE_DELAY",
    b"SPANDREL_IDLE_RETURN",
    b"SPANDREL_FORCE_LIBC",
    b"SPANDREL_SOFT_LIMIT",
    b"SPANDREL_HARD_LIMIT",
    b"SPANDREL_ACCOUNT",
    b"SPANDREL_ACCOUNT_LIMITS",
];

impl Options {
    /// The mode that is asked for, by whichever option.
    pub(crate) fn mode(&self) -> ModeName {
        match self.mode {
            _ if self.force_libc => ModeName::Libc,
            ModeName::Fast if self.plugin => ModeName::Custom,
            mode => mode,
        }
    }

    /// The contradiction among these options, of which `name` was just set.
    fn clash(&self, name: &[u8]) -> Option<Complaint> {
        let profile = self.profile.row();
        if !profile.hooks && self.huge_pages != HugePages::Off {
            return Some(Complaint::HugePages);
        }
        if !profile.hooks && self.numa != Numa::Off {
            return Some(Complaint::Numa);
        }
        let what = if profile.has_pool() && self.pool.is_none() {
            "this profile needs a pool"
        } else if !profile.has_pool() && (self.pool.is_some() || self.lock) {
            "needs SPANDREL_PROFILE=freestanding or realtime"
        } else if profile.has_pool() && (self.mode != ModeName::Fast || self.plugin) {
            "only profiles without a pool support modes"
        } else if self.plugin && !matches!(self.mode, ModeName::Fast | ModeName::Custom) {
            "only mode custom uses a plugin"
        } else if profile.has_pool() && WITHOUT_POOL.contains(&name) {
            "has no meaning with a pool"
        } else if matches!((self.soft_limit, self.hard_limit), (Limit::Bytes(soft), Limit::Bytes(hard)) if soft >= hard)
        {
            "the soft limit must be below the hard one"
        } else if self.force_libc && !matches!(self.mode, ModeName::Fast | ModeName::Libc) {
            "SPANDREL_FORCE_LIBC and SPANDREL_MODE contradict each other"
        } else if self.idle_return == IdleReturn::Thread && self.purge_delay.is_none() {
            "SPANDREL_IDLE_RETURN=thread has nothing to do with SPANDREL_PURGE_DELAY=never"
        } else {
            return None;
        };
        Some(Complaint::Clash(what))
    }
}

/// The defaults, where `scripts/layout.ld` finds them: a constant lies among those that few processes read.
static DEFAULTS: Options = Options::DEFAULT;

/// The options as `profile` sets them.
fn of_profile(profile: Chosen) -> Options {
    let mut options = Options { profile, ..DEFAULTS };
    for (name, value) in profile.row().settings() {
        // The table's settings are good, as a test shows.
        let _ = options.set(name.as_bytes(), value.as_bytes());
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PROFILES;

    fn read_all(environment: &[&str]) -> (Options, Vec<String>) {
        let mut complaints = Vec::new();
        let options = read(environment.iter().map(|entry| entry.as_bytes()), |entry, complaint| {
            complaints.push(format!("{} {complaint:?}", String::from_utf8_lossy(entry)));
        });
        (options, complaints)
    }

    #[test]
    fn written_defaults_are_the_defaults() {
        for option in OPTIONS {
            let (options, complaints) = read_all(&[&format!("{}={}", option.name, option.default)]);
            assert_eq!(options, read_all(&[]).0, "{}", option.name);
            assert!(complaints.is_empty(), "{complaints:?}");
        }
    }

    #[test]
    fn bad_values_keep_the_default_and_are_named() {
        for option in OPTIONS {
            let (options, complaints) = read_all(&[&format!("{}=%", option.name), "HOME=/", "SPANDRELX=1"]);
            assert_eq!(options, read_all(&[]).0);
            assert_eq!(complaints, [format!("{}=% Form({:?})", option.name, option.kind)]);
        }
    }

    #[test]
    fn unknown_names_are_named() {
        let (_, complaints) = read_all(&["SPANDREL_NO_SUCH=1"]);
        assert_eq!(complaints.len(), 1);
    }

    #[test]
    fn values_take_effect() {
        let (options, _) =
            read_all(&["SPANDREL_PURGE_DELAY=never", "SPANDREL_ON_ERROR=report", "SPANDREL_DIAG_RANGE=1-2K"]);
        assert_eq!(options.purge_delay, None);
        assert_eq!(options.on_error, OnError::Report);
        assert_eq!(options.diag_range, (1, 2048));
    }

    #[test]
    fn settings_of_profiles_are_good_and_differ_from_the_defaults() {
        for profile in &PROFILES {
            for (name, value) in profile.settings() {
                let mut options = Options::DEFAULT;
                assert_eq!(options.set(name.as_bytes(), value.as_bytes()), Ok(()), "{name} of {}", profile.name);
                assert_ne!(options, Options::DEFAULT, "{name} of {}", profile.name);
            }
        }
    }

    #[test]
    fn a_profile_sets_defaults_and_the_environment_wins_wherever_it_stands() {
        let (server, _) = read_all(&["SPANDREL_PROFILE=hosted-server"]);
        assert_eq!(
            (server.profile.row().name, server.bin_bytes, server.purge_delay),
            ("hosted-server", 512 << 10, Some(5000))
        );
        for order in [
            ["SPANDREL_PROFILE=hosted-server", "SPANDREL_PURGE_DELAY=7"],
            ["SPANDREL_PURGE_DELAY=7", "SPANDREL_PROFILE=hosted-server"],
        ] {
            let (options, complaints) = read_all(&order);
            assert_eq!(options, Options { purge_delay: Some(7), ..server });
            assert!(complaints.is_empty());
        }
    }

    #[test]
    fn options_that_contradict_one_another_are_named_by_the_later() {
        for order in [
            ["SPANDREL_FORCE_LIBC=1", "SPANDREL_MODE=counting"],
            ["SPANDREL_MODE=counting", "SPANDREL_FORCE_LIBC=1"],
            ["SPANDREL_PURGE_DELAY=never", "SPANDREL_IDLE_RETURN=thread"],
            ["SPANDREL_IDLE_RETURN=thread", "SPANDREL_PURGE_DELAY=never"],
        ] {
            let (options, complaints) = read_all(&order);
            assert_eq!(options, read_all(&order[..1]).0);
            assert!(complaints.len() == 1 && complaints[0].starts_with(order[1]), "{complaints:?}");
        }
    }

    #[test]
    fn huge_pages_are_for_one_profile() {
        let (options, complaints) = read_all(&["SPANDREL_HUGEPAGES=thp", "SPANDREL_PROFILE=hosted-server"]);
        assert_eq!((options.huge_pages, complaints.len()), (HugePages::Thp, 0));
        for profile in PROFILES.iter().filter(|profile| !profile.hooks) {
            let (options, complaints) =
                read_all(&["SPANDREL_HUGEPAGES=thp", &format!("SPANDREL_PROFILE={}", profile.name)]);
            assert_eq!(options.huge_pages, HugePages::Off);
            assert_eq!(complaints, ["SPANDREL_HUGEPAGES=thp HugePages"]);
        }
    }
}
