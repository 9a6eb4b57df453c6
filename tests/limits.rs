//! Real programs and loads under address-space, data and commit limits, and under limits of the allocator's own; one
//! after another, since one case changes a kernel setting.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::sandbox::{Resource, limit};
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run};

const MIB: u64 = 1 << 20;
const OVERCOMMIT: &str = "/proc/sys/vm/overcommit_memory";

const COMMANDS: [&[&str]; 5] = [
    &["sh", "-c", "for i in 1 2 3; do echo $i | cat; done"],
    &["ls", "/"],
    &["sort", "/etc/passwd"],
    &["perl", "-e", "my @a = map { 'x' x $_ } 1..2000; print scalar(@a), \"\\n\""],
    &["python3", "-c", "x = [bytes(n) for n in range(2000)]; print(sum(map(len, x)))"],
];

/// A program that works under the limit without the allocator works with it, and prints the same.
fn same_under(resource: Resource, bytes: u64) -> Result<(), String> {
    let mut compared = 0;
    for words in COMMANDS.iter().filter(|words| paths::find_program(words[0]).is_some()) {
        let mut plain = run::command(words[0]);
        limit(plain.args(&words[1..]), resource, bytes);
        let plain = run::run(&mut plain, 30)?;
        if plain.clean().is_err() {
            continue;
        }
        let mut ours = run::preloaded(words[0])?;
        limit(ours.args(&words[1..]), resource, bytes);
        let ours = run::run(&mut ours, 30)?;
        if ours.end != plain.end || ours.stdout != plain.stdout {
            return Err(format!("differs under {} MiB\n{ours}\n--- without the allocator\n{plain}", bytes / MIB));
        }
        compared += 1;
    }
    if compared >= 2 { Ok(()) } else { Err(format!("only {compared} programs run under {} MiB at all", bytes / MIB)) }
}

fn workload_under(resource: Resource, bytes: u64, arguments: &[&str]) -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("workload.c")), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    limit(command.args(arguments), resource, bytes);
    run::run(&mut command, 60)?.clean()
}

/// Puts the kernel's setting back, also when the case fails or panics.
struct Overcommit {
    before: String,
}

impl Overcommit {
    fn set(value: &str) -> Result<Self, String> {
        let before = fs::read_to_string(OVERCOMMIT).map_err(|error| error.to_string())?;
        fs::write(OVERCOMMIT, value).map_err(|error| error.to_string())?;
        Ok(Self { before })
    }
}

impl Drop for Overcommit {
    fn drop(&mut self) {
        if let Err(error) = fs::write(OVERCOMMIT, &self.before) {
            eprintln!("{OVERCOMMIT} could not be put back to {}: {error}", self.before.trim());
        }
    }
}

/// The kernel must let us write the setting; a container often does not.
fn overcommit_obstacle() -> Option<String> {
    let current = fs::read_to_string(OVERCOMMIT).unwrap_or_default();
    let written = fs::write(OVERCOMMIT, &current);
    written.err().map(|error| format!("{OVERCOMMIT}: {error}"))
}

fn strict_overcommit() -> Result<(), String> {
    let _guard = Overcommit::set("2")?;
    Program { file: "workload.c", arguments: &["8", "100"], environment: &[], timeout: 60 }.run_clean()?;
    for words in COMMANDS.iter().filter(|words| paths::find_program(words[0]).is_some()) {
        let mut command = run::preloaded(words[0])?;
        command.args(&words[1..]);
        run::run(&mut command, 30)?.clean()?;
    }
    Ok(())
}

