//! The pages of the server, by their paths.
//!
//! Knows: what is answered to which request. Must not know: connections.

use super::exposition::{Detail, Exposition, Form, Labels};
use super::http::{self, Answer, Request};
use super::{Room, heap};
use crate::live::{Figures, Fleet, Look, Seen};
use crate::quantity::show;
use anyhow::Result;
use serde_json::{Value, json};
use spandrel::descriptor::{Format, Snapshot};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a look at all processes takes at most. Prometheus waits for ten seconds unless told otherwise.
const LOOK: Duration = Duration::from_secs(4);
/// For so long a look answers further questions.
const FRESH: Duration = Duration::from_secs(1);
/// Heap profiles that are made at a time.
const PROFILES_MAX: usize = 2;
/// Figures beside those of the library, in its format: name, kind, help.
const RESIDENT: [&str; 3] = ["spandrel_resident_bytes", "gauge", "Pages of the whole process in memory."];
const READABLE: [&str; 3] =
    ["spandrel_readable", "gauge", "1 if the figures of the process could be read; else there are no others of it."];
const PROFILED: [&str; 3] = ["spandrel_profiled", "gauge", "1 if the process keeps a heap profile now."];
const PROCESSES: [&str; 3] =
    ["spandrel_serve_processes", "gauge", "Processes under Spandrel, by what came of reading them."];
const LOOK_SECONDS: [&str; 3] = ["spandrel_serve_look_seconds", "gauge", "How long the reading of all took."];

/// The pages, and the state that they need.
pub(crate) struct Site {
    detail: Detail,
    /// Whether heap profiles are shown.
    profiles: bool,
    /// Whether clients of this machine alone are answered.
    local: bool,
    fleet: Mutex<Seers>,
    profiling: Room,
}

/// The fleet, and when it was seen last and how.
type Seers = (Fleet, Option<(Instant, Arc<Look>)>);

impl Site {
    /// See [`Site`].
    pub(crate) fn new(detail: Detail, profiles: bool, local: bool) -> Self {
        let fleet = Mutex::new((Fleet::new(), None));
        Self { detail, profiles, local, fleet, profiling: Room::new(PROFILES_MAX) }
    }

