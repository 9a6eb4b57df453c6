//! Measures alternatives of a design decision against each other, and writes what came out as a page and as JSON.
//!
//! Knows: the command line. Must not know: what is studied.

mod bins;
mod crates;
mod exchanges;
mod faults;
mod fragmentation;
mod heaps;
mod large;
mod latency;
mod lookup;
mod mapping;
mod modes;
mod page;
mod profiles;
mod rng;
mod steady;

use anyhow::Result;
use clap::{Parser, Subcommand};
use fragmentation::Extent;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "spandrel-study", about = "Alternatives of Spandrel's design, measured against each other")]
struct Arguments {
    #[command(subcommand)]
    study: Study,
    /// Directory for the pages
    #[arg(long, global = true, default_value = "docs/studies")]
    out: PathBuf,
    /// Repetitions of each measurement; the median counts
    #[arg(long, global = true, default_value_t = 7)]
    runs: usize,
}

#[derive(Debug, Subcommand)]
enum Study {
    /// How free learns a block's class
    Lookup,
    /// How fresh pages become resident
    Faults,
    /// How much bins hold, and how often they are looked over
    Bins,
    /// How many atomic exchanges a call costs, by number of threads
    Exchanges,
    /// The cost of each mode: instructions, time and memory
    Modes,
    /// How long the longest calls take, beside other allocators
    Latency,
    /// The cost of each profile for five real programs
    Profiles,
    /// Large and direct blocks, replaced and grown, beside other allocators
    Large,
    /// Memory over time of ten adversaries, beside other allocators
    Fragmentation,
    /// Rate and memory of steady work over a minute and a half, beside other allocators
    Steady,
    /// The crate for Rust programs, beside those of other allocators
    Crates,
    /// Named heaps, beside mimalloc's heaps and jemalloc's arenas
    Heaps,
    /// All of them
    All,
    /// One pass of a way of lookup, for counting instructions
    #[command(hide = true)]
    Kernel { scheme: String, passes: usize },
    /// One run of an adversary: bytes of a peak, ticks, milliseconds of a tick
    #[command(hide = true)]
    FragmentationKernel { name: String, most: usize, ticks: usize, pace: u64 },
    /// One run of steady work, of so many seconds
    #[command(hide = true)]
    SteadyKernel { seconds: usize },
    /// One run of the study of large blocks
    #[command(hide = true)]
    LargeKernel {
        blocks: usize,
        #[arg(action = clap::ArgAction::Set)]
        foreign: bool,
    },
    /// One run of a flow with a library's heaps
    #[command(hide = true)]
    HeapsKernel { library: String, flow: String, count: usize },
    /// One run of two threads that replace large blocks of a mix
    #[command(hide = true)]
    LargeReplace { mix: usize },
    /// One run of a buffer that grows by so many halves
    #[command(hide = true)]
    LargeGrow { halves: usize },
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
    let Arguments { study, out, runs } = arguments;
    match study {
        Study::Lookup => lookup::study(*runs)?.write(out),
        Study::Faults => faults::study(*runs)?.write(out),
        Study::Bins => bins::study(*runs)?.write(out),
        Study::Exchanges => exchanges::study()?.write(out),
        Study::Modes => modes::study(*runs)?.write(out),
        Study::Latency => latency::study(*runs)?.write(out),
        Study::Profiles => profiles::study(*runs)?.write(out),
        Study::Large => large::study(*runs)?.write(out),
        Study::Fragmentation => write_fragmentation(out),
        Study::Steady => write_steady(out),
        Study::Crates => crates::study(*runs)?.write(out),
        Study::Heaps => heaps::study(*runs)?.write(out),
        Study::All => {
            write_fragmentation(out)?;
            write_steady(out)?;
            large::study(*runs)?.write(out)?;
            modes::study(*runs)?.write(out)?;
            latency::study(*runs)?.write(out)?;
            profiles::study(*runs)?.write(out)?;
            lookup::study(*runs)?.write(out)?;
            faults::study(*runs)?.write(out)?;
            exchanges::study()?.write(out)?;
            crates::study(*runs)?.write(out)?;
            heaps::study(*runs)?.write(out)?;
            bins::study(*runs)?.write(out)
        }
        Study::Kernel { scheme, passes } => lookup::kernel(scheme, *passes),
        Study::FragmentationKernel { name, most, ticks, pace } => {
            fragmentation::kernel(name, Extent { most: *most, ticks: *ticks, pace: *pace })
        }
        Study::SteadyKernel { seconds } => steady::kernel(*seconds),
        Study::LargeKernel { blocks, foreign } => large::kernel(*blocks, *foreign),
        Study::HeapsKernel { library, flow, count } => heaps::kernel(library, flow, *count),
        Study::LargeReplace { mix } => large::replace(*mix),
        Study::LargeGrow { halves } => large::grow(*halves),
    }
}

/// The study of fragmentation at its full extent: a minute and a half.
fn write_fragmentation(out: &Path) -> Result<()> {
    let (page, picture) = fragmentation::study(Extent { most: 96 << 20, ticks: 80, pace: 50 })?;
    page.write_with(out, Some(&picture))
}

/// The study of steady work at its full extent: a minute and a half.
fn write_steady(out: &Path) -> Result<()> {
    let (page, picture) = steady::study(90)?;
    page.write_with(out, Some(&picture))
}
