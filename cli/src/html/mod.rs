//! A recording as one page of HTML with pictures in SVG: no script, nothing from elsewhere.

mod chart;
mod classes;
mod map;

use crate::quantity::show;
use crate::recording::Recording;
use crate::view::HeapRow;
use anyhow::Result;

/// Colours that mean the same in map and bars.
const LIVE: &str = "#2f9e44";
const AT_HAND: &str = "#f2c037";
const FREE: &str = "#e8590c";
const LARGE: &str = "#4263eb";
const DIRTY: &str = "#868e96";
const CLEAN: &str = "var(--clean)";
/// Width of all pictures.
const WIDTH: usize = 960;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn page(recording: &Recording) -> Result<String> {
    let title = escape(&recording.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Memory of {title}</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>Memory of {title}</h1>\n<p>Read from outside while the process went on.</p>\n"
    );
    page.push_str(&about(recording));
    page.push_str(&totals(recording));
    if !recording.resident.is_empty() {
        page.push_str(&section("What is resident", &resident(recording)));
    }
    if recording.samples.len() > 1 {
        page.push_str(&section("Resident and live bytes over time", &chart::over_time(&recording.samples)));
    }
    if !recording.heaps.is_empty() {
        page.push_str(&section("Named heaps", &heaps(recording)));
    }
    page.push_str(&section("The heap, region by region", &map::regions(recording)));
    page.push_str(&section("Where the bytes of each class are", &classes::uses(&recording.classes)));
    page.push_str(&section("Spans by class and fill", &classes::fills(recording)));
    page.push_str("</body></html>\n");
    Ok(page)
}

fn section(title: &str, body: &str) -> String {
    format!("<h2>{title}</h2>\n{body}\n")
}

/// A table of what the process is, and when this was seen.
fn about(recording: &Recording) -> String {
    let threads = recording.threads.to_string();
    let looks = match recording.samples.as_slice() {
        [_, .., last] => format!("{} looks in {:.1} s", recording.samples.len(), last.seconds),
        _ => String::new(),
    };
    let rows = [
        ("date", recording.date.as_str()),
        ("command", &recording.command),
        ("mode", &recording.mode),
        ("profile", &recording.profile),
        ("options", &recording.options),
        ("threads with a heap", if recording.threads > 0 { &threads } else { "" }),
        ("recorded", &looks),
    ];
    let rows = rows.iter().filter(|(_, text)| !text.is_empty());
    let rows: String = rows.map(|(name, text)| format!("<tr><th>{name}</th><td>{}</td></tr>", escape(text))).collect();
    format!("<table class=\"about\">{rows}</table>\n")
}

/// A row for each part of the resident memory.
fn resident(recording: &Recording) -> String {
    let whole: u64 = recording.resident.iter().map(|(_, bytes)| bytes).sum();
    let row = |(name, bytes): &(String, u64)| {
        let percent = 100.0 * crate::view::share(*bytes, whole);
        let bar = format!("<i class=\"bar\" style=\"width:{:.0}px\"></i>", 3.0 * percent);
        format!("<tr><td>{}</td><td>{}</td><td>{percent:.1} %</td><td>{bar}</td></tr>\n", escape(name), show(*bytes))
    };
    let rows: String = recording.resident.iter().map(row).collect();
    format!("<table class=\"parts\">{rows}</table>\n")
}

/// A row for each named heap, and for what has no name: figures, and a bar of what is held, the live part of it first.
fn heaps(recording: &Recording) -> String {
    const WIDEST: f64 = 300.0;
    let most = recording.heaps.iter().map(|row| row.figures.held).max().unwrap_or(0) as u64;
    let row = |row: &HeapRow| {
        let width = |bytes: usize| WIDEST * crate::view::share(bytes as u64, most);
        let (live, held) = (width(row.figures.live_bytes.min(row.figures.held)), width(row.figures.held));
        let cells: String = row.cells().iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let bar = format!(
            "<i class=\"bar\" style=\"background:{LIVE};width:{live:.0}px\"></i>\
             <i class=\"bar\" style=\"background:{FREE};width:{:.0}px\"></i>",
            held - live
        );
        format!("<tr><td>{}</td>{cells}<td>{bar}</td></tr>\n", escape(&row.name))
    };
    let names = ["heap", "held", "peak", "live", "blocks", "limit", "refused", "users"];
    let head: String = names.iter().map(|name| format!("<th>{name}</th>")).collect();
    let rows: String = recording.heaps.iter().map(row).collect();
    format!("{}<table class=\"parts\"><tr>{head}</tr>\n{rows}</table>\n", key(&[(LIVE, "live"), (FREE, "free")]))
}

