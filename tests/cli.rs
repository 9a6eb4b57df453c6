//! The command `spandrel`: what it starts is the program itself, under the library; what it cannot do it says in one line.

use std::process::{Command, ExitCode};

use harness::expect::End;
use harness::run::{self, Outcome};
use harness::suite::{case, main as run_cases};
use harness::{diag, paths};

fn tool(arguments: &[&str]) -> Result<Command, String> {
    let mut command = run::command(paths::tool()?);
    command.args(arguments);
    Ok(command)
}

fn runs(arguments: &[&str]) -> Result<Outcome, String> {
    run::run(&mut tool(arguments)?, 30)
}

fn wants(outcome: &Outcome, end: End, stdout: &str, stderr: &str) -> Result<(), String> {
    let right = outcome.end == end && outcome.stdout.contains(stdout) && outcome.stderr.contains(stderr);
    if right { Ok(()) } else { Err(format!("expected {end:?}, `{stdout}` and `{stderr}`\n{outcome}")) }
}

fn preloads_and_sets_options() -> Result<(), String> {
    let outcome = runs(&["run", "--profile", "hosted-server", "-o", "diag=1", "--", "perl", "-e", "print length(q(x) x 300)"])?;
    wants(&outcome, End::Exit(0), "300", "profile=hosted-server")?;
    if diag::parse(&outcome.stderr)?.range.proved { Ok(()) } else { Err(format!("libc served calls\n{outcome}")) }
}

fn passes_status_and_signals_on() -> Result<(), String> {
    wants(&runs(&["run", "sh", "-c", "exit 7"])?, End::Exit(7), "", "")?;
    wants(&runs(&["run", "sh", "-c", "kill -KILL $$"])?, End::Signal(libc::SIGKILL), "", "")
}

fn keeps_what_is_preloaded_already() -> Result<(), String> {
    let mut command = tool(&["run", "sh", "-c", "echo $LD_PRELOAD"])?;
    command.env("LD_PRELOAD", paths::shared_library()?);
    let outcome = run::run(&mut command, 30)?;
    wants(&outcome, End::Exit(0), "libspandrel.so:", "")
}

fn says_what_it_cannot_do() -> Result<(), String> {
    wants(&runs(&["run", "/no/such/program"])?, End::Exit(1), "", "spandrel: /no/such/program: No such file")?;
    wants(&runs(&["run", "-o", "statz=1", "true"])?, End::Exit(1), "", "there is no option SPANDREL_STATZ")?;
    wants(&runs(&["run", "--library", "/no/lib.so", "true"])?, End::Exit(1), "", "/no/lib.so")?;
    wants(&runs(&["explain", "100", "3"])?, End::Exit(1), "", "power of two")?;
    wants(&runs(&["explain", "x"])?, End::Exit(2), "", "not a number of bytes")
}

fn explains_sizes() -> Result<(), String> {
    wants(&runs(&["explain", "100"])?, End::Exit(0), "112 bytes", "")?;
    wants(&runs(&["explain", "1M", "4K"])?, End::Exit(0), "large: a run of regions", "")
}

fn main() -> ExitCode {
    let cases = vec![
        case("run_preloads_and_sets_options", preloads_and_sets_options),
        case("run_passes_status_and_signals_on", passes_status_and_signals_on),
        case("run_keeps_what_is_preloaded", keeps_what_is_preloaded_already),
        case("says_in_one_line_what_it_cannot_do", says_what_it_cannot_do),
        case("explain_size", explains_sizes),
    ];
    run_cases(cases, false)
}