    /// The answer to a request.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        let host = request.header("host");
        if self.local && host.is_some_and(|host| !http::is_here(host)) {
            return Answer::text(421, "this server is for its machine alone: ask for localhost or an address");
        }
        let answered = match request.path.as_str() {
            "/" => self.look().map(|look| Answer {
                status: 200,
                kind: "text/html; charset=utf-8",
                body: self.index(&look).into_bytes(),
            }),
            "/metrics" => {
                let form = Form::accepted(request.header("accept"));
                self.metrics(form).map(|text| Answer { status: 200, kind: form.kind(), body: text.into_bytes() })
            }
            "/debug/pprof/heap" | "/debug/pprof/allocs" | "/targets" if !self.profiles => {
                Ok(Answer::text(403, "this server shows no heap profiles (--no-profiles)"))
            }
            "/debug/pprof/heap" | "/debug/pprof/allocs" => Ok(self.heap(request)),
            "/targets" => self.look().map(|look| Answer {
                status: 200,
                kind: "application/json",
                body: targets(&look, host.unwrap_or("localhost")).to_string().into_bytes(),
            }),
            _ => Ok(Answer::text(404, "there are /, /metrics, /debug/pprof/heap?pid=N and /targets")),
        };
        answered.unwrap_or_else(|error| Answer::text(500, format!("{error:#}")))
    }

    /// All processes, as they were seen a moment ago or are now.
    fn look(&self) -> Result<Arc<Look>> {
        let mut guard = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        let (fleet, last) = &mut *guard;
        if let Some((_, look)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(Arc::clone(look));
        }
        let look = Arc::new(fleet.look(LOOK)?);
        *last = Some((Instant::now(), Arc::clone(&look)));
        Ok(look)
    }

    fn metrics(&self, form: Form) -> Result<String> {
        Ok(metrics(&*self.look()?, self.detail).text(form))
    }

    /// The metrics of all processes, as node_exporter reads them.
    ///
    /// # Errors
    /// Where processes cannot be listed.
    pub(crate) fn textfile(&self) -> Result<String> {
        self.metrics(Form::Prometheus)
    }

    fn heap(&self, request: &Request) -> Answer {
        if request.parameter("seconds").is_some() {
            return Answer::text(
                400,
                "a profile is of the life of its process: ask without `seconds`, and compare two",
            );
        }
        let Some(id) = request.parameter("pid").and_then(|text| text.parse().ok()) else {
            return Answer::text(400, "name a process: /debug/pprof/heap?pid=N");
        };
        match self.profiling.take() {
            Some(_place) => heap::fetch(id),
            None => Answer::text(503, "other profiles are being made"),
        }
    }

    fn index(&self, look: &Look) -> String {
        let mut rows = String::new();
        for seen in &look.seen {
            let _ = writeln!(rows, "<tr><td>{}<td>{}{}", seen.id, page_text(&seen.name), self.cells(seen));
        }
        let profiles = if self.profiles {
            "<p><a href=\"/targets\">/targets</a>: processes that keep a heap profile, for service discovery by HTTP\n\
             <p>/debug/pprof/heap?pid=N: the heap profile of a process, for <code>go tool pprof</code> and the like\n"
        } else {
            ""
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Spandrel</title>\n\
             <style>body{{font-family:sans-serif;margin:2em}}td,th{{text-align:left;padding-right:1.5em}}</style>\n\
             <h1>Processes under Spandrel</h1>\n\
             <p><a href=\"/metrics\">/metrics</a>: figures for Prometheus, as text or OpenMetrics\n{profiles}\
             <table>\n<tr><th>PID<th>Command<th>Live<th>Obtained<th>Resident<th>Heap profile\n{rows}</table>\n\
             <p>{} processes, {} left out\n</html>\n",
            look.seen.len(),
            look.left_out
        )
    }

    fn cells(&self, seen: &Seen) -> String {
        let figures = match &seen.figures {
            Ok(figures) => figures,
            Err(why) => return format!("<td colspan=\"4\">unreadable: {}", page_text(why)),
        };
        let profile = match (figures.is_profiled, self.profiles) {
            (true, true) => format!("<a href=\"/debug/pprof/heap?pid={}\">fetch</a>", seen.id),
            (true, false) => "yes".to_owned(),
            (false, _) => "no".to_owned(),
        };
        let snapshot = &figures.snapshot;
        format!(
            "<td>{}<td>{}<td>{}<td>{profile}",
            show(snapshot.live() as u64),
            show(snapshot.obtained() as u64),
            figures.resident.map_or_else(|| "?".to_owned(), show)
        )
    }
}

/// Text in a page.
fn page_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The labels of a process.
fn labels(seen: &Seen) -> Labels {
    let (id, container) = (seen.id.to_string(), container(&seen.cgroup));
    Labels::new(&[("pid", &id), ("command", &seen.name), ("cgroup", &seen.cgroup), ("container", container)])
}

/// The container that a control group is of, as `docker ps` and `podman ps` show it: the first digits of its
/// identity, which runtimes put into the name of the group. Empty where the group is of none.
fn container(cgroup: &str) -> &str {
    const DIGITS: usize = 64;
    const SHOWN: usize = 12;
    let is_identity =
        |digits: &str| digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `libpod-ID`, `crio-ID.scope`; the innermost one counts.
    let found = cgroup.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let digits = part.rsplit('-').next().unwrap_or(part);
        is_identity(digits).then(|| &digits[..SHOWN])
    });
    found.unwrap_or("")
}

fn describe(text: &mut String, [name, kind, help]: [&str; 3]) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn series(text: &mut String, metric: [&str; 3], value: impl std::fmt::Display) {
    describe(text, metric);
    let _ = writeln!(text, "{} {value}", metric[0]);
}

/// The library's own text about a process, and what the kernel says of it.
fn text_of(figures: &Figures) -> String {
    let mut text = String::new();
    figures.resident.iter().for_each(|bytes| series(&mut text, RESIDENT, bytes));
    series(&mut text, PROFILED, u8::from(figures.is_profiled));
    text + &library_text(&figures.snapshot)
}

