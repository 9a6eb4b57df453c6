//! The cost of the reservation outside of the process: core dumps by a debugger and by the kernel, locked memory,
//! an emulator.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use harness::background::Background;
use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::sandbox::limit;
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

const MIB: u64 = 1 << 20;
/// A dump may be larger than that under jemalloc by half.
const SHARE: (u64, u64) = (3, 2);
/// No larger dump is written at all.
const DUMP_MAX: u64 = 256 * MIB;
const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
/// An emulator's memory for a small program, with the emulator itself.
const EMULATED_MAX_KIB: i64 = 64 * 1024;
/// Page tables for the little that is in use.
const TABLES_MAX_KIB: i64 = 1024;

/// A block of the program's, full of one byte.
struct Block {
    address: u64,
    bytes: usize,
    byte: u8,
}

fn folder(name: &str) -> Result<PathBuf, String> {
    let folder = paths::output().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn block(line: &str) -> Option<Block> {
    let mut words = line.strip_prefix("block ")?.split(' ');
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(Block { address, bytes: words.next()?.parse().ok()?, byte: words.next()?.parse().ok()? })
}

/// The program, waiting, and its blocks.
fn waiting(preload: &Path) -> Result<(Background, Vec<Block>), String> {
    let program = build::program(&Source::new(paths::program_source("dumped.c")), Variant::Preload)?;
    let mut command = run::command(program);
    let mut child = command
        .arg("wait")
        .env("LD_PRELOAD", preload)
        .stdout(Stdio::piped())
        .spawn()
        .map(Background)
        .map_err(|error| error.to_string())?;
    let output = child.0.stdout.take().ok_or("no output")?;
    let mut blocks = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| error.to_string())?;
        match block(&line) {
            Some(block) => blocks.push(block),
            None if line == "ready" => return Ok((child, blocks)),
            None => return Err(format!("the program says {line}")),
        }
    }
    Err("the program ended early".to_owned())
}

/// gdb's dump of `process`.
fn dump(process: &Background, name: &str) -> Result<Vec<u8>, String> {
    let folder = folder(name)?;
    let mut command = run::command("gcore");
    limit(&mut command, libc::RLIMIT_FSIZE, DUMP_MAX);
    let outcome = run::run(command.arg("-o").arg(folder.join("core")).arg(process.id().to_string()), 120)?;
    let file = folder.join(format!("core.{}", process.id()));
    let length = fs::metadata(&file).map(|file| file.len());
    let core = match length {
        Ok(length) if length < DUMP_MAX => fs::read(&file).map_err(|error| error.to_string()),
        Ok(length) => Err(format!("the dump is {} MiB", length / MIB)),
        Err(error) => Err(format!("no dump: {error}\n{outcome}")),
    };
    // A dump of unlimited size would fill the disk.
    let _ = fs::remove_dir_all(folder);
    core
}

