//! Checks that a change of memory behaviour took along what tells of it: a docs page, figures, the changelog and the index.
//!
//! Knows: git, and one table of areas. Must not know: what any area does.
//!
//! A commit that changes nothing anybody could see or measure says so, with a reason, in a line `Unchanged: REASON` of its message; then
//! nothing has to follow it.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const CHANGELOG: &str = "CHANGELOG.md";
const INDEX: &str = "docs/README.md";
const EXCUSE: &str = "Unchanged:";
/// Commits end with this byte in what git is asked for.
const END: char = '\0';

/// A part of the sources, and what follows when it changes.
struct Area {
    name: &'static str,
    /// Its files begin with one of these.
    sources: &'static [&'static str],
    /// One of these pages tells of it.
    pages: &'static [&'static str],
    /// One of these files has its figures.
    evidence: &'static [&'static str],
}

const DECISIONS: &str = "docs/decisions/";
const MEMORY: &str = "docs/memory.md";
const ARCHITECTURE: &str = "docs/architecture.md";

const AREAS: [Area; 5] = [
    Area {
        name: "page backend",
        sources: &["src/pages/", "src/runtime/closed", "src/config/container.rs"],
        pages: &[MEMORY, "docs/numa.md", ARCHITECTURE, DECISIONS],
        evidence: &["page-backend", "huge-pages", "numa", "limits", "profiles"],
    },
    Area {
        name: "spans and heaps",
        sources: &["src/central/", "src/heap/"],
        pages: &[MEMORY, ARCHITECTURE, "docs/numa.md", DECISIONS],
        evidence: &["fast-path", "page-backend", "stress", "numa", "limits", "profiles"],
    },
    Area {
        name: "start, fork and exit",
        sources: &["src/runtime/start", "src/runtime/fork", "src/runtime/exit", "src/runtime/fixture"],
        pages: &[MEMORY, ARCHITECTURE, "docs/numa.md", "docs/modes.md", DECISIONS],
        evidence: &["limits", "profiles", "stress", "modes", "page-backend"],
    },
    Area { name: "profiles", sources: &["src/config/profile.rs"], pages: &["docs/options.md", MEMORY], evidence: &["profiles"] },
    Area { name: "stress suite", sources: &["tests/stress/"], pages: &["docs/stress.md"], evidence: &["stress"] },
];

/// What changed: files that ask for followers, and all files, which may be followers.
#[derive(Debug, Default)]
struct Change {
    asking: Vec<String>,
    all: Vec<String>,
}

/// Looks at what comes after `base`, the work tree included.
///
/// # Errors
/// When something does not follow, or git does not answer.
pub fn run(root: &Path, base: Option<&str>) -> Result<()> {
    if !root.join(".git").exists() {
        println!("follow: no repository, nothing to compare");
        return Ok(());
    }
    let base = base.map_or_else(|| start(root), |base| Ok(base.to_owned()))?;
    let change = Change::since(root, &base)?;
    let missing = change.missing();
    for line in &missing {
        eprintln!("follow: {line}");
    }
    match missing.is_empty() {
        true => {
            println!("follow: {} files since {base}; what has to follow them does", change.all.len());
            Ok(())
        }
        false => bail!("a change lacks what tells of it; a commit without any effect says `{EXCUSE} REASON` in its message"),
    }
}

fn git(root: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(words).output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the branch left what is published; without anything published, the last commit: what is not committed is looked at all the same.
fn start(root: &Path) -> Result<String> {
    for published in ["@{upstream}", "origin/HEAD", "origin/main"] {
        if let Ok(base) = git(root, &["merge-base", "HEAD", published]) {
            return Ok(base.trim().chars().take(12).collect());
        }
    }
    Ok("HEAD".to_owned())
}

impl Change {
    fn since(root: &Path, base: &str) -> Result<Self> {
        let mut change = Self::default();
        let range = format!("{base}..HEAD");
        for commit in git(root, &["log", "--format=%H", "--no-merges", &range])?.lines() {
            let message = git(root, &["log", "-1", "--format=%B", commit])?;
            let excused = message.lines().any(|line| line.strip_prefix(EXCUSE).is_some_and(|why| !why.trim().is_empty()));
            change.add(&git(root, &["diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", commit])?, !excused);
        }
        change.add(&git(root, &["diff", "--name-only", "-z", "HEAD"])?, true);
        change.add(&git(root, &["ls-files", "--others", "--exclude-standard", "-z"])?, true);
        Ok(change)
    }

    fn add(&mut self, files: &str, asks: bool) {
        let files = files.split(END).filter(|file| !file.is_empty());
        for file in files {
            self.all.push(file.to_owned());
            if asks {
                self.asking.push(file.to_owned());
            }
        }
        self.all.sort_unstable();
        self.all.dedup();
    }

    fn has(&self, wanted: &str) -> bool {
        self.all.iter().any(|file| if wanted.ends_with('/') { file.starts_with(wanted) } else { file == wanted })
    }

    /// A line for each thing that an area lacks.
    fn missing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for area in &AREAS {
            let of_area = |file: &&String| area.sources.iter().any(|prefix| file.starts_with(prefix)) && !is_follower(file);
            let Some(file) = self.asking.iter().find(of_area) else { continue };
            let evidence: Vec<String> = area.evidence.iter().map(|name| format!("docs/evidence/{name}.toml")).collect();
            let mut lacks = |what: &str, found: bool| {
                if !found {
                    lines.push(format!("{file} ({}) changed, and {what} did not", area.name));
                }
            };
            lacks(&format!("no page of {}", area.pages.join(", ")), area.pages.iter().any(|page| self.has(page)));
            lacks(&format!("none of {}", evidence.join(", ")), evidence.iter().any(|file| self.has(file)));
            lacks(CHANGELOG, self.has(CHANGELOG));
            lacks(&format!("{INDEX} (`make docs`)"), self.has(INDEX));
        }
        lines
    }
}