fn library_text(snapshot: &Snapshot) -> String {
    let mut bytes = Vec::new();
    Format::Prometheus.write(snapshot, &mut |piece| bytes.extend_from_slice(piece));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All metrics. Those of which there is no series are described all the same.
fn metrics(look: &Look, detail: Detail) -> Exposition {
    let mut all = Exposition::new(detail);
    let mut heads = String::new();
    [READABLE, RESIDENT, PROFILED].into_iter().for_each(|metric| describe(&mut heads, metric));
    let comments = library_text(&Snapshot::empty(""));
    heads.extend(comments.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]));
    [PROCESSES, LOOK_SECONDS].into_iter().for_each(|metric| describe(&mut heads, metric));
    all.add(&Labels::default(), &heads);
    let (mut read, mut unreadable, mut left_out) = (0_usize, 0_usize, look.left_out);
    for seen in &look.seen {
        let labels = labels(seen);
        let (text, count) = match &seen.figures {
            Ok(figures) => (format!("{} 1\n{}", READABLE[0], text_of(figures)), &mut read),
            Err(_) => (format!("{} 0\n", READABLE[0]), &mut unreadable),
        };
        *if all.add(&labels, &text) { count } else { &mut left_out } += 1;
    }
    let mut own = format!("{} {:.6}\n", LOOK_SECONDS[0], look.took.as_secs_f64());
    for (state, count) in [("read", read), ("unreadable", unreadable), ("left_out", left_out)] {
        let _ = writeln!(own, "{}{{state=\"{state}\"}} {count}", PROCESSES[0]);
    }
    all.add(&Labels::default(), &own);
    all
}

