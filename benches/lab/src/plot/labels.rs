//! Pictures with a mark per allocator: their frame, and the names beside the marks, none on top of another.
//!
//! Knows: how wide a name is, and where it may stand. Must not know: what the axes are.

use super::style::{Style, label};
use anyhow::Result;
use spandrel_plot::Color;
use spandrel_plot::canvas::{Canvas, Lettering, Place, Side};
use spandrel_plot::style::{INK, PAPER};

const MARK: f64 = 11.0;
/// Height of the names, and of the numbers at the axes around them.
pub(super) const LETTERS: f64 = 20.0;

/// Size of the pictures with one mark per allocator, and of the borders around their axes.
pub(super) const WIDTH: f64 = 1200.0;
pub(super) const HEIGHT: f64 = 860.0;
pub(super) const MARGIN: f64 = 30.0;
pub(super) const LEFT: f64 = 110.0;
pub(super) const RIGHT: f64 = 60.0;
pub(super) const BELOW: f64 = 90.0;

/// How far above or below its mark a name may stand beside it, in heights of a letter; the best first.
const NEAR_SHIFTS: [f64; 5] = [0.0, -0.9, 0.9, -1.8, 1.8];
/// The same once no place is left close to the mark.
const FAR_SHIFTS: [f64; 8] = [-2.7, 2.7, -3.8, 3.8, -5.0, 5.0, -6.2, 6.2];
/// A name farther away than this gets a line to its mark.
const FAR: f64 = LETTERS * 1.2;
const LINE_OPACITY: f64 = 0.5;

/// One allocator's place.
pub(super) struct Point<'a> {
    pub(super) name: &'a str,
    pub(super) at: Place,
}

/// A rectangle: left, top, right, bottom.
pub(super) type Frame = (f64, f64, f64, f64);

/// All marks, then their names within an area.
pub(super) fn draw_points(canvas: &Canvas<'_>, points: &[Point<'_>], area: Frame) -> Result<()> {
    for point in points {
        let style = Style::of(point.name);
        canvas.mark(style.shape, point.at, MARK * style.weight(), style.ink())?;
    }
    labels(canvas, points, area)
}

/// Names beside their marks, our own first: each in the first place where it meets neither a mark nor another name.
fn labels(canvas: &Canvas<'_>, points: &[Point<'_>], area: Frame) -> Result<()> {
    for (point, frame) in places(points, area) {
        let style = Style::of(point.name);
        lead(canvas, point.at, &frame, style)?;
        canvas.bar((frame.0 - 3.0, frame.1 + 2.0), (frame.2, frame.3 - 2.0), PAPER)?;
        let at = (frame.0, f64::midpoint(frame.1, frame.3));
        canvas.text(label(point.name), at, Lettering { colour: style.colour, ..lettering(style) })?;
    }
    Ok(())
}

fn lettering(style: Style) -> Lettering {
    let lettering = Lettering::new(LETTERS, INK, Side::Right);
    if style.ours { lettering.bold() } else { lettering }
}

/// Where each name stands. One without a free place stands on top of what is there.
fn places<'a>(points: &'a [Point<'a>], area: Frame) -> Vec<(&'a Point<'a>, Frame)> {
    let mut taken: Vec<Frame> = points.iter().map(|point| around(point.at, MARK * 1.4)).collect();
    let ours_first = |ours: bool| points.iter().filter(move |point| Style::of(point.name).ours == ours);
    let mut places = Vec::new();
    for point in ours_first(true).chain(ours_first(false)) {
        let style = Style::of(point.name);
        let candidates = candidates(point.at, MARK * style.weight(), lettering(style).width(label(point.name)));
        let free = |frame: &Frame| within(frame, &area) && taken.iter().all(|other| !meet(frame, other));
        let Some(frame) = candidates.iter().copied().find(free).or(candidates.first().copied()) else { continue };
        taken.push(frame);
        places.push((point, frame));
    }
    places
}

/// A line from a mark to a name that stands so far away that it could be another's.
fn lead(canvas: &Canvas<'_>, at: Place, frame: &Frame, style: Style) -> Result<()> {
    let middle = f64::midpoint(frame.1, frame.3);
    let beside = if frame.0 > at.0 { frame.0 - 4.0 } else { frame.2 + 2.0 };
    if (middle - at.1).abs() <= FAR || (frame.0..=frame.2).contains(&at.0) {
        return Ok(());
    }
    canvas.line(at, (beside, middle), style.colour.mix(LINE_OPACITY), 1)
}

/// Frames for a label of some width around a mark of some radius, the best first.
fn candidates((x, y): Place, radius: f64, width: f64) -> Vec<Frame> {
    let (gap, half) = (radius + 0.7 * MARK, LETTERS * 0.62);
    let beside = |shift: &f64| {
        let middle = y + shift * LETTERS;
        [
            (x + gap, middle - half, x + gap + width, middle + half),
            (x - gap - width, middle - half, x - gap, middle + half),
        ]
    };
    let above_or_below = |distance: f64| {
        let middle = y + distance * LETTERS;
        (x - width / 2.0, middle - half, x + width / 2.0, middle + half)
    };
    let mut frames: Vec<Frame> = NEAR_SHIFTS.iter().flat_map(beside).collect();
    frames.extend([-1.5, 1.5].map(above_or_below));
    frames.extend(FAR_SHIFTS.iter().flat_map(beside));
    frames.extend([-2.6, 2.6].map(above_or_below));
    frames
}

fn around((x, y): Place, reach: f64) -> Frame {
    (x - reach, y - reach, x + reach, y + reach)
}

fn within(frame: &Frame, area: &Frame) -> bool {
    frame.0 >= area.0 && frame.1 >= area.1 && frame.2 <= area.2 && frame.3 <= area.3
}

fn meet(left: &Frame, right: &Frame) -> bool {
    left.0 < right.2 && right.0 < left.2 && left.1 < right.3 && right.1 < left.3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_touch_do_not_meet() {
        assert!(meet(&(0.0, 0.0, 2.0, 2.0), &(1.0, 1.0, 3.0, 3.0)));
        assert!(!meet(&(0.0, 0.0, 1.0, 1.0), &(1.0, 0.0, 2.0, 1.0)));
    }

    #[test]
    fn no_candidate_covers_its_mark() {
        let at = (100.0, 100.0);
        assert!(candidates(at, MARK, 80.0).iter().all(|frame| !meet(frame, &around(at, MARK))));
    }

    #[test]
    fn names_of_crowded_marks_do_not_meet() {
        const NAMES: [&str; 12] = [
            "spandrel",
            "spandrel-server",
            "mimalloc3",
            "mimalloc2",
            "jemalloc",
            "snmalloc",
            "tcmalloc",
            "rpmalloc",
            "debian-jemalloc",
            "debian-tcmalloc",
            "debian-mimalloc",
            "glibc",
        ];
        let at = |number: usize| (500.0 + 9.0 * number as f64, 300.0 + 7.0 * (number % 3) as f64);
        let points: Vec<Point<'_>> =
            NAMES.iter().enumerate().map(|(number, name)| Point { name, at: at(number) }).collect();
        let frames: Vec<Frame> =
            places(&points, (0.0, 0.0, 1200.0, 800.0)).into_iter().map(|(_, frame)| frame).collect();
        assert_eq!(frames.len(), NAMES.len());
        for (number, frame) in frames.iter().enumerate() {
            assert!(frames[..number].iter().all(|other| !meet(frame, other)), "{number}: {frame:?} of {frames:?}");
        }
    }
}
