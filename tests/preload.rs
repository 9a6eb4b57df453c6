//! Real programs under the preload: the same output, a truthful report, and options that fail softly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use harness::expect::End;
use harness::reals::{PERL_MIX, Real, all as reals};
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{diag, paths, run};
use libtest_mimic::Trial;

const PYTHON_SIZES: &str = "x=[bytes(n) for n in range(256,1041)]";

fn compare(real: &Real) -> Result<(), String> {
    let plain = run::run(run::command(real.program).args(&real.arguments), 60)?;
    let ours = run::run(run::preloaded(real.program)?.args(&real.arguments), 60)?;
    plain.clean().map_err(|error| format!("fails without the allocator too: {error}"))?;
    ours.clean()?;
    if ours.stdout != plain.stdout || ours.stderr != plain.stderr {
        return Err(format!("output differs\n{ours}\n--- without the allocator\n{plain}"));
    }
    let mut reported = run::preloaded(real.program)?;
    reported.args(&real.arguments).env("SPANDREL_DIAG", "1");
    let reported = run::run(&mut reported, 60)?;
    reported.clean()?;
    if reported.stdout == plain.stdout { Ok(()) } else { Err(format!("the report changed the output\n{reported}")) }
}

fn with_settings(settings: &[(&str, &str)], program: &str, arguments: &[&str]) -> Result<Outcome, String> {
    let mut command = run::preloaded(program)?;
    command.args(arguments).envs(settings.iter().copied());
    run::run(&mut command, 60)
}

/// The interpreter itself: the one in `PATH` may be a script whose shell would print a report too.
fn python() -> Result<String, String> {
    let outcome = run::run(run::command("python3").args(["-c", "import sys; print(sys.executable)"]), 20)?;
    outcome.clean()?;
    Ok(outcome.stdout.trim().to_owned())
}

fn python_range_is_proved() -> Result<(), String> {
    let outcome = with_settings(&[("SPANDREL_DIAG", "1")], &python()?, &["-c", PYTHON_SIZES])?;
    outcome.clean()?;
    let report = diag::parse(&outcome.stderr)?;
    let range = &report.range;
    // 785 bytes objects carry a header of 33 bytes; those of at most 512 bytes come from python's own arenas.
    if !range.proved || range.sizes != (256, 1040) || range.calls < 400 || range.libc != 0 {
        return Err(format!("{range:?}\n{outcome}"));
    }
    let libc = report.lane("libc").calls;
    let reasons: u64 =
        ["init_wait", "recursion", "force_libc", "exiting", "exhausted"].map(|name| report.reason(name)).iter().sum();
    if libc == reasons { Ok(()) } else { Err(format!("{libc} calls to libc, {reasons} reasons\n{outcome}")) }
}

fn range_can_be_chosen() -> Result<(), String> {
    let settings = [("SPANDREL_DIAG", "1"), ("SPANDREL_DIAG_RANGE", "2000-3000"), ("PYTHONMALLOC", "malloc")];
    let outcome = with_settings(&settings, &python()?, &["-c", "x=[bytes(2500) for _ in range(12345)]"])?;
    outcome.clean()?;
    let range = diag::parse(&outcome.stderr)?.range;
    let right = range.sizes == (2000, 3000) && range.proved && (12345..20000).contains(&range.calls);
    if right { Ok(()) } else { Err(format!("{range:?}\n{outcome}")) }
}

fn everything_goes_to_libc_when_forced() -> Result<(), String> {
    let settings = [("SPANDREL_DIAG", "1"), ("SPANDREL_FORCE_LIBC", "1")];
    let outcome = with_settings(&settings, "perl", &["-e", PERL_MIX])?;
    outcome.clean()?;
    let report = diag::parse(&outcome.stderr)?;
    let ours: u64 = ["small", "large", "direct"].map(|lane| report.lane(lane).calls + report.freed(lane)).iter().sum();
    let (libc, forced) = (report.lane("libc").calls, report.reason("force_libc"));
    let right = ours == 0 && libc > 1000 && forced > 1000 && !report.range.proved && report.freed("libc") > 0;
    if right {
        Ok(())
    } else {
        Err(format!("{ours} calls served by the library, {libc} by libc, {forced} forced\n{outcome}"))
    }
}

fn nothing_is_printed_unasked() -> Result<(), String> {
    let outcome = with_settings(&[], "true", &[])?;
    if outcome.stderr.is_empty() && outcome.end == End::Exit(0) { Ok(()) } else { Err(outcome.to_string()) }
}

fn stats_are_printed_at_exit() -> Result<(), String> {
    let outcome = with_settings(&[("SPANDREL_STATS", "1")], "perl", &["-e", "print 'x' x 10"])?;
    let right = outcome.end == End::Exit(0) && outcome.stdout == "xxxxxxxxxx" && outcome.stderr.len() > 20;
    if right { Ok(()) } else { Err(outcome.to_string()) }
}

/// Values each option refuses.
const MALFORMED: [(&str, &[&str]); 8] = [
    ("SPANDREL_FORCE_LIBC", &["maybe", "2", "-1", "01", "1 "]),
    ("SPANDREL_DIAG", &["verbose", "11"]),
    ("SPANDREL_DIAG_RANGE", &["256", "1040-256", "a-b", "1-", "-5", "256-1040-2000", "1-99999999999999999999999"]),
    ("SPANDREL_ON_ERROR", &["die", "Abort", "abort,report"]),
    ("SPANDREL_PURGE_DELAY", &["soon", "-1", "1.5", "99999999999999999999", "500ms"]),
    ("SPANDREL_RESERVE", &["1X", "G", "1TT", "-1G", "99999999999T"]),
    ("SPANDREL_BIN_BYTES", &["many", "64 K", "1e3"]),
    ("SPANDREL_STATS", &["json", "7"]),
];

