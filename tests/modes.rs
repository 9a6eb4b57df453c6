//! Each mode on real programs: the same output, no diagnostic, and the mode's report.

use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::{End, says};
use harness::header::Variant;
use harness::reals::{self, Real};
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};
use libtest_mimic::Trial;

/// A mode, the environment that chooses it, and a text of its report.
struct Mode {
    name: &'static str,
    environment: &'static [(&'static str, &'static str)],
    says: Option<&'static str>,
}

const MODES: [Mode; 6] = [
    Mode { name: "libc", environment: &[("SPANDREL_MODE", "libc")], says: None },
    Mode {
        name: "counting",
        environment: &[("SPANDREL_MODE", "counting")],
        says: Some("spandrel: counting: outstanding blocks … bytes"),
    },
    Mode {
        name: "tracked",
        environment: &[("SPANDREL_MODE", "tracked")],
        says: Some("spandrel: tracked: … blocks of … bytes are live at exit, from … call stacks"),
    },
    Mode { name: "hardened", environment: &[("SPANDREL_MODE", "hardened")], says: None },
    Mode {
        name: "guarded",
        environment: &[
            ("SPANDREL_MODE", "guarded"),
            ("SPANDREL_GUARDED_RATE", "50"),
            ("SPANDREL_GUARDED_SIGSEGV", "1"),
        ],
        says: None,
    },
    Mode {
        name: "custom",
        environment: &[("SPANDREL_MODE", "custom"), ("SPANDREL_PLUGIN", "$FFI_OUT/helper_alloc_plugin.so")],
        says: None,
    },
];

/// Scripts and compilers, with threads and child processes among them, and one that opens its extensions with
/// RTLD_DEEPBIND.
const PROGRAMS: [&str; 8] = ["bash", "python3", "perl", "git", "sqlite3", "cc", "c++", "php"];

fn in_mode(mode: &Mode, program: &str, arguments: &[String]) -> Result<Outcome, String> {
    build::shared_object(&Source::new(paths::ffi_support().join("helper_alloc_plugin.c")))?;
    let folder = paths::output().display().to_string();
    let mut command = run::preloaded(program)?;
    command.args(arguments);
    command.envs(mode.environment.iter().map(|(name, value)| (name, value.replace("$FFI_OUT", &folder))));
    run::run(&mut command, 120)
}

fn same_output(mode: &Mode, real: &Real) -> Result<(), String> {
    let plain = reals::plain(real)?;
    let ours = in_mode(mode, real.program, &real.arguments)?;
    ours.clean()?;
    if ours.stdout != plain.stdout {
        return Err(format!("output differs\n{ours}\n--- without the allocator\n{plain}"));
    }
    mode.says.map_or(Ok(()), |text| says(&ours, text))
}

/// Threads, every lane, and a child that starts threads itself.
fn workload(mode: &Mode) -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("workload.c")), Variant::Preload)?;
    let outcome = in_mode(mode, &program.display().to_string(), &["4".to_owned(), "40".to_owned()])?;
    outcome.clean()?;
    if outcome.end == End::Exit(0) && outcome.stdout == "done\n" { Ok(()) } else { Err(outcome.to_string()) }
}

/// The report of mode tracked leaves out the blocks that libc and the loader keep: all of those of a program that
/// allocates nothing itself, and none but those of others.
fn tracked_leaves_out_the_runtime(program: &str, arguments: &[&str], is_empty: bool) -> Result<(), String> {
    let environment = &[("SPANDREL_MODE", "tracked"), ("SPANDREL_TRACKED_TOP", "1000000")];
    let mode = Mode { name: "tracked", environment, says: None };
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let outcome = in_mode(&mode, program, &arguments)?;
    outcome.clean()?;
    if !is_empty {
        says(&outcome, "spandrel: tracked: kept by libc and libstdc++: … blocks of … bytes")?;
    }
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let innermost = lines.windows(2).filter(|pair| pair[0].contains("tracked: #")).map(|pair| pair[1]);
    let kept = ["/ld-linux", "_IO_file_doallocate", "(setlocale", "(__cxa_atexit", "(pthread_create"];
    let shown: Vec<&str> = innermost.collect();
    let wrong = shown.iter().find(|frame| kept.iter().any(|name| frame.contains(name)));
    if wrong.is_none() && shown.is_empty() == is_empty { Ok(()) } else { Err(format!("{wrong:?} in {outcome}")) }
}

/// One line, and the default mode.
fn unknown_mode() -> Result<(), String> {
    let mode = Mode { name: "", environment: &[("SPANDREL_MODE", "quick")], says: None };
    let outcome = in_mode(&mode, "sh", &["-c".to_owned(), "echo works".to_owned()])?;
    let lines = outcome.diagnostics();
    let told = lines.len() == 1
        && lines.iter().all(|line| line.code == "ALLOCATOR_BAD_OPTION" && line.text.contains("=quick"));
    if told && outcome.stdout == "works\n" { Ok(()) } else { Err(outcome.to_string()) }
}

fn main() -> ExitCode {
    let mut cases: Vec<Trial> = vec![case("unknown_mode", unknown_mode)];
    cases.push(case("tracked_leaves_out_the_runtime_of_true", || tracked_leaves_out_the_runtime("true", &[], true)));
    cases.push(case_if(paths::missing("python3"), "tracked_leaves_out_the_runtime_of_python3", || {
        tracked_leaves_out_the_runtime("python3", &["-c", "import json"], false)
    }));
    for mode in &MODES {
        cases.push(case(&format!("{}_workload", mode.name), || workload(mode)));
        for real in reals::all().into_iter().filter(|real| PROGRAMS.contains(&real.name)) {
            let name = format!("{}_{}", mode.name, real.name);
            cases.push(case_if(paths::missing(real.program), &name, move || same_output(mode, &real)));
        }
    }
    run_cases(cases, false)
}
