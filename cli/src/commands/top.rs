//! `spandrel top`: the memory of a process, looked at again and again from outside. Without a process, all that
//! Spandrel serves.

use crate::live::{self, Subject, Unreadable, Watch};
use crate::screen::{self, All, Frame, One, Row, Wish};
use crate::terminal::Terminal;
use crate::{output, view};
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// The processes to watch, and how often.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The process (default: all that Spandrel serves)
    pid: Option<u32>,
    /// Seconds between two updates
    #[arg(long, short, default_value_t = 1.0, value_parser = seconds)]
    every: f64,
    /// Print plain text once
    #[arg(long)]
    once: bool,
    /// Print JSON once
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.05..=3600.0;
    let number = text.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| format!("takes {} to {} seconds", RANGE.start(), RANGE.end()))
}

/// Watches until a key ends it, or the process ends. Where standard output is no terminal, looks once and prints.
///
/// # Errors
/// Where the process cannot be read, or standard input is no terminal.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let every = Duration::from_secs_f64(request.every);
    let once = request.once || request.json || !io::stdout().is_terminal();
    match request.pid {
        None if once => {
            let rows = rows(&mut Watch::default())?;
            if request.json {
                return output::json(&rows.iter().map(Row::value).collect::<Value>());
            }
            print!("{}", screen::plain(rows));
            Ok(())
        }
        None => watch_all(every),
        Some(pid) if once => {
            let subject = Subject::open(pid)?;
            let picture = subject.picture()?;
            if request.json {
                return output::json(&view::values(subject.process(), &picture));
            }
            println!("{:<14}{}", "process", subject.process().title());
            print!("{}", view::text(&picture, live::resident(pid)));
            Ok(())
        }
        Some(pid) => {
            let subject = Subject::open(pid)?;
            watch_one(&mut Terminal::open()?, &subject, every).map(|_| ())
        }
    }
}

fn watch_all(every: Duration) -> Result<()> {
    let mut terminal = Terminal::open()?;
    let (mut watch, mut all) = (Watch::default(), All::new());
    loop {
        all.update(rows(&mut watch)?);
        let end = Instant::now() + every;
        loop {
            terminal.draw(&all.lines(terminal.size().1))?;
            let Some(key) = terminal.key(end)? else { break };
            match all.press(key) {
                Wish::Quit | Wish::Leave => return Ok(()),
                // A process that has ended meanwhile is not in the next list.
                Wish::Open(pid) => match watch.subject(pid).map(|subject| watch_one(&mut terminal, subject, every)) {
                    Some(Ok(Wish::Quit)) => return Ok(()),
                    _ => break,
                },
                Wish::Draw => {}
            }
        }
    }
}

/// Watches one until a key leaves it, or it ends.
fn watch_one(terminal: &mut Terminal, subject: &Subject, every: Duration) -> Result<Wish> {
    let pid = subject.process().id();
    let (title, command) = (subject.process().title(), subject.process().command());
    let (mut one, mut history) = (One::new(), Vec::new());
    loop {
        let (picture, resident) = match subject.picture() {
            Ok(picture) => (picture, live::resident(pid)),
            Err(error) if live::exists(pid) => return Err(error),
            // The process has ended: so does this.
            Err(_) => return Ok(Wish::Leave),
        };
        history.push((picture.snapshot.live() as u64, resident.unwrap_or(0)));
        let frame = Frame { title: &title, command: &command, picture: &picture, resident, history: &history };
        let end = Instant::now() + every;
        loop {
            terminal.draw(&one.lines(&frame, terminal.size()))?;
            let Some(key) = terminal.key(end)? else { break };
            match one.press(key) {
                Wish::Draw => {}
                wish => return Ok(wish),
            }
        }
    }
}

/// A row for each process. One that cannot be read has its row, too, and keeps no other from its own.
fn rows(watch: &mut Watch) -> Result<Vec<Row>> {
    let mut unreadable = watch.update()?;
    let mut rows = Vec::new();
    for subject in watch.subjects() {
        let process = subject.process();
        match subject.picture() {
            Ok(picture) => rows.push(Row {
                pid: process.id(),
                live: picture.snapshot.live() as u64,
                obtained: picture.snapshot.obtained() as u64,
                resident: live::resident(process.id()),
                threads: picture.snapshot.heaps as u64,
                command: process.command(),
                unreadable: None,
            }),
            Err(why) if live::exists(process.id()) => {
                unreadable.push(Unreadable { id: process.id(), name: process.name(), why });
            }
            Err(_) => {}
        }
    }
    rows.extend(unreadable.into_iter().map(|Unreadable { id, name, why }| Row {
        pid: id,
        command: name,
        unreadable: Some(format!("{why:#}")),
        ..Row::default()
    }));
    Ok(rows)
}