/// Processes that keep a heap profile, as service discovery by HTTP wants them.
fn targets(look: &Look, host: &str) -> Value {
    let profiled = |seen: &&Seen| seen.figures.as_ref().is_ok_and(|figures| figures.is_profiled);
    let target = |seen: &Seen| {
        json!({
            "targets": [host],
            "labels": {
                "__param_pid": seen.id.to_string(),
                "pid": seen.id.to_string(),
                "command": seen.name,
                "cgroup": seen.cgroup,
                "container": container(&seen.cgroup),
            },
        })
    };
    look.seen.iter().filter(profiled).map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel::descriptor::HolderFigures;

    const IDENTITY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn seen(name: &str, is_profiled: bool) -> Seen {
        let figures = Figures { snapshot: Snapshot::empty("x"), resident: Some(4096), is_profiled };
        let cgroup = format!("/system.slice/docker-{IDENTITY}.scope");
        Seen { id: 7, name: name.to_owned(), cgroup, figures: Ok(Box::new(figures)) }
    }

    fn look() -> Look {
        let unreadable = Seen { id: 9, figures: Err("<not> permitted".to_owned()), ..seen("b", false) };
        Look { seen: vec![seen("a\"}<\\", true), unreadable], left_out: 3, took: Duration::from_millis(1500) }
    }

    #[test]
    fn containers_are_known_by_their_groups() {
        for group in [
            format!("/docker/{IDENTITY}"),
            format!("/system.slice/docker-{IDENTITY}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{IDENTITY}.scope"),
            format!("/machine.slice/libpod-{IDENTITY}.scope/container"),
            format!("/kubepods/burstable/pod-1/{IDENTITY}"),
        ] {
            assert_eq!(container(&group), &IDENTITY[..12], "{group}");
        }
        for group in ["", "/", "/system.slice/ssh.service", "/docker/0123", "/a-.scope", "/ä-ö"] {
            assert_eq!(container(group), "", "{group}");
        }
    }

    #[test]
    fn metrics_have_labels_and_say_what_could_not_be_read() {
        let text = metrics(&look(), Detail::default()).text(Form::Prometheus);
        let labels = format!(
            r#"command="a\"}}<\\",cgroup="/system.slice/docker-{IDENTITY}.scope",container="{}""#,
            &IDENTITY[..12]
        );
        for line in [
            format!("spandrel_readable{{pid=\"7\",{labels}}} 1\n"),
            format!("spandrel_resident_bytes{{pid=\"7\",{labels}}} 4096\n"),
            format!("spandrel_live_bytes{{pid=\"7\",{labels}}} 0\n"),
            "spandrel_serve_processes{state=\"read\"} 1\n".to_owned(),
            "spandrel_serve_processes{state=\"unreadable\"} 1\n".to_owned(),
            "spandrel_serve_processes{state=\"left_out\"} 3\n".to_owned(),
            "spandrel_serve_look_seconds 1.500000\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains("spandrel_readable{pid=\"9\"") && !text.contains("spandrel_live_bytes{pid=\"9\""));
        assert!(!text.contains("permitted"), "reasons are for the index page alone");
    }

    #[test]
    fn names_of_heaps_cannot_end_their_labels() {
        let mut snapshot = Snapshot::empty("x");
        for (name, held) in [(&b"a\"} 9\nspandrel_x{\\\xff"[..], 5), (b"b", 7), (b"b", 8)] {
            let mut heap = HolderFigures { held, ..HolderFigures::NONE };
            heap.name[..name.len()].copy_from_slice(name);
            snapshot.bills.add(&heap);
        }
        let figures = Figures { snapshot, resident: None, is_profiled: false };
        let of = Seen { figures: Ok(Box::new(figures)), ..seen("a", false) };
        let text = metrics(&Look { seen: vec![of], ..look() }, Detail::default()).text(Form::Prometheus);
        let held: Vec<_> = text.lines().filter(|line| line.starts_with("spandrel_bill_held_bytes{")).collect();
        let ends = [r#",heap="b"} 15"#, r#",heap="a\"} 9?spandrel_x{\\?"} 5"#, r#",share="default"} 0"#];
        assert!(held.len() == 3 && held.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{held:?}");
    }

    #[test]
    fn every_metric_is_described_once_without_any_process() {
        let empty = Look { seen: Vec::new(), left_out: 0, took: Duration::ZERO };
        let names = |look: &Look| {
            let text = metrics(look, Detail { classes: true, threads: true }).text(Form::Prometheus);
            let names =
                text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned));
            names.collect::<Vec<_>>()
        };
        let mut unique = names(&empty);
        assert_eq!(unique, names(&look()));
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names(&empty).len());
    }

    #[test]
    fn pages_escape_what_processes_say() {
        let site = Site::new(Detail::default(), true, true);
        let page = site.index(&look());
        assert!(page.contains("a\"}&lt;\\") && page.contains("unreadable: &lt;not&gt; permitted"), "{page}");
        assert!(page.contains("href=\"/debug/pprof/heap?pid=7\"") && !page.contains("pid=9\""));
        assert!(!Site::new(Detail::default(), false, true).index(&look()).contains("href=\"/debug"));
    }

    #[test]
    fn targets_are_the_processes_that_keep_a_profile() {
        let found = targets(&look(), "127.0.0.1:9317");
        assert_eq!(found.as_array().unwrap().len(), 1);
        assert_eq!(
            (&found[0]["targets"][0], &found[0]["labels"]["__param_pid"]),
            (&json!("127.0.0.1:9317"), &json!("7"))
        );
    }

    #[test]
    fn names_of_other_hosts_and_hidden_profiles_are_refused() {
        let ask = |site: &Site, path, host| site.answer(&Request::get(path, &[("Host", host)])).status;
        let (local, exposed) = (Site::new(Detail::default(), false, true), Site::new(Detail::default(), true, false));
        assert_eq!(ask(&local, "/metrics", "evil.example:9317"), 421);
        assert_eq!((ask(&local, "/none", "localhost:1"), ask(&exposed, "/none", "any.example")), (404, 404));
        assert_eq!(
            (ask(&local, "/targets", "localhost"), ask(&local, "/debug/pprof/heap?pid=1", "localhost")),
            (403, 403)
        );
        for path in ["/debug/pprof/heap", "/debug/pprof/heap?pid=x", "/debug/pprof/allocs?pid=7&seconds=5"] {
            assert_eq!(ask(&exposed, path, "x"), 400, "{path}");
        }
    }
}
