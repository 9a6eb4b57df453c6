//! `spandrel doctor`: for each cause that keeps Spandrel out of a program or of an object in it, a small program that has
//! it, and the finding that names it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::observed::Waiting;
use harness::paths;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

fn doctor(arguments: &[&str]) -> Result<Outcome, String> {
    let mut command = run::command(paths::tool()?);
    run::run(command.arg("doctor").args(arguments), 30)
}

/// Wants a line of that verdict that has all these words, and the status that belongs to whether Spandrel serves.
fn finds(arguments: &[&str], serves: bool, verdict: &str, words: &[&str]) -> Result<Outcome, String> {
    let outcome = doctor(arguments)?;
    let has = |line: &str| line.starts_with(verdict) && words.iter().all(|word| line.contains(word));
    let status = if serves { End::Exit(0) } else { End::Exit(1) };
    let right = outcome.end == status && outcome.stderr.contains("not active") != serves;
    if right && outcome.stdout.lines().any(has) {
        Ok(outcome)
    } else {
        Err(format!("expected {status:?} and a line `{verdict}` with {words:?}\n{outcome}"))
    }
}

fn program(file: &str, variant: Variant) -> Result<PathBuf, String> {
    build::program(&Source::new(paths::program_source(file)), variant)
}

/// Compiles a program with exactly these flags.
fn by_hand(name: &str, file: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let result = paths::fresh(&format!("doctor-{name}"))?.join(name);
    let (source, support) = (paths::program_source(file), paths::ffi_support());
    let mut arguments = vec![OsStr::new("-g"), OsStr::new("-D_GNU_SOURCE"), OsStr::new("-I"), support.as_os_str()];
    arguments.extend(flags.iter().map(OsStr::new));
    arguments.push(source.as_os_str());
    build::compile_by_hand(false, &arguments, &result)?;
    Ok(result)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn programs_that_would_be_served() -> Result<(), String> {
    finds(&["--", "perl"], true, "ok", &["active", "would serve it"])?;
    let linked = program("observed.c", Variant::Static)?;
    finds(&["--", &text(&linked)], true, "ok", &["is linked with Spandrel"])?;
    finds(&["--", &text(&program("greedy.c", Variant::Preload)?)], true, "ok", &["would serve it"])?;
    let missing = doctor(&["--", "/no/program"])?;
    if missing.end != End::Exit(1) || !missing.stderr.contains("it cannot be found") {
        return Err(format!("{missing}"));
    }
    Ok(())
}

fn processes_that_are_served() -> Result<(), String> {
    let served = Waiting::start(Variant::Preload, &[("SPANDREL_MODE", "hardened")])?;
    let id = served.id().to_string();
    finds(&[&id], true, "ok", &["active", "by the shared library"])?;
    finds(&[&id], true, "ok", &["SPANDREL_MODE=hardened"])?;
    finds(&[&id], true, "ok", &["caller", "call Spandrel's"])?;
    served.finish()?;
    let linked = Waiting::start(Variant::Static, &[])?;
    finds(&[&linked.id().to_string()], true, "ok", &["caller", "call Spandrel's"])?;
    linked.finish()
}

fn processes_that_nothing_was_preloaded_into() -> Result<(), String> {
    let own = std::process::id().to_string();
    let outcome = finds(&[&own], false, "note", &["preload", "LD_PRELOAD does not name"])?;
    if outcome.stdout.contains("spandrel run PROGRAM") { Ok(()) } else { Err(format!("{outcome}")) }
}

fn a_static_program() -> Result<(), String> {
    let program = by_hand("doctor-static", "plugged.c", &["-static", "-w"])?;
    finds(&["--", &text(&program)], false, "inactive", &["linked statically"])?;
    let waiting = Waiting::start_command(run::preloaded(&program)?)?;
    finds(&[&waiting.id().to_string()], false, "warning", &["linking", "linked statically"])?;
    waiting.finish()
}

/// Whether this test may start a program as another user, whose set-user-ID programs have privileges then.
fn no_other_user() -> Option<String> {
    // SAFETY: asks a question.
    let is_root = unsafe { libc::geteuid() } == 0;
    (!is_root || paths::find_program("setpriv").is_none()).then(|| "takes root and setpriv".to_owned())
}

/// A program that belongs to another user, where that one finds it.
fn a_set_user_id_program(name: &str) -> Result<PathBuf, String> {
    let program = std::env::temp_dir().join(format!("spandrel-{name}-{}", std::process::id()));
    fs::copy(self::program("plugged.c", Variant::Preload)?, &program).map_err(|error| error.to_string())?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).map_err(|error| error.to_string())?;
    Ok(program)
}

fn set_user_id() -> Result<(), String> {
    let program = a_set_user_id_program("set-user-id")?;
    let found = finds(&["--", &text(&program)], false, "inactive", &["set-user-ID"]);
    fs::remove_file(&program).map_err(|error| error.to_string())?;
    found.map(drop)
}