fn word(core: &[u8], at: u64, bytes: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = core.get(at..at + bytes)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The bytes that `core`, an ELF file of 64 bits, holds of the memory at `address`.
fn memory(core: &[u8], address: u64, bytes: usize) -> Option<&[u8]> {
    const LOAD: u64 = 1;
    let (table, step, count) = (word(core, 32, 8)?, word(core, 54, 2)?, word(core, 56, 2)?);
    for index in 0..count {
        let header = table + index * step;
        let (offset, start, held) =
            (word(core, header + 8, 8)?, word(core, header + 16, 8)?, word(core, header + 32, 8)?);
        if word(core, header, 4)? == LOAD && (start..start + held).contains(&address) {
            let at = usize::try_from(offset + (address - start)).ok()?;
            return core.get(at..at + bytes).filter(|_| address + bytes as u64 <= start + held);
        }
    }
    None
}

fn holds_all(core: &[u8], blocks: &[Block]) -> Result<(), String> {
    if blocks.len() < 1000 {
        return Err(format!("only {} blocks", blocks.len()));
    }
    for Block { address, bytes, byte } in blocks {
        let found =
            memory(core, *address, *bytes).ok_or_else(|| format!("{bytes} bytes at {address:#x} are missing"))?;
        if found.iter().any(|found| found != byte) {
            return Err(format!("{bytes} bytes at {address:#x} are not {byte}"));
        }
    }
    Ok(())
}

/// A debugger's dump has every byte of the heap, and little else.
fn debugger_dump() -> Result<(), String> {
    let (process, blocks) = waiting(&paths::shared_library()?)?;
    let core = dump(&process, "gcore")?;
    holds_all(&core, &blocks)?;
    let most = if Path::new(JEMALLOC).exists() {
        let (process, _) = waiting(Path::new(JEMALLOC))?;
        dump(&process, "gcore-jemalloc")?.len() as u64 * SHARE.0 / SHARE.1
    } else {
        32 * MIB
    };
    let bytes = core.len() as u64;
    if bytes <= most { Ok(()) } else { Err(format!("the dump has {bytes} bytes, more than {most}")) }
}

/// The kernel's dump has every byte of the heap.
fn kernel_dump() -> Result<(), String> {
    let folder = folder("kernel")?;
    let program = build::program(&Source::new(paths::program_source("dumped.c")), Variant::Preload)?;
    let outcome = run::run(run::preloaded(program)?.arg("abort").arg(&folder), 60)?;
    let file = fs::read_dir(&folder).map_err(|error| error.to_string())?.flatten().next();
    let core = file.map(|file| fs::read(file.path()).map_err(|error| error.to_string()));
    // As above.
    let _ = fs::remove_dir_all(folder);
    if outcome.end != End::Signal(libc::SIGABRT) {
        return Err(format!("{outcome}"));
    }
    let blocks: Vec<_> = outcome.stdout.lines().filter_map(block).collect();
    holds_all(&core.ok_or("no dump")??, &blocks)
}

/// The reason why the kernel writes no dumps into the folder of a process.
fn kernel_obstacle() -> Option<String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let elsewhere = pattern.trim().is_empty() || pattern.contains(['|', '/']);
    elsewhere.then(|| format!("dumps of the kernel go elsewhere: {}", pattern.trim()))
}

/// Locking all memory fills no page tables for what is only reserved.
fn locked() -> Result<(), String> {
    let outcome = Program { file: "locked.c", arguments: &[], environment: &[], timeout: 60 }.run_clean()?;
    let grown = number(&outcome, "after")? - number(&outcome, "before")?;
    if grown <= TABLES_MAX_KIB { Ok(()) } else { Err(format!("{grown} KiB of page tables more\n{outcome}")) }
}

/// An emulator that keeps a note of every page of a program has to keep few.
fn emulated() -> Result<(), String> {
    let library = paths::shared_library()?;
    let mut command = run::command("qemu-x86_64");
    command.arg("-E").arg(format!("LD_PRELOAD={}", library.display()));
    let outcome = run::run(command.args(["/bin/grep", "VmHWM", "/proc/self/status"]), 60)?;
    outcome.clean()?;
    let peak = outcome.stdout.split_whitespace().nth(1).and_then(|word| word.parse::<i64>().ok());
    match peak {
        Some(kib) if kib <= EMULATED_MAX_KIB => Ok(()),
        _ => Err(format!("peak {peak:?} KiB\n{outcome}")),
    }
}

fn main() -> ExitCode {
    let cases = vec![
        case_if(paths::missing("gcore"), "a_debuggers_dump_is_small_and_whole", debugger_dump),
        case_if(kernel_obstacle(), "a_dump_of_the_kernel_is_whole", kernel_dump),
        case("locking_fills_few_page_tables", locked),
        case_if(paths::missing("qemu-x86_64"), "an_emulator_needs_little", emulated),
    ];
    run_cases(cases, true)
}
