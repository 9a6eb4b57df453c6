//! Checks the built library from outside: what it exports, imports, needs and keeps per thread.
//!
//! Knows: ELF (through `object`) and the list of exported names. Must not know: the sources.

use crate::repo;
use anyhow::{Context, Result, bail};
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = "scripts/exported-symbols.txt";
const NEEDED: [&str; 2] = ["ld-linux-x86-64.so.2", "libc.so.6"];
const SONAME: &str = "libspandrel.so.0";
const LARGEST_TLS: u64 = 64;
/// Calls that allocate, take locks around allocation, or bind TLS lazily: none may be made from inside malloc.
/// (`fwrite` is what `malloc_info` is for: it writes to the caller's own stream; `pthread_create` is what
/// `SPANDREL_IDLE_RETURN=thread` asks for, and called where a call is about to return and holds nothing.)
const UNFRIENDLY: &[&str] = &[
    "__cxa_thread_atexit_impl",
    "__tls_get_addr",
    "aligned_alloc",
    "asprintf",
    "atexit",
    "backtrace",
    "calloc",
    "dl_iterate_phdr",
    "exit",
    "fflush",
    "fopen",
    "fprintf",
    "fputs",
    "free",
    "getline",
    "malloc",
    "memalign",
    "opendir",
    "posix_memalign",
    "printf",
    "puts",
    "putenv",
    "qsort",
    "realloc",
    "reallocarray",
    "regcomp",
    "setenv",
    "setlocale",
    "snprintf",
    "sprintf",
    "strdup",
    "strndup",
    "syslog",
    "valloc",
    "vfprintf",
    "vsnprintf",
];

/// The facts about a library.
#[derive(Debug, Default)]
struct Facts {
    exported: BTreeSet<String>,
    imported: BTreeSet<String>,
    needed: BTreeSet<String>,
    soname: Option<String>,
    tls_bytes: u64,
}

/// Checks the release build, or the library named.
///
/// # Errors
/// When a rule is broken; all broken rules are printed.
pub fn run(root: &Path, library: Option<&PathBuf>) -> Result<()> {
    let path = repo::library(library.map(PathBuf::as_path))?;
    let list = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let data = fs::read(&path)?;
    let facts = facts(&data).with_context(|| format!("cannot read {}", path.display()))?;
    let problems = problems(&facts, &listed(&list));
    for problem in &problems {
        println!("{}: {problem}", path.display());
    }
    if !problems.is_empty() {
        bail!(
            "{} broken",
            if problems.len() == 1 { "1 symbol rule".to_owned() } else { format!("{} symbol rules", problems.len()) }
        );
    }
    println!(
        "symbols: {} exported as listed, {} imported, {} bytes of TLS, needs {}",
        facts.exported.len(),
        facts.imported.len(),
        facts.tls_bytes,
        facts.needed.into_iter().collect::<Vec<_>>().join(" and ")
    );
    Ok(())
}

/// The names in the list; `#` begins a comment.
fn listed(list: &str) -> BTreeSet<String> {
    list.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn problems(facts: &Facts, listed: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    problems
        .extend(facts.exported.difference(listed).map(|name| format!("exports `{name}`, which {LIST} does not list")));
    problems
        .extend(listed.difference(&facts.exported).map(|name| format!("does not export `{name}`, which {LIST} lists")));
    let allowed = NEEDED.map(str::to_owned).into();
    problems.extend(facts.needed.difference(&allowed).map(|name| format!("needs {name}")));
    if !facts.needed.contains("libc.so.6") {
        problems.push("does not need libc.so.6".to_owned());
    }
    problems.extend(
        facts
            .imported
            .iter()
            .filter(|name| UNFRIENDLY.contains(&name.as_str()))
            .map(|name| format!("imports `{name}`")),
    );
    if facts.soname.as_deref() != Some(SONAME) {
        problems.push(format!("its soname is {:?}, not {SONAME}", facts.soname.as_deref().unwrap_or("not set")));
    }
    if facts.tls_bytes > LARGEST_TLS {
        problems
            .push(format!("has {} bytes of thread-local storage, at most {LARGEST_TLS} are allowed", facts.tls_bytes));
    }
    problems
}

fn facts(data: &[u8]) -> Result<Facts> {
    let file = ElfFile64::<Endianness>::parse(data)?;
    let endian = file.endian();
    let mut facts = Facts::default();
    for symbol in file.dynamic_symbols() {
        let name = symbol.name()?.to_owned();
        if symbol.is_undefined() && !name.is_empty() {
            facts.imported.insert(name);
        } else if symbol.is_definition() && !symbol.is_local() {
            facts.exported.insert(name);
        }
    }
    let header = FileHeader64::<Endianness>::parse(data)?;
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == elf::PT_TLS {
            facts.tls_bytes = segment.p_memsz(endian);
        }
    }
    let sections = header.sections(endian, data)?;
    for section in sections.iter() {
        let Some((entries, strings)) = section.dynamic(endian, data)? else { continue };
        let strings = sections.strings(endian, data, strings)?;
        for entry in entries {
            let tag = entry.tag32(endian).unwrap_or(0);
            let text = || Ok::<_, object::Error>(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            if tag == elf::DT_NEEDED {
                facts.needed.insert(text()?);
            } else if tag == elf::DT_SONAME {
                facts.soname = Some(text()?);
            }
        }
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            exported: listed("malloc free"),
            imported: listed("__libc_malloc memcpy"),
            needed: listed("libc.so.6"),
            soname: Some(SONAME.to_owned()),
            tls_bytes: 8,
        }
    }

    #[test]
    fn a_good_library_passes() {
        assert!(problems(&good(), &listed("malloc # the one\nfree\n")).is_empty());
    }

    #[test]
    fn each_rule_is_checked() {
        assert_eq!(problems(&good(), &listed("malloc")).len(), 1);
        assert_eq!(problems(&good(), &listed("malloc free calloc")).len(), 1);
        assert_eq!(problems(&Facts { imported: listed("printf"), ..good() }, &listed("malloc free")).len(), 1);
        assert_eq!(
            problems(&Facts { needed: listed("libc.so.6 libgcc_s.so.1"), ..good() }, &listed("malloc free")).len(),
            1
        );
        assert_eq!(problems(&Facts { needed: BTreeSet::new(), ..good() }, &listed("malloc free")).len(), 1);
        assert_eq!(problems(&Facts { soname: None, ..good() }, &listed("malloc free")).len(), 1);
        assert_eq!(problems(&Facts { tls_bytes: LARGEST_TLS + 1, ..good() }, &listed("malloc free")).len(), 1);
    }

    #[test]
    fn this_program_itself_can_be_read() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(facts(&own).unwrap().needed.contains("libc.so.6"));
    }
}
