//! The checker can fail: each allocator of `broken/` is wrong in one way, and each is found out by name.

use std::path::Path;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::suite::{case, main as run_cases};
use spandrel_stress::run::{Order, Outcome};
use spandrel_stress::scenario::{Profile, Scenario};

const SECONDS: f64 = 1.0;
/// Growth takes its time to show.
const LONGER: f64 = 4.0;

/// Runs a scenario with the library and the shim that has this way of being wrong; the failure found.
fn failure(fault: &str, scenario: &'static str) -> Result<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("broken/shim.c");
    let flags = vec![format!("-DFAULT_{}", fault.to_uppercase().replace('-', "_")), "-ldl".to_owned()];
    let shim = build::shared_object(&Source { path: source, flags, name: Some(format!("broken-{fault}")) })?;
    let scenario = Scenario::named(scenario).ok_or("no such scenario")?;
    let order = Order {
        scenario,
        profile: Profile::HostedSmall,
        seconds: if fault == "grow" { LONGER } else { SECONDS },
        seed: 5,
        options: Vec::new(),
        before: Some(shim),
    };
    match order.run().map_err(|error| format!("{error:#}"))?.outcome {
        Outcome::Failed(failure) => Ok(failure.to_string()),
        other => Err(format!("not found out: {other:?}")),
    }
}

/// The failure is of this kind and says this.
fn found(fault: &str, scenario: &'static str, kind: &str, text: &str) -> Result<(), String> {
    let failure = failure(fault, scenario)?;
    if failure.starts_with(&format!("{kind}: ")) && failure.contains(text) {
        Ok(())
    } else {
        Err(format!("found as: {failure}"))
    }
}

/// The shim without a fault is no failure: what the others show is their fault.
fn sound() -> Result<(), String> {
    match failure("none", "churn") {
        Err(text) if text.contains("Passed") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn main() -> ExitCode {
    run_cases(
        vec![
            case("none_is_sound", sound),
            case("overlap", || found("overlap", "churn", "overlap", "lies over a live one")),
            case("same_block_twice", || found("twice", "remote-free", "overlap", "lies over a live one")),
            case("corrupt_byte", || found("corrupt", "transfer-cache", "corrupt", "instead of")),
            case("realloc_forgets_contents", || found("forget-contents", "thread-churn", "corrupt", "instead of")),
            case("misaligned", || found("misalign", "churn", "misaligned", "is not aligned to")),
            case("usable_size_too_small", || found("short", "churn", "short", "usable bytes of")),
            case("calloc_not_zero", || found("not-zero", "churn", "not-zero", "calloc")),
            case("free_forgotten", || {
                found("forget-free", "producer-consumer", "leak", "when every block has been freed")
            }),
            case("memory_grows", || found("grow", "transfer-cache", "growth", "resident memory rises")),
            case("refused_without_need", || found("refuse", "churn", "refused", "where memory is left")),
            case("refused_without_errno", || found("wrong-errno", "churn", "errno", "not ENOMEM")),
            case("crash_of_a_child", || found("child-crash", "fork-storm", "child", "ended by signal")),
            case("noise", || found("noise", "remote-free", "diagnostic", "ALLOCATOR_DOUBLE_FREE")),
        ],
        false,
    )
}
