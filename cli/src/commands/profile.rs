//! `spandrel profile`: makes heap profiles of programs and shows what is in them.

use crate::library;
use crate::profile::{self, Flame, Look, Order, Profile};
use crate::quantity;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENDING: &str = ".pb.gz";
const WIDTH: u32 = 1200;
const DEPTH: usize = 48;

/// A profile to write, or something to do with one that is written.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Request {
    #[command(subcommand)]
    view: Option<View>,
    #[command(flatten)]
    make: Make,
}

/// A program to be profiled.
#[derive(Debug, Args)]
struct Make {
    /// Where the profile goes. Those of its children have their number before the end of the name.
    #[arg(long, short = 'o', default_value = "heap.pb.gz")]
    output: String,
    /// Bytes between samples, on average
    #[arg(long, value_parser = quantity::parse, default_value = "512K")]
    rate: usize,
    /// The library to preload
    #[arg(long)]
    library: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Ways to look at profiles.
#[derive(Debug, Subcommand)]
enum View {
    /// The functions that asked for most
    Show {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
        #[arg(long, value_enum, default_value_t = Order::Own)]
        order: Order,
    },
    /// Collapsed stacks, as flame-graph tools read them
    Collapse {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
    },
    /// A flame graph
    Flame {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        picture: Picture,
    },
    /// The changes from one profile to another
    Diff {
        /// The earlier profile
        before: PathBuf,
        /// The later one
        after: PathBuf,
        #[command(flatten)]
        what: What,
        /// Also draw a flame graph of the later one, coloured by what changed
        #[arg(long)]
        flame: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct What {
    /// The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects
    #[arg(long)]
    value: Option<String>,
    /// Rows shown
    #[arg(long, default_value_t = 25)]
    rows: usize,
}

#[derive(Debug, Args)]
struct Picture {
    /// Where it goes
    #[arg(long, short = 'o', default_value = "flame.svg")]
    output: PathBuf,
    /// Its title
    #[arg(long)]
    title: Option<String>,
    /// Its width in pixels
    #[arg(long, default_value_t = WIDTH)]
    width: u32,
    /// Most functions on top of each other
    #[arg(long, default_value_t = DEPTH)]
    depth: usize,
}

/// Does it.
///
/// # Errors
/// Where a file cannot be read or written, is no profile, or the program cannot be started.
pub(crate) fn execute(request: &Request) -> Result<()> {
    match &request.view {
        None => make(&request.make),
        Some(View::Show { file, what, order }) => {
            let profile = profile::read(file)?;
            print!("{}", profile::table(&profile, profile.value(what.value.as_deref())?, *order, what.rows));
            Ok(())
        }
        Some(View::Collapse { file, what }) => {
            let profile = profile::read(file)?;
            print!("{}", profile::collapse(&profile, profile.value(what.value.as_deref())?));
            Ok(())
        }
        Some(View::Flame { file, what, picture }) => {
            let profile = profile::read(file)?;
            let title = picture.title.clone().unwrap_or_else(|| title_of(&profile, file));
            let look = Look { title, width: picture.width, rows: picture.depth };
            save(&picture.output, &Flame::new(&profile, profile.value(what.value.as_deref())?).draw(&look))
        }
        Some(View::Diff { before, after, what, flame }) => compare(before, after, what, flame.as_deref()),
    }
}

fn compare(before: &Path, after: &Path, what: &What, flame: Option<&Path>) -> Result<()> {
    let (old, new) = (profile::read(before)?, profile::read(after)?);
    let value = what.value.as_deref();
    print!("{}", profile::difference(&old, &new, value)?.table(what.rows));
    if let Some(path) = flame {
        let title = format!("{} against {}", after.display(), before.display());
        let picture = Flame::new(&new, new.value(value)?).since(&old, old.value(value)?);
        save(path, &picture.draw(&Look { title, width: WIDTH, rows: DEPTH }))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// The program whose outermost function most stacks begin with, or else the file.
fn title_of(profile: &Profile, file: &Path) -> String {
    let largest = profile.stacks.iter().max_by_key(|stack| stack.values.iter().max().copied());
    let program = largest.and_then(|stack| stack.frames.first()).map(|frame| frame.object.as_str());
    program.map_or_else(|| file.display().to_string(), |program| format!("Heap of {program}"))
}

/// Runs the program and says where its profile is.
fn make(make: &Make) -> Result<()> {
    let (program, arguments) = make.command.split_first().context("no program is named")?;
    let library = library::find(make.library.as_deref())?;
    let stem = make.output.strip_suffix(ENDING).unwrap_or(&make.output);
    if stem.contains('%') {
        bail!("{}: a name without `%`, which is the library's", make.output);
    }
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", super::run::preload(&library));
    command
        .env("SPANDREL_HEAP_PROFILE", format!("{stem}.%p{ENDING}"))
        .env("SPANDREL_HEAP_PROFILE_RATE", make.rate.to_string());
    let mut child = command.spawn().with_context(|| format!("{}", Path::new(program).display()))?;
    let process = child.id();
    let status = child.wait()?;
    match fs::rename(format!("{stem}.{process}{ENDING}"), &make.output) {
        Ok(()) => eprintln!("spandrel: {0}; to look at it: spandrel profile show {0}", make.output),
        Err(_) => eprintln!(
            "spandrel: no profile of process {process}: it was killed, ended by _exit, or could not write one"
        ),
    }
    if !status.success() {
        bail!("{}: {status}", Path::new(program).display());
    }
    Ok(())
}
