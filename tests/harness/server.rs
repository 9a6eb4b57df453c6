//! `spandrel serve` beside a test: starts it, asks it for metrics, and finds a value in them.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::thread;
use std::time::Instant;

use crate::background::Background;
use crate::expect::End;
use crate::http::{self, Answer};
use crate::{paths, run};

/// A server, which ends with this.
pub struct Server {
    process: Background,
    /// `127.0.0.1:PORT`, or the path of its socket.
    pub place: String,
    /// Anything else that it says goes to here.
    _said: BufReader<ChildStderr>,
}

impl Server {
    /// Starts it with these arguments.
    pub fn start(arguments: &[&str]) -> Result<Self, String> {
        let mut command = run::command(paths::tool()?);
        let child = command.arg("serve").args(arguments).stderr(Stdio::piped()).spawn();
        let mut process = Background(child.map_err(|error| error.to_string())?);
        let mut said = BufReader::new(process.0.stderr.take().ok_or("no pipe")?);
        let mut line = String::new();
        said.read_line(&mut line).map_err(|error| error.to_string())?;
        let place = line.trim().strip_prefix("spandrel: listening on ").map(|place| {
            let place = place.strip_prefix("http://").or_else(|| place.strip_prefix("unix:")).unwrap_or(place);
            place.trim_end_matches('/').to_owned()
        });
        match place {
            Some(place) => Ok(Self { process, place, _said: said }),
            None => Err(format!("said `{line}`")),
        }
    }

    /// Starts it on a free port.
    pub fn on_loopback(arguments: &[&str]) -> Result<Self, String> {
        Self::start(&[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// The port that it listens on.
    pub fn port(&self) -> &str {
        self.place.rsplit(':').next().unwrap_or_default()
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<TcpStream, String> {
        http::connect(&self.place)
    }

    /// The whole answer to a GET with these header lines.
    pub fn get(&self, path: &str, headers: &[&str]) -> Result<Answer, String> {
        http::get(self.connect()?, path, headers)
    }

    /// All that it answers to these bytes.
    pub fn say(&self, text: &str) -> Result<String, String> {
        http::request(self.connect()?, text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The metrics of this moment.
    pub fn metrics(&self) -> Result<String, String> {
        self.get("/metrics", &[])?.ok()
    }

    /// The metrics, once they have this one of these processes.
    pub fn metrics_with(&self, name: &str, ids: &[u32]) -> Result<String, String> {
        once_with(name, ids, || self.metrics())
    }

    /// Sends it SIGTERM; an error unless it ends with status 0.
    pub fn ends_well(mut self) -> Result<(), String> {
        let start = Instant::now();
        self.process.signal(libc::SIGTERM);
        loop {
            match self.process.0.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("it ended with {status}")),
                None if start.elapsed() > Duration::from_secs(10) => return Err("SIGTERM does not end it".to_owned()),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Wants it to end with status 1 and a line that has `part`.
pub fn refuses(arguments: &[&str], part: &str) -> Result<(), String> {
    let outcome = run::run(run::command(paths::tool()?).arg("serve").args(arguments), 20)?;
    let one_line = outcome.stderr.lines().count() == 1 && outcome.stderr.contains(part);
    if outcome.end == End::Exit(1) && one_line { Ok(()) } else { Err(format!("{outcome}")) }
}

/// The value of the series of that name of process `id`.
pub fn value(text: &str, name: &str, id: u32) -> Result<u64, String> {
    let start = format!("{name}{{pid=\"{id}\",");
    let line = text.lines().find(|line| line.starts_with(&start)).ok_or_else(|| format!("no {start} in\n{text}"))?;
    let value = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    value.ok_or_else(|| format!("no number in {line}"))
}

/// The text, once it has this metric of these processes: on a machine with much other work the first looks may end
/// before they were read.
pub fn once_with(name: &str, ids: &[u32], text: impl Fn() -> Result<String, String>) -> Result<String, String> {
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
pub fn written_once(path: &Path, id: u32) -> Result<String, String> {
    once_with("spandrel_live_bytes", &[id], || {
        let mut once = run::command(paths::tool()?);
        run::run(once.args(["serve", "--once", "--textfile"]).arg(path), 30)?.clean()?;
        fs::read_to_string(path).map_err(|error| error.to_string())
    })
}

/// The text of a file of `share/`.
pub fn shared(name: &str) -> Result<String, String> {
    let path = paths::workspace().join("share").join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}