fn set_user_id_in_a_process() -> Result<(), String> {
    let program = a_set_user_id_program("set-user-id-process")?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(&program);
    command.env("LD_PRELOAD", paths::shared_library()?);
    let waiting = Waiting::start_command(command);
    fs::remove_file(&program).map_err(|error| error.to_string())?;
    let waiting = waiting?;
    finds(&[&waiting.id().to_string()], false, "warning", &["privileges", "the loader ignores LD_PRELOAD"])?;
    waiting.finish()
}

/// The flags of the sanitizers whose programs this compiler can link.
fn sanitizers() -> Vec<&'static str> {
    let flags = ["-fsanitize=address", "-fsanitize=thread", "-fsanitize=leak", "-static-libasan -fsanitize=address"];
    let links = |flag: &&str| by_hand("doctor-sanitized", "own_malloc.c", &flag.split(' ').collect::<Vec<_>>()).is_ok();
    flags.into_iter().filter(links).collect()
}

fn sanitized(flags: &[&str]) -> Result<(), String> {
    for flag in flags {
        let program = by_hand("doctor-sanitized", "plugged.c", &flag.split(' ').collect::<Vec<_>>())?;
        finds(&["--", &text(&program)], false, "inactive", &["sanitizer"])
            .map_err(|error| format!("{flag}: {error}"))?;
    }
    Ok(())
}

fn a_sanitized_process(flags: &[&str]) -> Result<(), String> {
    let Some(flag) = flags.iter().find(|flag| **flag == "-fsanitize=address") else { return Ok(()) };
    let program = by_hand("doctor-sanitized-process", "plugged.c", &[flag])?;
    let mut command = run::command(&program);
    // The block that it holds to its end is no leak.
    command.env("ASAN_OPTIONS", "detect_leaks=0");
    let waiting = Waiting::start_command(command)?;
    finds(&[&waiting.id().to_string()], false, "warning", &["sanitizer", "libasan"])?;
    waiting.finish()
}

fn an_allocator_inside() -> Result<(), String> {
    let program = by_hand("doctor-own-malloc", "own_malloc.c", &["-fno-builtin", "-rdynamic"])?;
    finds(&["--", &text(&program)], false, "inactive", &["an allocator of its own inside"])?;
    let waiting = Waiting::start_command(run::preloaded(&program)?)?;
    let id = waiting.id().to_string();
    finds(&[&id], false, "warning", &["caller", "call malloc or free of doctor-own-malloc"])?;
    waiting.finish()
}

/// An object that was opened with RTLD_DEEPBIND calls libc, unless the flag was cleared.
fn an_object_that_binds_to_itself() -> Result<(), String> {
    let plugin = build::shared_object(&Source::new(paths::ffi_support().join("helper_plugin.c")))?;
    let program = program("plugged.c", Variant::Preload)?;
    for (setting, verdict, words) in [
        ("keep", "warning", &["caller", "helper_plugin.so calls", "malloc", "free", " of libc.so.6"][..]),
        ("clear", "ok", &["caller", "call Spandrel's"]),
    ] {
        let mut command = run::preloaded(&program)?;
        command.arg(&plugin).env("SPANDREL_DEEPBIND", setting);
        let waiting = Waiting::start_command(command)?;
        finds(&[&waiting.id().to_string()], true, verdict, words)?;
        waiting.finish()?;
    }
    Ok(())
}

fn findings_are_json_too() -> Result<(), String> {
    let json = doctor(&["--json", "--", "perl"])?;
    let right = json.stdout.starts_with('[') && json.stdout.contains("\"verdict\": \"ok\"");
    if right { Ok(()) } else { Err(format!("{json}")) }
}

fn main() -> ExitCode {
    let flags = sanitizers();
    let no_sanitizer = flags.is_empty().then(|| "the compiler links no sanitizer".to_owned());
    let of_process = flags.clone();
    let cases = vec![
        case("programs_that_would_be_served", programs_that_would_be_served),
        case("processes_that_are_served", processes_that_are_served),
        case("processes_that_nothing_was_preloaded_into", processes_that_nothing_was_preloaded_into),
        case("a_static_program", a_static_program),
        case("set_user_id", set_user_id),
        case_if(no_other_user(), "set_user_id_in_a_process", set_user_id_in_a_process),
        case_if(no_sanitizer.clone(), "sanitized", move || sanitized(&flags)),
        case_if(no_sanitizer, "a_sanitized_process", move || a_sanitized_process(&of_process)),
        case("an_allocator_inside", an_allocator_inside),
        case("an_object_that_binds_to_itself", an_object_that_binds_to_itself),
        case("findings_are_json_too", findings_are_json_too),
    ];
    run_cases(cases, false)
}
