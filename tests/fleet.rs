//! `spandrel serve` among the programs of others, by the files in `share/`: Prometheus, node_exporter, Grafana, systemd,
//! and Go's reader of profiles.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use harness::background::Background;
use harness::expect::End;
use harness::header::Variant;
use harness::observed::{self, Waiting};
use harness::server::{Server, refuses, shared, value, written_once};
use harness::suite::{case, case_if, main as run_cases};
use harness::{http, paths, run};

fn show(error: std::io::Error) -> String {
    error.to_string()
}

/// The names of all metrics, by their descriptions.
fn described(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect()
}

/// Go's own reader fetches a profile, and shows the reason where there is none.
fn pprof_reads_profiles() -> Result<(), String> {
    let folder = paths::fresh("serve-pprof")?;
    let (waiting, plain) = (Waiting::start_profiled()?, Waiting::start(Variant::Preload, &[])?);
    let server = Server::on_loopback(&[])?;
    let top = |id: u32| {
        let mut command = run::command("go");
        command.args(["tool", "pprof", "-top", "-sample_index=inuse_space", "-unit=byte"]);
        command.arg(format!("http://{}/debug/pprof/heap?pid={id}", server.place)).env("PPROF_TMPDIR", &folder);
        run::run(command.env("HOME", &folder).env("GOTOOLCHAIN", "local"), 60)
    };
    let shown = top(waiting.id())?;
    let total = shown.stdout.split("of ").nth(1).and_then(|rest| rest.split('B').next()?.parse().ok());
    observed::check_sampled(total.ok_or_else(|| format!("{shown}"))?).map_err(|error| format!("{error}\n{shown}"))?;
    if !shown.stdout.lines().any(|line| line.ends_with(" main")) {
        return Err(format!("{shown}"));
    }
    let refused = top(plain.id())?;
    if refused.stderr.contains("keeps no heap profile now") { Ok(()) } else { Err(format!("{refused}")) }
}

fn writes_a_text_file() -> Result<(), String> {
    let folder = paths::fresh("serve-text")?;
    let file = folder.join("spandrel.prom");
    let place = file.display().to_string();
    let waiting = Waiting::start(Variant::Preload, &[])?;
    observed::check(value(&written_once(&file, waiting.id())?, "spandrel_live_bytes", waiting.id())?)?;
    fs::remove_file(&file).map_err(show)?;
    let mut command = run::command(paths::tool()?);
    let child = command.args(["serve", "--every", "1", "--textfile", &place]).stderr(Stdio::piped()).spawn();
    let mut writer = Background(child.map_err(show)?);
    let start = Instant::now();
    let mut writings = BTreeSet::new();
    while writings.len() < 3 && start.elapsed() < Duration::from_secs(30) {
        if let Ok(text) = fs::read_to_string(&file) {
            // Whole at any moment.
            if !text.ends_with("state=\"left_out\"} 0\n") && !text.contains("spandrel_serve_look_seconds ") {
                return Err(text);
            }
            writings.insert(fs::metadata(&file).and_then(|data| data.modified()).map_err(show)?);
        }
        thread::sleep(Duration::from_millis(10));
    }
    writer.signal(libc::SIGTERM);
    let status = writer.0.wait().map_err(show)?;
    let left: Vec<_> = fs::read_dir(&folder).map_err(show)?.flatten().map(|entry| entry.file_name()).collect();
    if writings.len() < 3 || !status.success() || !left.is_empty() {
        return Err(format!("{} writings, {status}, left {left:?}", writings.len()));
    }
    refuses(&["--textfile", "/proc/none.prom"], "/proc/none.prom: ")?;
    refuses(&["--textfile", "/tmp/none.txt"], "end with .prom")
}

/// Prometheus's checker has nothing to say about the text, of the server as of the file.
fn promtool_accepts_the_text() -> Result<(), String> {
    let folder = paths::fresh("serve-promtool")?;
    let (file, waiting) = (folder.join("a.prom"), Waiting::start(Variant::Preload, &[])?);
    let server = Server::on_loopback(&["--classes", "--threads"])?;
    let text = server.metrics_with("spandrel_live_bytes", &[waiting.id()])?;
    fs::write(folder.join("served"), text).map_err(show)?;
    written_once(&file, waiting.id())?;
    for name in ["served", "a.prom"] {
        let mut command = run::command("sh");
        command.args(["-c", "promtool check metrics < \"$0\""]).arg(folder.join(name));
        let outcome = run::run(&mut command, 60)?;
        if outcome.end != End::Exit(0) || !outcome.stderr.is_empty() || !outcome.stdout.is_empty() {
            return Err(format!("{name}: {outcome}"));
        }
    }
    Ok(())
}

