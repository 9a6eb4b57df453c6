//! Memory over time of ten adversaries, beside other allocators.
//!
//! Knows: which libraries there are, and the program, which is this one with the library preloaded. Must not know: what
//! an adversary does.

mod adversaries;
mod kernel;
mod picture;

use crate::page::{Page, Table};
use adversaries::{ALL, Adversary};
use anyhow::{Context, Result, bail};
use kernel::Course;
pub(crate) use kernel::{Extent, STATUS, resident};
pub(crate) use picture::{COLOURS, entries};
use spandrel_xtask::repo;
use spandrel_xtask::run::{End, Launcher, Outcome, Running, Task};
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PEERS: [&str; 4] = ["mimalloc3", "jemalloc", "tcmalloc", "snmalloc"];
const LIMIT: Duration = Duration::from_secs(120);
const MIB: f64 = 1024.0;

/// A library by name; none for the C library's.
pub(crate) type Setting = (&'static str, Option<PathBuf>);

/// One run of an adversary, in this process.
pub(crate) fn kernel(name: &str, extent: Extent) -> Result<()> {
    let adversary = ALL.into_iter().find(|one| one.name == name).with_context(|| format!("no adversary `{name}`"))?;
    kernel::run(&adversary, extent)
}

/// Measures all and makes the page, and the picture.
pub(crate) fn study(extent: Extent) -> Result<(Page, String)> {
    let root = repo::root()?;
    let settings = settings(&root)?;
    // Each keeps what its program prints in a folder of its own.
    let scratch = repo::target(&root).join("studies/fragmentation");
    let launchers = settings.iter().map(|(name, _)| Launcher::new(&scratch.join(name))).collect::<Result<Vec<_>>>()?;
    let mut courses = Vec::new();
    for adversary in &ALL {
        // They sleep most of the time, so all allocators take part at once and share what disturbs them.
        let started = settings.iter().zip(&launchers);
        let started = started.map(|(setting, launcher)| start(launcher, adversary, extent, setting));
        let running: Vec<Running> = started.collect::<Result<_>>()?;
        let outcomes: Vec<Outcome> = running.into_iter().map(Running::wait).collect::<Result<_>>()?;
        let all = outcomes.iter().zip(&settings).map(|(outcome, (name, _))| course(outcome, adversary, name));
        courses.push(all.collect::<Result<Vec<_>>>()?);
        println!("{}: done", adversary.name);
    }
    let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    let page = Page { name: "fragmentation", title: "Fragmentation", tables: tables(extent, &names, &courses) };
    Ok((page, picture::draw(&names, &courses)?))
}

/// Spandrel, the peers that are built, and the C library's.
pub(crate) fn settings(root: &Path) -> Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = vec![("spandrel", Some(repo::library(None)?))];
    for peer in PEERS {
        let library = repo::target(root).join("peers").join(peer).with_extension("so");
        if library.is_file() {
            settings.push((peer, Some(library)));
        }
    }
    settings.push(("glibc", None));
    Ok(settings)
}

fn start(launcher: &Launcher, adversary: &Adversary, extent: Extent, setting: &Setting) -> Result<Running> {
    let Extent { most, ticks, pace } = extent;
    let mut arguments = vec!["fragmentation-kernel".to_owned(), adversary.name.to_owned()];
    arguments.extend([most.to_string(), ticks.to_string(), pace.to_string()]);
    let task = Task {
        program: env::current_exe()?,
        arguments,
        dir: env::temp_dir(),
        environment: Vec::new(),
        input: None,
        limit: LIMIT,
    };
    launcher.start(&task, setting.1.as_deref())
}

/// The course that a run printed, and its CPU seconds.
fn course(outcome: &Outcome, adversary: &Adversary, name: &str) -> Result<(Course, f64)> {
    if outcome.end != End::Code(0) {
        let error = String::from_utf8_lossy(&outcome.stderr);
        bail!("{} with {name} ended with {:?}: {error}", adversary.name, outcome.end);
    }
    let course = serde_json::from_slice(&outcome.stdout).with_context(|| format!("{name} printed no line"))?;
    Ok((course, outcome.usage.cpu))
}

