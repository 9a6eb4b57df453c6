//! The picture of runs: for each scenario, resident memory over time above what is live.
//!
//! Knows: plotters. Must not know: how samples come about.

use crate::judge::mib;
use crate::report;
use crate::run::Done;
use crate::sample::Sample;
use crate::scenario::{PROFILES, Profile, SCENARIOS, Scenario};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
const COLUMNS: usize = 3;
const PANEL: (u32, u32) = (460, 300);
const HEADING: u32 = 120;
const MARGIN: i32 = 20;
const INK: RGBColor = RGBColor(34, 34, 34);
const PALE_INK: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(228, 228, 228);
const LIVE: RGBColor = RGBColor(214, 214, 214);
/// Room above the highest line.
const HEADROOM: f64 = 1.12;
/// Width of a letter of the family as a part of its size.
const LETTER: f64 = 0.5;

/// The hues of Okabe and Ito, which colour-blind people can tell apart.
fn colour(profile: Profile) -> RGBColor {
    match profile {
        Profile::HostedSmall => RGBColor(213, 94, 0),
        Profile::HostedServer => RGBColor(0, 114, 178),
        Profile::CompilerInternal => RGBColor(204, 121, 167),
        Profile::Freestanding => RGBColor(0, 158, 115),
        Profile::TestFixture => RGBColor(230, 159, 0),
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// Draws the runs into an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn write(all: &[Done], path: &Path) -> Result<()> {
    let mut svg = String::new();
    draw(all, &mut svg)?;
    report::replace(path, &svg)
}

fn runs_of<'a>(all: &'a [Done], scenario: &Scenario) -> Vec<&'a Done> {
    all.iter().filter(|done| done.order.scenario.name == scenario.name && done.samples.len() > 1).collect()
}

/// Whether the scenario has memory of its own to show: the storm of shutdowns has it in its children.
fn is_drawn(runs: &[&Done]) -> bool {
    runs.iter().any(|done| done.samples.iter().any(|sample| sample.live > 0))
}

fn draw(all: &[Done], svg: &mut String) -> Result<()> {
    let panels: Vec<_> =
        SCENARIOS.iter().map(|scenario| (scenario, runs_of(all, scenario))).filter(|(_, runs)| is_drawn(runs)).collect();
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let size = (PANEL.0 * COLUMNS as u32, HEADING + PANEL.1 * rows as u32);
    let whole = SVGBackend::with_string(svg, size).into_drawing_area();
    whole.fill(&WHITE).map_err(failed)?;
    let (top, rest) = whole.split_vertically(HEADING);
    heading(&top, all)?;
    let places = rest.split_evenly((rows.max(1), COLUMNS));
    for ((scenario, runs), place) in panels.iter().zip(&places) {
        panel(place, scenario, runs)?;
    }
    whole.present().map_err(failed)
}

fn style(size: u32, colour: RGBColor) -> TextStyle<'static> {
    (FAMILY, size).into_font().color(&colour).pos(Pos::new(HPos::Left, VPos::Center))
}

fn heading(area: &Area<'_>, all: &[Done]) -> Result<()> {
    let seconds = all.first().map_or(0.0, |done| done.order.seconds);
    let seed = all.first().map_or(0, |done| done.order.seed);
    let title = "Stress: resident memory over time, against live bytes";
    area.draw(&Text::new(title, (MARGIN, 26), style(26, INK))).map_err(failed)?;
    let what = format!(
        "{seconds:.1} seconds of each scenario in each profile, seed {seed}. What lies above the grey area is overhead; a line that rises is a leak."
    );
    area.draw(&Text::new(what, (MARGIN, 58), style(16, PALE_INK))).map_err(failed)?;
    let mut at = MARGIN;
    let swatch = |at: i32, height: i32, colour: RGBColor| {
        area.draw(&Rectangle::new([(at, 90 - height), (at + 28, 90 + height)], colour.filled())).map_err(failed)
    };
    swatch(at, 8, LIVE)?;
    let live = "live bytes (requested, not freed)";
    area.draw(&Text::new(live, (at + 36, 90), style(16, INK))).map_err(failed)?;
    at += 36 + width(live) + 30;
    for profile in PROFILES.into_iter().filter(|profile| all.iter().any(|done| done.order.profile == *profile)) {
        swatch(at, 2, colour(profile))?;
        let name = format!("RSS, {}", profile.name());
        area.draw(&Text::new(name.clone(), (at + 36, 90), style(16, INK))).map_err(failed)?;
        at += 36 + width(&name) + 30;
    }
    Ok(())
}

fn width(text: &str) -> i32 {
    (text.len() as f64 * 16.0 * LETTER) as i32
}

fn panel(area: &Area<'_>, scenario: &Scenario, runs: &[&Done]) -> Result<()> {
    let samples = || runs.iter().flat_map(|done| &done.samples);
    let across = samples().map(|sample| sample.seconds).fold(0.0, f64::max);
    let up = samples().map(|sample| mib(sample.resident.max(sample.live) as f64)).fold(1.0, f64::max) * HEADROOM;
    let mut chart = ChartBuilder::on(area)
        .caption(scenario.title, (FAMILY, 18).into_font().color(&INK))
        .margin(12)
        .margin_right(22)
        .x_label_area_size(38)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..across, 0.0..up)
        .map_err(failed)?;
    if let Some(first) = runs.first() {
        let live = first.samples.iter().map(|sample| (sample.seconds, mib(sample.live as f64)));
        chart.draw_series(AreaSeries::new(live, 0.0, LIVE)).map_err(failed)?;
    }
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(PALE_INK)
        .x_labels(6)
        .y_labels(6)
        .x_desc("seconds")
        .y_desc("MiB")
        .label_style((FAMILY, 13).into_font().color(&PALE_INK))
        .axis_desc_style((FAMILY, 14).into_font().color(&PALE_INK))
        .draw()
        .map_err(failed)?;
    for done in runs {
        let line = done.samples.iter().map(|sample: &Sample| (sample.seconds, mib(sample.resident as f64)));
        chart.draw_series(LineSeries::new(line, colour(done.order.profile).stroke_width(2))).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Order, Outcome};

    fn run_of(name: &str, profile: Profile) -> Done {
        let scenario = Scenario::named(name).unwrap();
        let order = Order { scenario, profile, seconds: 2.0, seed: 11, options: Vec::new(), before: None };
        let sample = |at: u32| Sample { seconds: f64::from(at), live: 10 << 20, resident: 14 << 20, ..Sample::default() };
        Done { order, samples: (0..5).map(sample).collect(), outcome: Outcome::Passed }
    }

    #[test]
    fn each_scenario_has_a_panel_with_units_and_each_profile_a_line() {
        let all = [
            run_of("churn", Profile::HostedSmall),
            run_of("churn", Profile::Freestanding),
            run_of("fork-storm", Profile::HostedSmall),
        ];
        let mut svg = String::new();
        draw(&all, &mut svg).unwrap();
        for text in ["Churn", "Fork storm", "MiB", "seconds", "seed 11", "RSS, hosted-small", "RSS, freestanding", "live bytes"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("RSS, test-fixture") && !svg.contains("Thread churn"));
    }

    #[test]
    fn nothing_to_draw_is_a_picture_too() {
        let mut svg = String::new();
        draw(&[], &mut svg).unwrap();
        assert!(svg.contains("</svg>"));
    }
}
