//! `spandrel stats`: the figures of a process that goes on meanwhile, as a table or in one of the library's own
//! formats.

use crate::live::{self, Subject};
use crate::view;
use anyhow::Result;
use clap::{Args, ValueEnum};
use spandrel::descriptor::Format;
use std::io::{self, Write};

/// How figures are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A table for people
    Table,
    /// The text that `malloc_stats` prints
    Text,
    /// A JSON object
    Json,
    /// The XML that `malloc_info` writes
    Xml,
    /// Prometheus's text format
    Prom,
}

/// Whose figures, and how.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The process (default: the only one that Spandrel serves)
    pid: Option<u32>,
    /// How the figures are written
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// Print JSON, with the process, its threads and what is resident
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Prints them.
///
/// # Errors
/// Where the process cannot be read.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let subject = request.pid.map_or_else(live::only_subject, Subject::open)?;
    let picture = subject.picture()?;
    if request.json {
        return crate::output::json(&view::values(subject.process(), &picture));
    }
    let format = match request.format {
        Form::Table => {
            println!("{:<14}{}", "process", subject.process().title());
            print!("{}", view::text(&picture, live::resident(subject.process().id())));
            return Ok(());
        }
        Form::Text => Format::Text,
        Form::Json => Format::Json,
        Form::Xml => Format::Xml,
        Form::Prom => Format::Prometheus,
    };
    let mut text = Vec::new();
    format.write(&picture.snapshot, &mut |bytes| text.extend_from_slice(bytes));
    io::stdout().write_all(&text)?;
    Ok(())
}
