//! The library's size in a process that does nothing: code that becomes resident, pages that are written, and what makes the
//! loader write them.

use std::process::ExitCode;

use harness::programs::{Program, number};
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

/// Relocations of the library: words that the loader writes into every process.
const RELOCATIONS_MAX: usize = 360;
/// Bytes of data in the file: what is zero at first lies outside of it.
const DATA_MAX: u64 = 40 << 10;
/// Resident code in KiB, without a malloc and with one. The address is random, and with it how many windows of the kernel, of 64
/// KiB each, the code lies in.
const CODE_IDLE_MAX: i64 = 96;
const CODE_STARTED_MAX: i64 = 224;
/// Pages of data that a process writes, by the loader, and by itself with its first malloc. The mapping behind the library may
/// be joined with the loader's own.
const WRITTEN_MAX: i64 = 48;

fn has_few_relocations() -> Result<(), String> {
    let count = run::readelf("--relocs")?.lines().filter(|line| line.contains(" R_X86_64_")).count();
    if (1..=RELOCATIONS_MAX).contains(&count) { Ok(()) } else { Err(format!("{count} relocations")) }
}

fn keeps_zeroes_out_of_the_file() -> Result<(), String> {
    let sections = run::readelf("--sections")?;
    let row = sections.lines().find_map(|line| line.split_once(" .data ")).ok_or("no section .data")?.1;
    let size = row.split_whitespace().nth(3).ok_or("cannot read the sections")?;
    let bytes = u64::from_str_radix(size, 16).map_err(|_| format!("size `{size}`"))?;
    if bytes <= DATA_MAX { Ok(()) } else { Err(format!("{bytes} bytes of data in the file")) }
}

/// Sizes in KiB: resident code, resident data, written data.
fn footprint(arguments: &[&str]) -> Result<[i64; 3], String> {
    let outcome = Program { file: "footprint.c", arguments, environment: &[], timeout: 20 }.run_clean()?;
    Ok([number(&outcome, "code")?, number(&outcome, "data")?, number(&outcome, "written")?])
}

fn within(arguments: &[&str], code_max: i64) -> Result<(), String> {
    // The code lies at another address each time, and with it the borders of the windows.
    for _ in 0..8 {
        let [code, data, written] = footprint(arguments)?;
        if !(1..=code_max).contains(&code) || !(1..=WRITTEN_MAX).contains(&written) {
            return Err(format!("{code} KiB of code resident, {data} KiB of data, {written} KiB written"));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let no_readelf = paths::find_program("readelf").is_none().then(|| "readelf is not installed".to_owned());
    let cases = vec![
        case_if(no_readelf.clone(), "has_few_relocations", has_few_relocations),
        case_if(no_readelf, "keeps_zeroes_out_of_the_file", keeps_zeroes_out_of_the_file),
        case("idle", || within(&[], CODE_IDLE_MAX)),
        case("one_malloc", || within(&["malloc"], CODE_STARTED_MAX)),
    ];
    run_cases(cases, false)
}