/// A row for each adversary, a column for each allocator.
fn tables(extent: Extent, names: &[&str], courses: &[Vec<(Course, f64)>]) -> Vec<Table> {
    let seconds = extent.ticks as f64 * extent.pace as f64 / 1e3;
    let columns: Vec<&str> = ["adversary", "live"].into_iter().chain(names.iter().copied()).collect();
    let table = |title: &str, note: String, live: fn(&Course) -> String, cell: fn(&(Course, f64)) -> String| {
        let mut table = Table::new(title, note, &columns);
        for (adversary, courses) in ALL.iter().zip(courses) {
            let first = courses.first().map_or_else(String::new, |(course, _)| live(course));
            let cells = courses.iter().map(cell);
            table.rows.push([adversary.name.to_owned(), first].into_iter().chain(cells).collect());
        }
        table
    };
    let mut legend = Table::new(
        "The adversaries",
        format!(
            "Each works for {seconds} seconds in {} ticks, with peaks of {} MiB, and is then quiet for twice as long: one malloc \
             and one free per tick. All allocators run at the same time, on a machine that others may use.",
            extent.ticks,
            extent.most >> 20
        ),
        &["adversary", "what it does"],
    );
    legend.rows = ALL.iter().map(|one| vec![one.name.to_owned(), one.does.to_owned()]).collect();
    vec![
        legend,
        table(
            "Peak",
            "MiB resident at most, without those before the first tick.".to_owned(),
            |course| mib(course.moments.iter().map(|moment| moment.1 >> 10).max().unwrap_or(0)),
            |(course, _)| mib(course.moments.iter().map(|moment| course.above(moment.2)).max().unwrap_or(0)),
        ),
        table(
            "Mean while it works",
            "MiB resident, the mean of all ticks in which the adversary works.".to_owned(),
            |course| mean(course, |moment| moment.1 >> 10),
            |(course, _)| mean(course, |moment| course.above(moment.2)),
        ),
        table(
            "In the end",
            format!("MiB resident after {} seconds in which the program called now and then.", 2.0 * seconds),
            |course| mib(course.moments.last().map_or(0, |moment| moment.1 >> 10)),
            |(course, _)| mib(course.moments.last().map_or(0, |moment| course.above(moment.2))),
        ),
        table(
            "After a trim",
            "MiB resident after `malloc_trim(0)`, called until it returns 0 but at most ten times. Of mimalloc3, jemalloc, tcmalloc and snmalloc none has that \
             function, so libc's is called, which does nothing for them."
                .to_owned(),
            |course| mib(course.moments.last().map_or(0, |moment| moment.1 >> 10)),
            |(course, _)| mib(course.above(course.trimmed)),
        ),
        table(
            "The longest trim",
            "Milliseconds by the clock of the longest of these calls, other processes included.".to_owned(),
            |_| "-".to_owned(),
            |(course, _)| format!("{:.1}", course.longest),
        ),
        table(
            "CPU time",
            "Seconds of the whole run.".to_owned(),
            |_| "-".to_owned(),
            |(_, cpu)| format!("{cpu:.2}"),
        ),
    ]
}

impl Course {
    /// KiB above those before the first tick.
    fn above(&self, kib: usize) -> usize {
        kib.saturating_sub(self.base)
    }
}

fn mib(kib: usize) -> String {
    format!("{:.1}", kib as f64 / MIB)
}

/// The mean while the adversary worked, in MiB.
fn mean(course: &Course, of: impl Fn(&kernel::Moment) -> usize) -> String {
    let working = course.moments.get(..course.working).unwrap_or(&[]);
    mib(working.iter().map(of).sum::<usize>() / working.len().max(1))
}