fn totals(recording: &Recording) -> String {
    let last = recording.last();
    let cells = [
        ("live", last.live),
        ("resident", last.resident),
        ("obtained", last.obtained),
        ("in bins", last.binned),
        ("in caches, on their way", last.cached),
        ("dirty", last.dirty),
        ("given back", last.purged),
        ("metadata", last.metadata),
    ];
    let shown = || cells.iter().filter(|(_, bytes)| *bytes > 0);
    let head: String = shown().map(|(name, _)| format!("<th>{name}</th>")).collect();
    let body: String = shown().map(|(_, bytes)| format!("<td>{}</td>", show(*bytes))).collect();
    format!("<table><tr>{head}</tr><tr>{body}</tr></table>\n")
}

/// A key of colours.
fn key(entries: &[(&str, &str)]) -> String {
    let entries: String =
        entries.iter().map(|(colour, name)| format!("<i style=\"background:{colour}\"></i>{name}")).collect();
    format!("<p class=\"key\">{entries}</p>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::parsed;

    const EMPTY: &str = r#"{"version":1,"title":"7 (<a&b>)","profile":"hosted-small","samples":[],"region_bytes":32768,"pieces":[],"classes":[]}"#;
    const SOME: &str = r#"{"version":1,"title":"7 (x)","profile":"p","region_bytes":32768,"date":"2026-11-22 03:07 UTC","command":"x --fast <1>",
        "mode":"hardened","threads":3,"resident":[["Spandrel: blocks and free runs",19]],
        "samples":[{"seconds":0,"resident":9,"live":5,"obtained":8,"binned":1,"cached":0,"dirty":0,"purged":0,"metadata":1},
                   {"seconds":2,"resident":19,"live":15,"obtained":18,"binned":1,"cached":0,"dirty":0,"purged":0,"metadata":1}],
        "pieces":[{"region":1,"regions":1,"kind":{"span":{"block_bytes":64,"out":512,"blocks":512}}},{"region":2,"regions":3,"kind":"large"},
                  {"region":5,"regions":2,"kind":"dirty"},{"region":9,"regions":1,"kind":"clean"}],
        "classes":[{"block_bytes":64,"span_bytes":32768,"live":30000,"at_hand":2768,"tail":0}],
        "heaps":[{"name":"</td><script>","is_named":true,"held":65536,"peak":98304,"live":32768,"blocks":512,"soft":0,"hard":1048576,
                  "refusals":3,"users":1},
                 {"name":"(default heap)","is_named":false,"held":0,"peak":0,"live":0,"blocks":0,"soft":0,"hard":0,"refusals":0,"users":0}]}"#;

    fn balanced(page: &str) {
        for element in ["svg", "table", "h2", "title", "g", "text", "p"] {
            let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
            assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
        }
        assert!(!page.contains("http") && !page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_page_is_whole_and_needs_nothing_from_elsewhere() {
        let page = page(&parsed(SOME)).unwrap();
        balanced(&page);
        assert!(page.contains("512 of 512 blocks of 64 bytes out") && page.contains("over time"));
        assert!(page.contains("x --fast &lt;1&gt;") && page.contains("hardened") && page.contains("2026-11-22"));
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("blocks and free runs"));
        assert!(page.contains("<td>&lt;/td&gt;&lt;script&gt;</td><td>64.0 KiB</td><td>96.0 KiB</td>"));
        assert!(page.contains("width:150px") && page.contains("<td>(default heap)</td><td>0 B</td><td></td>"));
        // Figures of nothing have no column.
        assert!(
            page.contains("<th>metadata</th>")
                && !page.contains("<th>dirty</th>")
                && !page.contains("<th>options</th>")
        );
    }

    #[test]
    fn nothing_makes_a_page_too_and_names_are_escaped() {
        let page = page(&parsed(EMPTY)).unwrap();
        balanced(&page);
        assert!(page.contains("7 (&lt;a&amp;b&gt;)") && !page.contains("over time") && !page.contains("Named heaps"));
    }
}