/// Prometheus scrapes the server by the configuration that is shipped, and knows the process by its labels.
fn prometheus_scrapes() -> Result<(), String> {
    let folder = paths::fresh("serve-prometheus")?;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    let server = Server::on_loopback(&[])?;
    let shipped = shared("prometheus/spandrel.yml")?;
    let port = server.port();
    let config = shipped.replace("9317", port).replace("scrape_interval: 15s", "scrape_interval: 500ms");
    if config == shipped {
        return Err("the configuration names another port".to_owned());
    }
    let path = folder.join("prometheus.yml");
    fs::write(&path, config).map_err(show)?;
    let place = format!("127.0.0.1:{}", http::free_port()?);
    let mut command = run::command("prometheus");
    command.arg(format!("--config.file={}", path.display())).arg(format!("--web.listen-address={place}"));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    let log = fs::File::create(folder.join("log")).map_err(show)?;
    let _running = Background(command.stdout(Stdio::null()).stderr(log).spawn().map_err(show)?);
    let query = |text: &str| format!("/api/v1/query?query={text}");
    http::get_until(&place, &query("up"), &["\"job\":\"spandrel\"", ",\"1\"]"])?;
    let id = waiting.id();
    let pid = format!("\"pid\":\"{id}\"");
    let name = fs::read_to_string(format!("/proc/{id}/comm")).map_err(show)?;
    let command = format!("\"command\":\"{}\"", name.trim_end());
    let series = query(&format!("spandrel_live_bytes%7Bpid=%22{id}%22%7D"));
    let found = http::get_until(&place, &series, &[&pid, &command, "\"cgroup\":\"/"])?;
    let live = found.rsplit(",\"").next().and_then(|rest| rest.split('"').next()?.parse().ok());
    observed::check(live.ok_or_else(|| found.clone())?)?;
    http::get_until(&place, &query(&format!("spandrel_purges_total%7Bpid=%22{id}%22%7D")), &[&pid])?;
    http::get_until(&place, &query("spandrel_serve_processes%7Bstate=%22read%22%7D"), &["\"state\":\"read\""])?;
    run::run(run::command("promtool").args(["check", "config"]).arg(&path), 60)?.clean()?;
    // Prometheus understands what the dashboard asks.
    for expression in expressions(&shared("grafana/spandrel.json")?) {
        let chosen = expression.replace("$__rate_interval", "1m").replace("$job", ".*");
        let chosen = chosen.replace("$instance", ".*").replace("$command", ".*");
        let encoded: String = chosen.bytes().map(|byte| format!("%{byte:02x}")).collect();
        http::get_until(&place, &query(&encoded), &["\"status\":\"success\""])
            .map_err(|error| format!("{chosen}: {error}"))?;
    }
    server.ends_well()
}

/// node_exporter shows the file's metrics with their labels.
fn node_exporter_shows_the_file() -> Result<(), String> {
    let folder = paths::fresh("serve-node")?;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    written_once(&folder.join("spandrel.prom"), waiting.id())?;
    let place = format!("127.0.0.1:{}", http::free_port()?);
    let mut command = run::command("prometheus-node-exporter");
    command.args(["--collector.disable-defaults", "--collector.textfile"]);
    command.arg(format!("--collector.textfile.directory={}", folder.display()));
    command.arg(format!("--web.listen-address={place}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Background(command.spawn().map_err(show)?);
    let text = http::get_until(&place, "/metrics", &["node_textfile_scrape_error 0", "spandrel_live_bytes{"])?;
    let pid = format!("pid=\"{}\"", waiting.id());
    let found = text.lines().any(|line| line.starts_with("spandrel_live_bytes{") && line.contains(&pid));
    if found { Ok(()) } else { Err(text) }
}

/// All words of a text that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    words.filter(|word| word.starts_with("spandrel_")).map(str::to_owned).collect()
}

/// The queries of a dashboard.
fn expressions(dashboard: &str) -> Vec<String> {
    let lines = dashboard.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": \"")?.strip_suffix("\","));
    lines.map(|text| text.replace("\\\"", "\"")).collect()
}

