//! Runs a workload with the global allocator that a feature chose: `spandrel-crates WORKLOAD COUNT` prints a sum of what
//! the workload computed, which is the same with every allocator.
//!
//! Knows: the crates. Must not know: how it is measured.

mod flows;
mod workloads;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "snmalloc")]
#[global_allocator]
static ALLOCATOR: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

#[cfg(feature = "spandrel")]
#[global_allocator]
static ALLOCATOR: spandrel::Spandrel = spandrel::Spandrel;

fn run(name: &str, count: usize) -> Option<u64> {
    let all = flows::ALL.iter().chain(workloads::ALL);
    all.into_iter().find(|(known, _)| *known == name).map(|(_, work)| work(count))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let count = arguments.next().and_then(|count| count.parse().ok());
    match count.and_then(|count| run(&name, count)) {
        Some(sum) => {
            println!("{sum}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("spandrel-crates WORKLOAD COUNT");
            ExitCode::FAILURE
        }
    }
}
