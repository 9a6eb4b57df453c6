//! A flame graph as one SVG file: functions as boxes on top of their callers, as wide as what they and their callees
//! hold. Everything can be pointed at for its full name and figures; no script is needed.
//!
//! Must not know: where profiles come from.

use super::palette;
use super::{Frame, Profile, Stack};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// The title and the measures of the picture.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) title: String,
    pub(crate) width: u32,
    /// Most rows of functions; what is called from the last one is left out.
    pub(crate) rows: usize,
}

/// A picture to be made.
pub(crate) struct Flame<'a> {
    profile: &'a Profile,
    value: usize,
    /// The profile to compare with, and the number of the value in it.
    before: Option<(&'a Profile, usize)>,
}

const ROW: f64 = 18.0;
const MARGIN: f64 = 14.0;
const HEAD: f64 = 62.0;
const FOOT: f64 = 34.0;
const FONT: f64 = 11.0;
/// Of a monospaced font, for its size.
const LETTER: f64 = 0.602;
/// Boxes narrower than this are not drawn.
const NARROWEST: f64 = 2.0;
/// Files named in the legend.
const LEGEND: usize = 6;

/// A box: a function called from the box below.
#[derive(Default)]
struct Node<'a> {
    now: i64,
    before: i64,
    /// `None` for what everything stands on.
    frame: Option<&'a Frame>,
    /// By name and file: calls from different lines are one box.
    callees: BTreeMap<(&'a str, &'a str), Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, stacks: &'a [Stack], number: usize, place: impl Fn(&mut Self) -> &mut i64) {
        for stack in stacks {
            let mut node = &mut *self;
            *place(node) += stack.values[number];
            for frame in &stack.frames {
                node = node.callees.entry((&frame.name, &frame.object)).or_default();
                node.frame.get_or_insert(frame);
                *place(node) += stack.values[number];
            }
        }
    }

    /// Rows above this one, as far as anything is to be seen.
    fn height(&self, least: i64) -> usize {
        let seen = self.callees.values().filter(|callee| callee.now > least);
        seen.map(|callee| 1 + callee.height(least)).max().unwrap_or(0)
    }

    /// The largest change of any box.
    fn most(&self) -> i64 {
        self.callees.values().map(Node::most).max().unwrap_or(0).max((self.now - self.before).abs())
    }
}

/// Where boxes are drawn.
struct Canvas<'a> {
    flame: &'a Flame<'a>,
    svg: String,
    ranks: HashMap<&'a str, usize>,
    total: i64,
    most: i64,
    /// Pixels for one unit of the value, and where the lowest row is.
    scale: f64,
    floor: f64,
    rows: usize,
}

impl<'a> Flame<'a> {
    /// Of one profile.
    pub(crate) fn new(profile: &'a Profile, value: usize) -> Self {
        Self { profile, value, before: None }
    }

    /// Of `profile`, coloured by what changed since `before`.
    pub(crate) fn since(mut self, before: &'a Profile, value: usize) -> Self {
        self.before = Some((before, value));
        self
    }

    /// The picture.
    pub(crate) fn draw(&self, look: &Look) -> String {
        let mut root = Node::default();
        root.add(&self.profile.stacks, self.value, |node| &mut node.now);
        if let Some((before, value)) = self.before {
            root.add(&before.stacks, value, |node| &mut node.before);
        }
        let inner = f64::from(look.width) - 2.0 * MARGIN;
        let total = root.now.max(1);
        let scale = inner / total as f64;
        let whole = root.height((NARROWEST / scale) as i64);
        let rows = 1 + whole.min(look.rows);
        let height = HEAD + ROW * rows as f64 + FOOT;
        let objects = self.objects();
        let ranks = objects.iter().enumerate().map(|(rank, (object, _))| (*object, rank)).collect();
        let floor = HEAD + ROW * (rows as f64 - 1.0);
        let mut canvas =
            Canvas { flame: self, svg: String::new(), ranks, total, most: root.most(), scale, floor, rows };
        canvas.head(look, height, root.now, whole > look.rows);
        canvas.node(&root, MARGIN, 0);
        canvas.legend(&objects, look, height);
        canvas.svg.push_str("</svg>\n");
        canvas.svg
    }

