//! Metrics of several processes as one text, in Prometheus's format or in that of OpenMetrics.
//!
//! Names, help and kinds are those that the library writes about one process: each of its lines gets the labels of the
//! process here, and lines of one name stand together. Must not know: which processes there are.

use std::collections::HashMap;
use std::fmt::Write;

/// Bytes of one text at most.
const TEXT_MAX: usize = 64 << 20;
/// Characters of the value of a label at most.
const LABEL_MAX: usize = 512;
/// Beginnings of names that are one series for each class, and one for each thread.
const CLASSES: &str = "spandrel_class_";
const THREADS: &str = "spandrel_heap_";
/// The end of the name of a counter.
const TOTAL: &str = "_total";
/// Ends of names that are units.
const UNITS: [&str; 2] = ["bytes", "seconds"];

/// A format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Prometheus's text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Form {
    /// The kind of such a body.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that a client with this header `Accept` likes best.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match (kind.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => open = f64::max(open, quality),
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => plain = f64::max(plain, quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// Which of the library's metrics are wanted besides those of whole processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Detail {
    pub(crate) classes: bool,
    pub(crate) threads: bool,
}

impl Detail {
    fn takes(self, name: &str) -> bool {
        (self.classes || !name.starts_with(CLASSES)) && (self.threads || !name.starts_with(THREADS))
    }
}

/// The series of one name.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
    /// Their lines, which are the same in both formats.
    lines: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Exposition {
    detail: Detail,
    families: Vec<Family>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Exposition {
    /// Without series.
    pub(crate) fn new(detail: Detail) -> Self {
        Self { detail, families: Vec::new(), places: HashMap::new(), bytes: 0 }
    }

    /// Adds the metrics of `text`, which is in Prometheus's format, each with these labels. False, and no series of it
    /// is there, if the whole would be too long.
    pub(crate) fn add(&mut self, labels: &Labels, text: &str) -> bool {
        let most = text.len() + text.lines().count() * labels.0.len();
        if self.bytes + most > TEXT_MAX {
            return false;
        }
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => self.describe(comment),
                None => self.add_line(labels, line),
            }
        }
        true
    }

    fn describe(&mut self, comment: &str) {
        let mut words = comment.splitn(3, ' ');
        let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else { return };
        if !self.detail.takes(name) {
            return;
        }
        let next = self.families.len();
        let place = *self.places.entry(name.to_owned()).or_insert(next);
        if place == next {
            self.families.push(Family { name: name.to_owned(), ..Family::default() });
        }
        match what {
            "HELP" => rest.clone_into(&mut self.families[place].help),
            "TYPE" => rest.clone_into(&mut self.families[place].kind),
            _ => {}
        }
    }

    /// `name value` or `name{labels} value`.
    fn add_line(&mut self, labels: &Labels, line: &str) {
        let Some((series, value)) = line.rsplit_once(' ') else { return };
        let (name, own) = series.split_once('{').unwrap_or((series, "}"));
        let Some(&place) = self.places.get(name) else { return };
        let comma = if labels.0.is_empty() || own == "}" { "" } else { "," };
        let lines = &mut self.families[place].lines;
        let before = lines.len();
        // A series without labels needs no braces.
        let braced = format!("{{{}{comma}{own}", labels.0);
        let _ = writeln!(lines, "{name}{} {value}", if braced == "{}" { "" } else { &braced });
        self.bytes += lines.len() - before;
    }

    /// All of it.
    pub(crate) fn text(&self, form: Form) -> String {
        let mut text = String::with_capacity(self.bytes);
        for Family { name, kind, help, lines } in &self.families {
            match form {
                Form::Prometheus => {
                    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
                }
                Form::OpenMetrics => {
                    let name = name.strip_suffix(TOTAL).unwrap_or(name);
                    let unit = UNITS.iter().find(|unit| name.rsplit('_').next() == Some(unit));
                    let _ = writeln!(text, "# TYPE {name} {kind}");
                    if let Some(unit) = unit {
                        let _ = writeln!(text, "# UNIT {name} {unit}");
                    }
                    let _ = write!(text, "# HELP {name} {}\n{lines}", help.replace('"', "\\\""));
                }
            }
        }
        if form == Form::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// The labels of a process, as they stand between braces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Labels(String);

impl Labels {
    /// Labels with these names. Values may be anything; an empty one means that there is no such label.
    pub(crate) fn new(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{name}=\"{}\"", escaped(value));
        }
        Self(text)
    }
}

