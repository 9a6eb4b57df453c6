//! The command `spandrel`: it starts a program itself under the library, and reports in one line where it cannot.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use harness::build::{self, Source};
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

/// The program with a misuse below an inlined function.
fn misusing() -> Result<PathBuf, String> {
    build::program(&Source::new(paths::program_source("misuse.c")), Variant::Preload)
}

/// The line of the call that it misuses.
fn place_of_misuse() -> Result<String, String> {
    let text = fs::read_to_string(paths::program_source("misuse.c")).map_err(|error| error.to_string())?;
    let number = text.lines().position(|line| line.contains("the line that reports name")).ok_or("no such line")? + 1;
    Ok(format!("misuse.c:{number}"))
}

/// Whether `pieces` are in lines of `text`, each on a later line than the one before.
fn in_order(text: &str, pieces: &[&str]) -> bool {
    let mut lines = text.lines();
    pieces.iter().all(|piece| lines.any(|line| line.contains(piece)))
}

/// Source lines stand in the report, which stands between the lines that the program printed before and afterwards;
/// also if the program was started by a relative path and then went to another folder.
fn run_adds_source_lines_live() -> Result<(), String> {
    let (program, place) = (misusing()?, place_of_misuse()?);
    let (Some(folder), Some(name)) = (program.parent(), program.file_name()) else { return Err("no folder".into()) };
    let relative = format!("./{}", name.to_string_lossy());
    let mut command = tool(&["run", "-o", "on_error=report", &relative, "/"])?;
    let outcome = run::run(command.current_dir(folder), 30)?;
    let innermost = format!(": innermost at {}", paths::program_source("misuse.c").display());
    let pieces =
        ["before", "ALLOCATOR_INVALID", &innermost, "   inlined into outer at", ": main at", "ALLOCATOR_INVALID"];
    let right = in_order(&outcome.stderr, &[&pieces[..], &["and further frames", "after"]].concat());
    if right && outcome.stderr.contains(&place) && outcome.end == End::Exit(0) {
        Ok(())
    } else {
        Err(format!("no source lines in their place\n{outcome}"))
    }
}

/// Without an answer the lines are those of a program that `spandrel run` did not start.
fn stacks_need_no_answer() -> Result<(), String> {
    let program = misusing()?;
    let path = program.to_string_lossy();
    for setting in ["symbolizer=0", "symbolizer=1"] {
        let outcome = runs(&["run", "-o", "on_error=report", "-o", setting, &path])?;
        let raw = outcome
            .first_stack()
            .first()
            .is_some_and(|frame| frame.contains("misuse.preload+0x") && !frame.contains(" at "));
        if !raw || !in_order(&outcome.stderr, &["before", "ALLOCATOR_INVALID", "misuse.preload+0x", "after"]) {
            return Err(format!("{setting}\n{outcome}"));
        }
    }
    Ok(())
}