    /// The files that code is from, and what is asked for in each, the largest first.
    fn objects(&self) -> Vec<(&'a str, i64)> {
        let mut sums: HashMap<&str, i64> = HashMap::new();
        for stack in &self.profile.stacks {
            if let Some(frame) = stack.frames.last() {
                *sums.entry(&frame.object).or_default() += stack.values[self.value];
            }
            for frame in &stack.frames {
                sums.entry(&frame.object).or_default();
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(object, sum)| (std::cmp::Reverse(*sum), *object));
        sums
    }
}

impl Canvas<'_> {
    // Writing to a string cannot fail.
    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _ = self.svg.write_fmt(arguments);
    }

    fn head(&mut self, look: &Look, height: f64, total: i64, cut: bool) {
        let (profile, value) = (self.flame.profile, self.flame.value);
        let mut about = format!("{}: {}", profile.values[value].0, profile.show(value, total));
        match self.flame.before {
            None => {
                let seen = profile.stacks.iter().filter(|stack| stack.values[value] != 0).count();
                let period = crate::quantity::show(profile.period.unsigned_abs());
                about += &format!("  ·  {seen} stacks  ·  one sample every {period}");
            }
            Some((before, number)) => {
                let change = total - before.total(number);
                about += &format!("  ·  {}{} since", if change > 0 { "+" } else { "" }, profile.show(value, change));
            }
        }
        if cut {
            about += &format!("  ·  cut off above {} functions", look.rows);
        }
        let (title, about, width) = (escape(&look.title), escape(&about), look.width);
        self.write(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" viewBox=\"0 0 {width} {height:.0}\" \
             role=\"img\" aria-label=\"{title}\">\n\
             <style>text{{font:{FONT}px ui-monospace,'DejaVu Sans Mono',Menlo,monospace;fill:#1c1c1e}}\
             .t{{font:600 17px system-ui,'DejaVu Sans',sans-serif}}.s{{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#5b5b63}}\
             g:hover>rect{{stroke:#1c1c1e;stroke-width:1}}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fdfdfc\"/>\n\
             <text class=\"t\" x=\"{MARGIN}\" y=\"26\">{title}</text>\n<text class=\"s\" x=\"{MARGIN}\" y=\"46\">{about}</text>\n"
        ));
    }

    /// Draws a box and all on top of it.
    fn node(&mut self, node: &Node<'_>, left: f64, row: usize) {
        let width = node.now as f64 * self.scale;
        if width < NARROWEST || row >= self.rows {
            return;
        }
        let name = node.frame.map_or("all", |frame| frame.name.as_str());
        let top = self.floor - ROW * row as f64;
        let (fill, about) = (self.fill(node), self.about(node));
        let shown = (width - 0.6).max(0.3);
        self.write(format_args!(
            "<g><title>{}</title><rect x=\"{left:.2}\" y=\"{top:.1}\" width=\"{shown:.2}\" height=\"{:.1}\" rx=\"1.5\" fill=\"{fill}\"/>",
            escape(&about),
            ROW - 1.0
        ));
        if let Some(label) = label(name, width) {
            self.write(format_args!(
                "<text x=\"{:.2}\" y=\"{:.1}\">{}</text>",
                left + 4.0,
                top + ROW - 5.5,
                escape(&label)
            ));
        }
        self.svg.push_str("</g>\n");
        let mut left = left;
        for above in node.callees.values() {
            self.node(above, left, row + 1);
            left += above.now as f64 * self.scale;
        }
    }

    fn fill(&self, node: &Node<'_>) -> palette::Colour {
        match (node.frame, self.flame.before) {
            (_, Some(_)) => palette::of_change(node.now - node.before, self.most),
            (None, None) => palette::of_rank(usize::MAX),
            (Some(frame), None) => {
                palette::of_function(self.ranks.get(frame.object.as_str()).copied().unwrap_or(usize::MAX), &frame.name)
            }
        }
    }

    /// The text that appears when the pointer is on a box.
    fn about(&self, node: &Node<'_>) -> String {
        let frame = node.frame;
        let (profile, value) = (self.flame.profile, self.flame.value);
        let mut text = frame.map_or_else(|| "all".to_owned(), |frame| format!("{} [{}]", frame.name, frame.object));
        if let Some(place) = frame.and_then(|frame| frame.place.as_ref()) {
            text += &format!("\n{place}");
        }
        text += &format!("\n{}, {:.1} %", profile.show(value, node.now), 100.0 * node.now as f64 / self.total as f64);
        if self.flame.before.is_some() {
            text += &format!("\nbefore: {}", profile.show(value, node.before));
        }
        text
    }

    fn legend(&mut self, objects: &[(&str, i64)], look: &Look, height: f64) {
        let compared = self.flame.before.is_some();
        let entries: Vec<_> = if compared {
            [(1, "grew"), (-1, "shrank"), (0, "as before")]
                .map(|(change, text)| (palette::of_change(change, 1), text.to_owned()))
                .to_vec()
        } else {
            let entry = |(rank, (object, _)): (usize, &(&str, i64))| (palette::of_rank(rank), (*object).to_owned());
            objects.iter().take(LEGEND).enumerate().map(entry).collect()
        };
        let (mut left, line) = (MARGIN, height - 13.0);
        for (colour, text) in entries {
            let end = left + 16.0 + FONT * LETTER * text.chars().count() as f64;
            if end > f64::from(look.width) - MARGIN {
                break;
            }
            self.write(format_args!(
                "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>",
                line - 9.5
            ));
            self.write(format_args!("<text x=\"{:.1}\" y=\"{line:.1}\">{}</text>\n", left + 16.0, escape(&text)));
            left = end + 18.0;
        }
    }
}

