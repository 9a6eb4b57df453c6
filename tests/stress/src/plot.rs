//! The picture of runs: for each scenario, resident memory over time above what is live.
//!
//! Knows: which run has which place and colour. Must not know: how samples come about, how anything is drawn.

use crate::judge::mib;
use crate::report;
use crate::run::Done;
use crate::sample::Sample;
use crate::scenario::{PROFILES, Profile, SCENARIOS, Scenario};
use anyhow::Result;
use spandrel_plot::canvas::Canvas;
use spandrel_plot::legend::{Entry, Heading, Key};
use spandrel_plot::style::{AREA, BLUE, GREEN, ORANGE, PURPLE, VERMILLION};
use spandrel_plot::time::{Chart, Line, Point};
use spandrel_plot::{Color, RGBColor};
use std::path::Path;

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (460.0, 320.0);
const MARGIN: f64 = 20.0;
const LETTERS: f64 = 15.0;

fn colour(profile: Profile) -> RGBColor {
    match profile {
        Profile::HostedSmall => VERMILLION,
        Profile::HostedServer => BLUE,
        Profile::CompilerInternal => PURPLE,
        Profile::Freestanding => GREEN,
        Profile::TestFixture => ORANGE,
    }
}

/// Draws the runs into an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn write(all: &[Done], path: &Path) -> Result<()> {
    report::replace(path, &draw(all)?)
}

fn runs_of<'a>(all: &'a [Done], scenario: &Scenario) -> Vec<&'a Done> {
    all.iter().filter(|done| done.order.scenario.name == scenario.name && done.samples.len() > 1).collect()
}

/// Whether the scenario has memory of its own to show: the storm of shutdowns has it in its children.
fn is_drawn(runs: &[&Done]) -> bool {
    runs.iter().any(|done| done.samples.iter().any(|sample| sample.live > 0))
}

fn draw(all: &[Done]) -> Result<String> {
    let panels: Vec<_> = SCENARIOS
        .iter()
        .map(|scenario| (scenario, runs_of(all, scenario)))
        .filter(|(_, runs)| is_drawn(runs))
        .collect();
    let seconds = all.first().map_or(0.0, |done| done.order.seconds);
    let seed = all.first().map_or(0, |done| done.order.seed);
    let subtitle = format!(
        "{seconds:.1} seconds of each scenario in each profile, seed {seed}. What lies above the grey area is overhead; a line that rises is a leak."
    );
    let present = || PROFILES.into_iter().filter(|profile| all.iter().any(|done| done.order.profile == *profile));
    let names: Vec<String> = present().map(|profile| format!("RSS, {}", profile.name())).collect();
    let mut entries = vec![Entry { text: "live bytes (requested, not freed)", key: Key::Area(AREA), bold: false }];
    let of_profile = |(profile, text)| Entry { text, key: Key::Line(colour(profile)), bold: false };
    entries.extend(present().zip(names.iter().map(String::as_str)).map(of_profile));
    let width = PANEL.0 * COLUMNS as f64 + MARGIN;
    let title = "Stress: resident memory over time, against live bytes";
    let heading = Heading { title, subtitle: &subtitle, entries: &entries, width, margin: MARGIN };

    let rows = panels.len().div_ceil(COLUMNS);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, width, heading.bottom() + PANEL.1 * rows as f64 + MARGIN)?;
    heading.draw(&canvas)?;
    for (number, (scenario, runs)) in panels.iter().enumerate() {
        let (left, top) = ((number % COLUMNS) as f64 * PANEL.0, heading.bottom() + (number / COLUMNS) as f64 * PANEL.1);
        panel(&canvas, (left + MARGIN, top, left + PANEL.0, top + PANEL.1), scenario, runs)?;
    }
    canvas.finish()?;
    Ok(svg)
}

fn panel(canvas: &Canvas<'_>, frame: (f64, f64, f64, f64), scenario: &Scenario, runs: &[&Done]) -> Result<()> {
    let points = |done: &Done, bytes: fn(&Sample) -> u64| -> Vec<Point> {
        done.samples.iter().map(|sample| (sample.seconds, mib(bytes(sample) as f64))).collect()
    };
    let live = runs.first().map_or_else(Vec::new, |first| points(first, |sample| sample.live));
    let line = |done: &&Done| Line {
        points: points(done, |sample| sample.resident),
        colour: colour(done.order.profile).mix(1.0),
        width: 2,
        mark: None,
    };
    let lines: Vec<Line> = runs.iter().map(line).collect();
    let chart =
        Chart { title: scenario.title, values: "MiB", letters: LETTERS, area: Some((&live, AREA)), lines: &lines };
    chart.draw(canvas, frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Order, Outcome};

    fn run_of(name: &str, profile: Profile) -> Done {
        let scenario = Scenario::named(name).unwrap();
        let order = Order { scenario, profile, seconds: 2.0, seed: 11, options: Vec::new(), before: None };
        let sample =
            |at: u32| Sample { seconds: f64::from(at), live: 10 << 20, resident: 14 << 20, ..Sample::default() };
        Done { order, samples: (0..5).map(sample).collect(), outcome: Outcome::Passed }
    }

    #[test]
    fn each_scenario_has_a_panel_with_units_and_each_profile_a_line() {
        let all = [
            run_of("churn", Profile::HostedSmall),
            run_of("churn", Profile::Freestanding),
            run_of("fork-storm", Profile::HostedSmall),
        ];
        let svg = draw(&all).unwrap();
        for text in
            ["Churn", "Fork storm", "MiB", "seconds", "seed 11", "RSS, hosted-small", "RSS, freestanding", "live bytes"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("RSS, test-fixture") && !svg.contains("Thread churn"));
    }

    #[test]
    fn nothing_to_draw_is_a_picture_too() {
        assert!(draw(&[]).unwrap().contains("</svg>"));
    }
}