/// Address space that is merely reserved does not count as committed.
fn strict_overcommit_charge() -> Result<(), String> {
    let _guard = Overcommit::set("2")?;
    let committed = || -> Result<u64, String> {
        let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
        let line = text.lines().find_map(|line| line.strip_prefix("Committed_AS:")).ok_or("no Committed_AS")?;
        line.trim().trim_end_matches(" kB").parse().map_err(|_| "cannot read Committed_AS".to_owned())
    };
    let before = committed()?;
    let mut sleepers = Vec::new();
    for _ in 0..10 {
        sleepers.push(run::preloaded("sleep")?.arg("2").spawn().map_err(|error| error.to_string())?);
    }
    std::thread::sleep(core::time::Duration::from_millis(500));
    let during = committed();
    for mut sleeper in sleepers {
        sleeper.kill().and_then(|()| sleeper.wait()).map_err(|error| error.to_string())?;
    }
    let grown = during?.saturating_sub(before) / 10;
    if grown < 128 * 1024 { Ok(()) } else { Err(format!("each sleeping process commits {grown} KiB")) }
}

/// The mappings do not grow with the load (no mprotect splits, no map per object).
fn few_mappings() -> Result<(), String> {
    let outcome = Program { file: "mappings.c", arguments: &[], environment: &[], timeout: 60 }.run_clean()?;
    let (before, after) = (number(&outcome, "before")?, number(&outcome, "after")?);
    // Eight thread stacks with their guards may stay cached by libc.
    if after <= before + 24 && before <= 24 {
        Ok(())
    } else {
        Err(format!("{before} mappings became {after}\n{outcome}"))
    }
}

/// How many mebibytes a program gets, whose one line of diagnostics is of `code` and has `what` in it.
fn greedy(environment: &[(&str, &str)], code: &str, what: &str) -> Result<i64, String> {
    let outcome = Program { file: "greedy.c", arguments: &[], environment, timeout: 20 }.run()?;
    outcome.one_line(code, what)?;
    number(&outcome, "mebibytes")
}

/// A limit holds whichever way its unit is written, and the line about it has both figures.
fn units_of_limits() -> Result<(), String> {
    for value in ["20971520", "20480K", "20M", "20MB", "20mb", "20MiB"] {
        let what = "a request of 1048576 bytes would exceed the hard limit of 20971520 bytes: ";
        let got = greedy(&[("SPANDREL_HARD_LIMIT", value)], "ALLOCATOR_PAGE_EXHAUSTION", what)?;
        if !(16..=20).contains(&got) {
            return Err(format!("{got} MiB with {value}"));
        }
    }
    Ok(())
}

/// The process did not start: no output, one line, and the status of a program that cannot be loaded.
fn does_not_start(environment: &[(&str, &str)], what: &str) -> Result<(), String> {
    let outcome = Program { file: "greedy.c", arguments: &[], environment, timeout: 20 }.run()?;
    match outcome.diagnostics().as_slice() {
        [line] if line.code == "ALLOCATOR_BAD_OPTION" && line.text.contains(what) => {}
        _ => return Err(format!("expected one line about {what}\n{outcome}")),
    }
    if outcome.end == End::Exit(127) && outcome.stdout.is_empty() {
        Ok(())
    } else {
        Err(format!("the process started\n{outcome}"))
    }
}

/// A process whose hard limit is refused does not run without one.
fn refused_limits_end_the_process() -> Result<(), String> {
    for value in ["", "1e9", "100 M", "100MX", "0", "-5", "18446744073709551616", "512K"] {
        does_not_start(&[("SPANDREL_HARD_LIMIT", value)], &format!("SPANDREL_HARD_LIMIT={value}: takes "))?;
    }
    does_not_start(
        &[("SPANDREL_PROFILE", "freestanding"), ("SPANDREL_HARD_LIMIT", "20M")],
        "SPANDREL_HARD_LIMIT=20M: has no meaning with a pool; the process ends",
    )
}

/// A file of options that goes when the case ends.
struct Conf(PathBuf);

