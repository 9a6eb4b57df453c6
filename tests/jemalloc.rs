//! jemalloc's own calls over Spandrel, by libspandrel_jemalloc: linked, preloaded into programs that were linked with
//! jemalloc, and in Rust.

use core::time::Duration;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::{env, fs};

use harness::background::Background;
use harness::expect::End;
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{build, paths, run};

const NAME: &str = "libspandrel_jemalloc";
const PROGRAM: &str = "jemalloc_api.c";
/// Modes in which every call is tried.
const MODES: [&str; 6] = ["fast", "counting", "tracked", "hardened", "guarded", "libc"];

/// The compatibility library with this ending, beside libspandrel.
fn library(ending: &str) -> Result<PathBuf, String> {
    let path = paths::shared_library()?.with_file_name(format!("{NAME}.{ending}"));
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing; run `make library` first", path.display())) }
}

/// A folder in which both libraries have the names that loader and linker look for.
fn installed(name: &str) -> Result<PathBuf, String> {
    let folder = paths::fresh(name)?;
    for (of, target) in [("libspandrel", paths::shared_library()?), (NAME, library("so")?)] {
        for ending in ["so", "so.0"] {
            symlink(&target, folder.join(format!("{of}.{ending}"))).map_err(|error| error.to_string())?;
        }
    }
    Ok(folder)
}

fn header() -> PathBuf {
    paths::workspace().join("compat/include")
}

/// Builds the program of all calls. `words` come before its source, `libraries` behind.
fn program(name: &str, words: &[&OsStr], libraries: &[&OsStr]) -> Result<PathBuf, String> {
    let result = paths::fresh(&format!("program-{name}"))?.join("program");
    let (source, support) = (paths::program_source(PROGRAM), paths::ffi_support());
    let mut all = ["-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-I"].map(OsStr::new).to_vec();
    all.push(support.as_os_str());
    all.extend(words);
    all.push(source.as_os_str());
    all.extend(libraries);
    all.push(OsStr::new("-pthread"));
    build::compile_by_hand(false, &all, &result)?;
    Ok(result)
}

/// Linked with both shared libraries, once for all cases.
fn plainly_linked() -> Result<Command, String> {
    static LINKED: OnceLock<Result<(PathBuf, PathBuf), String>> = OnceLock::new();
    LINKED.get_or_init(|| link("plain", &[])).clone().map(in_folder)
}

/// Starts a program with the folder of its libraries.
fn in_folder((path, folder): (PathBuf, PathBuf)) -> Command {
    let mut command = run::command(path);
    command.env("LD_LIBRARY_PATH", folder).arg("spandrel");
    command
}

/// Builds the program of all calls with these words, and with both shared libraries, whose folder comes along.
fn link(name: &str, words: &[&str]) -> Result<(PathBuf, PathBuf), String> {
    let (folder, header) = (installed(&format!("libraries-{name}"))?, header());
    let mut all = vec![OsStr::new("-I"), header.as_os_str()];
    all.extend(words.iter().map(OsStr::new));
    let place = format!("-L{}", folder.display());
    let path = program(name, &all, &[&place, "-lspandrel_jemalloc", "-lspandrel"].map(OsStr::new))?;
    Ok((path, folder))
}

fn done(command: &mut Command) -> Result<Outcome, String> {
    let outcome = run::run(command.env("TMPDIR", paths::scratch()?), 120)?;
    outcome.clean()?;
    if outcome.stdout == "done\n" { Ok(outcome) } else { Err(outcome.to_string()) }
}

/// In every mode; the figures are those of the default mode, where no block is kept back.
fn every_call(mode: &str) -> Result<(), String> {
    let mut command = plainly_linked()?;
    command.env("SPANDREL_MODE", mode).env("SPANDREL_GUARDED_RATE", "7");
    command.arg(if mode == "fast" { "figures" } else { "blocks" });
    done(&mut command).map(drop)
}

fn prefixed(prefix: &str) -> Result<(), String> {
    let program = link(&format!("prefix{prefix}"), &[&format!("-DPREFIX={prefix}")])?;
    done(&mut in_folder(program)).map(drop)
}

fn static_libraries() -> Result<(), String> {
    let (header, ours, below) = (header(), library("a")?, paths::static_library()?);
    let words = [OsStr::new("-I"), header.as_os_str()];
    let path = program("static", &words, &[ours.as_os_str(), below.as_os_str()])?;
    done(run::command(path).arg("spandrel")).map(drop)
}

/// The libraries to preload into a program that was linked with jemalloc.
fn both() -> Result<String, String> {
    Ok(format!("{}:{}", paths::shared_library()?.display(), library("so")?.display()))
}

/// The program linked with jemalloc itself, once for all cases.
fn with_jemalloc() -> Result<PathBuf, String> {
    static LINKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    LINKED.get_or_init(|| program("jemalloc", &[], &[OsStr::new("-ljemalloc")])).clone()
}