/// The value of a label, as both formats want it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars().take(LABEL_MAX) {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel::descriptor::{Format, Snapshot};

    const TEXT: &str = "# HELP spandrel_live_bytes Says \"so\".\n# TYPE spandrel_live_bytes gauge\nspandrel_live_bytes 5\n\
                        # HELP spandrel_calls_total Calls.\n# TYPE spandrel_calls_total counter\n\
                        spandrel_calls_total{call=\"a b\"} 1\nspandrel_calls_total{call=\"c\"} 2\n\
                        # HELP spandrel_class_x X.\n# TYPE spandrel_class_x gauge\nspandrel_class_x{class=\"8\"} 3\n";

    fn of(names: &[&str]) -> Exposition {
        let mut exposition = Exposition::new(Detail::default());
        names.iter().for_each(|name| assert!(exposition.add(&Labels::new(&[("pid", name), ("x", "")]), TEXT)));
        exposition
    }

    #[test]
    fn series_of_one_name_stand_together_with_their_labels() {
        let text = of(&["1", "2"]).text(Form::Prometheus);
        let expected = "# HELP spandrel_live_bytes Says \"so\".\n# TYPE spandrel_live_bytes gauge\n\
                        spandrel_live_bytes{pid=\"1\"} 5\nspandrel_live_bytes{pid=\"2\"} 5\n\
                        # HELP spandrel_calls_total Calls.\n# TYPE spandrel_calls_total counter\n\
                        spandrel_calls_total{pid=\"1\",call=\"a b\"} 1\nspandrel_calls_total{pid=\"1\",call=\"c\"} 2\n\
                        spandrel_calls_total{pid=\"2\",call=\"a b\"} 1\nspandrel_calls_total{pid=\"2\",call=\"c\"} 2\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn openmetrics_has_units_families_and_an_end() {
        let text = of(&["1"]).text(Form::OpenMetrics);
        let expected = "# TYPE spandrel_live_bytes gauge\n# UNIT spandrel_live_bytes bytes\n\
                        # HELP spandrel_live_bytes Says \\\"so\\\".\nspandrel_live_bytes{pid=\"1\"} 5\n\
                        # TYPE spandrel_calls counter\n# HELP spandrel_calls Calls.\n\
                        spandrel_calls_total{pid=\"1\",call=\"a b\"} 1\nspandrel_calls_total{pid=\"1\",call=\"c\"} 2\n# EOF\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn classes_and_threads_are_there_where_they_are_wanted() {
        let mut text = Vec::new();
        Format::Prometheus.write(&Snapshot::empty("x"), &mut |bytes| text.extend_from_slice(bytes));
        let text = String::from_utf8(text).unwrap();
        let families = |classes, threads| {
            let mut exposition = Exposition::new(Detail { classes, threads });
            exposition.add(&Labels::default(), &text);
            exposition.families.len()
        };
        let [none, classes, threads, both] = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(classes, threads)| families(classes, threads));
        assert!(none > 30 && classes > none + 10 && threads > none + 4 && both == classes + threads - none);
    }

    #[test]
    fn values_of_labels_cannot_end_their_line_or_quotes() {
        assert_eq!(Labels::new(&[("a", "x\"} 1\n\\"), ("b", "ä")]).0, r#"a="x\"} 1\n\\",b="ä""#);
        let long = "\"".repeat(LABEL_MAX + 9);
        assert_eq!(escaped(&long).len(), 2 * LABEL_MAX);
        assert_eq!(Labels::new(&[("a", "")]), Labels::default());
    }

    #[test]
    fn a_text_has_an_end() {
        let mut exposition = of(&["1"]);
        exposition.bytes = TEXT_MAX - 100;
        assert!(!exposition.add(&Labels::default(), TEXT) && exposition.add(&Labels::default(), "x 1\n"));
    }

    #[test]
    fn the_format_is_what_the_client_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, form) in [
            (Some(prometheus), Form::OpenMetrics),
            (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), Form::OpenMetrics),
            (Some("application/openmetrics-text;version=0.0.1"), Form::Prometheus),
            (Some("application/openmetrics-text;q=0.2, text/plain;q=0.9"), Form::Prometheus),
            (Some("application/openmetrics-text;q=0"), Form::Prometheus),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Prometheus),
            (Some("*/*"), Form::Prometheus),
            (None, Form::Prometheus),
        ] {
            assert_eq!(Form::accepted(accept), form, "{accept:?}");
        }
    }
}
