//! `spandrel serve`: figures and heap profiles of all processes, whatever processes and clients do.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use harness::background::Background;
use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::observed::{self, Waiting};
use harness::run::{self, Outcome};
use harness::server::{Server, once_with, refuses, shared, value};
use harness::suite::{case, case_if, main as run_cases};
use harness::{http, paths};

/// The word of the descriptor that says where purges are counted.
const PURGES: usize = 28;
const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

fn show(error: std::io::Error) -> String {
    error.to_string()
}

fn shows_all_processes() -> Result<(), String> {
    let (one, other) = (Waiting::start(Variant::Preload, &[])?, Waiting::start(Variant::Static, &[])?);
    let server = Server::on_loopback(&["--classes", "--threads"])?;
    server.metrics_with("spandrel_live_bytes", &[one.id(), other.id()])?;
    let answer = server.get("/metrics", &[])?;
    let text = answer.ok()?;
    for process in [&one, &other] {
        let id = process.id();
        observed::check(value(&text, "spandrel_live_bytes", id)?)?;
        let file = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).map_err(show);
        let groups = file("cgroup")?;
        let memory = groups.lines().find(|line| line.split(':').nth(1) == Some("memory")).or(groups.lines().last());
        let cgroup = memory.and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or_default();
        let labels = format!("{{pid=\"{id}\",command=\"{}\",cgroup=\"{cgroup}\"", file("comm")?.trim_end());
        for name in ["spandrel_readable", "spandrel_resident_bytes", "spandrel_purges_total"] {
            if !text.contains(&format!("\n{name}{labels}")) {
                return Err(format!("no {name}{labels} in\n{text}"));
            }
        }
        for part in ["class=\"5120\"}", "thread=\""] {
            if !text.contains(&format!("{labels},{part}")) && !text.lines().any(|line| line.contains(part)) {
                return Err(format!("no {part} in\n{text}"));
            }
        }
    }
    if !answer.head.contains("Content-Type: text/plain; version=0.0.4") {
        return Err(answer.head);
    }
    let answer = server.get("/metrics", &[OPEN_METRICS])?;
    let open = answer.ok()?;
    if !open.ends_with("\n# EOF\n") || !open.contains("\n# UNIT spandrel_live_bytes bytes\n") {
        return Err(open);
    }
    if !answer.head.contains("application/openmetrics-text; version=1.0.0") {
        return Err(answer.head);
    }
    server.get("/", &[])?.wants(200, &format!("<td>{}<td>", one.id()))?;
    server.get("/other", &[])?.wants(404, "/metrics")?;
    server.get("/metrics", &["Host: localhost"])?.ok()?;
    server.ends_well()
}

/// A page of somebody's browser may have its name lead to this machine.
fn answers_no_other_name() -> Result<(), String> {
    let server = Server::on_loopback(&[])?;
    let text = server.say("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")?;
    if text.starts_with("HTTP/1.1 421 ") && !text.contains("spandrel_") { Ok(()) } else { Err(text) }
}

fn listens_publicly_only_where_told() -> Result<(), String> {
    for address in ["0.0.0.0:0", "[::]:0"] {
        refuses(&["--listen", address], "--expose-to-network")?;
    }
    let server = Server::start(&["--listen", "0.0.0.0:0", "--expose-to-network"])?;
    let port = server.port();
    http::get(http::connect(&format!("127.0.0.1:{port}"))?, "/metrics", &[])?.ok()?;
    // A port that is taken, and a path at which a socket cannot be.
    refuses(&["--listen", &format!("0.0.0.0:{port}"), "--expose-to-network"], &format!("0.0.0.0:{port}: "))?;
    refuses(&["--listen", "unix:/proc/none"], "unix:/proc/none: ")?;
    server.ends_well()
}

fn listens_on_a_socket() -> Result<(), String> {
    let path = paths::fresh("serve-socket")?.join("s");
    // A path of a socket has at most 107 bytes.
    let path = if path.as_os_str().len() > 100 {
        PathBuf::from(format!("/tmp/spandrel-{}", std::process::id()))
    } else {
        path
    };
    let waiting = Waiting::start(Variant::Preload, &[])?;
    for (arguments, mode) in [(&[][..], 0o600), (&["--socket-mode", "660"], 0o660)] {
        let place = format!("unix:{}", path.display());
        let server = Server::start(&[&["--listen", &place], arguments].concat())?;
        let found = fs::metadata(&path).map_err(show)?.permissions().mode() & 0o777;
        let ask = || http::get(UnixStream::connect(&path).map_err(show)?, "/metrics", &[])?.ok();
        once_with("spandrel_live_bytes", &[waiting.id()], ask)?;
        server.ends_well()?;
        if found != mode || path.exists() {
            return Err(format!("permissions {found:o}, still there: {}", path.exists()));
        }
    }
    Ok(())
}

