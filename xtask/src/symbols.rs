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

/// The outside that a library may have.
struct Rules {
    /// The list of the names that it exports.
    list: &'static str,
    /// The libraries that it may need.
    needed: &'static [&'static str],
    soname: &'static str,
    largest_tls: u64,
    /// Imports that it must not have.
    unfriendly: &'static [&'static str],
}

const PRODUCT: Rules = Rules {
    list: "scripts/exported-symbols.txt",
    needed: &["ld-linux-x86-64.so.2", "libc.so.6"],
    soname: "libspandrel.so.0",
    largest_tls: 64,
    unfriendly: UNFRIENDLY,
};
/// The library of jemalloc's calls, which stands on malloc and so calls it.
const JEMALLOC: Rules = Rules {
    list: "scripts/exported-symbols-jemalloc.txt",
    needed: &["libspandrel.so.0", "libc.so.6"],
    soname: "libspandrel_jemalloc.so.0",
    largest_tls: 0,
    unfriendly: &[],
};
const JEMALLOC_FILE: &str = "libspandrel_jemalloc.so";
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

/// Checks the release build with the library beside it, or the library named.
///
/// # Errors
/// When a rule is broken; all broken rules are printed.
pub fn run(root: &Path, library: Option<&PathBuf>) -> Result<()> {
    let path = repo::library(library.map(PathBuf::as_path))?;
    let mut count = check(root, &path, &PRODUCT)?;
    if library.is_none() {
        count += check(root, &path.with_file_name(JEMALLOC_FILE), &JEMALLOC)?;
    }
    match count {
        0 => Ok(()),
        1 => bail!("1 symbol rule broken"),
        count => bail!("{count} symbol rules broken"),
    }
}

/// Prints the broken rules of a library; how many they are.
fn check(root: &Path, path: &Path, rules: &Rules) -> Result<usize> {
    let list = fs::read_to_string(root.join(rules.list)).with_context(|| format!("cannot read {}", rules.list))?;
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let facts = facts(&data).with_context(|| format!("cannot read {}", path.display()))?;
    let problems = problems(&facts, &listed(&list), rules);
    for problem in &problems {
        println!("{}: {problem}", path.display());
    }
    if problems.is_empty() {
        println!(
            "symbols: {}: {} exported as listed, {} imported, {} bytes of TLS, needs {}",
            rules.soname,
            facts.exported.len(),
            facts.imported.len(),
            facts.tls_bytes,
            facts.needed.into_iter().collect::<Vec<_>>().join(" and ")
        );
    }
    Ok(problems.len())
}

/// The names in the list; `#` begins a comment.
fn listed(list: &str) -> BTreeSet<String> {
    list.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn problems(facts: &Facts, listed: &BTreeSet<String>, rules: &Rules) -> Vec<String> {
    let list = rules.list;
    let mut problems = Vec::new();
    problems
        .extend(facts.exported.difference(listed).map(|name| format!("exports `{name}`, which {list} does not list")));
    problems
        .extend(listed.difference(&facts.exported).map(|name| format!("does not export `{name}`, which {list} lists")));
    let allowed = rules.needed.iter().map(|&name| name.to_owned()).collect();
    problems.extend(facts.needed.difference(&allowed).map(|name| format!("needs {name}")));
    if !facts.needed.contains("libc.so.6") {
        problems.push("does not need libc.so.6".to_owned());
    }
    problems.extend(
        facts
            .imported
            .iter()
            .filter(|name| rules.unfriendly.contains(&name.as_str()))
            .map(|name| format!("imports `{name}`")),
    );
    if facts.soname.as_deref() != Some(rules.soname) {
        let soname = facts.soname.as_deref().unwrap_or("not set");
        problems.push(format!("its soname is {soname:?}, not {}", rules.soname));
    }
    if facts.tls_bytes > rules.largest_tls {
        let (bytes, most) = (facts.tls_bytes, rules.largest_tls);
        problems.push(format!("has {bytes} bytes of thread-local storage, at most {most} are allowed"));
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
            soname: Some(PRODUCT.soname.to_owned()),
            tls_bytes: 8,
        }
    }

    #[test]
    fn a_good_library_passes() {
        assert!(problems(&good(), &listed("malloc # the one\nfree\n"), &PRODUCT).is_empty());
    }

    #[test]
    fn each_rule_is_checked() {
        assert_eq!(problems(&good(), &listed("malloc"), &PRODUCT).len(), 1);
        assert_eq!(problems(&good(), &listed("malloc free calloc"), &PRODUCT).len(), 1);
        assert_eq!(
            problems(&Facts { imported: listed("printf"), ..good() }, &listed("malloc free"), &PRODUCT).len(),
            1
        );
        assert_eq!(
            problems(&Facts { needed: listed("libc.so.6 libgcc_s.so.1"), ..good() }, &listed("malloc free"), &PRODUCT)
                .len(),
            1
        );
        assert_eq!(problems(&Facts { needed: BTreeSet::new(), ..good() }, &listed("malloc free"), &PRODUCT).len(), 1);
        assert_eq!(problems(&Facts { soname: None, ..good() }, &listed("malloc free"), &PRODUCT).len(), 1);
        assert_eq!(
            problems(&Facts { tls_bytes: PRODUCT.largest_tls + 1, ..good() }, &listed("malloc free"), &PRODUCT).len(),
            1
        );
    }

    #[test]
    fn this_program_itself_can_be_read() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(facts(&own).unwrap().needed.contains("libc.so.6"));
    }
}
