//! `spandrel top`: the memory of a process, looked at again and again from outside. Without a process, all that
//! Spandrel serves.

use crate::live::{self, Picture, Subject, Unreadable};
use crate::quantity::show;
use crate::screen::{Frame, Screen};
use crate::view;
use anyhow::Result;
use clap::Args;
use std::time::Duration;

/// The processes to watch, and how often.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The process (default: all that Spandrel serves)
    pid: Option<u32>,
    /// Seconds between two looks
    #[arg(long, short, default_value_t = 1.0, value_parser = seconds)]
    every: f64,
    /// Look once and print plain text
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.05..=3600.0;
    let number = text.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| format!("takes {} to {} seconds", RANGE.start(), RANGE.end()))
}

/// Watches until a key ends it, or the process ends.
///
/// # Errors
/// Where the process cannot be read, or there is no terminal.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let Some(pid) = request.pid else {
        let (subjects, unreadable) = live::subjects()?;
        print!("{}", list(&subjects, unreadable));
        return Ok(());
    };
    let subject = Subject::open(pid)?;
    let look = || Ok::<_, anyhow::Error>((subject.picture()?, live::resident(pid)));
    if request.once {
        let (picture, resident) = look()?;
        println!("{:<14}{}", "process", subject.process().title());
        print!("{}", view::text(&picture, resident));
        return Ok(());
    }
    let mut screen = Screen::open()?;
    let mut history = Vec::new();
    loop {
        let (picture, resident) = match look() {
            Ok(seen) => seen,
            Err(error) if live::exists(pid) => return Err(error),
            // The process has ended: so does this.
            Err(_) => return Ok(()),
        };
        history.push((picture.snapshot.live() as u64, resident.unwrap_or(0)));
        let title = subject.process().title();
        screen.draw(&Frame { title: &title, picture: &picture, resident, history: &history })?;
        if screen.wait(Duration::from_secs_f64(request.every))? {
            return Ok(());
        }
    }
}

/// A line for each process. One that cannot be read has its line, too, and keeps no other from its own.
fn list(subjects: &[Subject], mut unreadable: Vec<Unreadable>) -> String {
    let mut text = format!(
        "{:>8}  {:<16}  {:>10}  {:>10}  {:>10}  {:>7}\n",
        "PID", "NAME", "LIVE", "OBTAINED", "RESIDENT", "THREADS"
    );
    for subject in subjects {
        let process = subject.process();
        let Picture { snapshot, .. } = match subject.picture() {
            Ok(picture) => picture,
            Err(why) => {
                if live::exists(process.id()) {
                    unreadable.push(Unreadable { id: process.id(), name: process.name(), why });
                }
                continue;
            }
        };
        let resident = live::resident(process.id()).map_or_else(|| "?".to_owned(), show);
        text.push_str(&format!(
            "{:>8}  {:<16}  {:>10}  {:>10}  {resident:>10}  {:>7}\n",
            process.id(),
            process.name(),
            show(snapshot.live() as u64),
            show(snapshot.obtained() as u64),
            snapshot.heaps
        ));
    }
    for Unreadable { id, name, why } in unreadable {
        text.push_str(&format!("{id:>8}  {name:<16}  unreadable: {why:#}\n"));
    }
    text
}
