//! A recording as one page of HTML with pictures in SVG: no script, nothing from elsewhere.

mod chart;
mod classes;
mod map;

use crate::quantity::show;
use crate::recording::Recording;
use anyhow::Result;

/// Colours that mean the same in map and bars.
const LIVE: &str = "#2f9e44";
const AT_HAND: &str = "#f2c037";
const FREE: &str = "#e8590c";
const LARGE: &str = "#4263eb";
const DIRTY: &str = "#adb5bd";
const CLEAN: &str = "#e9ecef";
/// Width of all pictures.
const WIDTH: usize = 960;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2em auto;padding:0 10px;color:#212529;background:#fff}\
h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.15em;margin:1.8em 0 .3em}p{margin:.3em 0 .8em}\
table{border-collapse:collapse}td,th{padding:1px 14px 1px 0;text-align:right}td:first-child,th:first-child{text-align:left}\
svg{display:block}svg text{font:12px system-ui,sans-serif;fill:#495057}\
.key i{display:inline-block;width:12px;height:12px;margin:0 5px 0 14px;vertical-align:-1px}.key i:first-child{margin-left:0}";

/// The page.
pub(crate) fn page(recording: &Recording) -> Result<String> {
    let title = escape(&recording.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Memory of {title}</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>Memory of {title}</h1>\n<p>Profile {}. Read from outside while the process went on.</p>\n",
        escape(&recording.profile)
    );
    page.push_str(&totals(recording));
    if recording.samples.len() > 1 {
        page.push_str(&section("Resident and live bytes over time", &chart::over_time(&recording.samples)?));
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
    let head: String = cells.iter().map(|(name, _)| format!("<th>{name}</th>")).collect();
    let body: String = cells.iter().map(|(_, bytes)| format!("<td>{}</td>", show(*bytes))).collect();
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

    const EMPTY: &str = r#"{"version":1,"title":"7 (<a&b>)","profile":"hosted-small","samples":[],"region_bytes":32768,"pieces":[],"classes":[]}"#;
    const SOME: &str = r#"{"version":1,"title":"7 (x)","profile":"p","region_bytes":32768,
        "samples":[{"seconds":0,"resident":9,"live":5,"obtained":8,"binned":1,"cached":0,"dirty":0,"purged":0,"metadata":1},
                   {"seconds":2,"resident":19,"live":15,"obtained":18,"binned":1,"cached":0,"dirty":0,"purged":0,"metadata":1}],
        "pieces":[{"region":1,"regions":1,"kind":{"span":{"block_bytes":64,"out":512,"blocks":512}}},{"region":2,"regions":3,"kind":"large"},
                  {"region":5,"regions":2,"kind":"dirty"},{"region":9,"regions":1,"kind":"clean"}],
        "classes":[{"block_bytes":64,"span_bytes":32768,"live":30000,"at_hand":2768,"tail":0}]}"#;

    fn balanced(page: &str) {
        for element in ["svg", "table", "h2", "title", "g", "text", "p"] {
            let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
            assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
        }
        assert!(!page.contains("http") && !page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn a_page_is_whole_and_needs_nothing_from_elsewhere() {
        let page = page(&serde_json::from_str(SOME).unwrap()).unwrap();
        balanced(&page);
        assert!(page.contains("512 of 512 blocks of 64 bytes out") && page.contains("over time"));
    }

    #[test]
    fn nothing_makes_a_page_too_and_names_are_escaped() {
        let page = page(&serde_json::from_str(EMPTY).unwrap()).unwrap();
        balanced(&page);
        assert!(page.contains("7 (&lt;a&amp;b&gt;)") && !page.contains("over time"));
    }
}
