//! The columns: Spandrel in its forms and its peers, each shown to be in effect before anything is timed.
//!
//! Knows: what scripts/peers leaves behind, the probe's answers, Spandrel's server options. Must not know: workloads.
//! Invariants: an allocator whose proof fails is absent, with the reason; it is never timed under its name.

use crate::results::{Allocator, Group, Role};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of Spandrel in the tables.
pub const SPANDREL: &str = "spandrel";
/// Spandrel with the options of a server.
pub const SPANDREL_SERVER: &str = "spandrel-server";
/// Spandrel in mode `hardened`.
pub const SPANDREL_HARDENED: &str = "spandrel-hardened";
/// The C library's own, without a preload.
pub const GLIBC: &str = "glibc";
/// The allocator that ratios are taken against.
pub const BASE: &str = "mimalloc3";

/// The peers of the default group that scripts/peers builds, in the order of the tables.
pub const PEERS: &[&str] = &[
    BASE,
    "mimalloc2",
    "jemalloc",
    "snmalloc",
    "tcmalloc",
    "rpmalloc",
    "debian-jemalloc",
    "debian-tcmalloc",
    "debian-mimalloc",
];

/// The hardened ones among the peers.
pub const HARDENED_PEERS: &[&str] =
    &["mimalloc3-secure", "snmalloc-checks", "scudo", "scudo-tightened", "hardened-malloc-light", "hardened-malloc"];

/// Spandrel with options of its own.
#[derive(Debug)]
struct Form {
    name: &'static str,
    group: Group,
    options: &'static [(&'static str, &'static str)],
    /// A line that the probe has to print under it; empty if its taking the options is enough.
    proof: &'static str,
}

const FORMS: &[Form] = &[
    Form {
        name: SPANDREL_SERVER,
        group: Group::Default,
        options: &[("SPANDREL_PROFILE", "hosted-server"), ("SPANDREL_HUGEPAGES", "madvise")],
        proof: "",
    },
    Form {
        name: SPANDREL_HARDENED,
        group: Group::Hardened,
        options: &[("SPANDREL_MODE", "hardened")],
        proof: "reuse=later",
    },
    Form { name: "spandrel-counting", group: Group::Modes, options: &[("SPANDREL_MODE", "counting")], proof: "" },
    Form { name: "spandrel-tracked", group: Group::Modes, options: &[("SPANDREL_MODE", "tracked")], proof: "" },
    Form { name: "spandrel-guarded", group: Group::Modes, options: &[("SPANDREL_MODE", "guarded")], proof: "" },
    Form {
        name: "spandrel-profiled",
        group: Group::Modes,
        options: &[("SPANDREL_HEAP_PROFILE", "heap-%p-%n.pb.gz")],
        proof: "",
    },
];
/// Begins the line about an option that Spandrel does not take.
const COMPLAINT: &str = "spandrel: ALLOCATOR_";

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its record in the results.
    pub allocator: Allocator,
    /// The library to preload; none for the C library's own allocator.
    pub preload: Option<PathBuf>,
}

/// Which columns are wanted.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Names; if empty all of them. Spandrel is always there.
    pub peers: &'a [String],
    /// False if the modes for diagnosis have to be named.
    pub modes: bool,
    /// Libraries beyond the known ones, as `NAME=PATH`.
    pub also: &'a [String],
    /// Spandrel's library.
    pub library: &'a Path,
    /// Where scripts/peers builds.
    pub peers_dir: &'a Path,
}

