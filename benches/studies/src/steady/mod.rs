//! A long run of steady work beside other allocators: does its rate stay, does its memory?
//!
//! Knows: which libraries there are, tables and the picture. Must not know: what the run does.

mod kernel;

use crate::fragmentation::{COLOURS, Setting, entries, settings};
use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use kernel::{Moment, THREADS};
use spandrel_plot::Color;
use spandrel_plot::canvas::Canvas;
use spandrel_plot::legend::Heading;
use spandrel_plot::style::AREA;
use spandrel_plot::time::{Chart, Line, Point};
use spandrel_xtask::repo;
use spandrel_xtask::run::{End, Launcher, Outcome, Running, Task};
use std::env;
use std::time::Duration;

const MILLION: f64 = 1e6;
const MIB_OF_KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;
/// Seconds at the beginning that are compared with as many at the end.
const SHARE: usize = 10;
const SPARE: Duration = Duration::from_secs(60);
const WIDTH: f64 = 1500.0;
const CHART: f64 = 420.0;
const MARGIN: f64 = 30.0;
const LETTERS: f64 = 15.0;

/// One run in this process.
pub(crate) fn kernel(seconds: usize) -> Result<()> {
    kernel::run(seconds)
}

/// Measures all at the same time for `seconds`, and makes the page and the picture.
pub(crate) fn study(seconds: usize) -> Result<(Page, String)> {
    let root = repo::root()?;
    let settings = settings(&root)?;
    let scratch = repo::target(&root).join("studies/steady");
    let launchers = settings.iter().map(|(name, _)| Launcher::new(&scratch.join(name))).collect::<Result<Vec<_>>>()?;
    let started = settings.iter().zip(&launchers).map(|(setting, launcher)| start(launcher, setting, seconds));
    let running: Vec<Running> = started.collect::<Result<_>>()?;
    let outcomes: Vec<Outcome> = running.into_iter().map(Running::wait).collect::<Result<_>>()?;
    let courses = outcomes.iter().zip(&settings).map(|(outcome, (name, _))| course(outcome, name));
    let courses: Vec<Vec<Moment>> = courses.collect::<Result<_>>()?;
    let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    let tables = vec![rates(seconds, &names, &courses), memory(&names, &courses)];
    Ok((Page { name: "steady", title: "Steady work", tables }, draw(seconds, &names, &courses)?))
}

fn start(launcher: &Launcher, setting: &Setting, seconds: usize) -> Result<Running> {
    let task = Task {
        program: env::current_exe()?,
        arguments: vec!["steady-kernel".to_owned(), seconds.to_string()],
        dir: env::temp_dir(),
        environment: Vec::new(),
        input: None,
        limit: Duration::from_secs(seconds as u64) + SPARE,
    };
    launcher.start(&task, setting.1.as_deref())
}

fn course(outcome: &Outcome, name: &str) -> Result<Vec<Moment>> {
    if outcome.end != End::Code(0) {
        bail!("{name} ended with {:?}: {}", outcome.end, String::from_utf8_lossy(&outcome.stderr));
    }
    let moments: Vec<Moment> = serde_json::from_slice(&outcome.stdout).with_context(|| format!("{name}: no line"))?;
    if moments.is_empty() { bail!("{name}: no second") } else { Ok(moments) }
}

fn rates(seconds: usize, names: &[&str], courses: &[Vec<Moment>]) -> Table {
    let note = format!(
        "{THREADS} threads work for {seconds} seconds: bursts of blocks of 1 to 1000 bytes fill a table of 10,000 places; a fifth \
         is kept for another round, the rest is freed from both ends, and every fourth block is swapped with another thread. \
         Million blocks, allocated and freed, per second of CPU time; a figure for each second, or for some together if the \
         process had less than a quarter of a second of CPU time. All allocators run at the same time and share the \
         processors, and what disturbs them."
    );
    let columns = ["allocator", "least", "tenth", "median", "most", "most / least", "first ten", "last ten"];
    let mut table = Table::new("Rate", note, &columns);
    for (name, moments) in names.iter().zip(courses) {
        let all: Vec<f64> = moments.iter().map(|moment| moment.rate / MILLION).collect();
        let mut sorted = all.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |part: usize, of: usize| sorted[(sorted.len() - 1) * part / of];
        let (first, last) = (&all[..SHARE.min(all.len())], &all[all.len().saturating_sub(SHARE)..]);
        let figures = [at(0, 1), at(1, 10), at(1, 2), at(1, 1), at(1, 1) / at(0, 1), mean(first), mean(last)];
        table.rows.push(row(name, &figures));
    }
    table
}

fn memory(names: &[&str], courses: &[Vec<Moment>]) -> Table {
    let note =
        "MiB resident above those before the start: after the first second, at most, and in the end; and the live \
                bytes in the end, right after the tables were swept."
            .to_owned();
    let mut table = Table::new("Memory", note, &["allocator", "first", "peak", "last", "live"]);
    for (name, moments) in names.iter().zip(courses) {
        let all: Vec<f64> = moments.iter().map(|moment| moment.resident as f64 / MIB_OF_KIB).collect();
        let live = moments[moments.len() - 1].live as f64 / MIB;
        let most = all.iter().copied().fold(0.0, f64::max);
        table.rows.push(row(name, &[all[0], most, all[all.len() - 1], live]));
    }
    table
}

fn row(name: &str, figures: &[f64]) -> Vec<String> {
    [name.to_owned()].into_iter().chain(figures.iter().map(|figure| format!("{figure:.2}"))).collect()
}

fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}

fn draw(seconds: usize, names: &[&str], courses: &[Vec<Moment>]) -> Result<String> {
    let entries = entries(names);
    let subtitle =
        format!("{THREADS} threads with bursts and swaps for {seconds} seconds, all allocators at the same time.");
    let heading = Heading {
        title: "Steady work: rate and memory over time",
        subtitle: &subtitle,
        entries: &entries,
        width: WIDTH,
        margin: MARGIN,
    };
    let top = heading.bottom();
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, top + 2.0 * CHART + MARGIN)?;
    heading.draw(&canvas)?;
    let lines = |value: fn(&Moment) -> f64| -> Vec<Line> {
        let pairs = courses.iter().zip(COLOURS).enumerate().rev();
        let line = pairs.map(|(index, (moments, colour))| Line {
            points: moments.iter().map(|moment| (moment.seconds, value(moment))).collect(),
            colour: colour.mix(1.0),
            width: if index == 0 { 3 } else { 2 },
            mark: None,
        });
        line.collect()
    };
    let live: Vec<Point> =
        courses.first().into_iter().flatten().map(|moment| (moment.seconds, moment.live as f64 / MIB)).collect();
    let (rates, resident) =
        (lines(|moment| moment.rate / MILLION), lines(|moment| moment.resident as f64 / MIB_OF_KIB));
    let charts = [
        Chart { title: "Rate", values: "million blocks per CPU second", letters: LETTERS, area: None, lines: &rates },
        Chart {
            title: "Memory",
            values: "MiB resident",
            letters: LETTERS,
            area: Some((&live, AREA)),
            lines: &resident,
        },
    ];
    for (index, chart) in charts.iter().enumerate() {
        let top = top + CHART * index as f64;
        chart.draw(&canvas, (MARGIN, top, WIDTH - MARGIN, top + CHART))?;
    }
    canvas.finish()?;
    Ok(svg)
}
