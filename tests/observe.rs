//! Statistics come as the options want: at exit, on a signal, after some time, into files. Where they cannot, one line
//! reports it.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use harness::expect::End;
use harness::header::Variant;
use harness::observed::Waiting;
use harness::programs::Program;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};
use harness::{observed, paths};

fn files(folder: &PathBuf) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Runs the program for a moment with these settings.
fn observe(seconds: &str, settings: &[(&str, &str)]) -> Result<Outcome, String> {
    Program { file: "observed.c", arguments: &[seconds], environment: settings, timeout: 40 }.run()
}

fn writes_a_file_at_exit() -> Result<(), String> {
    let folder = paths::fresh("exit")?;
    let path = folder.join("a-%p-%n-%%.json").display().to_string();
    observe("0", &[("SPANDREL_STATS_FILE", &path)])?.clean()?;
    let names = files(&folder)?;
    let [name] = names.as_slice() else { return Err(format!("one file expected: {names:?}")) };
    if !name.ends_with("-0-%.json") {
        return Err(format!("unexpected name {name}"));
    }
    let text = fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
    observed::check(observed::member(&text, "live_bytes")?)
}

/// Links in the place of a file, or of its draft, are not followed: their targets stay as they are.
fn follows_no_link() -> Result<(), String> {
    let folder = paths::fresh("links")?;
    let show = |error: std::io::Error| error.to_string();
    let (victim, file, profile) = (folder.join("victim"), folder.join("a.json"), folder.join("a.pb.gz"));
    fs::write(&victim, "untouched").map_err(show)?;
    for name in ["a.json", "a.json.part", "a.pb.gz", "a.pb.gz.part"] {
        std::os::unix::fs::symlink(&victim, folder.join(name)).map_err(show)?;
    }
    let (stats, dumps) = (file.display().to_string(), format!("{}.%n", profile.display()));
    observe("0", &[("SPANDREL_STATS_FILE", &stats), ("SPANDREL_HEAP_PROFILE", &dumps)])?.clean()?;
    let written = folder.join("a.pb.gz.1");
    for path in [&file, &written] {
        let data = fs::symlink_metadata(path).map_err(show)?;
        if !data.is_file() || data.permissions().mode() & 0o777 != 0o600 || data.len() == 0 {
            return Err(format!("{}: {data:?}", path.display()));
        }
    }
    if read(&victim)? == "untouched" && files(&folder)?.len() == 6 {
        Ok(())
    } else {
        Err(format!("{:?}", files(&folder)?))
    }
}

/// A reader that has the old file open goes on reading it: a new one takes its place.
fn replaces_the_file() -> Result<(), String> {
    let folder = paths::fresh("replaced")?;
    let (path, opened) = (folder.join("a.json"), folder.join("opened"));
    fs::write(&path, "old").and_then(|()| fs::hard_link(&path, &opened)).map_err(|error| error.to_string())?;
    observe("0", &[("SPANDREL_STATS_FILE", &path.display().to_string())])?.clean()?;
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|error| error.to_string());
    if read(&opened)? != "old" {
        return Err("the file was written to while others could see it".to_owned());
    }
    observed::check(observed::member(&read(&path)?, "live_bytes")?)
}

fn writes_now_and_then() -> Result<(), String> {
    let folder = paths::fresh("every")?;
    let path = folder.join("%n.prom").display().to_string();
    observe("2.6", &[("SPANDREL_STATS_FILE", &path), ("SPANDREL_STATS_EVERY", "1")])?.clean()?;
    let names = files(&folder)?;
    // One or two during the run, and one at exit.
    if (2..=4).contains(&names.len()) { Ok(()) } else { Err(format!("{names:?}")) }
}

