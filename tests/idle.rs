//! Memory of an idle process goes back to the kernel, whichever threads hold it, and no thread loses a block by that.

use std::process::ExitCode;

use harness::programs::{Program, number};
use harness::suite::{case, main as run_cases};

type Environment = &'static [(&'static str, &'static str)];

fn run(arguments: &'static [&'static str], environment: Environment) -> Result<(), String> {
    Program { file: "idle.c", arguments, environment, timeout: 60 }.run_clean().map(drop)
}

/// Threads that worked a little and sleep keep little more than a page for each of the fourteen block sizes that they
/// used.
fn a_crowd_keeps_little() -> Result<(), String> {
    const KIB_MAX: i64 = 130;
    let arguments = &["400", "50", "100", "200", "130"];
    let outcome = Program { file: "crowd.c", arguments, environment: &[], timeout: 90 }.run_clean()?;
    println!("{}", outcome.stdout.trim());
    let kib = number(&outcome, "kib")?;
    if kib <= KIB_MAX { Ok(()) } else { Err(format!("{kib} KiB of each thread stay\n{outcome}")) }
}

fn main() -> ExitCode {
    const HARDENED: Environment = &[("SPANDREL_MODE", "hardened")];
    const OFF: Environment = &[("SPANDREL_IDLE_RETURN", "off")];
    const THREAD: Environment = &[("SPANDREL_IDLE_RETURN", "thread")];
    // Rounds as often as can be.
    const OFTEN: Environment = &[("SPANDREL_PURGE_DELAY", "1")];
    const SOON_THREAD: Environment = &[("SPANDREL_PURGE_DELAY", "100"), ("SPANDREL_IDLE_RETURN", "thread")];
    const OFTEN_THREAD: Environment = &[("SPANDREL_PURGE_DELAY", "1"), ("SPANDREL_IDLE_RETURN", "thread")];
    let cases = vec![
        case("rare_calls_give_back_what_sleepers_hold", || run(&["calls"], &[])),
        case("sleepers_in_mode_hardened_keep_as_little", || run(&["calls"], HARDENED)),
        case("off_returns_nothing", || run(&["calls", "stays"], OFF)),
        case("frees_alone_give_back_most", || run(&["silent", "shrinks"], &[])),
        case("the_background_thread_needs_no_calls", || run(&["silent"], THREAD)),
        case("sleepers_wake_up_and_work_on", || run(&["waking"], OFTEN)),
        case("sleepers_wake_up_beside_the_background_thread", || run(&["waking"], OFTEN_THREAD)),
        case("one_thread_is_enough", || run(&["alone"], &[])),
        case("one_thread_that_hardly_calls_is_enough", || run(&["seldom"], &[])),
        case("large_blocks_go_without_calls", || run(&["large"], SOON_THREAD)),
        case("heaps_in_a_child_are_drained", || run(&["forked"], OFTEN)),
        case("one_thread_that_calls_often_is_enough", || run(&["frequent"], &[])),
        case("a_sandbox_sees_no_question_about_threads", || run(&["sandbox"], OFTEN)),
        case("a_context_that_was_swapped_away_goes_on", || run(&["contexts"], OFTEN)),
        case("libc_reaches_the_background_thread", || run(&["identity"], THREAD)),
        case("a_thread_asleep_in_a_handler_loses_no_block", || run(&["handlers"], OFTEN)),
        case("a_crowd_keeps_little", a_crowd_keeps_little),
    ];
    run_cases(cases, false)
}
