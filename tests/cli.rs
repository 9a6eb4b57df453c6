//! The command `spandrel`: it starts a program itself under the library, and reports in one line where it cannot.

use std::process::{Command, ExitCode};

use harness::expect::End;
use harness::header::Variant;
use harness::observed::Waiting;
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
    let outcome =
        runs(&["run", "--profile", "hosted-server", "-o", "diag=1", "--", "perl", "-e", "print length(q(x) x 300)"])?;
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

/// A process whose descriptor lies gets a line that reports it, from the command as in the list; other processes get
/// theirs.
fn liars_are_found_out() -> Result<(), String> {
    let honest = Waiting::start(Variant::Preload, &[])?;
    // The number of classes, the bytes of a class's row, the distance between classes in the map, the bytes of a
    // record, the banks, and where purges are counted: an endless loop, a division by zero or an endless allocation for
    // a reader that believes them.
    for (word, value) in [(5, 1 << 43), (7, 0), (16, 0), (18, 0), (28, usize::MAX), (29, 0), (26, usize::MAX)] {
        let lying = Waiting::start_lying(word, value)?;
        let [honest_id, lying_id] = [&honest, &lying].map(|waiting| waiting.id().to_string());
        // A reader that believes it gets no 64 TiB.
        let tool = |words: &[&str]| {
            let mut shell = run::command("sh");
            shell.args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\""]).arg(paths::tool()?).args(words);
            run::run(&mut shell, 60)
        };
        let stats = tool(&["stats", &lying_id])?;
        let one_line =
            stats.stderr.lines().count() == 1 && stats.stderr.starts_with(&format!("spandrel: process {lying_id}"));
        let all = tool(&["top"])?;
        let row =
            |id: &str| all.stdout.lines().find(|line| line.split_whitespace().next() == Some(id)).unwrap_or_default();
        let rows = row(&lying_id).contains("unreadable: ") && row(&honest_id).contains("MiB");
        if stats.end != End::Exit(1) || !one_line || all.end != End::Exit(0) || !rows {
            return Err(format!("word {word} {value}\n{stats}\n{all}"));
        }
        lying.finish()?;
    }
    honest.finish()
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
        case("liars_are_found_out", liars_are_found_out),
    ];
    run_cases(cases, false)
}
