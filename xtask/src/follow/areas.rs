//! Which sources change how memory behaves, and what has to follow when they do.
//!
//! Knows: paths. Must not know: how a change is found. A new folder of `src/` needs a row here, or a place in one.

/// A part of the sources, and what follows when it changes.
pub(super) struct Area {
    pub(super) name: &'static str,
    /// Its files begin with one of these.
    pub(super) sources: &'static [&'static str],
    /// One of these pages describes it.
    pub(super) pages: &'static [&'static str],
    /// One of these files has its figures; none where nothing of it is measured.
    pub(super) evidence: &'static [&'static str],
}

const DECISIONS: &str = "docs/decisions/";
const MEMORY: &str = "docs/memory.md";
const ARCHITECTURE: &str = "docs/architecture.md";
const NUMA: &str = "docs/numa.md";
const MODES: &str = "docs/modes.md";
const OPTIONS: &str = "docs/options.md";

pub(super) const AREAS: [Area; 10] = [
    Area {
        name: "page backend",
        sources: &["src/pages/", "src/sys/memory.rs", "src/base/page.rs", "src/config/container.rs"],
        pages: &[MEMORY, NUMA, ARCHITECTURE, DECISIONS],
        evidence: &["page-backend", "huge-pages", "numa", "limits", "profiles"],
    },
    Area {
        name: "size classes",
        sources: &["src/base/class.rs", "src/base/lane.rs"],
        pages: &[MEMORY, ARCHITECTURE, DECISIONS],
        evidence: &["fast-path", "page-backend", "stress", "profiles"],
    },
    Area {
        name: "spans and heaps",
        sources: &["src/central/", "src/heap/"],
        pages: &[MEMORY, ARCHITECTURE, NUMA, DECISIONS],
        evidence: &["fast-path", "page-backend", "stress", "numa", "limits", "profiles"],
    },
    Area {
        name: "start, threads, fork and exit",
        sources: &["src/control/", "src/process/"],
        pages: &[MEMORY, ARCHITECTURE, NUMA, MODES, DECISIONS],
        evidence: &["limits", "profiles", "stress", "modes", "page-backend"],
    },
    Area {
        name: "slow path",
        sources: &["src/slow_path/"],
        pages: &[MEMORY, ARCHITECTURE, MODES, "docs/system-calls.md", DECISIONS],
        evidence: &["fast-path", "page-backend", "limits", "modes", "stress"],
    },
    Area {
        name: "modes",
        sources: &["src/modes/"],
        pages: &[MODES, ARCHITECTURE, DECISIONS],
        evidence: &["modes", "limits", "profiles", "stress"],
    },
    Area {
        name: "API",
        sources: &["src/api/"],
        pages: &[
            MEMORY,
            MODES,
            ARCHITECTURE,
            "docs/diagnosing.md",
            "docs/observing.md",
            "docs/profiling.md",
            "README.md",
            DECISIONS,
        ],
        evidence: &["fast-path", "page-backend", "limits", "modes", "stress"],
    },
    Area {
        name: "options",
        sources: &["src/config/option", "src/config/parse"],
        pages: &[OPTIONS, MEMORY],
        evidence: &[],
    },
    Area { name: "profiles", sources: &["src/config/profile.rs"], pages: &[OPTIONS, MEMORY], evidence: &["profiles"] },
    Area {
        name: "stress suite",
        sources: &["tests/stress/driver/", "tests/stress/src/"],
        pages: &["docs/stress.md"],
        evidence: &["stress"],
    },
];

impl Area {
    /// Whether a file is one of its sources.
    pub(super) fn has(&self, file: &str) -> bool {
        self.sources.iter().any(|prefix| file.starts_with(prefix)) && !is_test(file)
    }
}

/// Tests of an area change no behaviour.
fn is_test(file: &str) -> bool {
    ["/tests.rs", "/modelled.rs"].iter().any(|end| file.ends_with(end))
        || file.contains("/tests/") && file.starts_with("src/")
}

/// Whether what a file has moves between it and others when code moves.
pub(super) fn is_source(file: &str) -> bool {
    file.starts_with("src/") || AREAS.iter().any(|area| area.sources.iter().any(|prefix| file.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo;
    use std::fs;

    #[test]
    fn every_path_of_the_table_is_there() {
        let root = repo::workspace();
        let stands = |path: &str| {
            let (folder, start) = path.rsplit_once('/').unwrap_or(("", path));
            fs::read_dir(root.join(folder))
                .unwrap()
                .flatten()
                .any(|entry| entry.file_name().to_str().unwrap().starts_with(start))
        };
        for area in &AREAS {
            assert!(area.sources.iter().chain(area.pages).all(|path| stands(path)), "{}", area.name);
            assert!(
                area.evidence.iter().all(|name| root.join(format!("docs/evidence/{name}.toml")).is_file()),
                "{}",
                area.name
            );
        }
    }
}
