//! `spandrel profile`: makes heap profiles of programs and shows what is in them.

use super::sample::{self, Make};
use crate::output;
use crate::profile::{self, Flame, Look, Order, Profile};
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};

const WIDTH: u32 = 1200;
const DEPTH: usize = 48;

/// A profile to write, or something to do with one that is written.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Request {
    #[command(subcommand)]
    view: Option<View>,
    #[command(flatten)]
    make: Box<Make>,
}

impl Request {
    /// Whether it makes a profile.
    pub(super) fn makes(&self) -> bool {
        self.view.is_none()
    }
}

/// Ways to look at profiles.
#[derive(Debug, Subcommand)]
enum View {
    /// Show the functions that requested or hold most memory
    Show {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
        #[arg(long, value_enum, default_value_t = Order::Own)]
        order: Order,
    },
    /// Print collapsed stacks, for flame-graph tools
    Collapse {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
    },
    /// Make a flame graph; with --json print its boxes
    Flame {
        /// The profile
        file: PathBuf,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        picture: Picture,
    },
    /// Show the changes between two profiles
    Diff {
        /// The earlier profile
        before: PathBuf,
        /// The later profile
        after: PathBuf,
        #[command(flatten)]
        what: What,
        /// Also draw a flame graph of the later profile, coloured by the changes
        #[arg(long)]
        flame: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct What {
    /// The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects
    #[arg(long)]
    value: Option<String>,
    /// Only requests in the named heap of this name ("": in the default heap)
    #[arg(long, value_name = "NAME")]
    heap: Option<String>,
    /// Rows shown
    #[arg(long, default_value_t = 25)]
    rows: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl What {
    /// The profile at `file`, as far as it is wanted.
    fn read(&self, file: &Path) -> Result<Profile> {
        profile::read(file)?.only(self.heap.as_deref())
    }
}

#[derive(Debug, Args)]
struct Picture {
    /// The file to write
    #[arg(short = 'o', long = "file", default_value = "flame.html")]
    target: PathBuf,
    /// Its kind: a page that searches and zooms, or a picture (default: by the ending of its name)
    #[arg(long = "output", value_enum)]
    form: Option<Form>,
    /// Its title
    #[arg(long)]
    title: Option<String>,
    /// The width of a picture in pixels
    #[arg(long, default_value_t = WIDTH)]
    width: u32,
    /// The most functions on top of each other in a picture
    #[arg(long, default_value_t = DEPTH)]
    depth: usize,
}

/// Forms of a flame graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// A page for a browser, which searches and zooms
    Html,
    /// A picture without a script
    Svg,
}

impl Form {
    fn of(file: &Path) -> Self {
        if file.extension().is_some_and(|end| end == "svg") { Self::Svg } else { Self::Html }
    }
}

/// Does it.
///
/// # Errors
/// Where a file cannot be read or written, is no profile, or the program cannot be started.
pub(crate) fn execute(request: &Request) -> Result<()> {
    match &request.view {
        None => sample::make(&request.make),
        Some(View::Show { file, what, order }) => {
            let profile = what.read(file)?;
            let value = profile.value(what.value.as_deref())?;
            if what.json {
                return output::json(&profile::table_values(&profile, value, *order, what.rows));
            }
            print!("{}", profile::table(&profile, value, *order, what.rows));
            Ok(())
        }
        Some(View::Collapse { file, what }) => {
            let profile = what.read(file)?;
            let value = profile.value(what.value.as_deref())?;
            if what.json {
                return output::json(&profile::collapsed(&profile, value));
            }
            print!("{}", profile::collapse(&profile, value));
            Ok(())
        }
        Some(View::Flame { file, what, picture }) => {
            let profile = what.read(file)?;
            let title = picture.title.clone().unwrap_or_else(|| title_of(&profile, file));
            let value = profile.value(what.value.as_deref())?;
            if what.json {
                return output::json(&profile::tree(&profile, value));
            }
            let look = Look { title, width: picture.width, rows: picture.depth };
            let kind = picture.form.unwrap_or_else(|| Form::of(&picture.target));
            save(
                &picture.target,
                &match kind {
                    Form::Svg => Flame::new(&profile, value).draw(&look),
                    Form::Html => profile::page(&profile, value, &look.title)?,
                },
            )
        }
        Some(View::Diff { before, after, what, flame }) => compare(before, after, what, flame.as_deref()),
    }
}

fn compare(before: &Path, after: &Path, what: &What, flame: Option<&Path>) -> Result<()> {
    // The heap may be newer than the earlier profile.
    let (old, new) = (profile::read(before)?.of_heap(what.heap.as_deref()), what.read(after)?);
    let value = what.value.as_deref();
    let difference = profile::difference(&old, &new, value)?;
    if what.json {
        output::json(&difference.values(what.rows))?;
    } else {
        print!("{}", difference.table(what.rows));
    }
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
