//! Accounts: the memory of a program that makes no heaps is billed by thread name, by control group or by object, and
//! limits by name hold, or the process does not start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::paths;
use harness::programs::Program;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

const THREADS: (&str, &str) = ("SPANDREL_ACCOUNT", "thread-name");
const GROUPS: (&str, &str) = ("SPANDREL_ACCOUNT", "cgroup-thread");
const OBJECTS: (&str, &str) = ("SPANDREL_ACCOUNT", "object");

fn accounted(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome, String> {
    Program { file: "accounted.c", arguments, environment, timeout: 120 }.run()
}

fn clean(what: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    accounted(&[what], environment)?.clean()
}

/// A file of limits that goes when the case ends.
struct Limits(PathBuf);

impl Limits {
    fn new(name: &str, text: &[u8]) -> Result<Self, String> {
        let path = paths::scratch()?.join(format!("{name}-{}.limits", std::process::id()));
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }

    fn option(&self) -> (&str, &str) {
        ("SPANDREL_ACCOUNT_LIMITS", self.0.to_str().unwrap_or("a path that is no text"))
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const RULES: &[u8] = b"# For the tests.\nlarge-1 none none\n\n small-* none 8M \r\n* none none";

/// A thread meets the limit of its name, which one line names, and the others do not.
fn limits_hold_by_name(what: &str, name: &str) -> Result<(), String> {
    let limits = Limits::new(what, RULES)?;
    let outcome = accounted(&[what], &[THREADS, limits.option()])?;
    match outcome.diagnostics().as_slice() {
        [line] if line.code == "ALLOCATOR_HEAP_LIMIT" && line.text.contains(name) => {}
        _ => return Err(format!("expected one line about {name}\n{outcome}")),
    }
    if outcome.end == End::Exit(0) { Ok(()) } else { Err(outcome.to_string()) }
}

/// A soft limit refuses nothing, and one line tells of it.
fn soft_limits_are_told() -> Result<(), String> {
    let limits = Limits::new("soft", b"small-* 4M none\nlarge-1 4M none\n")?;
    let outcome = accounted(&["soft"], &[THREADS, limits.option()])?;
    let wanted = ["account \"small-1\" holds ", " bytes, more than its soft limit of 4194304"];
    match outcome.diagnostics().as_slice() {
        [line] if line.code == "ALLOCATOR_HEAP_LIMIT" && wanted.iter().all(|piece| line.text.contains(piece)) => {}
        _ => return Err(format!("expected one line\n{outcome}")),
    }
    if outcome.end == End::Exit(0) { Ok(()) } else { Err(outcome.to_string()) }
}

/// The first line for a name has its limits.
fn the_first_line_wins() -> Result<(), String> {
    let limits = Limits::new("first", b"small* none none\nsmall-1 none 8M\n")?;
    let outcome = accounted(&["limited"], &[THREADS, limits.option()])?;
    if outcome.end == End::Exit(99) { Ok(()) } else { Err(format!("the second line was in force\n{outcome}")) }
}

/// A process whose limits cannot be kept does not run without them.
fn refused_limits_end_the_process() -> Result<(), String> {
    let refused = |environment: &[(&str, &str)], what: &str| {
        let outcome = accounted(&["ends"], environment)?;
        match outcome.diagnostics().iter().find(|line| line.text.contains(what)) {
            Some(line) if line.code == "ALLOCATOR_BAD_OPTION" => {}
            _ => return Err(format!("expected a line about {what}\n{outcome}")),
        }
        let ended = outcome.end == End::Exit(127) && outcome.stdout.is_empty();
        if ended { Ok(()) } else { Err(format!("the process started\n{outcome}")) }
    };
    let many = b"#\n".repeat(40 << 10);
    let bad: [(&[u8], &str); 9] = [
        (b"worker 1M\n", "not `worker 1M`; the process ends"),
        (b"a 1M 2M\nworker 1M 2X\n", "not `worker 1M 2X`"),
        (b"worker 2M 1M\n", "not `worker 2M 1M`"),
        (b"worker 0 1M\n", "not `worker 0 1M`"),
        (b"1M 2M\n", "not `1M 2M`"),
        (b"worker none\n", "not `worker none`"),
        (b"sixteen-letters! none 1M\n", "in `sixteen-letters! none 1M`"),
        (b"sixteen*-letters! none 1M\n", "in `sixteen*-letters! none 1M`"),
        (&many, "has 64 KiB or more"),
    ];
    for (text, what) in bad {
        let limits = Limits::new("bad", text)?;
        refused(&[THREADS, limits.option()], what)?;
    }
    let good = Limits::new("good", RULES)?;
    let option = good.option();
    refused(&[option], "needs SPANDREL_ACCOUNT=thread-name or cgroup-thread")?;
    refused(&[OBJECTS, option], "needs SPANDREL_ACCOUNT=thread-name or cgroup-thread")?;
    refused(&[("SPANDREL_ACCOUNT", "thread"), option], "needs SPANDREL_ACCOUNT=thread-name or cgroup-thread")?;
    refused(&[THREADS, option, ("SPANDREL_MODE", "libc")], "has no meaning where Spandrel serves no call")?;
    refused(&[THREADS, ("SPANDREL_ACCOUNT_LIMITS", "/nowhere/limits")], "/nowhere/limits: cannot be read")?;
    refused(&[THREADS, ("SPANDREL_ACCOUNT_LIMITS", "limits")], "limits: takes a path with a slash")?;
    refused(&[("SPANDREL_PROFILE", "freestanding"), THREADS, option], "has no meaning with a pool")
}

/// The bills that a program printed, by name.
fn bills(lines: &str) -> Vec<(&str, u64)> {
    let bills = lines.lines().filter_map(|line| line.strip_prefix("bill ")?.split_once(' '));
    bills.filter_map(|(bytes, name)| Some((name, bytes.parse().ok()?))).collect()
}

fn bytes_of(lines: &str, is_it: impl Fn(&str) -> bool) -> u64 {
    bills(lines).into_iter().filter(|(name, _)| is_it(name)).map(|(_, bytes)| bytes).sum()
}

/// A control group for threads: its folder, the file that takes threads, and the path that the kernel shows.
struct Group {
    folder: PathBuf,
    threads: PathBuf,
}

impl Group {
    /// In the hierarchy of the `cpu` controller of version 1, where any thread may be in a group of its own.
    fn new() -> Result<Self, String> {
        let folder = Path::new("/sys/fs/cgroup/cpu").join(format!("spandrel-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let threads = folder.join("tasks");
        Ok(Self { folder, threads })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The kernel must have such groups, and let this user make one.
fn group_obstacle() -> Option<String> {
    let made = Group::new().and_then(|group| {
        let threads = fs::metadata(&group.threads);
        threads.map(drop).map_err(|error| format!("{}: {error}", group.threads.display()))
    });
    made.err()
}

/// A control group of version 2 for a process, and one below it for threads of that process.
struct Threaded {
    folder: PathBuf,
    below: PathBuf,
}

impl Threaded {
    fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then_some(place)
        });
        let mount = mount.ok_or("no control groups of version 2 are mounted")?;
        let folder = Path::new(mount).join(format!("spandrel-{}", std::process::id()));
        let group = Self { below: folder.join("threads"), folder };
        let made = fs::create_dir(&group.folder).and_then(|()| fs::create_dir(&group.below));
        let made = made.and_then(|()| fs::write(group.below.join("cgroup.type"), "threaded"));
        made.map(|()| group).map_err(|error| format!("{mount}: {error}"))
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.below);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A thread's memory goes with it to another group.
fn groups_have_bills() -> Result<(), String> {
    let group = Group::new()?;
    let name = group.folder.file_name().and_then(|name| name.to_str()).ok_or("no name")?.to_owned();
    let path = group.threads.to_str().ok_or("no text")?.to_owned();
    group_has_its_bill(&accounted(&["group", &path], &[GROUPS])?, &format!("/{name}"))
}

/// The same in version 2, where a group has threads of one process.
fn threaded_groups_have_bills() -> Result<(), String> {
    let group = Threaded::new()?;
    let program = build::program(&Source::new(paths::program_source("accounted.c")), Variant::Preload)?;
    let mut command = run::preloaded("sh")?;
    command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.folder.join("cgroup.procs")).arg(program);
    command.arg("group").arg(group.below.join("cgroup.threads")).envs([GROUPS]);
    let outcome = run::run(&mut command, 120)?;
    let name = group.folder.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    group_has_its_bill(&outcome, &format!("/{name}/threads"))
}

/// The bill of the group whose path ends so is that of its thread, and most of all.
fn group_has_its_bill(outcome: &Outcome, end: &str) -> Result<(), String> {
    outcome.clean()?;
    let (own, whole) = (bytes_of(&outcome.stdout, |found| found.ends_with(end)), bytes_of(&outcome.stdout, |_| true));
    // Five times eleven sizes of 256 KiB each.
    const LEAST: u64 = 5 * 2816 * 1024;
    if own >= LEAST && whole > own && whole < 2 * own { Ok(()) } else { Err(format!("{own} of {whole}\n{outcome}")) }
}

/// Objects have what their code asked for: the program its blocks, and those that libc makes for it; a library its own.
fn objects_have_estimates() -> Result<(), String> {
    let environment = [OBJECTS, ("SPANDREL_HEAP_PROFILE_RATE", "16K")];
    let outcome = accounted(&["objects"], &environment)?;
    outcome.clean()?;
    let (now, later) = outcome.stdout.split_once("later\n").ok_or("nothing came later")?;
    let of = |lines: &str, name: &str| bytes_of(lines, |found| found.starts_with(name)) as f64 / 1_048_576.0;
    let (own, library, left) = (of(now, "accounted"), of(now, "libz.so"), of(later, "accounted"));
    let near = |found: f64, wanted: f64| (found - wanted).abs() < 0.15 * wanted;
    let helpers = bytes_of(now, |name| name.starts_with("libc.so"));
    if near(own, 32.0) && (12.0..22.0).contains(&library) && left < 2.0 && helpers == 0 {
        return Ok(());
    }
    Err(format!("{own} MiB of the program, {left} MiB later, {library} MiB of the library\n{outcome}"))
}

fn main() -> ExitCode {
    let cases = vec![
        case("names_have_the_bytes_of_their_threads", || clean("names", &[THREADS])),
        case("names_have_bills_beside_idle_return", || clean("names", &[THREADS, ("SPANDREL_PURGE_DELAY", "1")])),
        case("names_have_bills_in_mode_counting", || clean("names", &[THREADS, ("SPANDREL_MODE", "counting")])),
        case("names_have_bills_in_profile_hosted_server", || {
            clean("names", &[THREADS, ("SPANDREL_PROFILE", "hosted-server")])
        }),
        case("ended_threads_are_billed_for_large_blocks", || clean("ends", &[THREADS])),
        case("more_names_than_bills", || clean("many", &[THREADS])),
        case("a_child_has_the_bill_of_its_thread", || clean("fork", &[THREADS])),
        case("limits_hold_by_name", || limits_hold_by_name("limited", "small-1")),
        case("a_new_name_brings_its_limit", || limits_hold_by_name("renamed", "small-2")),
        case("soft_limits_are_told", soft_limits_are_told),
        case("the_first_line_wins", the_first_line_wins),
        case("refused_limits_end_the_process", refused_limits_end_the_process),
        case_if(group_obstacle(), "groups_have_bills", groups_have_bills),
        case_if(Threaded::new().err(), "threaded_groups_have_bills", threaded_groups_have_bills),
        case("objects_have_estimates", objects_have_estimates),
    ];
    run_cases(cases, false)
}
