//! The table of profiles: for each a name, what it promises, and the options it sets.
//!
//! A profile is nothing but settings of other options, written as an operator would write them; what the environment
//! sets itself comes after and wins. Must not know what an option does.

/// A row of the table.
#[derive(PartialEq, Eq, Debug)]
pub struct Profile {
    /// Its name, the value of `SPANDREL_PROFILE`.
    pub name: &'static str,
    /// Whether huge pages and placement on NUMA nodes may be switched on in it.
    pub hooks: bool,
    /// The options it sets, as [`Profile::settings`] gives them, with blanks between. One text and no table of them, because the
    /// loader would write each pointer of that into every process.
    pub set: &'static str,
}

impl Profile {
    /// The options it sets: variable and value.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.set.split_ascii_whitespace().filter_map(|setting| setting.split_once('='))
    }

    /// Whether its memory is a pool of fixed size.
    pub(super) fn has_pool(&self) -> bool {
        self.settings().any(|(name, _)| name == "SPANDREL_POOL")
    }
}

/// All profiles; the first is the default.
pub static PROFILES: [Profile; 6] = [
    Profile { name: "hosted-small", hooks: false, set: "" },
    Profile {
        name: "hosted-server",
        hooks: true,
        set: "SPANDREL_BIN_BYTES=512K SPANDREL_CACHE_BYTES=cpus SPANDREL_PURGE_DELAY=5000 SPANDREL_SOFT_LIMIT=container",
    },
    Profile { name: "freestanding", hooks: false, set: "SPANDREL_POOL=64M SPANDREL_PURGE_DELAY=never" },
    Profile {
        name: "realtime",
        hooks: false,
        set: "SPANDREL_POOL=64M SPANDREL_PURGE_DELAY=never SPANDREL_PREFAULT=populate SPANDREL_LOCK=1",
    },
    Profile { name: "compiler-internal", hooks: false, set: "SPANDREL_BIN_BYTES=512K SPANDREL_PURGE_DELAY=never" },
    Profile {
        name: "test-fixture",
        hooks: false,
        set: "SPANDREL_FIXED_ADDRESS=1 SPANDREL_JUNK=1 SPANDREL_LEAKS=1 SPANDREL_PURGE_DELAY=never",
    },
];

/// The promise of each to the user, for documentation.
pub const PROMISES: [&str; PROFILES.len()] = [
    "Small bins, quick purge, no huge pages: for programs that share a machine with others.",
    "Larger bins and caches, slower purge, a soft limit from the container; the only profile in which huge pages and NUMA placement may be switched on.",
    "One pool of fixed size, taken at start; no system calls for memory afterwards; requests that do not fit fail.",
    "As `freestanding`, with the pool present and locked from the start; malloc and free make no system call.",
    "For short-lived processes: nothing is purged, nothing is torn down at exit, bins are larger.",
    "For tests: the same addresses in each run, junk in fresh and freed blocks, leaks reported at exit and by the exit status.",
];

/// The form of a profile's name, for complaints and documentation.
pub(super) const NAMES: &str = "hosted-small, hosted-server, freestanding, realtime, compiler-internal or test-fixture";

/// A profile that options name, by its row: a pointer to it would be one in the defaults of the options, all of which the
/// loader would then have to keep on pages that it writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chosen(u8);

impl Chosen {
    pub(crate) fn row(self) -> &'static Profile {
        let [first, ..] = &PROFILES;
        PROFILES.get(usize::from(self.0)).unwrap_or(first)
    }
}

/// The profile of that name.
pub(super) fn named(name: &[u8]) -> Option<Chosen> {
    let index = PROFILES.iter().position(|profile| profile.name.as_bytes() == name)?;
    u8::try_from(index).ok().map(Chosen)
}

/// The profile of a process that names none: that of `SPANDREL_DEFAULT_PROFILE` when the library was built, else the
/// first.
pub(super) const fn default() -> Chosen {
    let wanted = match option_env!("SPANDREL_DEFAULT_PROFILE") {
        Some(name) => name.as_bytes(),
        None => return Chosen(0),
    };
    let mut index = 0;
    while index < PROFILES.len() && !is_same(PROFILES[index].name.as_bytes(), wanted) {
        index += 1;
    }
    assert!(index < PROFILES.len(), "SPANDREL_DEFAULT_PROFILE names no profile; see docs/options.md");
    Chosen(index as u8)
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_name_and_named_in_the_form() {
        for profile in &PROFILES {
            assert_eq!(named(profile.name.as_bytes()).map(Chosen::row), Some(profile));
            assert!(NAMES.contains(profile.name));
        }
        assert_eq!(named(b"hosted"), None);
        assert!(!is_same(b"hosted", b"hostex") && !is_same(b"a", b"ab") && is_same(b"ab", b"ab"));
    }
}
