//! Named heaps: random programs against a model in every mode, and a thousand tenants that come and go.
//!
//! `make tenants` runs the tenants for a minute and prints their figures.

#[path = "heaps/calls.rs"]
mod calls;
#[path = "heaps/model.rs"]
mod model;
#[path = "heaps/steps.rs"]
mod steps;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use harness::programs::{Program, bounded, number};
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

/// Says that this process has the library preloaded and is to try so many random programs.
const CASES: &str = "HEAP_MODEL_CASES";
/// The seed of the random programs, to repeat a failure.
const SEED: &str = "HEAP_MODEL_SEED";
/// How many seconds the tenants come and go.
const SECONDS: &str = "TENANTS_SECONDS";
/// Misuses that random programs make on purpose, refusals, and the end of the pages where each block is to have one.
const EXPECTED: [&str; 4] =
    ["ALLOCATOR_HEAP_IN_USE", "ALLOCATOR_HEAP_GONE", "ALLOCATOR_HEAP_LIMIT", "ALLOCATOR_GUARDED_SLOTS"];

/// The seed of the environment, for campaigns; else the same at each run.
fn seed() -> u64 {
    let given = env::var(SEED).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(1)
}

/// Random programs in a process of their own, under this library and with these settings.
fn model(library: PathBuf, settings: &[(&str, &str)], cases: u32) -> Result<(), String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = run::command(own);
    command.env("LD_PRELOAD", library).env(CASES, cases.to_string()).env(SEED, seed().to_string());
    command.envs(settings.iter().copied());
    let outcome = run::run(&mut command, 300)?;
    let strange = outcome.diagnostics().into_iter().find(|line| !EXPECTED.contains(&line.code));
    if outcome.end == harness::expect::End::Exit(0) && strange.is_none() {
        return Ok(());
    }
    Err(format!("{strange:?}\n{outcome}"))
}

fn released() -> Result<PathBuf, String> {
    paths::shared_library()
}

/// The library that checks its structures after each slow call.
fn checked() -> PathBuf {
    let release = paths::shared_library().unwrap_or_default();
    release.parent().and_then(|folder| folder.parent()).unwrap_or(&release).join("checked/libspandrel.so")
}

fn tenants(seconds: &str, environment: &[(&str, &str)]) -> Result<Outcome, String> {
    let outcome = Program { file: "tenants.c", arguments: &[seconds], environment, timeout: 240 }.run()?;
    let lines = outcome.diagnostics();
    if outcome.end != harness::expect::End::Exit(0) || lines.iter().any(|line| line.code != "ALLOCATOR_HEAP_LIMIT") {
        return Err(format!("the tenants did not come to their end, or something is reported\n{outcome}"));
    }
    for name in ["created", "destroyed", "deleted", "refused", "freed_by_others", "audits"] {
        if number(&outcome, name)? == 0 {
            return Err(format!("{name} is 0: that was not tested\n{outcome}"));
        }
    }
    // The memory that comes with threads, and pages of bins that stay.
    bounded(&outcome, 8 * 1024)?;
    Ok(outcome)
}

fn thousand_tenants() -> Result<(), String> {
    let wanted = env::var(SECONDS);
    let outcome = tenants(wanted.as_deref().unwrap_or("2"), &[])?;
    if wanted.is_ok() {
        println!("{}", outcome.stdout);
    }
    Ok(())
}

fn tenants_guarded() -> Result<(), String> {
    tenants("0.6", &[("SPANDREL_MODE", "guarded"), ("SPANDREL_GUARDED_RATE", "50")]).map(drop)
}

fn main() -> ExitCode {
    if let Some(cases) = env::var(CASES).ok().and_then(|text| text.parse().ok()) {
        return match model::check(cases, seed()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    const GUARDED_EACH: &[(&str, &str)] =
        &[("SPANDREL_MODE", "guarded"), ("SPANDREL_GUARDED_RATE", "1"), ("SPANDREL_GUARDED_SLOTS", "4096")];
    const RUNS: [(&str, &[(&str, &str)]); 9] = [
        ("fast", &[]),
        ("fast_purged_at_once", &[("SPANDREL_PURGE_DELAY", "0")]),
        ("fast_with_tiny_bins", &[("SPANDREL_BIN_BYTES", "1K")]),
        ("counting", &[("SPANDREL_MODE", "counting")]),
        ("tracked", &[("SPANDREL_MODE", "tracked")]),
        ("hardened", &[("SPANDREL_MODE", "hardened")]),
        ("guarded", &[("SPANDREL_MODE", "guarded"), ("SPANDREL_GUARDED_RATE", "50")]),
        ("guarded_each", GUARDED_EACH),
        ("profiled", &[("SPANDREL_HEAP_PROFILE_RATE", "2000"), ("SPANDREL_HEAP_PROFILE", "/dev/null")]),
    ];
    let of_mode = |(name, settings): (&str, &'static [(&str, &str)])| {
        case(&format!("model_{name}"), move || model(released()?, settings, 30))
    };
    let mut cases: Vec<_> = RUNS.into_iter().map(of_mode).collect();
    let obstacle =
        (!checked().is_file()).then(|| format!("{} is not there; `make checked` builds it", checked().display()));
    cases.push(case_if(obstacle.clone(), "model_checked", || model(checked(), &[], 25)));
    let hardened = || model(checked(), &[("SPANDREL_MODE", "hardened")], 15);
    cases.push(case_if(obstacle, "model_checked_hardened", hardened));
    cases.push(case("thousand_tenants", thousand_tenants));
    cases.push(case("tenants_guarded", tenants_guarded));
    run_cases(cases, false)
}