/// One line names the option and the values that it takes; the program runs as if the option were not set.
fn malformed(option: &str, values: &[&str]) -> Result<(), String> {
    for value in values {
        let outcome = with_settings(&[(option, value)], "sh", &["-c", "echo works"])?;
        let lines = outcome.diagnostics();
        let right = lines.len() == 1
            && lines[0].code == "ALLOCATOR_BAD_OPTION"
            && lines[0].text.contains(option)
            && lines[0].text.len() > option.len() + 5;
        let right = right && outcome.stderr.lines().count() == 1;
        if !right || outcome.stdout != "works\n" || outcome.end != End::Exit(0) {
            return Err(format!("{option}={value}\n{outcome}"));
        }
    }
    Ok(())
}

/// Values that must be accepted without a line.
fn well_formed() -> Result<(), String> {
    let good = [
        ("SPANDREL_DIAG_RANGE", "0-8"),
        ("SPANDREL_ON_ERROR", "ignore"),
        ("SPANDREL_PURGE_DELAY", "0"),
        ("SPANDREL_PURGE_DELAY", "never"),
        ("SPANDREL_RESERVE", "64M"),
        ("SPANDREL_RESERVE", "2T"),
        ("SPANDREL_RESERVE", "8G"),
        ("SPANDREL_BIN_BYTES", "4K"),
        ("SPANDREL_BIN_BYTES", "1M"),
        ("SPANDREL_FORCE_LIBC", "0"),
        ("SPANDREL_STATS", "0"),
        ("SPANDREL_DIAG", "0"),
    ];
    for setting in good {
        let outcome = with_settings(&[setting], "sh", &["-c", "echo works | cat"])?;
        if !outcome.stderr.is_empty() || outcome.stdout != "works\n" {
            return Err(format!("{setting:?}\n{outcome}"));
        }
    }
    Ok(())
}

/// All of them at once: one line each, and still the program works.
fn all_malformed_together() -> Result<(), String> {
    let settings: Vec<_> = MALFORMED.iter().map(|(option, values)| (*option, values[0])).collect();
    let outcome = with_settings(&settings, &python()?, &["-c", "print('works')"])?;
    let named = |option: &str| {
        outcome
            .diagnostics()
            .iter()
            .filter(|line| {
                line.text.contains(&format!("{option}="))
                    || line.text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).any(|word| word == option)
            })
            .count()
            == 1
    };
    let right = outcome.diagnostics().len() == settings.len() && settings.iter().all(|(option, _)| named(option));
    if right && outcome.stdout == "works\n" { Ok(()) } else { Err(outcome.to_string()) }
}

/// The reason why a set-user-id program cannot be made here.
fn secure_obstacle() -> Option<String> {
    // SAFETY: geteuid has no preconditions.
    let user = unsafe { libc::geteuid() };
    if user != 0 {
        return Some("needs root".to_owned());
    }
    paths::missing("setpriv")
}

/// Removes the set-user-id program again.
struct SecureCopy(PathBuf);

impl Drop for SecureCopy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// A program linked with the static library, set-user-id root, started by the user `nobody`, must ignore the
/// environment.
fn environment_is_ignored_when_secure() -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("spandrel-secure-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let guard = SecureCopy(folder);
    let source = harness::build::Source::new(paths::program_source("workload.c"));
    let built = harness::build::program(&source, harness::header::Variant::Static)?;
    let (plain, secure) = (guard.0.join("plain"), guard.0.join("secure"));
    for (path, mode) in [(&guard.0, 0o755), (&plain, 0o755), (&secure, 0o4755)] {
        if path != &guard.0 {
            fs::copy(&built, path).map_err(|error| error.to_string())?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| error.to_string())?;
    }
    let as_nobody = |program: &PathBuf| -> Result<Outcome, String> {
        let mut command: Command = run::command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program).args(["1", "1"]);
        command.env("SPANDREL_DIAG", "1").env("SPANDREL_ON_ERROR", "nonsense");
        run::run(&mut command, 30)
    };
    let open = as_nobody(&plain)?;
    if open.diagnostics().len() != 1 || diag::parse(&open.stderr).is_err() {
        return Err(format!("the plain copy should have obeyed the environment\n{open}"));
    }
    let closed = as_nobody(&secure)?;
    let silent = closed.end == End::Exit(0) && closed.stderr.is_empty() && closed.stdout == "done\n";
    if silent { Ok(()) } else { Err(format!("AT_SECURE did not silence the environment\n{closed}")) }
}

fn main() -> ExitCode {
    let compared = reals().into_iter().map(|real| -> Trial {
        case_if(paths::missing(real.program), &format!("same_output_{}", real.name), move || compare(&real))
    });
    let refused =
        MALFORMED.map(|(option, values)| case(&format!("malformed_{option}"), move || malformed(option, values)));
    let mut cases: Vec<Trial> = compared.chain(refused).collect();
    cases.extend([
        case_if(paths::missing("python3"), "python_range_is_proved", python_range_is_proved),
        case_if(paths::missing("python3"), "range_can_be_chosen", range_can_be_chosen),
        case_if(paths::missing("perl"), "everything_goes_to_libc_when_forced", everything_goes_to_libc_when_forced),
        case("nothing_is_printed_unasked", nothing_is_printed_unasked),
        case_if(paths::missing("perl"), "stats_are_printed_at_exit", stats_are_printed_at_exit),
        case("well_formed_options", well_formed),
        case_if(paths::missing("python3"), "all_malformed_together", all_malformed_together),
        case_if(secure_obstacle(), "environment_is_ignored_when_secure", environment_is_ignored_when_secure),
    ]);
    run_cases(cases, false)
}