/// The columns of a choice, those that are absent included.
///
/// # Errors
/// When a name is unknown, or Spandrel itself or the probe is not there.
pub fn columns(choice: &Choice<'_>) -> Result<Vec<Column>> {
    let known: Vec<&str> = FORMS.iter().map(|form| form.name).chain(peer_names()).chain([GLIBC]).collect();
    if let Some(name) = choice.peers.iter().find(|name| !known.contains(&name.as_str()) && *name != SPANDREL) {
        bail!("there is no peer {name}; there are: {}", known.join(", "));
    }
    let probe = choice.peers_dir.join("probe");
    if !probe.is_file() {
        bail!("{} is not there: run scripts/peers (or `make peers`) first", probe.display());
    }
    let named = |name: &str| choice.peers.iter().any(|peer| peer == name);
    let wanted = |name: &str| choice.peers.is_empty() || named(name);
    let plain = Form { name: SPANDREL, group: Group::Default, options: &[], proof: "" };
    let mut columns = vec![spandrel(&plain, choice.library, &probe)];
    if let Some(reason) = &columns[0].allocator.absent {
        bail!("Spandrel is not in effect: {reason}");
    }
    let form_wanted =
        |form: &&Form| named(form.name) || (wanted(form.name) && (choice.modes || form.group != Group::Modes));
    columns.extend(FORMS.iter().filter(form_wanted).map(|form| spandrel(form, choice.library, &probe)));
    for extra in choice.also {
        let (name, path) = extra.split_once('=').with_context(|| format!("{extra}: --also takes NAME=PATH"))?;
        let path = Path::new(path).canonicalize().with_context(|| format!("{path} is not there"))?;
        columns.push(proven(blank(name, Role::Own, &format!("file {}", path.display())), Some(path), "", "", &probe));
    }
    columns.extend(peer_names().filter(|name| wanted(name)).map(|name| peer(name, choice.peers_dir, &probe)));
    if wanted(GLIBC) {
        columns.push(glibc(&probe));
    }
    Ok(columns)
}

fn peer_names() -> impl Iterator<Item = &'static str> {
    PEERS.iter().chain(HARDENED_PEERS).copied()
}

fn blank(name: &str, role: Role, origin: &str) -> Allocator {
    Allocator {
        name: name.to_owned(),
        role,
        group: Group::Default,
        origin: origin.to_owned(),
        version: String::new(),
        sha256: String::new(),
        environment: Vec::new(),
        absent: None,
    }
}

fn spandrel(form: &Form, library: &Path, probe: &Path) -> Column {
    let mut allocator = blank(form.name, Role::Own, "this repository");
    allocator.group = form.group;
    allocator.environment =
        form.options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    proven(allocator, Some(library.to_path_buf()), "has spandrel_is_active", form.proof, probe)
}

fn glibc(probe: &Path) -> Column {
    let mut column = Column { allocator: blank(GLIBC, Role::System, "the C library of the system"), preload: None };
    match ask(probe, &column) {
        Ok(answers) if answers.get("served_by_libc").is_some_and(|answer| answer == "yes") => {
            column.allocator.version = answers.get("libc").cloned().unwrap_or_default();
        }
        Ok(_) => column.allocator.absent = Some("something else serves malloc without a preload".to_owned()),
        Err(error) => column.allocator.absent = Some(format!("{error:#}")),
    }
    column
}

/// A peer as scripts/peers left it: NAME.so with NAME.info, or NAME.reason.
fn peer(name: &str, dir: &Path, probe: &Path) -> Column {
    let library = dir.join(format!("{name}.so"));
    let info = fs::read_to_string(dir.join(format!("{name}.info"))).unwrap_or_default();
    let info = keys(&info);
    let line = |key: &str| info.get(key).cloned().unwrap_or_default();
    let mut allocator = blank(name, Role::Peer, &line("origin"));
    if HARDENED_PEERS.contains(&name) {
        allocator.group = Group::Hardened;
    }
    allocator.environment = line("environment")
        .split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    if !library.is_file() {
        let reason =
            fs::read_to_string(dir.join(format!("{name}.reason"))).ok().filter(|reason| !reason.trim().is_empty());
        allocator.absent =
            Some(reason.map_or_else(|| "not built: run scripts/peers".to_owned(), |reason| reason.trim().to_owned()));
        return Column { allocator, preload: None };
    }
    proven(allocator, Some(library), &line("mark"), &line("proof"), probe)
}

