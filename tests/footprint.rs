//! The library's size in a process that does nothing: code that becomes resident, pages that are written, and what makes the
//! loader write them; and the pages that a thread touches with its first malloc.

use std::collections::BTreeSet;
use std::process::ExitCode;

use harness::programs::{Program, number};
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

/// Relocations of the library: words that the loader writes into every process.
const RELOCATIONS_MAX: usize = 285;
/// Bytes of data in the file: what is zero at first lies outside of it.
const DATA_MAX: u64 = 40 << 10;
/// Resident code in KiB, without a malloc.
const CODE_IDLE_MAX: i64 = 96;
/// Pages of code that one malloc and free use, and KiB that the kernel maps for them, the mean over all addresses. One page
/// away from all others adds 64.
const CODE_FIRST_MAX: [i64; 2] = [18, 112];
/// The same of a program that works for a while.
const CODE_WORK_MAX: [i64; 2] = [28, 160];
/// Pages of data that a process writes, by the loader, and by itself with its first malloc. The mapping behind the library may
/// be joined with the loader's own.
const WRITTEN_MAX: i64 = 40;

fn has_few_relocations() -> Result<(), String> {
    let count = run::readelf("--relocs")?.lines().filter(|line| line.contains(" R_X86_64_")).count();
    if (1..=RELOCATIONS_MAX).contains(&count) { Ok(()) } else { Err(format!("{count} relocations")) }
}

/// Relocated words lie on two pages: one that is read-only afterwards, and the last of the data, which the loader writes in any
/// case. The linker leaves the borders of pages out of the second group (`scripts/layout.ld`).
fn has_relocations_on_two_pages() -> Result<(), String> {
    let table = run::readelf("--relocs")?;
    let rows =
        table.lines().filter(|line| line.contains(" R_X86_64_")).filter_map(|line| line.split_whitespace().next());
    let pages = rows.map(|at| u64::from_str_radix(at, 16).map(|at| at >> 12)).collect::<Result<BTreeSet<_>, _>>();
    let pages = pages.map_err(|error| error.to_string())?;
    if (1..=2).contains(&pages.len()) { Ok(()) } else { Err(format!("relocations on {} pages", pages.len())) }
}

fn keeps_zeroes_out_of_the_file() -> Result<(), String> {
    let sections = run::readelf("--sections")?;
    let row = sections.lines().find_map(|line| line.split_once(" .data ")).ok_or("no section .data")?.1;
    let size = row.split_whitespace().nth(3).ok_or("cannot read the sections")?;
    let bytes = u64::from_str_radix(size, 16).map_err(|_| format!("size `{size}`"))?;
    if bytes <= DATA_MAX { Ok(()) } else { Err(format!("{bytes} bytes of data in the file")) }
}

/// Whether `name` begins as `pattern` does and has the rest of its parts, which `*` divides, in that order.
fn matches(name: &str, pattern: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else { return name == pattern };
    let after = |rest: &str, part: &str| rest.find(part).map(|at| at + part.len());
    name.strip_prefix(first)
        .and_then(|rest| others.split('*').try_fold(rest, |rest, part| rest.get(after(rest, part)?..)))
        .is_some()
}

/// Each pattern of `scripts/layout.ld` has a symbol: a function that gets another name would go to the end unnoticed.
fn orders_what_exists() -> Result<(), String> {
    let symbols = run::readelf("--symbols")?;
    let names: BTreeSet<_> = symbols.lines().filter_map(|line| line.split_whitespace().nth(7)).collect();
    let layout =
        std::fs::read_to_string(paths::workspace().join("scripts/layout.ld")).map_err(|error| error.to_string())?;
    let lines = layout.lines().map(str::trim).filter(|line| line.starts_with("*(."));
    let patterns = lines.flat_map(|line| line.split([' ', '(', ')'])).filter_map(|word| {
        // Sections that the compilers name, not functions.
        let name = [".text.", ".rodata.", ".data.", ".bss."].iter().find_map(|kind| word.strip_prefix(kind))?;
        (!name.starts_with("startup") && !name.starts_with("cst")).then_some(name)
    });
    let (some, gone): (Vec<_>, Vec<_>) = patterns.partition(|pattern| names.iter().any(|name| matches(name, pattern)));
    if some.len() > 50 && gone.is_empty() { Ok(()) } else { Err(format!("{} names match, not {gone:?}", some.len())) }
}

