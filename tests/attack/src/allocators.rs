//! The allocators that are attacked: Spandrel's modes, the C library's own, and what `scripts/peers` built.
//!
//! Knows: names, libraries, environments. Must not know: cases, verdicts.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of Spandrel in its modes.
pub const SPANDREL: &str = "spandrel";
const GLIBC: &str = "glibc";
/// The C library's own checks come as a library of their own.
const GLIBC_CHECKS: &str = "/lib/x86_64-linux-gnu/libc_malloc_debug.so.0";

/// Which allocators an allocator is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// As one gets it.
    Default,
    /// Built or configured to withstand attacks.
    Hardened,
    /// To find mistakes, not to run with.
    Diagnostic,
}

/// An allocator in one of its modes.
#[derive(Clone, Debug)]
pub struct Allocator {
    /// The allocator.
    pub name: String,
    /// Its mode, or the options it runs with.
    pub mode: String,
    /// The allocators that it is compared with.
    pub kind: Kind,
    /// Preloaded; none for the C library's own.
    pub library: Option<PathBuf>,
    /// Its options.
    pub environment: BTreeMap<String, String>,
    /// Where it comes from.
    pub origin: String,
    /// The reason if it cannot be attacked.
    pub absent: Option<String>,
}

impl Allocator {
    /// `name` and `mode` in one word.
    #[must_use]
    pub fn label(&self) -> String {
        if self.mode.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.mode) }
    }

    /// Lines that it prints without a misuse.
    #[must_use]
    pub fn is_usual(&self, line: &str) -> bool {
        let usual = ["spandrel: tracked:", "spandrel: ALLOCATOR_GUARDED_SLOTS:", "tcmalloc: large alloc"];
        usual.iter().any(|start| line.starts_with(start))
    }
}

/// Environment variables.
type Options = &'static [(&'static str, &'static str)];

/// Spandrel's modes: name, environment.
const MODES: [(&str, Kind, Options); 4] = [
    ("fast", Kind::Default, &[]),
    ("hardened", Kind::Hardened, &[]),
    // With so many slots few cases use all of them, of which a line would tell.
    ("guarded", Kind::Diagnostic, &[("SPANDREL_GUARDED_RATE", "1"), ("SPANDREL_GUARDED_SLOTS", "4096")]),
    ("tracked", Kind::Diagnostic, &[]),
];

/// Others: name, mode, kind, environment. The library is `NAME.so` among the peers.
const PEERS: [(&str, &str, Kind, Options); 18] = [
    ("mimalloc3", "", Kind::Default, &[]),
    ("mimalloc2", "", Kind::Default, &[]),
    ("jemalloc", "", Kind::Default, &[]),
    ("snmalloc", "", Kind::Default, &[]),
    ("tcmalloc", "", Kind::Default, &[]),
    ("rpmalloc", "", Kind::Default, &[]),
    ("debian-jemalloc", "", Kind::Default, &[]),
    ("debian-tcmalloc", "", Kind::Default, &[]),
    ("debian-mimalloc", "", Kind::Default, &[]),
    ("mimalloc3-secure", "", Kind::Hardened, &[]),
    ("snmalloc-checks", "", Kind::Hardened, &[]),
    ("scudo", "", Kind::Hardened, &[]),
    ("scudo", "tightened", Kind::Hardened, &[("SCUDO_OPTIONS", SCUDO_TIGHTENED)]),
    ("hardened-malloc", "", Kind::Hardened, &[]),
    ("hardened-malloc-light", "", Kind::Hardened, &[]),
    ("jemalloc", "junk", Kind::Hardened, &[("MALLOC_CONF", "junk:true")]),
    (GLIBC, "tcache off", Kind::Hardened, &[("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")]),
    (GLIBC, "perturbed", Kind::Hardened, &[("GLIBC_TUNABLES", "glibc.malloc.perturb=85:glibc.malloc.tcache_count=0")]),
];
const SCUDO_TIGHTENED: &str = "dealloc_type_mismatch=1:quarantine_size_kb=1024:thread_local_quarantine_size_kb=256:\
                               quarantine_max_chunk_size=65536:zero_contents=1";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Spandrel in a mode.
