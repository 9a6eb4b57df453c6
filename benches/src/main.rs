//! Counts the instructions of the allocation paths under callgrind, and fails when the hit path is over its limits.
//!
//! Knows: the command line and the table. Must not know: callgrind.

mod callgrind;
mod cases;

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[derive(Debug, Parser)]
#[command(about = "Instructions of libspandrel.so per malloc and free, slow paths included")]
struct Arguments {
    /// Library to look into (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Most instructions per pair (16 bytes, 500 bytes, mix in 256 slots, mix in 8192 slots) and per block (malloc in a row, free in
    /// order, free in random order)
    #[arg(long, value_delimiter = ',', num_args = 1)]
    limits: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let library = arguments.library.clone().unwrap_or_else(|| target.join("release/libspandrel.so"));
    let library = library.canonicalize().with_context(|| format!("{} is not there: run `make build`", library.display()))?;
    let cases = || cases::PAIRED.iter().map(|case| (case, "pair")).chain(cases::BULKED.iter().map(|case| (case, "block")));
    if !arguments.limits.is_empty() && arguments.limits.len() != cases().count() {
        bail!("--limits takes {} numbers", cases().count());
    }
    let scratch = target.join("instructions");
    let driver = compile(root, &scratch)?;
    println!("Instructions inside {} (callgrind)", library.display());
    let mut over = Vec::new();
    for (at, (case, unit)) in cases().enumerate() {
        let cost = cases::cost(case, &driver, &library, &scratch)?;
        let limit = arguments.limits.get(at);
        let is_over = limit.is_some_and(|limit| cost > *limit);
        let verdict =
            limit.map_or_else(String::new, |limit| format!("limit {limit:>5.1}  {}", if is_over { "OVER" } else { "ok" }));
        println!("  {:<32} {cost:>7.2} per {unit:<5}   {verdict}", case.text);
        if is_over {
            over.push(case.text);
        }
    }
    if !over.is_empty() {
        bail!("over the limit: {}", over.join(", "));
    }
    Ok(())
}

/// Compiles the driver with the C compiler.
fn compile(root: &Path, scratch: &Path) -> Result<PathBuf> {
    fs::create_dir_all(scratch)?;
    let driver = scratch.join("driver");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-O2", "-g", "-fno-builtin-malloc", "-o"])
        .arg(&driver)
        .arg(root.join("benches/driver/driver.c"))
        .status()
        .with_context(|| format!("cannot run {compiler}"))?;
    if !status.success() {
        bail!("{compiler} ended with {status}");
    }
    Ok(driver)
}