/// As much of a name as fits into a box; nothing where that would be next to nothing.
fn label(name: &str, width: f64) -> Option<String> {
    const LEAST: usize = 3;
    let room = ((width - 8.0) / (FONT * LETTER)) as usize;
    let short = if name.chars().count() > room { shorten(name) } else { name.to_owned() };
    match short.chars().count() {
        count if count <= room => Some(short),
        _ if room >= LEAST => Some(short.chars().take(room - 1).chain(['…']).collect()),
        _ => None,
    }
}

/// A C++ or Rust name without arguments of functions and templates.
fn shorten(name: &str) -> String {
    if name.contains("operator") {
        return name.to_owned();
    }
    let (mut text, mut depth) = (String::new(), 0_usize);
    for letter in name.chars() {
        match letter {
            '<' | '(' => {
                depth += 1;
                if depth == 1 && letter == '<' && !text.is_empty() {
                    text.push_str("<…>");
                }
            }
            '>' | ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => text.push(letter),
            _ => {}
        }
    }
    let text = text.trim_end_matches(" const").trim().to_owned();
    if text.is_empty() { name.to_owned() } else { text }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read::tests::of;

    fn look() -> Look {
        Look { title: "a <title>".to_owned(), width: 1000, rows: 3 }
    }

    #[test]
    fn boxes_are_as_wide_as_what_they_hold_and_escaped() {
        let profile = of(&[("main;a", 75), ("main;std::map<int>::insert", 25)]);
        let svg = Flame::new(&profile, 0).draw(&look());
        assert!(svg.contains("a &lt;title&gt;") && !svg.contains("map<int>"));
        assert_eq!(svg.matches("<g><title>").count(), 4);
        // Three quarters of what lies between the margins, less the gap.
        assert!(svg.contains(&format!("width=\"{:.2}\"", 0.75 * (1000.0 - 2.0 * MARGIN) - 0.6)), "{svg}");
        assert!(svg.contains("a [program]\n75 B, 75.0 %"));
    }

    #[test]
    fn changes_have_colours_and_former_values() {
        let (before, after) = (of(&[("main;a", 10)]), of(&[("main;a", 30)]));
        let svg = Flame::new(&after, 0).since(&before, 0).draw(&look());
        assert!(svg.contains("before: 10 B") && svg.contains(&palette::of_change(20, 20)) && svg.contains("grew"));
    }

    #[test]
    fn towers_are_cut_off() {
        let svg = Flame::new(&of(&[("a;b;c;d;e", 1)]), 0).draw(&look());
        assert!(svg.contains(">c<") && !svg.contains(">d<") && svg.contains("cut off above 3 functions"), "{svg}");
    }

    #[test]
    fn nothing_is_an_empty_picture() {
        assert!(Flame::new(&of(&[]), 0).draw(&look()).ends_with("</svg>\n"));
    }

    #[test]
    fn labels_fit_or_are_left_out() {
        assert_eq!(shorten("std::vector<int, std::allocator<int> >::push_back(int&&)"), "std::vector<…>::push_back");
        assert_eq!(shorten("<T as core::Trait>::call"), "::call");
        assert_eq!(shorten("a::operator<(b)"), "a::operator<(b)");
        assert_eq!(label("function", 200.0).as_deref(), Some("function"));
        assert_eq!(label("a_long_function", 60.0).as_deref(), Some("a_long…"));
        assert_eq!(label("f", 5.0), None);
    }
}
