//! Statistics reach those who asked: at exit, on a signal, after some time, into files; and where they cannot, one line says so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::build::{self, Source};
use harness::header::Variant;
use harness::programs::Program;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};
use harness::{observed, paths};

fn folder(name: &str) -> Result<PathBuf, String> {
    let folder = paths::output().join("observe").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

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
    let folder = folder("exit")?;
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

fn writes_now_and_then() -> Result<(), String> {
    let folder = folder("every")?;
    let path = folder.join("%n.prom").display().to_string();
    observe("2.6", &[("SPANDREL_STATS_FILE", &path), ("SPANDREL_STATS_EVERY", "1")])?.clean()?;
    let names = files(&folder)?;
    // One or two on the way, and one at exit.
    if (2..=4).contains(&names.len()) { Ok(()) } else { Err(format!("{names:?}")) }
}

/// A quiet program that waits, started with these settings.
fn waiting(settings: &[(&str, &str)], stderr: Stdio) -> Result<Child, String> {
    let program = build::program(&Source::new(paths::program_source("observed.c")), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    command.envs(settings.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    if line == "ready\n" { Ok(child) } else { Err(format!("said `{line}`")) }
}

fn kill(child: &Child, signal: i32) {
    if let Ok(id) = i32::try_from(child.id()) {
        // SAFETY: takes no pointers; the child is ours and not waited for yet.
        unsafe { libc::kill(id, signal) };
    }
}

/// A process that only waits answers a signal at once, and goes on waiting.
fn answers_a_signal_in_its_sleep() -> Result<(), String> {
    let folder = folder("signal")?;
    let path = folder.join("%n.xml").display().to_string();
    let mut child = waiting(&[("SPANDREL_STATS_FILE", &path), ("SPANDREL_STATS_SIGNAL", "USR2")], Stdio::inherit())?;
    let start = Instant::now();
    for number in 0..3 {
        kill(&child, libc::SIGUSR2);
        while files(&folder)?.len() <= number && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    drop(child.stdin.take());
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = fs::read_to_string(folder.join("2.xml")).map_err(|error| format!("the third report: {error}"))?;
    if !status.success() || !text.ends_with("</malloc>") && !text.ends_with("</malloc>\n") {
        return Err(format!("{status}, {text}"));
    }
    observed::check(observed::attribute(&text, "live_bytes")?)
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
assert families['spandrel_refills'].type == 'counter' and live > 0
assert {s.labels['call'] for s in families['spandrel_system_calls'].samples} >= {'mmap', 'madvise'}
classes = sum(s.value for s in families['spandrel_class_live_bytes'].samples)
large = sum(families['spandrel_' + lane + '_bytes'].samples[0].value for lane in ('large', 'direct'))
assert classes + large == live, (classes, large, live)
print('read', len(families) > 40)
";

/// Another reader of the format agrees that it is one, and that the parts make the sum.
fn another_reader_reads_prometheus() -> Result<(), String> {
    let path = folder("prometheus")?.join("a.prom").display().to_string();
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
of_classes = sum(c['live_bytes'] for c in figures['classes'])
assert of_classes + figures['large_bytes'] + figures['direct_bytes'] == figures['live_bytes']
assert sum(t['live_bytes'] for t in figures['threads']) == of_classes
print('read')
";

fn other_readers_read_json_and_xml() -> Result<(), String> {
    let folder = folder("readers")?;
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
    let cases = vec![
        case("file_at_exit", writes_a_file_at_exit),
        case("file_every_second", writes_now_and_then),
        case("signal_to_a_sleeping_process", answers_a_signal_in_its_sleep),
        case("unwritable_files_cost_a_line", says_when_it_cannot_write),
        case("ignored_signals_stay_ignored", leaves_an_ignored_signal_alone),
        case("json_and_xml_by_other_readers", other_readers_read_json_and_xml),
        case_if(obstacle, "prometheus_by_another_reader", another_reader_reads_prometheus),
    ];
    run_cases(cases, false)
}
