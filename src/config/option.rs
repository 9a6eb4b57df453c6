//! The table of options and the values they take. `docs/options.md` is made from it.
//!
//! Unknown names that begin with `SPANDREL_` and malformed values are handed to the caller's `complain`, and the default stays.

use super::parse;

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

const PREFIX: &[u8] = b"SPANDREL_";
const FLAG: &str = "0 or 1";
const SIZE: &str = "bytes, with K, M, G or T";
const RANGE: &str = "LO-HI in bytes";
const POLICY: &str = "abort, report or ignore";
const DELAY: &str = "milliseconds, or `never`";

fn on_error(value: &[u8]) -> Option<OnError> {
    match value {
        b"abort" => Some(OnError::Abort),
        b"report" => Some(OnError::Report),
        b"ignore" => Some(OnError::Ignore),
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

fn bin_bytes(value: &[u8]) -> Option<usize> {
    parse::size(value).filter(|&size| size >= 1)
}

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
            /// The defaults.
            pub(crate) const DEFAULT: Self = Self { $($field: $default,)+ };

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
    bin_bytes: usize = 128 << 10, "SPANDREL_BIN_BYTES", SIZE, "128K", bin_bytes,
        "Most bytes of free blocks that one bin of one thread may hold (but at least 3 blocks).";
    stats: bool = false, "SPANDREL_STATS", FLAG, "0", parse::flag,
        "Prints `malloc_stats` on fd 2 at exit.";
}

/// Whether there is any option among `environment`.
pub(crate) fn any<'a>(mut environment: impl Iterator<Item = &'a [u8]>) -> bool {
    environment.any(|entry| entry.starts_with(PREFIX))
}

/// Reads the options among `environment`. Calls `complain` with the variable and the form its value should have.
pub(crate) fn read<'a>(environment: impl Iterator<Item = &'a [u8]>, mut complain: impl FnMut(&[u8], &'static str)) -> Options {
    let mut options = Options::DEFAULT;
    for entry in environment.filter(|entry| entry.starts_with(PREFIX)) {
        let equals = entry.iter().position(|&byte| byte == b'=').unwrap_or(entry.len());
        let (name, rest) = entry.split_at_checked(equals).unwrap_or((entry, &[]));
        if let Err(form) = options.set(name, rest.get(1..).unwrap_or(&[])) {
            complain(entry, form);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(environment: &[&str]) -> (Options, Vec<String>) {
        let mut complaints = Vec::new();
        let options = read(environment.iter().map(|entry| entry.as_bytes()), |entry, form| {
            complaints.push(format!("{} {form}", String::from_utf8_lossy(entry)));
        });
        (options, complaints)
    }

    #[test]
    fn written_defaults_are_the_defaults() {
        for option in OPTIONS {
            let (options, complaints) = read_all(&[&format!("{}={}", option.name, option.default)]);
            assert_eq!(options, Options::DEFAULT, "{}", option.name);
            assert!(complaints.is_empty(), "{complaints:?}");
        }
    }

    #[test]
    fn bad_values_keep_the_default_and_are_named() {
        for option in OPTIONS {
            let (options, complaints) = read_all(&[&format!("{}=%", option.name), "HOME=/", "SPANDRELX=1"]);
            assert_eq!(options, Options::DEFAULT);
            assert_eq!(complaints, [format!("{}=% {}", option.name, option.kind)]);
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
}