/// The process that answers is no child of the program, and ends with it.
fn run_leaves_nothing_behind() -> Result<(), String> {
    let script = "read children < /proc/$$/task/$$/children; echo \"$SPANDREL_SYMBOLIZER [$children]\"";
    let outcome = runs(&["run", "sh", "-c", script])?;
    let (number, children) = outcome.stdout.trim().split_once(' ').ok_or_else(|| format!("no number\n{outcome}"))?;
    if children != "[]" {
        return Err(format!("the program has children\n{outcome}"));
    }
    let name = format!("@spandrel-symbolizer-{number}");
    for _ in 0..500 {
        let sockets = fs::read_to_string("/proc/net/unix").map_err(|error| error.to_string())?;
        if !sockets.lines().any(|line| line.ends_with(&name)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{name} is still there"))
}

/// Printed stacks get their source lines afterwards; other lines stay as they are.
fn symbolizes_files_and_places() -> Result<(), String> {
    let (program, place) = (misusing()?, place_of_misuse()?);
    let mut command = run::preloaded(&program)?;
    let printed = run::run(command.env("SPANDREL_ON_ERROR", "report"), 30)?.stderr;
    let folder = paths::fresh("symbolize")?;
    let file = folder.join("printed");
    fs::write(&file, &printed).map_err(|error| error.to_string())?;
    let outcome = runs(&["symbolize", &file.to_string_lossy()])?;
    let pieces = ["before", "ALLOCATOR_INVALID", &place, "   inlined into outer at", ": main at", "after"];
    let kept = printed.lines().all(|line| outcome.stdout.lines().any(|other| other.starts_with(line)));
    if outcome.end != End::Exit(0) || !in_order(&outcome.stdout, &pieces) || !kept {
        return Err(format!("{printed}\n{outcome}"));
    }
    let frame = printed.lines().find(|line| line.contains("+0x")).and_then(|line| line.split_whitespace().nth(1));
    let frame = frame.ok_or_else(|| format!("no frame in {printed}"))?;
    wants(&runs(&["symbolize", frame])?, End::Exit(0), &format!("{frame}: innermost at"), "")?;
    wants(&runs(&["symbolize", "/no/such+0x1"])?, End::Exit(1), "", "/no/such+0x1: no function is known there")?;
    wants(&runs(&["symbolize", "/no/such/file"])?, End::Exit(1), "", "/no/such/file: No such file")
}

/// A subcommand: its name, words that have it print something, and the same for JSON. Words in capitals stand for a process, a profile, a folder and a call stack.
type Try = (&'static str, &'static [&'static str], &'static [&'static str]);

/// All subcommands that print anything for people; those that start a program print what it prints.
const TRIES: [Try; 16] = [
    ("run", &["run", "echo", "x"], &[]),
    ("doctor", &["doctor", "PID"], &["doctor", "PID", "--json"]),
    ("explain", &["explain", "100"], &["explain", "100", "--json"]),
    ("stats", &["stats", "PID"], &["stats", "PID", "--json"]),
    (
        "record",
        &["record", "PID", "--seconds", "0.02", "--every", "0.01", "-o", "FOLDER/record"],
        &["record", "PID", "--seconds", "0.02", "--every", "0.01", "-o", "FOLDER/record", "--json"],
    ),
    ("report", &["report", "PID", "-o", "FOLDER/report"], &["report", "PID", "--json"]),
    ("top", &["top"], &["top", "--json"]),
    ("top", &["top", "PID", "--once"], &["top", "PID", "--json"]),
    ("profile", &["profile", "-o", "FOLDER/profile", "true"], &[]),
    ("profile show", &["profile", "show", "PROFILE"], &["profile", "show", "PROFILE", "--json"]),
    ("profile collapse", &["profile", "collapse", "PROFILE"], &["profile", "collapse", "PROFILE", "--json"]),
    (
        "profile flame",
        &["profile", "flame", "PROFILE", "-o", "FOLDER/flame"],
        &["profile", "flame", "PROFILE", "--json"],
    ),
    ("profile diff", &["profile", "diff", "PROFILE", "PROFILE"], &["profile", "diff", "PROFILE", "PROFILE", "--json"]),
    ("leaks", &["leaks", "PROFILE"], &["leaks", "PROFILE", "--json"]),
    ("leaks", &["leaks", "PROFILE", "PROFILE"], &["leaks", "PROFILE", "PROFILE", "--json"]),
    ("symbolize", &["symbolize", "STACK"], &["symbolize", "STACK", "--json"]),
];
/// Subcommands that print nothing before they are ended.
const SILENT: [&str; 1] = ["serve"];

/// The meaning of the words in capitals.
struct Subjects {
    waiting: Waiting,
    folder: PathBuf,
}

impl Subjects {
    fn new(name: &str) -> Result<Self, String> {
        let subjects = Self { waiting: Waiting::start(Variant::Preload, &[])?, folder: paths::fresh(name)? };
        let script = "my @kept = map { 'x' x 3000 } 1 .. 3000";
        let made = subjects.run(&["profile", "-o", "PROFILE", "--rate", "16K", "perl", "-e", script])?;
        wants(&made, End::Exit(0), "", "stacks")?;
        let printed = run::run(run::preloaded(misusing()?)?.env("SPANDREL_ON_ERROR", "report"), 30)?.stderr;
        fs::write(subjects.folder.join("stack"), printed).map_err(|error| error.to_string())?;
        Ok(subjects)
    }

    fn command(&self, words: &[&str]) -> Result<Command, String> {
        let folder = self.folder.to_string_lossy();
        let stands_for = |word: &&str| match *word {
            "PID" => self.waiting.id().to_string(),
            "PROFILE" => format!("{folder}/heap.pb.gz"),
            "STACK" => format!("{folder}/stack"),
            word => word.replace("FOLDER", &folder),
        };
        let words: Vec<_> = words.iter().map(stands_for).collect();
        tool(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self, words: &[&str]) -> Result<Outcome, String> {
        run::run(&mut self.command(words)?, 60)
    }
}

/// The names of the commands that a help text lists.
fn listed(words: &[&str]) -> Result<Vec<String>, String> {
    let help = runs(words)?.stdout;
    let list = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names = list.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| *name != "help").map(str::to_owned).collect())
}

/// Every subcommand is in the table above.
fn tries_are_complete() -> Result<(), String> {
    let views = listed(&["profile", "--help"])?.into_iter().map(|view| format!("profile {view}"));
    let all: Vec<_> = listed(&["--help"])?.into_iter().chain(views).collect();
    let is_tried = |name: &&String| TRIES.iter().any(|(tried, ..)| tried == name) || SILENT.contains(&name.as_str());
    let missing: Vec<_> = all.iter().filter(|name| !is_tried(name)).collect();
    if all.len() > 12 && missing.is_empty() { Ok(()) } else { Err(format!("of {all:?} not tried: {missing:?}")) }
}

/// A reader that goes away ends any subcommand without a word, whether it reads the output or the messages.
fn closed_pipes_end_quietly() -> Result<(), String> {
    tries_are_complete()?;
    let subjects = Subjects::new("closed")?;
    let closed = || {
        let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
        drop(reader);
        Ok::<_, String>(writer)
    };
    let tries = TRIES.iter().flat_map(|(_, plain, json)| [*plain, *json]).filter(|words| !words.is_empty());
    for words in tries.chain([&["--help"][..], &["stats", "0"]]) {
        let mut command = subjects.command(words)?;
        let output = command.stdout(closed()?).stderr(Stdio::piped()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        // The command that makes a profile says where it is, and one that fails why.
        let may_say = words[0] == "profile" && said.contains("stacks)") || words[0] == "stats";
        if output.status.code() == Some(101) || !(said.is_empty() || may_say && !said.contains("panicked")) {
            return Err(format!("{words:?}: {} {said}", output.status));
        }
        let mut command = subjects.command(words)?;
        let status = command.stdout(Stdio::null()).stderr(closed()?).status().map_err(|error| error.to_string())?;
        if status.code() == Some(101) || (words[0] == "profile" && !status.success()) {
            return Err(format!("{words:?} without anyone to hear it: {status}"));
        }
    }
    subjects.waiting.finish()
}

/// Whatever prints has `--json`, and a reader that knows nothing of Spandrel takes it.
fn json_is_json() -> Result<(), String> {
    let subjects = Subjects::new("json")?;
    for (name, _, words) in TRIES.iter().filter(|(.., words)| !words.is_empty()) {
        let outcome = subjects.run(words)?;
        let printed = subjects.folder.join("printed");
        fs::write(&printed, &outcome.stdout).map_err(|error| error.to_string())?;
        let mut python = run::command("python3");
        python.args(["-c", "import json, sys; assert isinstance(json.load(open(sys.argv[1])), (list, dict))"]);
        let read = run::run(python.arg(&printed), 30)?;
        if outcome.end != End::Exit(0) || read.end != End::Exit(0) {
            return Err(format!("{name}\n{outcome}\n{read}"));
        }
    }
    subjects.waiting.finish()
}

fn main() -> ExitCode {
    let cases = vec![
        case("run_preloads_and_sets_options", preloads_and_sets_options),
        case("run_passes_status_and_signals_on", passes_status_and_signals_on),
        case("run_keeps_what_is_preloaded", keeps_what_is_preloaded_already),
        case("says_in_one_line_what_it_cannot_do", says_what_it_cannot_do),
        case("run_adds_source_lines_live", run_adds_source_lines_live),
        case("run_leaves_nothing_behind", run_leaves_nothing_behind),
        case("stacks_need_no_answer", stacks_need_no_answer),
        case("symbolize_files_and_places", symbolizes_files_and_places),
        case("explain_size", explains_sizes),
        case("closed_pipes_end_quietly", closed_pipes_end_quietly),
        case("json_is_json", json_is_json),
        case("liars_are_found_out", liars_are_found_out),
    ];
    run_cases(cases, false)
}