/// Sizes in KiB: resident code, resident data, written data.
fn footprint(arguments: &[&str]) -> Result<[i64; 3], String> {
    let outcome = Program { file: "footprint.c", arguments, environment: &[], timeout: 20 }.run_clean()?;
    Ok([number(&outcome, "code")?, number(&outcome, "data")?, number(&outcome, "written")?])
}

fn writes_little(arguments: &[&str]) -> Result<(), String> {
    let [code, data, written] = footprint(arguments)?;
    if (1..=WRITTEN_MAX).contains(&written) {
        return Ok(());
    }
    Err(format!("{code} KiB of code resident, {data} KiB of data, {written} KiB written"))
}

/// The kernel maps 64 KiB from the start of the code on, unless a page table ends within: that is so at less than one in 32
/// addresses, which are random. So the median of eleven is above 64 KiB by chance in less than one of two million tests.
fn has_little_code_resident() -> Result<(), String> {
    let mut all = Vec::new();
    for _ in 0..11 {
        all.push(footprint(&[])?[0]);
    }
    all.sort_unstable();
    if (1..=CODE_IDLE_MAX).contains(&all[5]) { Ok(()) } else { Err(format!("{all:?} KiB of code resident")) }
}

fn uses_little_code(arguments: &[&str], [pages_max, mapped_max]: [i64; 2]) -> Result<(), String> {
    let outcome = Program { file: "footprint.c", arguments, environment: &[], timeout: 20 }.run_clean()?;
    let (pages, mapped) = (number(&outcome, "pages")?, number(&outcome, "mapped")?);
    if (1..=pages_max).contains(&pages) && (1..=mapped_max).contains(&mapped) {
        return Ok(());
    }
    Err(format!("{arguments:?} use {pages} pages of code, for which {mapped} KiB are mapped"))
}

/// A new thread touches two pages of its heap, and one of the array of its first bin. Others that start after it share that
/// one. Nothing takes page faults away, but pages of code or of a stack may add some: the best of five runs counts.
fn threads_begin_small() -> Result<(), String> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let outcome = Program { file: "first_malloc.c", arguments: &[], environment: &[], timeout: 20 }.run_clean()?;
        let (most, all) = (number(&outcome, "most")?, number(&outcome, "all")?);
        if (1..=3).contains(&most) && all <= 8 * 5 / 2 {
            return Ok(());
        }
        seen.push((most, all));
    }
    Err(format!("page faults in the first malloc of a thread, the most of one and all of eight: {seen:?}"))
}

fn main() -> ExitCode {
    let no_readelf = paths::missing("readelf");
    let cases = vec![
        case_if(no_readelf.clone(), "has_few_relocations", has_few_relocations),
        case_if(no_readelf.clone(), "has_relocations_on_two_pages", has_relocations_on_two_pages),
        case_if(no_readelf.clone(), "orders_what_exists", orders_what_exists),
        case_if(no_readelf, "keeps_zeroes_out_of_the_file", keeps_zeroes_out_of_the_file),
        case("has_little_code_resident", has_little_code_resident),
        case("first_malloc_uses_little_code", || uses_little_code(&["pages"], CODE_FIRST_MAX)),
        case("work_uses_little_code", || uses_little_code(&["pages", "work"], CODE_WORK_MAX)),
        case("without_a_malloc_writes_little", || writes_little(&[])),
        case("first_malloc_writes_little", || writes_little(&["malloc"])),
        case("threads_begin_small", threads_begin_small),
    ];
    run_cases(cases, false)
}
