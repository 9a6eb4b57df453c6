//! Storms of threads too big for one small program: none may hang, corrupt, or grow without bound.

use std::process::ExitCode;

use harness::programs::{Program, bounded, number};
use harness::suite::{case, main as run_cases};

fn storm(kind: &'static str, count: &'static str) -> Program<'static> {
    Program { file: "thread_storm.c", arguments: Box::leak(Box::new([kind, count])), environment: &[], timeout: 60 }
}

fn main() -> ExitCode {
    let cases = vec![
        case("detached_5000", || storm("detached", "5000").run_clean().map(drop)),
        case("crowd_500", || storm("crowd", "500").run_clean().map(drop)),
        case("relay_keeps_memory_bounded", || bounded(&storm("relay", "100").run_clean()?, 16 * 1024)),
        case("funnel_keeps_memory_bounded", || bounded(&storm("funnel", "4").run_clean()?, 16 * 1024)),
        case("idle_threads_hold_little", || bounded(&storm("idle", "50").run_clean()?, 2 * 1024)),
        case("crowd_without_purge_delay", || {
            Program { environment: &[("SPANDREL_PURGE_DELAY", "0")], ..storm("crowd", "200") }.run_clean().map(drop)
        }),
        case("relay_with_tiny_bins", || {
            Program { environment: &[("SPANDREL_BIN_BYTES", "1K")], ..storm("relay", "30") }.run_clean().map(drop)
        }),
        case("crowd_on_libc", || {
            Program { environment: &[("SPANDREL_FORCE_LIBC", "1")], ..storm("crowd", "200") }.run_clean().map(drop)
        }),
        case("diag_counts_every_thread", diag_counts_every_thread),
        case("ten_thousand_threads", ten_thousand_threads),
    ];
    run_cases(cases, false)
}

/// 10,000 threads that are all alive, with 16 blocks of up to 271 bytes each, hold no more than docs/guide/scale.md
/// says.
fn ten_thousand_threads() -> Result<(), String> {
    const RESIDENT_KIB: i64 = 48;
    const METADATA_BYTES: i64 = 12 * 1024;
    let arguments = &["10000", "200", "16"];
    let outcome = Program { file: "scale.c", arguments, environment: &[], timeout: 60 }.run_clean()?;
    let (resident, metadata) = (number(&outcome, "rss")?, number(&outcome, "metadata")?);
    if number(&outcome, "heaps")? < 10_000 || resident > RESIDENT_KIB || metadata > METADATA_BYTES {
        return Err(format!("at most {RESIDENT_KIB} KiB and {METADATA_BYTES} bytes of metadata are right\n{outcome}"));
    }
    Ok(())
}

/// 200 threads make 50 allocations each and about 380 more (a realloc in place counts as none), and free them all; the
/// report must know them, ended threads or not.
fn diag_counts_every_thread() -> Result<(), String> {
    let outcome = Program { environment: &[("SPANDREL_DIAG", "1")], ..storm("crowd", "200") }.run_clean()?;
    let report = harness::diag::parse(&outcome.stderr)?;
    let (calls, freed) = (report.lane("small").calls, report.freed("small"));
    if calls < 200 * 400 || freed < 200 * 400 {
        return Err(format!("only {calls} calls and {freed} frees counted\n{outcome}"));
    }
    if report.reason("recursion") > 0 || report.reason("exhausted") > 0 {
        return Err(format!("calls fell through to libc\n{outcome}"));
    }
    Ok(())
}
