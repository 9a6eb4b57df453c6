//! Real programs and loads under address-space, data and commit limits; one after another, since one case changes a
//! kernel setting.

use std::fs;
use std::process::ExitCode;

use harness::build::{self, Source};
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
        case_if(obstacle.clone(), "strict_overcommit", strict_overcommit),
        case_if(obstacle, "strict_overcommit_charge", strict_overcommit_charge),
    ]);
    run_cases(cases, true)
}