impl Conf {
    fn new(name: &str, text: &[u8]) -> Result<Self, String> {
        let path = paths::scratch()?.join(format!("{name}-{}.conf", std::process::id()));
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap_or("a path that is no text")
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Options of a file are in force, below those of the environment.
fn options_of_a_file() -> Result<(), String> {
    let text = b"# For the tests.\n\n  SPANDREL_SOFT_LIMIT=4M\nSPANDREL_HARD_LIMIT=20M \t\r\n\t# the last line has no end\nSPANDREL_ON_ERROR=report";
    let conf = Conf::new("limits", text)?;
    let from_file = greedy(&[("SPANDREL_CONF", conf.name())], "ALLOCATOR_PAGE_EXHAUSTION", "limit of 20971520 bytes")?;
    let environment = [("SPANDREL_CONF", conf.name()), ("SPANDREL_HARD_LIMIT", "40M")];
    let above_it = greedy(&environment, "ALLOCATOR_PAGE_EXHAUSTION", "limit of 41943040 bytes")?;
    if (16..=20).contains(&from_file) && (36..=40).contains(&above_it) {
        Ok(())
    } else {
        Err(format!("{from_file} MiB by the file, {above_it} by the environment"))
    }
}

/// Faults of a file whose options may be limits end the process; an option that this version lacks gets a line.
fn faults_of_files() -> Result<(), String> {
    let many = b"#\n".repeat(40 << 10);
    let bad: [(&[u8], &str); 6] = [
        (b"HARD_LIMIT=20M\n", "has a line that is no SPANDREL_NAME=VALUE"),
        (b"SPANDREL_ON_ERROR=report\nSPANDREL_HARD_LIMIT\n", "has a line that is no SPANDREL_NAME=VALUE"),
        (b"export SPANDREL_HARD_LIMIT=20M\n", "has a line that is no SPANDREL_NAME=VALUE"),
        (b"SPANDREL_CONF=/dev/null\n", "names a file itself"),
        (b"SPANDREL_HARD_LIMIT=20MX\n", "SPANDREL_HARD_LIMIT=20MX: takes "),
        (&many, "has 64 KiB or more"),
    ];
    for (text, what) in bad {
        let conf = Conf::new("bad", text)?;
        does_not_start(&[("SPANDREL_CONF", conf.name())], what)?;
    }
    does_not_start(
        &[("SPANDREL_CONF", "/nowhere/spandrel.conf")],
        "SPANDREL_CONF=/nowhere/spandrel.conf: cannot be read",
    )?;
    does_not_start(&[("SPANDREL_CONF", "spandrel.conf")], "SPANDREL_CONF=spandrel.conf: takes a path with a slash")?;
    let conf = Conf::new("unknown", b"SPANDREL_NO_SUCH=1\n")?;
    greedy(&[("SPANDREL_CONF", conf.name())], "ALLOCATOR_BAD_OPTION", "SPANDREL_NO_SUCH=1: ").map(drop)
}

fn main() -> ExitCode {
    let address_space = [64, 96, 128, 256, 512, 1024, 4096]
        .map(|size| case(&format!("address_space_{size}m"), move || same_under(libc::RLIMIT_AS, size * MIB)));
    let data = [16, 64, 256, 1024]
        .map(|size| case(&format!("data_{size}m"), move || same_under(libc::RLIMIT_DATA, size * MIB)));
    let obstacle = overcommit_obstacle();
    let mut cases: Vec<_> = address_space.into_iter().chain(data).collect();
    cases.extend([
        case("workload_address_space_128m", || workload_under(libc::RLIMIT_AS, 128 * MIB, &["4", "4"])),
        case("workload_address_space_512m", || workload_under(libc::RLIMIT_AS, 512 * MIB, &["8", "60"])),
        case("workload_data_64m", || workload_under(libc::RLIMIT_DATA, 64 * MIB, &["4", "4"])),
        case("workload_data_512m", || workload_under(libc::RLIMIT_DATA, 512 * MIB, &["8", "60"])),
        case("few_mappings", few_mappings),
        case("units_of_limits", units_of_limits),
        case("refused_limits_end_the_process", refused_limits_end_the_process),
        case("options_of_a_file", options_of_a_file),
        case("faults_of_files", faults_of_files),
        case_if(obstacle.clone(), "strict_overcommit", strict_overcommit),
        case_if(obstacle, "strict_overcommit_charge", strict_overcommit_charge),
    ]);
    run_cases(cases, true)
}
