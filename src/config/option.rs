//! The table of options and the values they take. `docs/options.md` is made from it.
//!
//! Unknown names that begin with `SPANDREL_`, malformed values and values that the profile rules out are handed to the caller's
//! `complain`, and the default stays.

use super::parse;
use super::profile::{self, Profile};

/// A row of the table, for documentation.
pub struct OptionInfo {
    /// Name of the environment variable.
    pub name: &'static str,
    /// The form of its value.
    pub kind: &'static str,
    /// The default, as one would write it.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// What a misuse leads to; the runtime turns it into its own policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnError {
    /// Print and abort.
    Abort,
    /// Print and go on.
    Report,
    /// Go on.
    Ignore,
}

/// How the kernel is asked for huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HugePages {
    /// Not at all.
    Off,
    /// By advice, once the heap is large.
    Madvise,
    /// By advice, from the start.
    Thp,
    /// Explicit ones of 2 MiB.
    Table,
    /// Explicit ones of 1 GiB.
    GiantTable,
}

/// How pages are made present before the program touches them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Prefault {
    /// Not at all.
    Off = 0,
    /// By writing to each.
    Touch = 1,
    /// By one system call.
    Populate = 2,
}

/// What is wrong with an entry of the environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Complaint {
    /// Its value is not of this form, or there is no such option.
    Form(&'static str),
    /// The profile has no huge pages.
    HugePages,
    /// It contradicts the profile; what that means, and what is done.
    Clash(&'static str),
}

const PREFIX: &[u8] = b"SPANDREL_";
const FLAG: &str = "0 or 1";
const SIZE: &str = "bytes, with K, M, G or T";
const RANGE: &str = "LO-HI in bytes";
const POLICY: &str = "abort, report or ignore";
const HUGE_PAGES: &str = "off, madvise, thp, hugetlb or hugetlb-1g";
const POOL: &str = "bytes, with K, M, G or T, 4M or more; or `none`";
const PREFAULT: &str = "off, touch or populate";
const DELAY: &str = "milliseconds, or `never`";

fn on_error(value: &[u8]) -> Option<OnError> {
    match value {
        b"abort" => Some(OnError::Abort),
        b"report" => Some(OnError::Report),
        b"ignore" => Some(OnError::Ignore),
        _ => None,
    }
}

fn huge_pages(value: &[u8]) -> Option<HugePages> {
    match value {
        b"off" => Some(HugePages::Off),
        b"madvise" => Some(HugePages::Madvise),
        b"thp" => Some(HugePages::Thp),
        b"hugetlb" => Some(HugePages::Table),
        b"hugetlb-1g" => Some(HugePages::GiantTable),
        _ => None,
    }
}

fn prefault(value: &[u8]) -> Option<Prefault> {
    match value {
        b"off" => Some(Prefault::Off),
        b"touch" => Some(Prefault::Touch),
        b"populate" => Some(Prefault::Populate),
        _ => None,
    }
}

/// `None` within `Some`: never.
fn delay(value: &[u8]) -> Option<Option<u64>> {
    if value == b"never" {
        return Some(None);
    }
    parse::number(value).map(|number| Some(number as u64))
}

fn reserve(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| (RESERVE_MIN..=RESERVE_MAX).contains(&size))
}

/// `None` within `Some`: no pool.
fn pool(value: &[u8]) -> Option<Option<usize>> {
    if value == b"none" {
        return Some(None);
    }
    parse::size(value).filter(|&size| (POOL_MIN..=RESERVE_MAX).contains(&size)).map(Some)
}

fn bin_bytes(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| size >= 1)
}

const POOL_MIN: usize = 4 << 20;
const RESERVE_MIN: usize = 8 << 20;
const RESERVE_MAX: usize = 16 << 40;