/// The dashboard asks for metrics that there are, the page of the docs explains all of them and no others, with their
/// kinds and units.
fn shipped_files_and_pages_name_metrics_that_exist() -> Result<(), String> {
    let server = Server::on_loopback(&["--classes", "--threads"])?;
    let text = server.metrics()?;
    let all = described(&text);
    let dashboard = shared("grafana/spandrel.json")?;
    let used = metrics_in(&dashboard);
    let unknown: Vec<_> = used.difference(&all).collect();
    if used.len() < 10 || expressions(&dashboard).len() < 20 || !unknown.is_empty() {
        return Err(format!("the dashboard uses {} metrics, unknown ones {unknown:?}", used.len()));
    }
    let page = fs::read_to_string(paths::workspace().join("docs/fleet.md")).map_err(show)?;
    let mut explained = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `spandrel_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, kind, unit, _, ""] = cells.as_slice() else { return Err(row.to_owned()) };
        let name = name.trim_matches('`');
        if !text.contains(&format!("\n# TYPE {name} {kind}\n")) && !text.starts_with(&format!("# TYPE {name} {kind}\n"))
        {
            return Err(format!("{row}: not of that kind"));
        }
        let base = name.strip_suffix("_total").unwrap_or(name);
        if base.ends_with("_bytes") != (*unit == "bytes") || base.ends_with("_seconds") != (*unit == "seconds") {
            return Err(format!("{row}: not of that unit"));
        }
        explained.insert(name.to_owned());
    }
    let difference: Vec<_> = explained.symmetric_difference(&all).collect();
    if difference.is_empty() { Ok(()) } else { Err(format!("docs/fleet.md and the server differ: {difference:?}")) }
}

/// The dashboard is JSON as Grafana imports it: panels with targets, each asked of the data source that is chosen.
fn the_dashboard_is_whole() -> Result<(), String> {
    let path = paths::workspace().join("share/grafana/spandrel.json");
    let script = "import json, sys\n\
                  board = json.load(open(sys.argv[1]))\n\
                  panels = [p for p in board['panels'] if p['type'] != 'row']\n\
                  assert len(panels) >= 6 and board['title'] and board['uid'] and board['schemaVersion'] >= 30\n\
                  assert len({p['id'] for p in board['panels']}) == len(board['panels'])\n\
                  names = {v['name'] for v in board['templating']['list']}\n\
                  assert {'datasource', 'job', 'instance', 'command'} <= names, names\n\
                  for p in panels:\n\
                  \x20   assert p['title'] and p['targets'] and p['datasource']['uid'] == '${datasource}', p\n\
                  \x20   assert all('spandrel_' in t['expr'] and t['refId'] for t in p['targets']), p\n\
                  \x20   g = p['gridPos']\n\
                  \x20   assert g['x'] + g['w'] <= 24\n\
                  print('whole')\n";
    let outcome = run::run(run::command("python3").args(["-c", script]).arg(path), 30)?;
    if outcome.stdout == "whole\n" { Ok(()) } else { Err(format!("{outcome}")) }
}

/// systemd finds nothing wrong with the unit, and calls it well protected.
fn systemd_accepts_the_unit() -> Result<(), String> {
    let folder = paths::fresh("serve-unit")?;
    let unit = shared("systemd/spandrel-serve.service")?;
    let with_tool = unit.replace("/usr/bin/spandrel", &paths::tool()?.display().to_string());
    if with_tool == unit {
        return Err("the unit starts another command".to_owned());
    }
    let path = folder.join("spandrel-serve.service");
    fs::write(&path, with_tool).map_err(show)?;
    let analyze = |words: &[&str]| {
        let mut command = run::command("systemd-analyze");
        run::run(command.args(words).arg(&path).env("SYSTEMD_LOG_LEVEL", "notice"), 60)
    };
    let outcome = analyze(&["verify", "--man=no"])?;
    if outcome.end != End::Exit(0) || outcome.stderr.contains("spandrel-serve") {
        return Err(format!("{outcome}"));
    }
    // Its options are those of the command: all but the address are taken as they are.
    let line =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/spandrel serve")).ok_or("no command")?;
    let words: Vec<_> = line.split_whitespace().map(|word| word.replace(":9317", ":0")).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    Server::start(&words)?.ends_well()
}

fn main() -> ExitCode {
    let both = paths::missing("prometheus").or_else(|| paths::missing("promtool"));
    let cases = vec![
        case_if(paths::missing("go"), "pprof_reads_profiles", pprof_reads_profiles),
        case("writes_a_text_file", writes_a_text_file),
        case_if(paths::missing("promtool"), "promtool_accepts_the_text", promtool_accepts_the_text),
        case_if(both, "prometheus_scrapes", prometheus_scrapes),
        case_if(
            paths::missing("prometheus-node-exporter"),
            "node_exporter_shows_the_file",
            node_exporter_shows_the_file,
        ),
        case("shipped_files_and_pages_name_metrics_that_exist", shipped_files_and_pages_name_metrics_that_exist),
        case_if(paths::missing("python3"), "the_dashboard_is_whole", the_dashboard_is_whole),
        case_if(paths::missing("systemd-analyze"), "systemd_accepts_the_unit", systemd_accepts_the_unit),
    ];
    run_cases(cases, false)
}