/// Processes that lie, stop, or have names that would break a line; honest ones are there all the same.
fn survives_hostile_processes() -> Result<(), String> {
    let honest = Waiting::start(Variant::Preload, &[])?;
    let stopped = Waiting::start(Variant::Preload, &[])?;
    stopped.signal(libc::SIGSTOP);
    let words = [(5, 1 << 43), (7, 0), (16, 0), (28, usize::MAX), (29, 0), (26, usize::MAX)];
    let liars: Vec<_> =
        words.iter().map(|&(word, value)| Waiting::start_lying(word, value)).collect::<Result<_, _>>()?;
    let mut named = run::preloaded("perl")?;
    named.args(["-e", r#"$0 = qq(a"} 1\nb\\<); $| = 1; print "ready\n"; <STDIN>"#]);
    let mut named = Background(named.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(show)?);
    let mut line = String::new();
    BufReader::new(named.0.stdout.take().ok_or("no pipe")?).read_line(&mut line).map_err(show)?;
    let server = Server::on_loopback(&[])?;
    let ids: Vec<_> = liars.iter().map(Waiting::id).chain([named.id()]).collect();
    server.metrics_with("spandrel_readable", &ids)?;
    let start = Instant::now();
    let text = server.metrics_with("spandrel_live_bytes", &[honest.id(), stopped.id()])?;
    let took = start.elapsed();
    let page = server.get("/", &[])?.ok()?;
    stopped.signal(libc::SIGCONT);
    for process in [&honest, &stopped] {
        observed::check(value(&text, "spandrel_live_bytes", process.id())?)?;
    }
    for liar in &liars {
        if value(&text, "spandrel_readable", liar.id())? != 0 || value(&text, "spandrel_live_bytes", liar.id()).is_ok()
        {
            return Err(format!("a liar is believed\n{text}"));
        }
    }
    let escaped = format!("{{pid=\"{}\",command=\"a\\\"}} 1?b\\\\<\",", named.id());
    if !text.contains(&format!("spandrel_readable{escaped}")) || !page.contains("a\"} 1?b\\&lt;") {
        return Err(format!("no {escaped}\n{text}\n{page}"));
    }
    if took > Duration::from_secs(15) { Err(format!("it took {took:?}")) } else { Ok(()) }
}

/// Why there can be no process that lets its readers wait.
fn no_stalling() -> Option<String> {
    let program = build::program(&Source::new(paths::program_source("stalling.c")), Variant::Preload);
    let outcome = program.and_then(|program| run::run(&mut run::command(program), 20));
    match outcome {
        Ok(Outcome { end: End::Exit(0), .. }) => None,
        _ => Some("the kernel gives no file system of its own to a process here".to_owned()),
    }
}

/// A process that lets its reader wait costs the first look its time, and later ones nothing.
fn does_not_wait_for_a_process() -> Result<(), String> {
    let honest = Waiting::start(Variant::Preload, &[])?;
    let stalling = Waiting::start_stalling(PURGES)?;
    let server = Server::on_loopback(&[])?;
    server.metrics_with("spandrel_readable", &[stalling.id(), honest.id()])?;
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let text = server.metrics()?;
        times.push(start.elapsed());
        observed::check(value(&text, "spandrel_live_bytes", honest.id())?)?;
        if value(&text, "spandrel_readable", stalling.id())? != 0 {
            return Err(text);
        }
        // Looks answer for a second.
        thread::sleep(Duration::from_millis(1200));
    }
    server.get("/", &[])?.wants(200, "unreadable: an earlier reading of it goes on")?;
    if *times.iter().min().unwrap_or(&Duration::MAX) > Duration::from_secs(3) {
        return Err(format!("{times:?}"));
    }
    server.ends_well()
}

/// A command as another user that has this capability and no other; empty for none.
fn as_nobody(capability: &str) -> Result<std::process::Command, String> {
    const NOBODY: &str = "65534";
    let only = format!("-all{capability}");
    let mut command = run::command("setpriv");
    command.args(["--clear-groups", "--no-new-privs"]);
    for option in ["reuid", "regid"] {
        command.arg(format!("--{option}={NOBODY}"));
    }
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{set}={only}"));
    }
    command.arg(paths::tool()?);
    Ok(command)
}

/// Why no command can run as another user.
fn no_nobody() -> Option<String> {
    let ran = as_nobody("").and_then(|mut command| run::run(command.arg("--version"), 20));
    match ran {
        Ok(outcome) if outcome.end == End::Exit(0) => None,
        _ => Some("it takes root, setpriv, and a build that other users can read".to_owned()),
    }
}

/// The capability that the unit has is enough to read all processes, and without it those of others are not shown.
fn needs_one_capability() -> Result<(), String> {
    let folder = paths::fresh("serve-nobody")?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).map_err(show)?;
    let waiting = Waiting::start_profiled()?;
    let unit = shared("systemd/spandrel-serve.service")?;
    let named = unit.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=CAP_")).ok_or("no capability")?;
    let write = |capability: &str, name: &str| {
        let file = folder.join(name);
        run::run(as_nobody(capability)?.args(["serve", "--once", "--textfile"]).arg(&file), 60)?.clean()?;
        fs::read_to_string(&file).map_err(show)
    };
    let text =
        once_with("spandrel_live_bytes", &[waiting.id()], || write(&format!(",+{}", named.to_lowercase()), "a.prom"))?;
    observed::check(value(&text, "spandrel_live_bytes", waiting.id())?)?;
    let without = write("", "b.prom")?;
    if value(&without, "spandrel_live_bytes", waiting.id()).is_ok() { Err(without) } else { Ok(()) }
}

