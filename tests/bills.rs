//! Named heaps wherever figures are shown: statistics in all formats, from inside and outside, pages, heap profiles and
//! leak reports; with names that mean harm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::observed::Waiting;
use harness::paths;
use harness::profiles::{RATE, shown};
use harness::programs::Program;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

/// The names of `heaps.c` as they are shown, in the order in which the heaps are made.
const NAMES: [&str; 7] = [
    "a\"} 9?\\<&>'",
    "?[2J?",
    "same",
    "same",
    "straße",
    "heap",
    "012345678901234567890123456789012345678901234567890123456789012",
];

fn heaps(count: usize, settings: &[(&str, &str)]) -> Result<Outcome, String> {
    Program { file: "heaps.c", arguments: &[&count.to_string()], environment: settings, timeout: 60 }.run()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs a script of Python with these arguments, and wants what it prints.
fn python(script: &str, arguments: &[&str], expected: &str) -> Result<(), String> {
    let outcome = run::run(run::command("python3").args(["-c", script]).args(arguments), 60)?;
    if outcome.stdout == expected { Ok(()) } else { Err(format!("{outcome}")) }
}

/// The names as a list of JSON's, which is one of Python's, too.
fn names() -> String {
    let quoted = NAMES.map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("[{}]", quoted.join(", "))
}

/// A script that knows a list of figures: `name`, `held_bytes` and so on, and what the process has, and that checks them.
const CHECK: &str = "
import json, sys, xml.etree.ElementTree as tree
def check(count, named, default, other, whole):
    names = json.loads(sys.argv[1])
    shown = [heap['name'] for heap in named]
    # Those that hold most come first: the numbered heaps, from the last one on; of equal ones the older.
    assert shown == ([f'tenant {n}' for n in range(count - 1, 0, -1)] + names + ['tenant 0'])[:100], shown
    shares = ('held_bytes', 'span_bytes', 'large_bytes', 'live_bytes', 'live_blocks')
    sums = {n: sum(int(heap[n]) for heap in named + [default] + ([other] if other else [])) for n in shares}
    assert sums == {n: int(whole[n]) for n in shares}, (sums, whole)
    total = count + len(names)
    assert (total - 100 if total > 100 else None) == (int(other['heaps']) if other else None)
    for rank, heap in enumerate(named):
        n = lambda name: int(heap[name])
        assert n('held_bytes') == n('span_bytes') + n('large_bytes') <= n('peak_bytes'), heap
        assert n('held_bytes') >= n('live_bytes') and n('live_blocks') >= 101, heap
        assert n('soft_limit_bytes') == 32 << 20 and n('hard_limit_bytes') == 64 << 20, heap
        if heap['name'].startswith('tenant'):
            large = int(heap['name'].split()[1]) + 1
            extra = 10 if heap['name'] == f'tenant {count - 1}' else 0
            assert n('live_blocks') == 100 + large + extra, heap
            assert 100 * 1008 + large * 100000 <= n('live_bytes') <= 120 * 1024 + large * (1 << 17), heap
    users = [heap['name'] for heap in named if int(heap['users']) == 1]
    assert users == [f'tenant {count - 1}'], users
def whole(figures, classes):
    n = lambda name: int(figures[name])
    blocks = sum(int(c['live_blocks']) for c in classes) + n('large_blocks') + n('direct_blocks')
    large = n('held_bytes') - n('span_bytes')
    # Large blocks hold whole regions.
    assert large % (1 << 15) == 0 and n('large_bytes') <= large < n('large_bytes') + (n('large_blocks') + 1 << 15)
    return {'live_blocks': blocks, 'large_bytes': large} | {name: n(name) for name in ('held_bytes', 'span_bytes', 'live_bytes')}
";

const JSON: &str = "
figures = json.load(open(sys.argv[2]))
default, other = figures['default_heap'], figures.get('other_named_heaps')
check(int(sys.argv[3]), figures['named_heaps'], default, other, whole(figures, figures['classes']))
print('read')
";

const XML: &str = "
figures = tree.parse(sys.argv[2]).getroot().find('spandrel')
named, other = [heap.attrib for heap in figures.findall('named_heap')], figures.find('other_named_heaps')
default, classes = figures.find('default_heap').attrib, [c.attrib for c in figures.findall('class')]
check(int(sys.argv[3]), named, default, other.attrib if other is not None else None, whole(figures.attrib, classes))
print('read')
";

/// Every heap is there under its name, as far as there is room, and all parts make the sum.
fn sums_are_right(name: &str, script: &str) -> Result<(), String> {
    let path = paths::fresh(name)?.join(name).display().to_string();
    for count in [3, 200] {
        heaps(count, &[("SPANDREL_STATS_FILE", &path)])?.clean()?;
        python(&format!("{CHECK}{script}"), &[&names(), &path, &count.to_string()], "read\n")?;
    }
    Ok(())
}

/// In mode guarded each sampled block is on the bill of its heap, by its page.
const GUARDED: &str = "
import json, sys
figures = json.load(open(sys.argv[1]))
named = figures['named_heaps']
rows = named + [figures['default_heap'], figures['other_named_heaps']]
shares = ('held_bytes', 'span_bytes', 'large_bytes', 'live_bytes', 'live_blocks')
sums = {name: sum(row[name] for row in rows) for name in shares}
blocks = sum(c['live_blocks'] for c in figures['classes']) + figures['large_blocks'] + figures['direct_blocks']
whole = {name: figures[name] for name in ('held_bytes', 'span_bytes', 'live_bytes')}
whole |= {'live_blocks': blocks, 'large_bytes': figures['held_bytes'] - figures['span_bytes']}
assert sums == whole, (sums, whole)
pages = [heap for heap in named if heap['large_bytes'] % (32 << 10) > 0]
assert len(pages) > 10 and all(heap['live_blocks'] >= 101 for heap in named), named
print('read')
";

/// The settings of mode guarded, with many samples.
const SAMPLED: [(&str, &str); 3] =
    [("SPANDREL_MODE", "guarded"), ("SPANDREL_GUARDED_RATE", "20"), ("SPANDREL_GUARDED_SLOTS", "4096")];

fn samples_are_on_bills() -> Result<(), String> {
    let path = paths::fresh("guarded")?.join("a.json").display().to_string();
    heaps(200, &[&SAMPLED[..], &[("SPANDREL_STATS_FILE", &path)]].concat())?.clean()?;
    python(GUARDED, &[&path], "read\n")
}

const PROMETHEUS: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = {family.name: family for family in parse(open(sys.argv[2], newline='').read())}
held = families['spandrel_bill_held_bytes'].samples
by_name = {s.labels['heap']: s.value for s in held if 'heap' in s.labels}
assert set(by_name) == set(json.loads(sys.argv[1])) | {'tenant 0', 'tenant 1'}, by_name
# Two heaps of one name are one series.
assert by_name['same'] == 2 * by_name['heap'] > 0, by_name
total = families['spandrel_held_bytes'].samples[0].value
assert sum(s.value for s in held) == total, (held, total)
assert [s.labels for s in held if 'heap' not in s.labels] == [{'share': 'default'}]
refusals = families['spandrel_bill_refusals']
assert refusals.type == 'counter' and sum(s.value for s in refusals.samples) == 0
print('read')
";

/// Another reader of the format agrees that it is one.
fn another_reader_reads_prometheus() -> Result<(), String> {
    let path = paths::fresh("prom")?.join("a.prom").display().to_string();
    heaps(2, &[("SPANDREL_STATS_FILE", &path)])?.clean()?;
    python(PROMETHEUS, &[&names(), &path], "read\n")
}

/// Each name is on one line, behind the figures; heaps beyond the hundredth share one.
fn text_is_bounded() -> Result<(), String> {
    let path = paths::fresh("text")?.join("a.txt");
    let text = |count| {
        heaps(count, &[("SPANDREL_STATS_FILE", &path.display().to_string())])?.clean()?;
        read(&path)
    };
    let few = text(1)?;
    let line =
        |end: &str| few.lines().filter(|line| line.starts_with("spandrel: stats: ") && line.ends_with(end)).count();
    let quoted = |name: &str| format!("  \"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    if NAMES.iter().any(|name| line(&quoted(name)) != if *name == "same" { 2 } else { 1 }) || few.contains("others") {
        return Err(few);
    }
    let many = text(150)?;
    let rows = many.lines().filter(|line| line.ends_with('"')).count();
    let ends = many.lines().last().is_some_and(|line| line.contains("others") && line.ends_with("  57 more heaps"));
    if rows == 100 && ends { Ok(()) } else { Err(many) }
}

/// Without named heaps nothing says a word about them.
fn nothing_is_said_without_heaps() -> Result<(), String> {
    let folder = paths::fresh("none")?;
    for name in ["a.json", "a.xml", "a.txt", "a.prom"] {
        let path = folder.join(name);
        let settings = [("SPANDREL_STATS_FILE", path.display().to_string())];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program { file: "observed.c", arguments: &["0"], environment: &settings, timeout: 40 }.run_clean()?;
        let text = read(&path)?;
        let lines: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        if lines.contains("named_heap") || lines.contains("default") || lines.contains("bill") {
            return Err(text);
        }
    }
    Ok(())
}

/// The bills that the command reads from outside are those that a quiet process prints itself, to the last one.
fn outside_and_inside_agree(variant: Variant, more: &[(&str, &str)]) -> Result<(), String> {
    let folder = paths::fresh(&format!("bills-{variant:?}-{}", more.len()))?;
    for count in [1, 150] {
        let path = folder.join(format!("{count}.json"));
        let text = path.display().to_string();
        let settings = [&[("SPANDREL_STATS_FILE", text.as_str()), ("SPANDREL_STATS_SIGNAL", "USR1")], more].concat();
        let waiting = Waiting::start_heaps(variant, count, &settings)?;
        waiting.signal(libc::SIGUSR1);
        let start = std::time::Instant::now();
        while !path.exists() {
            if start.elapsed().as_secs() > 20 {
                return Err(format!("{text} did not come"));
            }
            std::thread::sleep(core::time::Duration::from_millis(5));
        }
        let inside = read(&path)?;
        let outcome = tool(&["stats", &waiting.id().to_string(), "--format", "json"])?;
        if outcome.stdout != inside || !inside.contains("\"named_heaps\":[{\"name\":\"") {
            return Err(format!("inside\n{inside}\noutside\n{outcome}"));
        }
    }
    Ok(())
}

/// Accounts of threads are among the bills, with their kind; what is on one is not the default heap's.
fn accounts_are_bills() -> Result<(), String> {
    let path = paths::fresh("accounts")?.join("a.json");
    let text = path.display().to_string();
    let settings = [
        ("SPANDREL_ACCOUNT", "thread-name"),
        ("SPANDREL_STATS_FILE", text.as_str()),
        ("SPANDREL_STATS_SIGNAL", "USR1"),
    ];
    let waiting = Waiting::start_heaps(Variant::Preload, 1, &settings)?;
    let name = read(Path::new(&format!("/proc/{}/comm", waiting.id())))?;
    let account = format!("{{\"name\":\"{}\",\"kind\":\"thread-name\",\"held_bytes\":", name.trim_end());
    let id = waiting.id().to_string();
    let table = tool(&["stats", &id])?.stdout;
    let outside = tool(&["stats", &id, "--format", "json"])?.stdout;
    waiting.signal(libc::SIGUSR1);
    waiting.finish()?;
    let inside = read(&path)?;
    let is_account = |text: &str| text.contains(&account) && text.contains("\"kind\":\"heap\"");
    let right = is_account(&outside) && is_account(&inside) && lines_with(&table, &["[thread-name]"]) == 1;
    // Ten large blocks are the thread's, and no heap's that the program made.
    let default = outside.split_once("\"default_heap\":{\"heaps\":1,\"held_bytes\":").ok_or_else(|| outside.clone())?.1;
    let held: usize =
        default.split(',').next().and_then(|digits| digits.parse().ok()).ok_or_else(|| outside.clone())?;
    if right && held < 1_000_000 { Ok(()) } else { Err(format!("{table}\n{outside}\n{inside}")) }
}

/// A run of the command, which ends well.
fn tool(arguments: &[&str]) -> Result<Outcome, String> {
    let outcome = run::run(run::command(paths::tool()?).args(arguments), 60)?;
    outcome.clean()?;
    Ok(outcome)
}

fn lines_with(text: &str, parts: &[&str]) -> usize {
    text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

/// Tables, a page and metrics have the heaps, and no name ends its place in them.
fn views_have_heaps() -> Result<(), String> {
    let folder = paths::fresh("views")?;
    let waiting = Waiting::start_heaps(Variant::Preload, 120, &[])?;
    let id = waiting.id().to_string();
    for view in [&["stats", &id][..], &["top", &id, "--once"]] {
        let text = tool(view)?.stdout;
        // The heaps with other names hold less than a hundred of the numbered ones.
        let right =
            lines_with(&text, &["64.0 MiB", "  1  tenant 119"]) == 1 && lines_with(&text, &["(default heap)"]) == 1;
        if !right || lines_with(&text, &["(27 more heaps)"]) != 1 || text.contains('\x1b') {
            return Err(text);
        }
    }
    let few = Waiting::start_heaps(Variant::Preload, 0, &[])?;
    let id = few.id().to_string();
    let page = folder.join("a.html").display().to_string();
    tool(&["report", &id, "-o", &page])?;
    let text = read(Path::new(&page))?;
    if !text.contains("Named heaps") || !text.contains("<td>a&quot;} 9?\\&lt;&amp;&gt;'</td>") || text.contains("9?\\<")
    {
        return Err(text);
    }
    let metrics = folder.join("a.prom").display().to_string();
    let start = std::time::Instant::now();
    loop {
        tool(&["serve", "--once", "--textfile", &metrics])?;
        let text = read(Path::new(&metrics))?;
        let series = |heap: &str| lines_with(&text, &["spandrel_bill_held_bytes{pid=", &format!("\"{id}\""), heap]);
        let found = [series(r#",heap="a\"} 9?\\<&>'"} "#), series(",heap=\"same\"} "), series(",share=\"default\"} ")];
        if found == [1, 1, 1] {
            break;
        }
        // On a machine with much other work the first looks may end before the process was read, and then show none.
        if found != [0, 0, 0] || start.elapsed().as_secs() > 60 {
            return Err(format!("{found:?}\n{text}"));
        }
    }
    terminal_shows_heaps(&id)
}

/// On a terminal, Tab leads to the heaps.
fn terminal_shows_heaps(id: &str) -> Result<(), String> {
    let tool = paths::tool()?.display().to_string();
    let script = format!(
        "(sleep 1; printf '\\t\\t'; sleep 1; printf q) | \
         TERM=xterm script -qec 'stty cols 120 rows 40; {tool} top {id} --every 0.2' /dev/null"
    );
    let terminal = run::run(run::command("sh").args(["-c", &script]), 30)?;
    let shown = terminal.stdout.contains("REFUSED") && terminal.stdout.contains("straße");
    if shown && !terminal.stdout.contains("\x1b[2J\u{fffd}") { Ok(()) } else { Err(format!("{terminal}")) }
}

/// A refusal is counted, and the line that reports it names the heap.
fn refusals_are_counted() -> Result<(), String> {
    let path = paths::fresh("refused")?.join("a.json").display().to_string();
    let settings = [("SPANDREL_STATS_FILE", path.as_str())];
    let program = Program { file: "heaps.c", arguments: &["1", "refused"], environment: &settings, timeout: 40 };
    let outcome = program.run()?;
    outcome.one_line("ALLOCATOR_HEAP_LIMIT", "tenant 0")?;
    let text = read(Path::new(&path))?;
    let (_, heap) = text.split_once("\"name\":\"tenant 0\"").ok_or_else(|| text.clone())?;
    let (heap, _) = heap.split_once('}').ok_or_else(|| text.clone())?;
    if heap.contains("\"refusals\":2") { Ok(()) } else { Err(text) }
}

/// A profile that the library wrote, or that was read from outside while the process waits.
fn profile(folder: &Path, outside: bool) -> Result<PathBuf, String> {
    let file = folder.join("heap-%n").display().to_string();
    let settings = [("SPANDREL_HEAP_PROFILE", file.as_str()), ("SPANDREL_HEAP_PROFILE_RATE", RATE)];
    if !outside {
        heaps(40, &settings)?.clean()?;
        return Ok(folder.join("heap-1"));
    }
    let waiting = Waiting::start_heaps(Variant::Preload, 40, &settings)?;
    let read = folder.join("outside");
    let script = "\"$0\" serve --heap-of $1 | tail -c +5 > $2";
    let mut command = run::command("sh");
    command.args(["-c", script]).arg(paths::tool()?).arg(waiting.id().to_string()).arg(&read);
    run::run(&mut command, 60)?.clean()?;
    Ok(read)
}

/// Samples have the heap that they are of, also where its name means harm.
fn profiles_have_heaps(outside: bool) -> Result<(), String> {
    let folder = paths::fresh(if outside { "profile-outside" } else { "profile" })?;
    let dump = profile(&folder, outside)?;
    let text = shown(&dump, &["show", "--value", "inuse_space", "--rows", "100"])?;
    for name in ["\"a\\\"} 9?\\\\<&>'\"", "\"same\"", "\"straße\"", "\"tenant 39\"", "(default)"] {
        if lines_with(&text, &["%  ", name]) != 1 {
            return Err(format!("no {name} in\n{text}"));
        }
    }
    let alone = shown(&dump, &["show", "--value", "inuse_space", "--heap", "tenant 39", "--json"])?;
    let script = "import json, sys; found = json.loads(sys.argv[1]); held = 110 * 1008 + 40 * 100000\n\
                  [heap] = found['heaps']; assert heap['heap'] == 'tenant 39' and heap['own'] == found['total']\n\
                  assert abs(found['total'] - held) < held / 5, found\n\
                  assert any('make' in f['function'] for f in found['functions']), found\n\
                  print('read')";
    python(script, &[&alone], "read\n")?;
    let mut missing = run::command(paths::tool()?);
    let refused = run::run(missing.args(["profile", "show", "--heap", "none"]).arg(&dump), 30)?;
    if refused.end != End::Exit(1) || !refused.stderr.contains("no heap \"none\"") {
        return Err(format!("{refused}"));
    }
    let leaks = tool(&["leaks", &dump.display().to_string(), "--rows", "200"])?.stdout;
    let right = lines_with(&leaks, &["+", " in heap \"tenant 39\" from"]) >= 1
        && lines_with(&leaks, &["+", " in all in heap \"tenant 39\""]) == 1;
    if right { Ok(()) } else { Err(leaks) }
}

/// Reports at exit say of which heap the live blocks are.
fn leaks_name_their_heaps() -> Result<(), String> {
    let tracked = heaps(2, &[("SPANDREL_MODE", "tracked"), ("SPANDREL_TRACKED_TOP", "100")])?;
    let said = |parts: &[&str]| lines_with(&tracked.stderr, &[&["spandrel: tracked: "], parts].concat());
    let right = said(&["heap \"tenant 1\": 112 blocks of 310880 bytes"]) == 1
        && said(&["heap \"a\"} 9?\\<&>'\": 101 blocks of 200800 bytes"]) == 1
        && said(&["heap \"same\": 101 blocks"]) == 2
        && said(&["200000 bytes in 2 blocks, the oldest", " ms old, in heap \"tenant 1\""]) == 1
        && said(&["the default heap: ", " blocks of 10"]) == 1;
    if !right || tracked.stderr.contains('\x1b') {
        return Err(format!("{tracked}"));
    }
    let ended = heaps(2, &[("SPANDREL_LEAKS", "1")])?;
    let said = |parts: &[&str]| lines_with(&ended.stderr, &[&["spandrel: ALLOCATOR_SHUTDOWN_LEAK: "], parts].concat());
    if ended.end == End::Exit(23) && said(&["112 of them, ", " bytes, are of heap \"tenant 1\""]) == 1 {
        return Ok(());
    }
    Err(format!("{ended}"))
}

fn main() -> ExitCode {
    let prometheus = run::run(run::command("python3").args(["-c", "import prometheus_client"]), 30);
    let missing = prometheus.is_err() || prometheus.is_ok_and(|outcome| outcome.clean().is_err());
    let obstacle = missing.then(|| "python3 has no prometheus_client".to_owned());
    // Built once, before several cases want it at the same time.
    let built = build::program(&Source::new(paths::program_source("heaps.c")), Variant::Preload).map(drop);
    let cases = vec![
        case("program", move || built.clone()),
        case("json", || sums_are_right("a.json", JSON)),
        case("xml", || sums_are_right("a.xml", XML)),
        case("text", text_is_bounded),
        case("none", nothing_is_said_without_heaps),
        case("refusals", refusals_are_counted),
        case("outside_and_inside_agree_preloaded", || outside_and_inside_agree(Variant::Preload, &[])),
        case("outside_and_inside_agree_linked", || outside_and_inside_agree(Variant::Linked, &[])),
        case("outside_and_inside_agree_static", || outside_and_inside_agree(Variant::Static, &[])),
        case("outside_and_inside_agree_guarded", || outside_and_inside_agree(Variant::Preload, &SAMPLED)),
        case("guarded", samples_are_on_bills),
        case("accounts", accounts_are_bills),
        case("views", views_have_heaps),
        case("profile", || profiles_have_heaps(false)),
        case("profile_outside", || profiles_have_heaps(true)),
        case("leaks", leaks_name_their_heaps),
        case_if(obstacle, "prometheus_by_another_reader", another_reader_reads_prometheus),
    ];
    run_cases(cases, false)
}