/// The same program, linked with jemalloc itself: it agrees with jemalloc, and with Spandrel in its place.
fn in_place_of_jemalloc() -> Result<(), String> {
    let path = with_jemalloc()?;
    done(run::command(&path).arg("real"))?;
    done(run::command(&path).arg("spandrel").env("LD_PRELOAD", both()?)).map(drop)
}

/// Preloaded alone: it brings libspandrel along, in front of jemalloc.
fn preloaded_alone() -> Result<(), String> {
    let path = with_jemalloc()?;
    let folder = installed("libraries-alone")?;
    let mut command = run::command(path);
    done(command.arg("spandrel").env("LD_PRELOAD", library("so")?).env("LD_LIBRARY_PATH", folder)).map(drop)
}

fn options_get_one_line() -> Result<(), String> {
    let mut command = plainly_linked()?;
    let outcome = run::run(command.args(["blocks"]).env("MALLOC_CONF", "narenas:1,dirty_decay_ms:0"), 120)?;
    outcome.one_line("ALLOCATOR_BAD_OPTION", "MALLOC_CONF")
}

/// It exports what its list has, and needs libspandrel and the C library.
fn symbols() -> Result<(), String> {
    let mut command = run::command("readelf");
    let outcome = run::run(command.args(["--dynamic", "--wide"]).arg(library("so")?), 20)?;
    outcome.clean()?;
    let needed = outcome.stdout.lines().filter(|line| line.contains("(NEEDED)"));
    let names: Vec<&str> = needed.filter_map(|line| line.split('[').nth(1)?.split(']').next()).collect();
    let is_named = outcome.stdout.contains("soname: [libspandrel_jemalloc.so.0]");
    if is_named && names == ["libspandrel.so.0", "libc.so.6"] { Ok(()) } else { Err(outcome.to_string()) }
}

/// A server on a socket of its own, ended when it is dropped.
struct Redis {
    process: Background,
    stream: BufReader<UnixStream>,
}

impl Redis {
    fn start(folder: &Path) -> Result<Self, String> {
        let socket = folder.join("socket");
        let mut command = run::command("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]).arg(folder);
        command.arg("--unixsocket").arg(&socket).env("LD_PRELOAD", both()?);
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        command.stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log).stdin(Stdio::null());
        let process = Background(command.spawn().map_err(|error| format!("redis-server: {error}"))?);
        for _ in 0..600 {
            if let Ok(stream) = UnixStream::connect(&socket) {
                stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(|error| error.to_string())?;
                return Ok(Self { process, stream: BufReader::new(stream) });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("redis-server does not answer".to_owned())
    }

    fn send(&mut self, line: &str) -> Result<(), String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|error| format!("redis-server: {error}"))?;
        Ok(line.trim_end().to_owned())
    }

    /// The answer: of texts the text, of lists their parts with blanks between.
    fn answer(&mut self) -> Result<String, String> {
        let head = self.line()?;
        let number = || head[1..].parse::<i64>().map_err(|error| format!("{head}: {error}"));
        match head.as_bytes().first() {
            Some(b'$') if number()? >= 0 => {
                let mut text = vec![0; number()? as usize + 2];
                self.stream.read_exact(&mut text).map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
            }
            Some(b'*') => (0..number()?).map(|_| self.answer()).collect::<Result<Vec<_>, _>>().map(|all| all.join(" ")),
            Some(_) => Ok(head),
            None => Err("redis-server closed the connection".to_owned()),
        }
    }

    fn ask(&mut self, line: &str) -> Result<String, String> {
        self.send(line)?;
        self.answer()
    }

    fn expect(&mut self, line: &str, wanted: &str) -> Result<(), String> {
        let answer = self.ask(line)?;
        if answer == wanted { Ok(()) } else { Err(format!("{line}: {answer}, not {wanted}")) }
    }

    /// A number of INFO, up to date.
    fn figure(&mut self, name: &str) -> Result<i64, String> {
        let info = self.ask("INFO memory")?;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| format!("no {name} in\n{info}"))
    }
}

