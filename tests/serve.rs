//! `spandrel serve`: figures of all processes for Prometheus, node_exporter and readers of heap profiles, whatever
//! processes and clients do; and the files in `share/` that go with it.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::observed::{self, Waiting};
use harness::paths;
use harness::run::{self, Outcome};
use harness::suite::{case, case_if, main as run_cases};

/// The word of the descriptor that says where purges are counted.
const PURGES: usize = 28;
const OPEN_METRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

fn show(error: std::io::Error) -> String {
    error.to_string()
}

/// A server, which ends with this.
struct Server {
    child: Child,
    /// `127.0.0.1:PORT`, or the path of its socket.
    place: String,
    /// Anything else that it says goes to here.
    _said: BufReader<std::process::ChildStderr>,
}

impl Server {
    fn start(arguments: &[&str]) -> Result<Self, String> {
        let mut command = run::command(paths::tool()?);
        let mut child = command.arg("serve").args(arguments).stderr(Stdio::piped()).spawn().map_err(show)?;
        let mut said = BufReader::new(child.stderr.take().ok_or("no pipe")?);
        let mut line = String::new();
        said.read_line(&mut line).map_err(show)?;
        let place = line.trim().strip_prefix("spandrel: listening on ").map(|place| {
            let place = place.strip_prefix("http://").or_else(|| place.strip_prefix("unix:")).unwrap_or(place);
            place.trim_end_matches('/').to_owned()
        });
        match place {
            Some(place) => Ok(Self { child, place, _said: said }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("said `{line}`"))
            }
        }
    }

    fn on_loopback(arguments: &[&str]) -> Result<Self, String> {
        Self::start(&[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect(&self.place).map_err(show)
    }

    /// The whole answer to a GET with these header lines.
    fn get(&self, path: &str, headers: &[&str]) -> Result<Answer, String> {
        exchange(self.connect()?, path, headers)
    }

    fn metrics(&self) -> Result<String, String> {
        self.get("/metrics", &[])?.ok()
    }

    /// The metrics, once they have this one of these processes.
    fn metrics_with(&self, name: &str, ids: &[u32]) -> Result<String, String> {
        once_with(name, ids, || self.metrics())
    }

    /// Sends it SIGTERM and waits for its end.
    fn end(mut self) -> Result<ExitStatus, String> {
        let start = Instant::now();
        signal(self.child.id(), libc::SIGTERM);
        loop {
            if let Some(status) = self.child.try_wait().map_err(show)? {
                return Ok(status);
            }
            if start.elapsed() > Duration::from_secs(10) {
                return Err("SIGTERM does not end it".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn ends_well(self) -> Result<(), String> {
        let status = self.end()?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(id: u32, number: i32) {
    if let Ok(id) = i32::try_from(id) {
        // SAFETY: takes no pointers; the process is a child that was not waited for yet.
        unsafe { libc::kill(id, number) };
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn ok(&self) -> Result<String, String> {
        self.wants(200, "")
    }

    /// The body, if it has this status and contains that.
    fn wants(&self, status: u16, part: &str) -> Result<String, String> {
        let text = self.text();
        if self.status == status && text.contains(part) {
            return Ok(text);
        }
        Err(format!("not {status} with `{part}`: {}\n{text}", self.head))
    }
}

fn exchange(mut stream: impl Read + Write, path: &str, headers: &[&str]) -> Result<Answer, String> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).map_err(show)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(show)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("no head")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| head.clone())?;
    Ok(Answer { status, head, body: bytes[end + 4..].to_vec() })
}

/// The value of the series of that name of process `id`.
fn value(text: &str, name: &str, id: u32) -> Result<u64, String> {
    let start = format!("{name}{{pid=\"{id}\",");
    let line = text.lines().find(|line| line.starts_with(&start)).ok_or_else(|| format!("no {start} in\n{text}"))?;
    let value = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    value.ok_or_else(|| format!("no number in {line}"))
}

/// The text, once it has this metric of these processes: on a machine with much other work the first looks may end
/// before they were read.
fn once_with(name: &str, ids: &[u32], text: impl Fn() -> Result<String, String>) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let text = text()?;
        match ids.iter().find_map(|&id| value(&text, name, id).err()) {
            Some(error) if start.elapsed() > Duration::from_secs(60) => return Err(error),
            Some(_) => thread::sleep(Duration::from_millis(300)),
            None => return Ok(text),
        }
    }
}

/// The text file at `path`, written once; again until it has figures of process `id`.
fn written_once(path: &Path, id: u32) -> Result<String, String> {
    once_with("spandrel_live_bytes", &[id], || {
        let mut once = run::command(paths::tool()?);
        run::run(once.args(["serve", "--once", "--textfile"]).arg(path), 30)?.clean()?;
        fs::read_to_string(path).map_err(show)
    })
}

/// The names of all metrics, by their descriptions.
fn described(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect()
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
    let mut stream = server.connect()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").map_err(show)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(show)?;
    if text.starts_with("HTTP/1.1 421 ") && !text.contains("spandrel_") { Ok(()) } else { Err(text) }
}

fn ends_with_one_line(arguments: &[&str], part: &str) -> Result<(), String> {
    let outcome = run::run(run::command(paths::tool()?).arg("serve").args(arguments), 20)?;
    let one_line = outcome.stderr.lines().count() == 1 && outcome.stderr.contains(part);
    if outcome.end == End::Exit(1) && one_line { Ok(()) } else { Err(format!("{outcome}")) }
}

fn listens_publicly_only_where_told() -> Result<(), String> {
    for address in ["0.0.0.0:0", "[::]:0"] {
        ends_with_one_line(&["--listen", address], "--expose-to-network")?;
    }
    let server = Server::start(&["--listen", "0.0.0.0:0", "--expose-to-network"])?;
    let port = server.place.rsplit(':').next().unwrap_or_default();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).map_err(show)?;
    exchange(stream, "/metrics", &[])?.ok()?;
    // A port that is taken, and a path at which a socket cannot be.
    ends_with_one_line(&["--listen", &format!("0.0.0.0:{port}"), "--expose-to-network"], &format!("0.0.0.0:{port}: "))?;
    ends_with_one_line(&["--listen", "unix:/proc/none"], "unix:/proc/none: ")?;
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
        let ask = || exchange(UnixStream::connect(&path).map_err(show)?, "/metrics", &[])?.ok();
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
    signal(stopped.id(), libc::SIGSTOP);
    let words = [(5, 1 << 43), (7, 0), (16, 0), (28, usize::MAX), (29, 0), (26, usize::MAX)];
    let liars: Vec<_> =
        words.iter().map(|&(word, value)| Waiting::start_lying(word, value)).collect::<Result<_, _>>()?;
    let mut named = run::preloaded("perl")?;
    named.args(["-e", r#"$0 = qq(a"} 1\nb\\<); $| = 1; print "ready\n"; <STDIN>"#]);
    let mut named = named.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(show)?;
    let mut line = String::new();
    BufReader::new(named.stdout.take().ok_or("no pipe")?).read_line(&mut line).map_err(show)?;
    let server = Server::on_loopback(&[])?;
    let ids: Vec<_> = liars.iter().map(Waiting::id).chain([named.id()]).collect();
    server.metrics_with("spandrel_readable", &ids)?;
    let start = Instant::now();
    let text = server.metrics_with("spandrel_live_bytes", &[honest.id(), stopped.id()])?;
    let took = start.elapsed();
    let page = server.get("/", &[])?.ok()?;
    let _ = named.kill();
    let _ = named.wait();
    signal(stopped.id(), libc::SIGCONT);
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
    let waiting = profiled()?;
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
        let mut text = String::new();
        let mut stream = server.connect()?;
        // The server may close the connection first.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
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
    let text = server.connect().and_then(|mut stream| {
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").map_err(show)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(show).map(|_| text)
    })?;
    if refused == 0 || !text.starts_with("HTTP/1.1 405 ") {
        return Err(format!("{refused} refused\n{text}"));
    }
    let open = server.connect()?;
    server.ends_well()?;
    drop(open);
    Ok(())
}

fn profiled() -> Result<Waiting, String> {
    let path = paths::fresh("serve-heap")?.join("heap").display().to_string();
    Waiting::start(Variant::Preload, &[("SPANDREL_HEAP_PROFILE", &path), ("SPANDREL_HEAP_PROFILE_RATE", "16K")])
}

/// Whether bytes of a profile are those that the program holds, as far as samples can say.
fn near_held(bytes: u64) -> Result<(), String> {
    let (bytes, held) = (bytes as f64, observed::HELD_BYTES as f64);
    if (bytes - held).abs() < held * 0.05 { Ok(()) } else { Err(format!("{bytes} bytes, {held} held")) }
}

fn heap_profiles_are_fetched() -> Result<(), String> {
    let folder = paths::fresh("serve-fetch")?;
    let (waiting, plain) = (profiled()?, Waiting::start(Variant::Preload, &[])?);
    let hardened = Waiting::start(Variant::Preload, &[("SPANDREL_MODE", "hardened")])?;
    let server = Server::on_loopback(&[])?;
    // A stopped process as well: nothing is asked of it.
    signal(waiting.id(), libc::SIGSTOP);
    let answer = server.get(&format!("/debug/pprof/heap?pid={}", waiting.id()), &[])?;
    signal(waiting.id(), libc::SIGCONT);
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
    near_held(collapsed.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())?;
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

/// Go's own reader fetches a profile, and shows the reason where there is none.
fn pprof_reads_profiles() -> Result<(), String> {
    let folder = paths::fresh("serve-pprof")?;
    let (waiting, plain) = (profiled()?, Waiting::start(Variant::Preload, &[])?);
    let server = Server::on_loopback(&[])?;
    let top = |id: u32| {
        let mut command = run::command("go");
        command.args(["tool", "pprof", "-top", "-sample_index=inuse_space", "-unit=byte"]);
        command.arg(format!("http://{}/debug/pprof/heap?pid={id}", server.place)).env("PPROF_TMPDIR", &folder);
        run::run(command.env("HOME", &folder).env("GOTOOLCHAIN", "local"), 60)
    };
    let shown = top(waiting.id())?;
    let total = shown.stdout.split("of ").nth(1).and_then(|rest| rest.split('B').next()?.parse().ok());
    near_held(total.ok_or_else(|| format!("{shown}"))?).map_err(|error| format!("{error}\n{shown}"))?;
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
    let mut child = child.map_err(show)?;
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
    signal(child.id(), libc::SIGTERM);
    let status = child.wait().map_err(show)?;
    let left: Vec<_> = fs::read_dir(&folder).map_err(show)?.flatten().map(|entry| entry.file_name()).collect();
    if writings.len() < 3 || !status.success() || !left.is_empty() {
        return Err(format!("{} writings, {status}, left {left:?}", writings.len()));
    }
    ends_with_one_line(&["--textfile", "/proc/none.prom"], "/proc/none.prom: ")?;
    ends_with_one_line(&["--textfile", "/tmp/none.txt"], "end with .prom")
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

/// A child that is killed in the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now.
fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(show)?;
    Ok(listener.local_addr().map_err(show)?.port())
}

/// Asks again until the answer contains all of these.
fn ask_until(place: &str, path: &str, parts: &[&str]) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let answer =
            TcpStream::connect(place).map_err(show).and_then(|stream| exchange(stream, path, &["Connection: close"]));
        match answer {
            Ok(answer) if parts.iter().all(|part| answer.text().contains(part)) => return Ok(answer.text()),
            answer if start.elapsed() > Duration::from_secs(60) => {
                return Err(format!("{path}: no {parts:?} in {answer:?}"));
            }
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Prometheus scrapes the server by the configuration that is shipped, and knows the process by its labels.
fn prometheus_scrapes() -> Result<(), String> {
    let folder = paths::fresh("serve-prometheus")?;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    let server = Server::on_loopback(&[])?;
    let shipped = shared("prometheus/spandrel.yml")?;
    let port = server.place.rsplit(':').next().unwrap_or_default();
    let config = shipped.replace("9317", port).replace("scrape_interval: 15s", "scrape_interval: 2s");
    if config == shipped {
        return Err("the configuration names another port".to_owned());
    }
    let path = folder.join("prometheus.yml");
    fs::write(&path, config).map_err(show)?;
    let place = format!("127.0.0.1:{}", free_port()?);
    let mut command = run::command("prometheus");
    command.arg(format!("--config.file={}", path.display())).arg(format!("--web.listen-address={place}"));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    let log = fs::File::create(folder.join("log")).map_err(show)?;
    let _running = Killed(command.stdout(Stdio::null()).stderr(log).spawn().map_err(show)?);
    let query = |text: &str| format!("/api/v1/query?query={text}");
    ask_until(&place, &query("up"), &["\"job\":\"spandrel\"", ",\"1\"]"])?;
    let id = waiting.id();
    let pid = format!("\"pid\":\"{id}\"");
    let name = fs::read_to_string(format!("/proc/{id}/comm")).map_err(show)?;
    let command = format!("\"command\":\"{}\"", name.trim_end());
    let series = query(&format!("spandrel_live_bytes%7Bpid=%22{id}%22%7D"));
    let found = ask_until(&place, &series, &[&pid, &command, "\"cgroup\":\"/"])?;
    let live = found.rsplit(",\"").next().and_then(|rest| rest.split('"').next()?.parse().ok());
    observed::check(live.ok_or_else(|| found.clone())?)?;
    ask_until(&place, &query(&format!("spandrel_purges_total%7Bpid=%22{id}%22%7D")), &[&pid])?;
    ask_until(&place, &query("spandrel_serve_processes%7Bstate=%22read%22%7D"), &["\"state\":\"read\""])?;
    run::run(run::command("promtool").args(["check", "config"]).arg(&path), 60)?.clean()?;
    // Prometheus understands what the dashboard asks.
    for expression in expressions(&shared("grafana/spandrel.json")?) {
        let chosen = expression.replace("$__rate_interval", "1m").replace("$job", ".*");
        let chosen = chosen.replace("$instance", ".*").replace("$command", ".*");
        let encoded: String = chosen.bytes().map(|byte| format!("%{byte:02x}")).collect();
        ask_until(&place, &query(&encoded), &["\"status\":\"success\""])
            .map_err(|error| format!("{chosen}: {error}"))?;
    }
    server.ends_well()
}

/// node_exporter shows the file's metrics with their labels.
fn node_exporter_shows_the_file() -> Result<(), String> {
    let folder = paths::fresh("serve-node")?;
    let waiting = Waiting::start(Variant::Preload, &[])?;
    written_once(&folder.join("spandrel.prom"), waiting.id())?;
    let place = format!("127.0.0.1:{}", free_port()?);
    let mut command = run::command("prometheus-node-exporter");
    command.args(["--collector.disable-defaults", "--collector.textfile"]);
    command.arg(format!("--collector.textfile.directory={}", folder.display()));
    command.arg(format!("--web.listen-address={place}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Killed(command.spawn().map_err(show)?);
    let text = ask_until(&place, "/metrics", &["node_textfile_scrape_error 0", "spandrel_live_bytes{"])?;
    let pid = format!("pid=\"{}\"", waiting.id());
    let found = text.lines().any(|line| line.starts_with("spandrel_live_bytes{") && line.contains(&pid));
    if found { Ok(()) } else { Err(text) }
}

/// A file of `share/`.
fn shared(name: &str) -> Result<String, String> {
    let path = paths::workspace().join("share").join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
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
        case("shows_all_processes", shows_all_processes),
        case("answers_no_other_name", answers_no_other_name),
        case("listens_publicly_only_where_told", listens_publicly_only_where_told),
        case("listens_on_a_socket", listens_on_a_socket),
        case("survives_hostile_processes", survives_hostile_processes),
        case_if(no_stalling(), "does_not_wait_for_a_process", does_not_wait_for_a_process),
        case_if(no_nobody(), "needs_one_capability", needs_one_capability),
        case("clients_do_not_block_each_other", clients_do_not_block_each_other),
        case("heap_profiles_are_fetched", heap_profiles_are_fetched),
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