///
/// # Errors
/// When there is no such mode among those that are attacked.
pub fn spandrel(library: &Path, mode: &str) -> Result<Allocator> {
    let Some((mode, kind, options)) = MODES.iter().find(|(name, _, _)| *name == mode) else {
        bail!("mode {mode} is not attacked");
    };
    let mut environment = environment(options);
    environment.insert("SPANDREL_MODE".to_owned(), (*mode).to_owned());
    Ok(Allocator {
        name: SPANDREL.to_owned(),
        mode: (*mode).to_owned(),
        kind: *kind,
        library: Some(library.to_owned()),
        environment,
        origin: "this repository".to_owned(),
        absent: None,
    })
}

/// All allocators, absent ones included: Spandrel first.
///
/// # Errors
/// When Spandrel cannot be named.
pub fn all(library: &Path, peers: &Path) -> Result<Vec<Allocator>> {
    let mut all = MODES.iter().map(|(mode, _, _)| spandrel(library, mode)).collect::<Result<Vec<_>>>()?;
    all.push(glibc("", Kind::Default, None, &[]));
    all.push(glibc("checks", Kind::Hardened, Some(GLIBC_CHECKS), &[("MALLOC_CHECK_", "3")]));
    for (name, mode, kind, options) in &PEERS {
        all.push(if *name == GLIBC {
            glibc(mode, *kind, None, options)
        } else {
            peer(peers, name, mode, *kind, options)
        });
    }
    Ok(all)
}

fn glibc(mode: &str, kind: Kind, library: Option<&str>, options: &[(&str, &str)]) -> Allocator {
    let library = library.map(PathBuf::from);
    let absent = library.as_ref().filter(|path| !path.exists()).map(|path| format!("no {}", path.display()));
    Allocator {
        name: GLIBC.to_owned(),
        mode: mode.to_owned(),
        kind,
        library,
        environment: environment(options),
        origin: "the C library of the system".to_owned(),
        absent,
    }
}

/// As `scripts/peers` left it: NAME.so with NAME.info, or NAME.reason.
fn peer(peers: &Path, name: &str, mode: &str, kind: Kind, options: &[(&str, &str)]) -> Allocator {
    let file = |end: &str| peers.join(format!("{name}.{end}"));
    let info = fs::read_to_string(file("info")).unwrap_or_default();
    let line = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    let reason = fs::read_to_string(file("reason")).ok().filter(|text| !text.trim().is_empty());
    let absent = (!file("so").is_file())
        .then(|| reason.map_or_else(|| "not built: run scripts/peers".to_owned(), |text| text.trim().to_owned()));
    let mut all = environment(options);
    all.extend(
        line("environment")
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    Allocator {
        name: name.to_owned(),
        mode: mode.to_owned(),
        kind,
        library: Some(file("so")),
        environment: all,
        origin: line("origin").to_owned(),
        absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_not_there_says_why() {
        let nowhere = all(Path::new("/x.so"), Path::new("/nowhere")).unwrap();
        let absent = |name: &str| nowhere.iter().find(|one| one.name == name).unwrap().absent.clone();
        for (name, ..) in PEERS.iter().filter(|(name, ..)| *name != GLIBC) {
            assert_eq!(absent(name).as_deref(), Some("not built: run scripts/peers"), "{name}");
        }
        assert_eq!((absent(SPANDREL), absent(GLIBC)), (None, None));
    }

    #[test]
    fn labels_are_all_different() {
        let mut labels: Vec<String> =
            all(Path::new("/x.so"), Path::new("/nowhere")).unwrap().iter().map(Allocator::label).collect();
        let count = labels.len();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }
}