/// Tests of an area's own change no behaviour.
fn is_follower(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("/modelled.rs") || file.starts_with("tests/stress/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// A repository with a first commit, which is what is published.
    struct Scratch(TempDir);

    impl Scratch {
        fn new() -> Self {
            let scratch = Self(tempfile::tempdir().unwrap());
            scratch.git(&["init", "--quiet"]);
            scratch.commit(&["README.md"], "first");
            scratch.git(&["tag", "published"]);
            scratch
        }

        fn git(&self, words: &[&str]) {
            let identity = ["-c", "user.name=name", "-c", "user.email=name@example.org", "-c", "commit.gpgsign=false"];
            git(self.0.path(), &[identity.as_slice(), words].concat()).unwrap();
        }

        fn write(&self, files: &[&str]) {
            for file in files {
                let path = self.0.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let before = fs::read_to_string(&path).unwrap_or_default();
                fs::write(path, before + "line\n").unwrap();
            }
        }

        fn commit(&self, files: &[&str], message: &str) {
            self.write(files);
            self.git(&["add", "."]);
            self.git(&["commit", "--quiet", "--message", message]);
        }

        fn missing(&self, base: &str) -> Vec<String> {
            let lines = Change::since(self.0.path(), base).unwrap().missing();
            assert_eq!(run(self.0.path(), Some(base)).is_ok(), lines.is_empty());
            lines
        }
    }

    const FOLLOWERS: [&str; 4] = ["docs/memory.md", "docs/evidence/page-backend.toml", CHANGELOG, INDEX];

    #[test]
    fn a_change_of_an_area_asks_for_four_followers() {
        let scratch = Scratch::new();
        scratch.commit(&["src/pages/runs.rs"], "runs");
        let lines = scratch.missing("published");
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("src/pages/runs.rs (page backend) changed, and ")));
        for (count, follower) in (0..4).rev().zip(FOLLOWERS) {
            scratch.commit(&[follower], "follows");
            assert_eq!(scratch.missing("published").len(), count, "{follower}");
        }
    }

    #[test]
    fn any_page_and_any_figures_of_the_area_will_do_and_others_will_not() {
        let scratch = Scratch::new();
        scratch.write(&["src/heap/flush.rs", CHANGELOG, INDEX, "docs/decisions/0099-flush.md", "docs/evidence/fast-path.toml"]);
        assert_eq!(scratch.missing("HEAD"), Vec::<String>::new(), "files that git does not know yet");
        let scratch = Scratch::new();
        scratch.write(&["tests/stress/src/run.rs", CHANGELOG, INDEX, "docs/memory.md", "docs/evidence/fast-path.toml"]);
        assert_eq!(scratch.missing("HEAD").len(), 2);
    }

    #[test]
    fn other_files_and_tests_ask_for_nothing() {
        let scratch = Scratch::new();
        scratch.commit(&["src/abi/glibc.rs", "xtask/src/lib.rs", "src/heap/tests.rs", "src/pages/modelled.rs"], "others");
        assert_eq!(scratch.missing("published"), Vec::<String>::new());
    }

    #[test]
    fn a_commit_that_says_why_is_excused_and_no_other() {
        let scratch = Scratch::new();
        scratch.commit(&["src/central/span.rs"], "names\n\nUnchanged: a name alone");
        assert_eq!(scratch.missing("published"), Vec::<String>::new());
        scratch.commit(&["src/central/span.rs"], "more\n\nUnchanged: ");
        assert_eq!(scratch.missing("published").len(), 4, "a reason has to be given");
    }

    #[test]
    fn where_nothing_is_published_only_what_is_not_committed_counts() {
        let scratch = Scratch::new();
        scratch.commit(&["src/pages/runs.rs"], "runs");
        assert_eq!(start(scratch.0.path()).unwrap(), "HEAD");
        run(scratch.0.path(), None).unwrap();
        scratch.write(&["src/pages/runs.rs"]);
        assert!(run(scratch.0.path(), None).is_err());
        let clone = tempfile::tempdir().unwrap();
        scratch.git(&["stash", "--quiet"]);
        scratch.git(&["clone", "--quiet", ".", clone.path().to_str().unwrap()]);
        run(clone.path(), None).unwrap();
        assert!(run(tempfile::tempdir().unwrap().path(), None).is_ok(), "no repository");
    }

    #[test]
    fn every_path_of_the_table_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let stands = |path: &str| {
            let (folder, start) = path.rsplit_once('/').unwrap();
            fs::read_dir(root.join(folder)).unwrap().flatten().any(|entry| entry.file_name().to_str().unwrap().starts_with(start))
        };
        for area in &AREAS {
            assert!(area.sources.iter().chain(area.pages).all(|path| stands(path)), "{}", area.name);
            assert!(area.evidence.iter().all(|name| root.join(format!("docs/evidence/{name}.toml")).is_file()), "{}", area.name);
        }
    }
}