/// Debian's redis is linked with jemalloc and reads its statistics.
fn redis() -> Result<(), String> {
    const KEYS: i64 = 20_000;
    let folder = paths::fresh("redis")?;
    let mut server = Redis::start(&folder)?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.process.id())).map_err(|error| error.to_string())?;
    if !maps.contains("libspandrel.so") || !maps.contains("libjemalloc") {
        return Err(format!("redis-server is not linked with jemalloc, or Spandrel is not there:\n{maps}"));
    }
    server.expect("SET first value", "+OK")?;
    server.expect("GET first", "value")?;
    // INFO has the figures of the last tenth of a second.
    let settle = || thread::sleep(Duration::from_millis(500));
    settle();
    let before = server.figure("allocator_allocated")?;
    for key in 0..KEYS {
        server.send(&format!("SET key:{key} {}", "x".repeat(100 + key as usize % 400)))?;
        if server.answer()? != "+OK" {
            return Err(format!("SET key:{key} failed"));
        }
    }
    settle();
    let used = server.figure("used_memory")?;
    let figures = ["allocator_allocated", "allocator_active", "allocator_resident"];
    let [allocated, active, resident] = figures.map(|name| server.figure(name));
    let (allocated, active, resident) = (allocated?, active?, resident?);
    let rss = server.figure("used_memory_rss")?;
    let grown = allocated - before;
    // Keys and values have 300 bytes on average, and redis adds some 100.
    let sensible = (KEYS * 300..KEYS * 800).contains(&grown)
        && (allocated - used).abs() < used / 4
        && active >= allocated
        && resident >= active
        && resident < rss * 2;
    if !sensible {
        return Err(format!(
            "used {used}, allocated {before} to {allocated}, active {active}, resident {resident}, rss {rss}"
        ));
    }
    let stats = server.ask("MEMORY STATS")?;
    if !stats.contains("allocator.allocated") || !stats.contains("allocator-fragmentation.ratio") {
        return Err(format!("MEMORY STATS: {stats}"));
    }
    let text = server.ask("MEMORY MALLOC-STATS")?;
    if !text.contains("live") {
        return Err(format!("MEMORY MALLOC-STATS: {text}"));
    }
    // A jemalloc of its own is what redis wants for this, and it says so.
    let defrag = server.ask("CONFIG SET activedefrag yes")?;
    if !defrag.starts_with("+OK") && !defrag.starts_with("-ERR") {
        return Err(format!("CONFIG SET activedefrag yes: {defrag}"));
    }
    for key in (0..KEYS).filter(|key| key % 3 != 0) {
        server.expect(&format!("DEL key:{key}"), ":1")?;
    }
    server.expect("MEMORY PURGE", "+OK")?;
    settle();
    let after = server.figure("allocator_allocated")?;
    if after > allocated - grown / 2 {
        return Err(format!("allocated {allocated}, after two thirds were deleted {after}"));
    }
    server.expect("GET first", "value")?;
    server.send("SHUTDOWN NOSAVE")?;
    let status = server.process.0.wait().map_err(|error| error.to_string())?;
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    if status.success() && !log.contains("spandrel: ALLOCATOR") { Ok(()) } else { Err(format!("{status}\n{log}")) }
}

/// A folder of packages that were fetched already, for `cargo build --offline`; else the registry is asked.
fn cargo_build(folder: &Path, library: &Path) -> Result<(), String> {
    let mut said = String::new();
    for offline in [true, false] {
        let mut command = run::command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["build", "--quiet", "--locked"]).args(offline.then_some("--offline")).current_dir(folder);
        command.env("JEMALLOC_OVERRIDE", library).env("CARGO_TARGET_DIR", folder.join("target"));
        let outcome = run::run(&mut command, 300)?;
        if outcome.end == End::Exit(0) {
            return Ok(());
        }
        said.push_str(&outcome.stderr);
    }
    Err(said)
}

/// tikv-jemallocator with libspandrel_jemalloc in place of the jemalloc that it would build.
fn rust_program() -> Result<(), String> {
    let folder = paths::fresh("jemallocator")?;
    let source = paths::workspace().join("tests/jemallocator");
    fs::create_dir(folder.join("src")).map_err(|error| error.to_string())?;
    for file in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
        fs::copy(source.join(file), folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    let libraries = installed("libraries-rust")?;
    cargo_build(&folder, &libraries.join(format!("{NAME}.so")))?;
    let mut command = run::command(folder.join("target/debug/jemallocator-user"));
    let outcome = run::run(command.env("LD_LIBRARY_PATH", &libraries).env("SPANDREL_STATS", "1"), 120)?;
    outcome.clean()?;
    if outcome.stdout.contains("spandrel") && outcome.stderr.contains("live") {
        Ok(())
    } else {
        Err(outcome.to_string())
    }
}

/// Whether programs can be linked with jemalloc here.
fn has_jemalloc() -> bool {
    let arguments =
        ["-x", "c", "/dev/null", "-shared", "-ljemalloc", "-include", "jemalloc/jemalloc.h"].map(OsStr::new);
    paths::fresh("has-jemalloc")
        .and_then(|folder| build::compile_by_hand(false, &arguments, &folder.join("object.so")))
        .is_ok()
}

fn main() -> ExitCode {
    let no_redis = paths::missing("redis-server");
    let no_jemalloc = (!has_jemalloc()).then(|| "libjemalloc-dev is not installed".to_owned());
    let mut cases = vec![
        case("every_call_static", static_libraries),
        case("je_names", || prefixed("je_")),
        case("rjem_names", || prefixed("_rjem_")),
        case("options_get_one_line", options_get_one_line),
        case("symbols", symbols),
        case_if(no_jemalloc.clone(), "in_place_of_jemalloc", in_place_of_jemalloc),
        case_if(no_jemalloc, "preloaded_alone", preloaded_alone),
        case_if(no_redis, "redis", redis),
        case("rust_program", rust_program),
    ];
    for mode in MODES {
        cases.push(case(&format!("every_call_{mode}"), move || every_call(mode)));
    }
    run_cases(cases, false)
}