macro_rules! options {
    ($($field:ident: $type:ty = $default:expr, $name:literal, $kind:expr, $written:literal, $parse:path, $help:literal;)+) => {
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
    profile: &'static Profile = profile::default(), "SPANDREL_PROFILE", profile::NAMES, "hosted-small", profile::named,
        "A set of defaults for the other options: see below. What the environment sets itself wins.";
    force_libc: bool = false, "SPANDREL_FORCE_LIBC", FLAG, "0", parse::flag,
        "Sends every call to libc's own allocator.";
    diag: bool = false, "SPANDREL_DIAG", FLAG, "0", parse::flag,
        "Counts every call and prints at exit, on fd 2, which calls were served where and why. Costs speed: every call takes the slow gate.";
    diag_range: (usize, usize) = (256, 1040), "SPANDREL_DIAG_RANGE", RANGE, "256-1040", parse::range,
        "The request sizes for which `SPANDREL_DIAG` proves that no call fell through to libc.";
    on_error: OnError = OnError::Abort, "SPANDREL_ON_ERROR", POLICY, "abort", on_error,
        "What follows an invalid free, a double free or a mismatched size: a line and abort, a line, or nothing.";
    purge_delay: Option<u64> = Some(500), "SPANDREL_PURGE_DELAY", DELAY, "500", delay,
        "How long freed runs keep their pages for reuse before the kernel gets them back.";
    reserve: usize = 1 << 40, "SPANDREL_RESERVE", SIZE, "1T", reserve,
        "Address space to reserve, 8M to 16T; halved until the kernel agrees. Costs no memory.";
    bin_bytes: usize = 64 << 10, "SPANDREL_BIN_BYTES", SIZE, "64K", bin_bytes,
        "Most bytes of free blocks that one bin of one thread may hold (but at least 3 blocks).";
    stats: bool = false, "SPANDREL_STATS", FLAG, "0", parse::flag,
        "Prints `malloc_stats` on fd 2 at exit.";
    huge_pages: HugePages = HugePages::Off, "SPANDREL_HUGEPAGES", HUGE_PAGES, "off", huge_pages,
        "In profile `hosted-server` alone: huge pages by `madvise` once the heap is large, or (`thp`) from the start; or explicit ones (`hugetlb`).";
    huge_from: usize = 24 << 20, "SPANDREL_HUGEPAGES_FROM", SIZE, "24M", parse::size,
        "With `SPANDREL_HUGEPAGES=madvise`: how large the heap is before the kernel is asked for huge pages.";
    prefault: Prefault = Prefault::Off, "SPANDREL_PREFAULT", PREFAULT, "off", prefault,
        "Makes all pages of fresh spans and large blocks present at once, by writing to each or by one system call. Fewer faults, more memory.";
    pool: Option<usize> = None, "SPANDREL_POOL", POOL, "none", pool,
        "In profiles `freestanding` and `realtime` alone: all the memory there is, taken from the kernel at the first call; a sixteenth is the allocator's own.";
    lock: bool = false, "SPANDREL_LOCK", FLAG, "0", parse::flag,
        "In the same profiles: locks the pool in memory.";
}

/// Whether there is any option among `environment`.
pub(crate) fn any<'a>(mut environment: impl Iterator<Item = &'a [u8]>) -> bool {
    environment.any(|entry| entry.starts_with(PREFIX))
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
        if let Err(form) = options.set(name, value) {
            complain(entry, Complaint::Form(form));
        }
        if let Err(complaint) = options.agree(name) {
            complain(entry, complaint);
        }
    }
    options
}

/// Options that have no meaning where there is a pool.
const WITHOUT_POOL: [&[u8]; 3] = [b"SPANDREL_RESERVE", b"SPANDREL_PURGE_DELAY", b"SPANDREL_FORCE_LIBC"];

impl Options {
    /// Puts right what the option `name`, just set, has that the profile rules out.
    fn agree(&mut self, name: &[u8]) -> Result<(), Complaint> {
        let profile = self.profile;
        let standard = of_profile(profile);
        if !profile.hooks && self.huge_pages != HugePages::Off {
            self.huge_pages = HugePages::Off;
            Err(Complaint::HugePages)
        } else if profile.has_pool() && self.pool.is_none() {
            self.pool = standard.pool;
            Err(Complaint::Clash("the profile is nothing without a pool; its own stays"))
        } else if !profile.has_pool() && (self.pool.is_some() || self.lock) {
            (self.pool, self.lock) = (None, false);
            Err(Complaint::Clash("needs SPANDREL_PROFILE=freestanding or realtime; ignored"))
        } else if profile.has_pool() && WITHOUT_POOL.contains(&name) {
            (self.reserve, self.purge_delay, self.force_libc) = (standard.reserve, standard.purge_delay, standard.force_libc);
            Err(Complaint::Clash("a pool is all there is, from start to end; ignored"))
        } else {
            Ok(())
        }
    }
}

/// The options as `profile` sets them.
fn of_profile(profile: &'static Profile) -> Options {
    let mut options = Options { profile, ..Options::DEFAULT };
    for (name, value) in profile.settings {
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
        let (options, _) = read_all(&["SPANDREL_PURGE_DELAY=never", "SPANDREL_ON_ERROR=report", "SPANDREL_DIAG_RANGE=1-2K"]);
        assert_eq!(options.purge_delay, None);
        assert_eq!(options.on_error, OnError::Report);
        assert_eq!(options.diag_range, (1, 2048));
    }

    #[test]
    fn settings_of_profiles_are_good_and_differ_from_the_defaults() {
        for profile in &PROFILES {
            for (name, value) in profile.settings {
                let mut options = Options::DEFAULT;
                assert_eq!(options.set(name.as_bytes(), value.as_bytes()), Ok(()), "{name} of {}", profile.name);
                assert_ne!(options, Options::DEFAULT, "{name} of {}", profile.name);
            }
        }
    }

    #[test]
    fn a_profile_sets_defaults_and_the_environment_wins_wherever_it_stands() {
        let (server, _) = read_all(&["SPANDREL_PROFILE=hosted-server"]);
        assert_eq!((server.profile.name, server.bin_bytes, server.purge_delay), ("hosted-server", 512 << 10, Some(5000)));
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
    fn huge_pages_are_for_one_profile() {
        let (options, complaints) = read_all(&["SPANDREL_HUGEPAGES=thp", "SPANDREL_PROFILE=hosted-server"]);
        assert_eq!((options.huge_pages, complaints.len()), (HugePages::Thp, 0));
        for profile in PROFILES.iter().filter(|profile| !profile.hooks) {
            let (options, complaints) = read_all(&["SPANDREL_HUGEPAGES=thp", &format!("SPANDREL_PROFILE={}", profile.name)]);
            assert_eq!(options.huge_pages, HugePages::Off);
            assert_eq!(complaints, ["SPANDREL_HUGEPAGES=thp HugePages"]);
        }
    }
}
