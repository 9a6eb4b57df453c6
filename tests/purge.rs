//! Freed memory goes back to the kernel after the delay, whatever the program does meanwhile, and never where the
//! options forbid it.

use std::process::ExitCode;

use harness::programs::Program;
use harness::suite::{case, main as run_cases};

fn falls(arguments: &'static [&'static str]) -> Result<(), String> {
    Program { file: "purge.c", arguments, environment: &[], timeout: 40 }.run_clean().map(drop)
}

/// With `never`, the same program sees no fall: shows that the other cases measure the purge.
fn stays_without_purge() -> Result<(), String> {
    let environment = [("SPANDREL_PURGE_DELAY", "never")];
    let arguments = ["mallocs", "100000", "stays"];
    Program { file: "purge.c", arguments: &arguments, environment: &environment, timeout: 40 }.run_clean().map(drop)
}

fn main() -> ExitCode {
    let cases = vec![
        case("only_frees_small_blocks", || falls(&["frees", "500"])),
        case("only_frees_class_5000", || falls(&["frees", "5000"])),
        case("only_frees_large_blocks", || falls(&["frees", "200000"])),
        case("only_frees_one_huge_run_each", || falls(&["frees", "20000000"])),
        case("only_frees_direct_maps", || falls(&["frees", "40000000"])),
        case("only_others_small_blocks", || falls(&["others", "500"])),
        case("only_others_large_blocks", || falls(&["others", "200000"])),
        case("only_mallocs", || falls(&["mallocs", "20000"])),
        case("trim_small_blocks", || falls(&["trim", "500"])),
        case("trim_large_blocks", || falls(&["trim", "1000000"])),
        case("never_means_never", stays_without_purge),
    ];
    run_cases(cases, false)
}