/// A process that only waits reports on a signal at once, and goes on waiting.
fn answers_a_signal_in_its_sleep() -> Result<(), String> {
    let folder = paths::fresh("signal")?;
    let path = folder.join("%n.xml").display().to_string();
    let settings = [("SPANDREL_STATS_FILE", path.as_str()), ("SPANDREL_STATS_SIGNAL", "USR2")];
    let waiting = Waiting::start(Variant::Preload, &settings)?;
    for number in 0..3 {
        waiting.signal(libc::SIGUSR2);
        wait_for(&folder.join(format!("{number}.xml")))?;
    }
    waiting.finish()?;
    let text = read(&folder.join("2.xml"))?;
    if !text.trim_end().ends_with("</malloc>") {
        return Err(text);
    }
    observed::check(observed::attribute(&text, "live_bytes")?)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn wait_for(path: &Path) -> Result<(), String> {
    let start = Instant::now();
    while !path.exists() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} did not come", path.display()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The figures that the command reads from outside are those that a quiet process prints itself, to the last one,
/// however it got the library.
fn outside_and_inside_agree(variant: Variant) -> Result<(), String> {
    let folder = paths::fresh(&format!("outside-{variant:?}"))?;
    let path = folder.join("inside.json");
    let text = path.display().to_string();
    let waiting = Waiting::start(variant, &[("SPANDREL_STATS_FILE", &text), ("SPANDREL_STATS_SIGNAL", "USR1")])?;
    waiting.signal(libc::SIGUSR1);
    wait_for(&path)?;
    let inside = read(&path)?;
    let id = waiting.id().to_string();
    let outcome = run::run(run::command(paths::tool()?).args(["stats", &id, "--format", "json"]), 30)?;
    outcome.clean()?;
    if outcome.stdout != inside {
        return Err(format!("inside\n{inside}\noutside\n{outcome}"));
    }
    let in_flight = observed::member(&inside, "in_flight_bytes")?;
    if in_flight == 0 {
        return Err(format!("no block is on its way: {inside}"));
    }
    observed::check(observed::member(&inside, "live_bytes")?)
}

fn explains_an_address() -> Result<(), String> {
    let waiting = Waiting::start(Variant::Preload, &[])?;
    let explain = |address: usize| {
        let (id, address) = (waiting.id().to_string(), format!("{address:#x}"));
        run::run(run::command(paths::tool()?).args(["explain", "--pid", &id, &address]), 30)
    };
    let inside = explain(waiting.block + 77)?;
    let block = format!("{:#x}, 5120 bytes", waiting.block);
    if !inside.stdout.contains(&block) || !inside.stdout.contains("77 bytes into") || !inside.stdout.contains("live: ")
    {
        return Err(format!("{inside}"));
    }
    let outside = explain(4096)?;
    if outside.stdout.contains("in no span or run") { Ok(()) } else { Err(format!("{outside}")) }
}

fn top_shows_a_process_and_lists_all() -> Result<(), String> {
    let waiting = Waiting::start(Variant::Preload, &[])?;
    let id = waiting.id().to_string();
    let once = run::run(run::command(paths::tool()?).args(["top", "--once", &id]), 30)?;
    // The same without being asked, as its output is a file here.
    let file = run::run(run::command(paths::tool()?).args(["top", &id]), 30)?;
    let all = run::run(run::command(paths::tool()?).arg("top"), 30)?;
    // On a terminal, until the key `q`.
    let tool = paths::tool()?.display().to_string();
    let script = format!(
        "(sleep 1; printf q) | TERM=xterm script -qec 'stty cols 120 rows 40; {tool} top {id} --every 0.2' /dev/null"
    );
    let terminal = run::run(run::command("sh").args(["-c", &script]), 30)?;
    let shown =
        [&once, &file, &terminal].iter().all(|outcome| outcome.stdout.contains("5120") && outcome.end == End::Exit(0));
    if shown && all.stdout.contains(&id) && terminal.stdout.contains("q quits") {
        return Ok(());
    }
    Err(format!("{once}\n{file}\n{all}\n{terminal}"))
}

fn records_and_draws() -> Result<(), String> {
    let folder = paths::fresh("report")?;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    let (id, file, page) = (waiting.id().to_string(), folder.join("a.json"), folder.join("a.html"));
    let mut record = run::command(paths::tool()?);
    record.args(["record", &id, "--seconds", "0.3", "--every", "0.1", "-o"]).arg(&file);
    run::run(&mut record, 30)?.clean()?;
    for subject in [file.as_os_str(), id.as_ref()] {
        let mut report = run::command(paths::tool()?);
        report.arg("report").arg(subject).arg("-o").arg(&page);
        run::run(&mut report, 30)?.clean()?;
        let text = read(&page)?;
        if !text.ends_with("</html>\n") || !text.contains("blocks of 5120 bytes out") || text.contains("http") {
            return Err(text);
        }
    }
    let refused = run::run(run::command(paths::tool()?).args(["report", "/etc/hostname"]), 30)?;
    if refused.stderr.contains("is no recording") { Ok(()) } else { Err(format!("{refused}")) }
}

fn counts_requests_by_class() -> Result<(), String> {
    let outcome = observe("0", &[("SPANDREL_DIAG", "2")])?;
    let line = "spandrel: diag: class=5120 calls=300 requested=1500000 given=1536000 unused=36000";
    let once = observe("0", &[("SPANDREL_DIAG", "1")])?;
    if outcome.stderr.contains(line) && !once.stderr.contains("class=") { Ok(()) } else { Err(format!("{outcome}")) }
}

/// Crashes in the named way, and wants a signal and these texts in the report.
fn crashes(how: &'static str, settings: &[(&str, &str)], end: End, texts: &[&str]) -> Result<(), String> {
    let report = [("SPANDREL_CRASH_REPORT", "1")];
    let environment: Vec<_> = report.iter().chain(settings).copied().collect();
    let outcome = Program { file: "crash.c", arguments: &[how], environment: &environment, timeout: 30 }.run()?;
    let told = outcome.diagnostics();
    let all =
        texts.iter().all(|text| told.iter().any(|line| line.code == "ALLOCATOR_CRASH" && line.text.contains(text)));
    if outcome.end == end && all { Ok(()) } else { Err(format!("expected {end:?} and {texts:?}\n{outcome}")) }
}

const SEGV: End = End::Signal(libc::SIGSEGV);

fn crash_reports_name_the_block() -> Result<(), String> {
    crashes("null", &[], SEGV, &["SIGSEGV at 0x8: null or a member of it"])?;
    crashes("wild", &[], SEGV, &["SIGSEGV at 0x6b0000000000: none of Spandrel's"])?;
    crashes("beyond", &[], SEGV, &["address space of Spandrel's that was never used"])?;
    crashes("live", &[], SEGV, &["40 bytes into block", "of 112 bytes, class 7, of thread", ": live"])?;
    crashes("binned", &[], SEGV, &["8 bytes into block", ": free, in the bin of thread"])?;
    let junk = [("SPANDREL_JUNK", "1")];
    crashes("stale", &junk, SEGV, &["an address that no memory can have", "reads like freed memory (SPANDREL_JUNK)"])?;
    crashes("overflow", &[], SEGV, &["none of Spandrel's"])?;
    crashes("thread-overflow", &[], SEGV, &["none of Spandrel's"])?;
    crashes("sent", &[], SEGV, &["SIGSEGV, sent by a process"])?;
    crashes("bus", &[], End::Signal(libc::SIGBUS), &["SIGBUS at"])
}

fn crash_reports_leave_handlers_alone() -> Result<(), String> {
    // Set before the first allocation, the handler is called after the report; set later, instead of it.
    crashes("handler-before", &[], End::Exit(44), &["SIGSEGV at 0x8"])?;
    let later = Program {
        file: "crash.c",
        arguments: &["handler-after"],
        environment: &[("SPANDREL_CRASH_REPORT", "1")],
        timeout: 30,
    };
    let outcome = later.run()?;
    if outcome.end == End::Exit(44) && outcome.diagnostics().is_empty() { Ok(()) } else { Err(format!("{outcome}")) }
}

fn says_why_a_process_cannot_be_read() -> Result<(), String> {
    let refused = |id: u32, what: &str| {
        let outcome = run::run(run::command(paths::tool()?).args(["stats", &id.to_string()]), 30)?;
        let right = outcome.end == End::Exit(1) && outcome.stderr.contains(what);
        if right { Ok(()) } else { Err(format!("expected `{what}`\n{outcome}")) }
    };
    refused(u32::MAX, "there is no process")?;
    refused(std::process::id(), "is not served by Spandrel")?;
    let waiting = Waiting::start(Variant::Preload, &[("SPANDREL_FORCE_LIBC", "1")])?;
    refused(waiting.id(), "libc serves it")
}

/// As another user, where this runs as root.
fn says_what_reading_takes() -> Result<(), String> {
    const NOBODY: u32 = 65534;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    // Another user may not read the build's folder.
    let tool = std::env::temp_dir().join(format!("spandrel-{}", std::process::id()));
    fs::copy(paths::tool()?, &tool).map_err(|error| error.to_string())?;
    let mut command = run::command(&tool);
    command.args(["stats", &waiting.id().to_string()]).uid(NOBODY).current_dir("/");
    let outcome = run::run(&mut command, 30);
    let _ = fs::remove_file(&tool);
    let outcome = outcome?;
    if outcome.end == End::Exit(1) && outcome.stderr.contains("ptrace_scope") {
        Ok(())
    } else {
        Err(format!("{outcome}"))
    }
}

fn says_when_it_cannot_write() -> Result<(), String> {
    for path in ["/no/such/folder/x.json", "/dev/full", "/"] {
        let outcome = observe("0.1", &[("SPANDREL_STATS_FILE", path), ("SPANDREL_STATS_EVERY", "1")])?;
        outcome.one_line("ALLOCATOR_REPORT_OUTPUT", "SPANDREL_STATS_FILE")?;
    }
    Ok(())
}

fn leaves_an_ignored_signal_alone() -> Result<(), String> {
    let library = paths::shared_library()?;
    let script = "trap '' USR2; LD_PRELOAD=$1 SPANDREL_STATS_SIGNAL=USR2 perl -e 'kill USR2 => $$; print 5'";
    let outcome = run::run(run::command("sh").args(["-c", script, "sh"]).arg(library), 20)?;
    outcome.one_line("ALLOCATOR_REPORT_OUTPUT", "SPANDREL_STATS_SIGNAL")?;
    if outcome.stdout == "5" { Ok(()) } else { Err(format!("{outcome}")) }
}

const PROMETHEUS: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = {family.name: family for family in parse(open(sys.argv[1]).read())}
live = families['spandrel_live_bytes'].samples[0].value
sources = ('own_refills', 'received_refills', 'cache_hits', 'adopted_spans', 'made_spans')
refills = lambda name: sum(s.value for s in families['spandrel_' + name].samples)
assert sum(refills(name) for name in sources) == refills('refills') == refills('class_refills') > 0
assert families['spandrel_refills'].type == 'counter' and live > 0
assert {s.labels['call'] for s in families['spandrel_system_calls'].samples} >= {'mmap', 'madvise'}
classes = sum(s.value for s in families['spandrel_class_live_bytes'].samples)
large = sum(families['spandrel_' + lane + '_bytes'].samples[0].value for lane in ('large', 'direct'))
assert classes + large == live, (classes, large, live)
print('read', len(families) > 40)
";

/// Another reader of the format agrees that it is one, and that the parts make the sum.
fn another_reader_reads_prometheus() -> Result<(), String> {
    let path = paths::fresh("prometheus")?.join("a.prom").display().to_string();
    observe("0", &[("SPANDREL_STATS_FILE", &path)])?.clean()?;
    let outcome = run::run(run::command("python3").args(["-c", PROMETHEUS, &path]), 30)?;
    if outcome.stdout == "read True\n" { Ok(()) } else { Err(format!("{outcome}")) }
}

const READERS: &str = "
import json, sys, xml.etree.ElementTree as tree
figures = json.load(open(sys.argv[1] + '/a.json'))
root = tree.parse(sys.argv[1] + '/a.xml').getroot()
assert root.tag == 'malloc' and root.get('version') == '1'
for heap in root.findall('heap'):
    assert heap.find('sizes') is not None
    assert {t.get('type') for t in heap.findall('total')} == {'fast', 'rest'}
assert {t.get('type') for t in root.findall('total')} == {'fast', 'rest', 'mmap'}
assert {t.get('type') for t in root.findall('system')} == {'current', 'max'}
assert int(root.find('spandrel').get('live_bytes')) == figures['live_bytes']
sources = ('own_refills', 'received_refills', 'cache_hits', 'adopted_spans', 'made_spans')
for parts in [figures, root.find('spandrel').attrib] + figures['classes']:
    assert sum(int(parts[name]) for name in sources) == int(parts['refills']), parts
of_classes = sum(c['live_bytes'] for c in figures['classes'])
assert of_classes + figures['large_bytes'] + figures['direct_bytes'] == figures['live_bytes']
assert sum(t['live_bytes'] for t in figures['threads']) == of_classes
print('read')
";

fn other_readers_read_json_and_xml() -> Result<(), String> {
    let folder = paths::fresh("readers")?;
    for name in ["a.json", "a.xml"] {
        observe("0", &[("SPANDREL_STATS_FILE", &folder.join(name).display().to_string())])?.clean()?;
    }
    let outcome = run::run(run::command("python3").args(["-c", READERS]).arg(&folder), 30)?;
    if outcome.stdout == "read\n" { Ok(()) } else { Err(format!("{outcome}")) }
}

fn main() -> ExitCode {
    let prometheus = run::run(run::command("python3").args(["-c", "import prometheus_client"]), 30);
    let missing = prometheus.is_err() || prometheus.is_ok_and(|outcome| outcome.clean().is_err());
    let obstacle = missing.then(|| "python3 has no prometheus_client".to_owned());
    // SAFETY: asks a question.
    let user = (unsafe { libc::geteuid() } != 0).then(|| "needs root, to be somebody else".to_owned());
    let cases = vec![
        case("file_at_exit", writes_a_file_at_exit),
        case("file_every_second", writes_now_and_then),
        case("file_is_replaced", replaces_the_file),
        case("signal_to_a_sleeping_process", answers_a_signal_in_its_sleep),
        case("unwritable_files_cost_a_line", says_when_it_cannot_write),
        case("ignored_signals_stay_ignored", leaves_an_ignored_signal_alone),
        case("json_and_xml_by_other_readers", other_readers_read_json_and_xml),
        case("outside_and_inside_agree_preloaded", || outside_and_inside_agree(Variant::Preload)),
        case("outside_and_inside_agree_linked", || outside_and_inside_agree(Variant::Linked)),
        case("outside_and_inside_agree_static", || outside_and_inside_agree(Variant::Static)),
        case("explain_address", explains_an_address),
        case("files_follow_no_link", follows_no_link),
        case("top", top_shows_a_process_and_lists_all),
        case("record_and_report", records_and_draws),
        case("requests_by_class", counts_requests_by_class),
        case("crash_reports", crash_reports_name_the_block),
        case("crash_reports_and_handlers", crash_reports_leave_handlers_alone),
        case("refusals_are_explained", says_why_a_process_cannot_be_read),
        case_if(user, "permission_is_explained", says_what_reading_takes),
        case_if(obstacle, "prometheus_by_another_reader", another_reader_reads_prometheus),
    ];
    run_cases(cases, false)
}
