//! Which files of `src/` a cold malloc passes before memory is committed for it.
//!
//! Knows: the form of lackey's trace and of what addr2line prints. Must not know: what the files do.
//! Every instruction of one call is traced, up to its first system call, which is the commit. Functions that are
//! inlined count for the file that has their source.

use super::bench::compile;
use super::callgrind::LOADER;
use crate::evidence::output;
use crate::repo;
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSegment};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// The library and the limit.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Library to look into (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Most files above base/ and sys/ that the call may pass
    #[arg(long)]
    limit: Option<usize>,
}

/// A file, and its functions that ran, in the order in which the call came to them.
#[derive(Debug, PartialEq)]
struct Passed {
    file: String,
    functions: Vec<String>,
}

impl Passed {
    /// Whether the file is one of the allocator's own layers. Those below hold units, classes, atomics, locks and system calls, which a reader
    /// need not open to follow the call.
    fn is_above_ground(&self) -> bool {
        !["base/", "sys/"].iter().any(|ground| self.file.starts_with(ground))
    }
}

/// Prints the files in the order in which the call comes to them.
///
/// # Errors
/// When there are more than allowed, or the call cannot be traced.
pub fn run(request: &Request) -> Result<()> {
    let root = repo::root()?;
    let library = repo::library(request.library.as_deref())?;
    let driver = compile(&root, &repo::target(&root).join("instructions"), "slow_call")?;
    let code = fs::read(&library)?;
    let call = traced(&driver, &library)?;
    let end = call.iter().position(|address| is_system_call(&code, *address)).context("the call committed nothing")?;
    let files = files(&frames(&library, &call[..=end])?, &root.join("src"));
    let above = files.iter().filter(|passed| passed.is_above_ground()).count();
    println!(
        "a cold malloc passes {} files of src/, {above} of them above base/ and sys/, in {} instructions before it commits:",
        files.len(),
        end + 1
    );
    for (number, passed) in files.iter().enumerate() {
        println!("  {:>2}  {:<28} {}", number + 1, passed.file, passed.functions.join(", "));
    }
    match request.limit {
        Some(limit) if above > limit => {
            bail!("a cold malloc passes {above} files above base/ and sys/, at most {limit} are allowed")
        }
        _ => Ok(()),
    }
}

/// The addresses in the library of all instructions of the call, in their order.
fn traced(driver: &Path, library: &Path) -> Result<Vec<u64>> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=lackey", "--trace-mem=yes", LOADER, "--preload"]).arg(library).arg(driver);
    command.env_remove("LD_PRELOAD").env("SPANDREL_IDLE_RETURN", "off").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run valgrind: install the package `valgrind`")?;
    let trace = BufReader::new(child.stderr.take().context("no trace")?);
    let mut all = Vec::new();
    for line in trace.lines() {
        all.extend(instruction(&line?));
    }
    let mut said = String::new();
    child.stdout.take().context("no output")?.read_to_string(&mut said)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}: the call could not be made cold", driver.display());
    }
    let addresses: Vec<u64> = said
        .split_whitespace()
        .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let [base, cold, done] = addresses[..] else { bail!("{} printed {said:?}", driver.display()) };
    let start = all.iter().rposition(|address| *address == cold).context("the call is not in the trace")?;
    let call = all[start..].split(|address| *address == done).next().unwrap_or_default();
    // Code outside, such as the driver itself, has addresses that no line of the library has.
    Ok(call.iter().map(|address| address.wrapping_sub(base)).filter(|address| *address < 1 << 32).collect())
}

/// The address in a line `I  04001234,3` of the trace.
fn instruction(line: &str) -> Option<u64> {
    let (address, _) = line.strip_prefix("I ")?.trim().split_once(',')?;
    u64::from_str_radix(address, 16).ok()
}

fn is_system_call(library: &[u8], address: u64) -> bool {
    let Ok(file) = object::File::parse(library) else { return false };
    file.segments().any(|segment| segment.data_range(address, 2).is_ok_and(|data| data == Some(&SYSCALL)))
}

/// The output of addr2line for these addresses: for each the function and the line it is from, and those that it is
/// inlined into.
fn frames(library: &Path, addresses: &[u64]) -> Result<String> {
    let mut seen = BTreeSet::new();
    let words = addresses.iter().filter(|address| seen.insert(**address)).map(|address| format!("{address:#x}"));
    output(
        Command::new("addr2line")
            .args(["--addresses", "--functions", "--inlines", "--demangle", "--exe"])
            .arg(library)
            .args(words),
    )
}

/// The files below `sources`, in the order of the addresses; of each address those first that the others are inlined
/// into.
fn files(frames: &str, sources: &Path) -> Vec<Passed> {
    let mut files: Vec<Passed> = Vec::new();
    for address in frames.split("\n0x") {
        let lines: Vec<&str> = address.lines().skip(1).collect();
        let mut frames: Vec<(&str, &str)> = lines.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        frames.reverse();
        for (function, place) in frames {
            let (path, line) = place.rsplit_once(':').unwrap_or((place, ""));
            // Without a line it is code of no source, such as the compiler puts between two lines.
            if line == "?" || line == "0" {
                continue;
            }
            let Ok(file) = Path::new(path).strip_prefix(sources) else { continue };
            let (file, function) = (file.display().to_string(), short(function));
            let known = files.iter().position(|passed| passed.file == file);
            let at = known.unwrap_or_else(|| {
                files.push(Passed { file, functions: Vec::new() });
                files.len() - 1
            });
            if !files[at].functions.contains(&function) {
                files[at].functions.push(function);
            }
        }
    }
    files
}

/// The last part of a function's path, without parameters and the closure it may be in.
fn short(function: &str) -> String {
    let (mut plain, mut depth) = (String::new(), 0_usize);
    for letter in function.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    plain.split("::").filter(|part| !part.is_empty() && !part.starts_with('{')).last().unwrap_or("closure").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_a_trace_are_read_and_accesses_left_out() {
        assert_eq!(instruction("I  0400d7d4,8"), Some(0x0400_d7d4));
        assert_eq!(instruction(" L 1ffeffe7e,1"), None);
        assert_eq!(instruction("==7== Lackey"), None);
    }

    #[test]
    fn files_come_once_and_in_order_and_those_from_elsewhere_do_not() {
        let frames = "0x0000000000000010\nspandrel::base::class::of\n/w/src/base/class.rs:7\nmalloc\n/w/src/api/c.rs:3\n\
            0x0000000000000014\ncore::mem::swap\n/rustc/mem.rs:1\n<spandrel::heap::Heap>::refill\n/w/src/heap/refill.rs:9 (discriminator 2)\n\
            0x0000000000000018\nmalloc\n/w/src/api/c.rs:4\n0x000000000000001c\ngrow\n/w/src/lib.rs:?";
        let passed =
            |file: &str, function: &str| Passed { file: file.to_owned(), functions: vec![function.to_owned()] };
        let wanted = [passed("api/c.rs", "malloc"), passed("base/class.rs", "of"), passed("heap/refill.rs", "refill")];
        assert_eq!(files(frames, Path::new("/w/src")), wanted);
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short("spandrel::pages::runs::Runs::acquire_in"), "acquire_in");
        assert_eq!(short("spandrel::sys::tls::with::{{closure}}"), "with");
        assert_eq!(short("<spandrel::a::Fast as spandrel::b::Mode>::alloc::<spandrel::c::Small<u16>>"), "alloc");
    }
}