/// Clients that say nothing, go away, or come in large numbers.
fn clients_do_not_block_each_other() -> Result<(), String> {
    let server = Server::on_loopback(&[])?;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect()?;
        stream.write_all(b"GET /metr").map_err(show)?;
        idle.push(stream);
    }
    server.metrics()?;
    // Gone before the request is whole, and before the answer is taken.
    drop(server.connect()?);
    for _ in 0..5 {
        let mut stream = server.connect()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").map_err(show)?;
    }
    server.metrics()?;
    while idle.len() < 64 {
        idle.push(server.connect()?);
    }
    let mut refused = 0;
    for _ in 0..10 {
        // The server may close the connection first.
        let text = server.say("GET /metrics HTTP/1.1\r\n\r\n").unwrap_or_default();
        refused += usize::from(text.starts_with("HTTP/1.1 503 ") || text.is_empty());
    }
    drop(idle);
    let start = Instant::now();
    while server.metrics().is_err() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err("it answers no more".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let text = server.say("POST / HTTP/1.1\r\n\r\n")?;
    if refused == 0 || !text.starts_with("HTTP/1.1 405 ") {
        return Err(format!("{refused} refused\n{text}"));
    }
    let open = server.connect()?;
    server.ends_well()?;
    drop(open);
    Ok(())
}

fn heap_profiles_are_fetched() -> Result<(), String> {
    let folder = paths::fresh("serve-fetch")?;
    let (waiting, plain) = (Waiting::start_profiled()?, Waiting::start(Variant::Preload, &[])?);
    let hardened = Waiting::start(Variant::Preload, &[("SPANDREL_MODE", "hardened")])?;
    let server = Server::on_loopback(&[])?;
    // A stopped process as well: nothing is asked of it.
    waiting.signal(libc::SIGSTOP);
    let answer = server.get(&format!("/debug/pprof/heap?pid={}", waiting.id()), &[])?;
    waiting.signal(libc::SIGCONT);
    let file = folder.join("heap.pb.gz");
    fs::write(&file, &answer.body).map_err(show)?;
    if answer.status != 200 || !answer.body.starts_with(&[0x1f, 0x8b]) {
        return Err(format!("{answer:?}"));
    }
    let mut command = run::command(paths::tool()?);
    command.args(["profile", "show", "--value", "inuse_space", "--json"]).arg(&file);
    let shown = run::run(&mut command, 30)?;
    if !shown.stdout.contains("\"function\": \"main\"") {
        return Err(format!("{shown}"));
    }
    let mut command = run::command(paths::tool()?);
    command.args(["profile", "collapse", "--value", "inuse_space"]).arg(&file);
    let collapsed = run::run(&mut command, 30)?.stdout;
    observed::check_sampled(collapsed.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())?;
    let text = server.metrics_with("spandrel_profiled", &[waiting.id(), plain.id()])?;
    let profiled = [waiting.id(), plain.id()].map(|id| value(&text, "spandrel_profiled", id));
    let targets = server.get("/targets", &[])?.ok()?;
    let param = |id: u32| targets.contains(&format!("\"__param_pid\":\"{id}\""));
    if profiled != [Ok(1), Ok(0)] || !param(waiting.id()) || param(plain.id()) {
        return Err(format!("{profiled:?} {targets}"));
    }
    let heap = |what: &str| server.get(&format!("/debug/pprof/heap?{what}"), &[]);
    heap(&format!("pid={}", plain.id()))?
        .wants(404, "keeps no heap profile now: start it with SPANDREL_HEAP_PROFILE")?;
    heap(&format!("pid={}", hardened.id()))?.wants(404, "that needs mode fast or counting")?;
    heap(&format!("pid={}", std::process::id()))?.wants(404, "not served by Spandrel")?;
    heap("pid=4194305")?.wants(404, "there is no process 4194305")?;
    heap("")?.wants(400, "name a process")?;
    let hidden = Server::on_loopback(&["--no-profiles"])?;
    hidden.get(&format!("/debug/pprof/heap?pid={}", waiting.id()), &[])?.wants(403, "--no-profiles")?;
    server.ends_well()
}

fn main() -> ExitCode {
    let cases = vec![
        case("shows_all_processes", shows_all_processes),
        case("answers_no_other_name", answers_no_other_name),
        case("listens_publicly_only_where_told", listens_publicly_only_where_told),
        case("listens_on_a_socket", listens_on_a_socket),
        case("survives_hostile_processes", survives_hostile_processes),
        case_if(no_stalling(), "does_not_wait_for_a_process", does_not_wait_for_a_process),
        case_if(no_nobody(), "needs_one_capability", needs_one_capability),
        case("clients_do_not_block_each_other", clients_do_not_block_each_other),
        case("heap_profiles_are_fetched", heap_profiles_are_fetched),
    ];
    run_cases(cases, false)
}