/// The column with what the probe shows under it: that its file serves malloc, libc does not, it calls itself what it
/// should, and the line `proof` is among the answers.
fn proven(mut allocator: Allocator, preload: Option<PathBuf>, mark: &str, proof: &str, probe: &Path) -> Column {
    let file = preload.clone().unwrap_or_default();
    allocator.sha256 = fs::read(&file).map(|bytes| format!("{:x}", Sha256::digest(bytes))).unwrap_or_default();
    let mut column = Column { allocator, preload };
    let shown = ask(probe, &column).and_then(|answers| {
        let answer = |key: &str| answers.get(key).cloned().unwrap_or_default();
        for call in ["malloc", "free", "realloc", "aligned_alloc"] {
            if Path::new(&answer(call)) != file {
                bail!("{call} comes from {:?}, not from {}", answer(call), file.display());
            }
        }
        if answer("served_by_libc") != "no" {
            bail!("libc's heap grew under it");
        }
        let version = answer("own_version");
        if !version.contains(mark) {
            bail!("it says {version:?} and not {mark:?}");
        }
        if let Some((key, value)) = proof.split_once('=')
            && answer(key) != value
        {
            bail!("it shows {key}={} and not {proof}", answer(key));
        }
        Ok(version)
    });
    match shown {
        Ok(version) => column.allocator.version = version,
        Err(error) => column.allocator.absent = Some(format!("{error:#}")),
    }
    column
}

/// Runs the probe under a column, in a directory of its own; its answers by key.
fn ask(probe: &Path, column: &Column) -> Result<BTreeMap<String, String>> {
    // A heap profile may come to lie there.
    let dir = tempfile::tempdir().context("no directory for the probe")?;
    let mut command = Command::new(probe);
    command
        .current_dir(dir.path())
        .env_clear()
        .envs(column.allocator.environment.iter().map(|(name, value)| (name, value)));
    if let Some(library) = &column.preload {
        command.env("LD_PRELOAD", library);
    }
    let output = command.output().with_context(|| format!("cannot start {}", probe.display()))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the probe ends with {}: {}", output.status, complaints.trim());
    }
    if let Some(line) = complaints.lines().find(|line| line.starts_with(COMPLAINT)) {
        bail!("this build does not take its options: {line}");
    }
    Ok(keys(&String::from_utf8_lossy(&output.stdout)))
}

fn keys(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake_probe(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("probe");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_peer_that_was_not_built_is_absent_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("snmalloc.reason"), "crate x cannot be built: no network\n").unwrap();
        let column = peer("snmalloc", dir.path(), Path::new("/bin/true"));
        assert_eq!(column.allocator.absent.as_deref(), Some("crate x cannot be built: no network"));
    }

    #[test]
    fn a_library_that_does_not_serve_malloc_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let probe = fake_probe(dir.path(), "echo malloc=/other.so; echo served_by_libc=no");
        let column = proven(blank("x", Role::Peer, ""), Some(PathBuf::from("/x.so")), "", "", &probe);
        assert!(column.allocator.absent.unwrap().contains("/other.so"));
    }

    #[test]
    fn a_library_that_refuses_its_options_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let probe = fake_probe(dir.path(), "echo 'spandrel: ALLOCATOR_BAD_OPTION: x' >&2");
        let column = proven(blank("x", Role::Peer, ""), None, "", "", &probe);
        assert!(column.allocator.absent.unwrap().contains("ALLOCATOR_BAD_OPTION"));
    }

    #[test]
    fn a_proven_library_says_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let calls = "for call in malloc free realloc aligned_alloc; do echo $call=/x.so; done";
        let probe =
            fake_probe(dir.path(), &format!("{calls}; echo served_by_libc=no; echo own_version=mi_version 30302"));
        let column = proven(blank("x", Role::Peer, ""), Some(PathBuf::from("/x.so")), "mi_version 3", "", &probe);
        assert_eq!((column.allocator.absent, column.allocator.version.as_str()), (None, "mi_version 30302"));
        let column = proven(blank("x", Role::Peer, ""), Some(PathBuf::from("/x.so")), "mi_version 2", "", &probe);
        assert!(column.allocator.absent.is_some());
    }

    #[test]
    fn a_hardened_build_has_to_show_that_it_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let calls = "for call in malloc free realloc aligned_alloc; do echo $call=/x.so; done";
        let probe = fake_probe(dir.path(), &format!("{calls}; echo served_by_libc=no; echo secure_level=0"));
        let shown = |proof| {
            proven(blank("x", Role::Peer, ""), Some(PathBuf::from("/x.so")), "", proof, &probe).allocator.absent
        };
        assert_eq!(shown("secure_level=0"), None);
        assert!(shown("secure_level=4").unwrap().contains("secure_level=0 and not secure_level=4"));
        assert!(shown("free_inside=stopped").is_some());
    }
}
