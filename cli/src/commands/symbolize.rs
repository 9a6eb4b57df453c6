//! `spandrel symbolize`: adds functions, source files and lines to call stacks that the library printed: in files, on
//! standard input, for places on the command line, or live, for a program that `spandrel run` started.
//!
//! Live, the library itself asks for each line that it is about to print (`src/sys/local.rs`). So the program's output
//! passes through no other process, and nothing is held back or changes places.

use crate::output;
use crate::stack::{self, Place};
use crate::symbols::Symbols;
use crate::system::{process_as_file, user, user_beyond, wait_for_input};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::env;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where call stacks are.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// Places such as `/usr/bin/program+0x1234`, or files with a program's output (default: standard input)
    #[arg(value_name = "PLACE|FILE")]
    what: Vec<String>,
    /// Print JSON: the places alone, with their functions
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true, conflicts_with = "what")]
    serve: Option<Stage>,
}

impl Request {
    /// Whether it answers programs.
    pub(super) fn serves(&self) -> bool {
        self.serve.is_some()
    }
}

/// How far a server for `spandrel run` is on its way.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stage {
    /// Leaves its parent, which is to become the program.
    Leave,
    /// Answers.
    Answer,
}

/// Prints what was asked for.
///
/// # Errors
/// Where a file cannot be read, or nothing is known of a place.
pub(crate) fn execute(request: &Request) -> Result<()> {
    match request.serve {
        Some(Stage::Leave) => return leave(),
        Some(Stage::Answer) => return answer_all(),
        None => {}
    }
    let mut symbols = Symbols::default();
    if request.json {
        return output::json(&values(&mut symbols, &request.what)?);
    }
    if request.what.is_empty() {
        return filter(&mut symbols, io::stdin().lock(), &mut io::stdout().lock());
    }
    for what in &request.what {
        match Place::parse(what) {
            Some(place) if !Path::new(what).exists() => print_place(&mut symbols, what, &place)?,
            _ => {
                let file = File::open(what).with_context(|| what.clone())?;
                filter(&mut symbols, BufReader::new(file), &mut io::stdout().lock())?;
            }
        }
    }
    Ok(())
}

/// Every place that is named, or stands in a line of the files or of standard input.
fn values(symbols: &mut Symbols, what: &[String]) -> Result<Value> {
    if what.is_empty() {
        return Ok(values_in(symbols, io::stdin().lock())?.into());
    }
    let mut found = Vec::new();
    for what in what {
        match Place::parse(what) {
            Some(place) if !Path::new(what).exists() => found.push(place.value(symbols)),
            _ => {
                let file = File::open(what).with_context(|| what.clone())?;
                found.extend(values_in(symbols, BufReader::new(file))?);
            }
        }
    }
    Ok(found.into())
}

fn values_in(symbols: &mut Symbols, mut input: impl BufRead) -> Result<Vec<Value>> {
    let (mut found, mut line) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        found.extend(Place::of_line(text.trim_end()).map(|place| place.value(symbols)));
        line.clear();
    }
    Ok(found)
}

fn print_place(symbols: &mut Symbols, text: &str, place: &Place<'_>) -> Result<()> {
    let said = place.describe(symbols, None);
    let Some((first, others)) = said.split_first() else { bail!("{text}: no function is known there") };
    println!("{text}: {first}");
    others.iter().for_each(|other| println!("   inlined into {other}"));
    Ok(())
}

/// Copies lines as they come; those of call stacks say more then.
fn filter(symbols: &mut Symbols, mut input: impl BufRead, output: &mut impl Write) -> Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let (bytes, end) = line.strip_suffix(b"\n").map_or((line.as_slice(), &b""[..]), |bytes| (bytes, b"\n"));
        match str::from_utf8(bytes) {
            Ok(text) => output.write_all(stack::symbolized(symbols, text).as_bytes())?,
            Err(_) => output.write_all(bytes)?,
        }
        output.write_all(end)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

/// Seconds after which a question that does not come is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The library has room for so much of an answer.
const ANSWER_BYTES: usize = 1023;

/// Starts a server for this process and what becomes of it; the number of its socket.
///
/// # Errors
/// Where the kernel refuses the socket or the process.
pub(super) fn start() -> Result<u64> {
    // 63 bits of the kernel's randomness: nobody else can listen by that name before.
    let number = RandomState::new().hash_one(std::process::id()) >> 1 | 1;
    let name = SocketAddr::from_abstract_name(format!("spandrel-symbolizer-{number}"))?;
    let listener = OwnedFd::from(UnixListener::bind_addr(&name)?);
    let status = server(Stage::Leave)?.stdin(listener).stdout(Stdio::null()).status()?;
    if !status.success() {
        bail!("the symbolizer does not start");
    }
    Ok(number)
}

/// This program as a server: in a group of its own, so that the terminal's signals are the program's alone.
fn server(stage: Stage) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    let stage = stage.to_possible_value().context("a stage has a name")?;
    command.args(["symbolize", "--serve", stage.get_name()]).env_remove("LD_PRELOAD").stderr(Stdio::null());
    command.process_group(0);
    Ok(command)
}

/// Starts the server as a grandchild of the process that becomes the program, whose children are its own then. Standard
/// input is the socket; standard output of the server stands for the program, which still is the parent here.
fn leave() -> Result<()> {
    let program = process_as_file(parent_id())?;
    server(Stage::Answer)?.stdin(Stdio::inherit()).stdout(program).spawn()?;
    Ok(())
}

/// Answers until the program ends.
fn answer_all() -> Result<()> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let program = io::stdout().as_fd().try_clone_to_owned()?;
    let mut symbols = Symbols::default();
    loop {
        let [asked, ended] = wait_for_input([listener.as_fd(), program.as_fd()], None)?;
        if asked {
            // A connection that breaks is the other side's matter.
            let _ = answer(&mut symbols, &listener.accept()?.0);
        } else if ended {
            return Ok(());
        }
    }
}

fn answer(symbols: &mut Symbols, stream: &UnixStream) -> Result<()> {
    if user_beyond(stream.as_fd())? != user() {
        return Ok(());
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut output = stream;
    let mut line = String::new();
    let mut input = BufReader::new(stream);
    while input.read_line(&mut line)? > 0 {
        let text = stack::symbolized(symbols, line.trim_end_matches('\n'));
        output.write_all(shortened(&text).as_bytes())?;
        output.write_all(b"\n\0")?;
        line.clear();
    }
    Ok(())
}

/// As many whole lines of `text` as the library has room for; the first one in any case, in part if need be.
fn shortened(text: &str) -> &str {
    let fits = text.floor_char_boundary(ANSWER_BYTES - 1);
    if fits == text.len() {
        return text;
    }
    let whole = text[..fits].rfind('\n').unwrap_or(fits);
    &text[..whole]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_pass_as_they_are() {
        let text = b"one\n\xff\xfe\nspandrel:    /no/such+0x1\n\nlast";
        let mut output = Vec::new();
        filter(&mut Symbols::default(), &text[..], &mut output).unwrap();
        assert_eq!(output, text);
    }

    #[test]
    fn long_answers_lose_whole_lines() {
        let line = "x".repeat(300);
        let text = [line.as_str(); 5].join("\n");
        assert_eq!(shortened(&text), [line.as_str(); 3].join("\n"));
        assert_eq!(shortened(&"y".repeat(2000)).len(), ANSWER_BYTES - 1);
        assert_eq!(shortened("short"), "short");
    }
}
