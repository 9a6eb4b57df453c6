//! Checks that a change of memory behaviour took along what describes it: a docs page, figures, the changelog and the
//! index.
//!
//! Knows: git. Must not know: what the areas are (`areas`), how code is compared (`tokens`).
//!
//! A change that only renames, moves or rewords asks for nothing; `tokens` finds that out. Any other commit without an
//! effect that could be seen or measured says so, with a reason, in a line `Unchanged: REASON` of its message.

mod areas;
mod tokens;

use anyhow::{Context, Result, bail};
use areas::{AREAS, is_source};
use std::fs;
use std::path::Path;
use std::process::Command;
use tokens::Bag;

const CHANGELOG: &str = "CHANGELOG.md";
const INDEX: &str = "docs/README.md";
const EXCUSE: &str = "Unchanged:";
/// Commits end with this byte in what git is asked for.
const END: char = '\0';

/// The files of a change: those that ask for followers, and all files, which may be followers.
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
        false => {
            bail!("a change lacks what describes it; a commit without any effect says `{EXCUSE} REASON` in its message")
        }
    }
}

fn git(root: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(words).output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the branch left what is published; without anything published, the last commit: what is not committed is
/// compared all the same.
fn start(root: &Path) -> Result<String> {
    for published in ["@{upstream}", "origin/HEAD", "origin/main"] {
        if let Ok(base) = git(root, &["merge-base", "HEAD", published]) {
            return Ok(base.trim().chars().take(12).collect());
        }
    }
    Ok("HEAD".to_owned())
}

/// The text of a file, by its path; nothing where it is not there.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Change {
    fn since(root: &Path, base: &str) -> Result<Self> {
        let mut change = Self::default();
        let range = format!("{base}..HEAD");
        let at = |commit: &str, file: &str| git(root, &["show", &format!("{commit}:{file}")]).ok();
        for commit in git(root, &["log", "--format=%H", "--no-merges", &range])?.lines() {
            let message = git(root, &["log", "-1", "--format=%B", commit])?;
            let excused =
                message.lines().any(|line| line.strip_prefix(EXCUSE).is_some_and(|why| !why.trim().is_empty()));
            let files = git(
                root,
                &["diff-tree", "--root", "--no-commit-id", "--no-renames", "--name-only", "-r", "-z", commit],
            )?;
            let parent = format!("{commit}^");
            change.add(&files, excused, &|file| at(&parent, file), &|file| at(commit, file));
        }
        let files = git(root, &["diff", "--no-renames", "--name-only", "-z", "HEAD"])?;
        let unknown = git(root, &["ls-files", "--others", "--exclude-standard", "-z"])?;
        change.add(&(files + &unknown), false, &|file| at("HEAD", file), &|file| {
            fs::read_to_string(root.join(file)).ok()
        });
        Ok(change)
    }

    fn add(&mut self, files: &str, excused: bool, before: Read<'_>, after: Read<'_>) {
        let files: Vec<&str> = files.split(END).filter(|file| !file.is_empty()).collect();
        self.all.extend(files.iter().map(|file| (*file).to_owned()));
        self.all.sort_unstable();
        self.all.dedup();
        let sources: Vec<&str> = files.into_iter().filter(|file| is_source(file)).collect();
        if excused || is_silent(&sources, before, after) {
            return;
        }
        let loud = sources.into_iter().filter(|file| !is_silent(&[file], before, after));
        self.asking.extend(loud.map(str::to_owned));
    }

    fn has(&self, wanted: &str) -> bool {
        self.all.iter().any(|file| if wanted.ends_with('/') { file.starts_with(wanted) } else { file == wanted })
    }

    /// A line for each thing that an area lacks.
    fn missing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for area in &AREAS {
            let Some(file) = self.asking.iter().find(|file| area.has(file)) else { continue };
            let evidence: Vec<String> = area.evidence.iter().map(|name| format!("docs/evidence/{name}.toml")).collect();
            let mut lacks = |what: &str, found: bool| {
                if !found {
                    lines.push(format!("{file} ({}) changed, and {what}", area.name));
                }
            };
            lacks(&format!("none of {} did", area.pages.join(", ")), area.pages.iter().any(|page| self.has(page)));
            let measured = evidence.is_empty() || evidence.iter().any(|file| self.has(file));
            lacks(&format!("none of {} did", evidence.join(", ")), measured);
            lacks(&format!("{CHANGELOG} did not"), self.has(CHANGELOG));
            lacks(&format!("{INDEX} did not (`make docs`)"), self.has(INDEX));
        }
        lines
    }
}

/// Whether these files have the same code before and after, but for names, imports and comments.
fn is_silent(files: &[&str], before: Read<'_>, after: Read<'_>) -> bool {
    let bag = |read: Read<'_>| {
        let mut bag = Bag::default();
        for file in files {
            bag.add(file, &read(file).unwrap_or_default());
        }
        bag
    };
    bag(before) == bag(after)
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
                fs::write(path, before + "const LINE: u8 = 7;\n").unwrap();
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
        scratch.write(&[
            "src/heap/flush.rs",
            CHANGELOG,
            INDEX,
            "docs/decisions/0099-flush.md",
            "docs/evidence/fast-path.toml",
        ]);
        assert_eq!(scratch.missing("HEAD"), Vec::<String>::new(), "files that git does not know yet");
        let scratch = Scratch::new();
        scratch.write(&["tests/stress/src/run.rs", CHANGELOG, INDEX, "docs/memory.md", "docs/evidence/fast-path.toml"]);
        assert_eq!(scratch.missing("HEAD").len(), 2);
    }

    #[test]
    fn other_files_and_tests_ask_for_nothing() {
        let scratch = Scratch::new();
        scratch.commit(
            &["src/diag/report.rs", "xtask/src/lib.rs", "src/heap/tests.rs", "src/pages/modelled.rs"],
            "others",
        );
        assert_eq!(scratch.missing("published"), Vec::<String>::new());
    }

    #[test]
    fn all_that_changes_how_memory_behaves_asks() {
        for (file, area) in [
            ("src/sys/memory.rs", "page backend"),
            ("src/base/class.rs", "size classes"),
            ("src/config/option.rs", "options"),
            ("src/slow_path/alloc.rs", "slow path"),
            ("src/api/glibc.rs", "API"),
            ("src/modes/tally.rs", "modes"),
        ] {
            let scratch = Scratch::new();
            scratch.commit(&[file], "change");
            let lines = scratch.missing("published");
            assert!(lines.len() >= 3 && lines[0].starts_with(&format!("{file} ({area}) changed")), "{lines:?}");
        }
    }

    #[test]
    fn moves_and_new_names_are_silent_and_what_changes_with_them_is_not() {
        let scratch = Scratch::new();
        scratch.commit(&["src/heap/bin.rs", "src/heap/refill.rs"], "first\n\nUnchanged: a start");
        scratch.git(&["tag", "--force", "published"]);
        scratch.git(&["mv", "src/heap/bin.rs", "src/heap/bins.rs"]);
        fs::write(
            scratch.0.path().join("src/heap/refill.rs"),
            "//! More.\nuse super::other;\nconst NAME: Other = 7;\n",
        )
        .unwrap();
        assert_eq!(scratch.missing("published"), Vec::<String>::new(), "the work tree");
        scratch.commit(&[], "move");
        assert_eq!(scratch.missing("published"), Vec::<String>::new());
        fs::write(scratch.0.path().join("src/heap/refill.rs"), "const NAME: Other = 8;\n").unwrap();
        scratch.git(&["mv", "src/heap/bins.rs", "src/heap/bin.rs"]);
        let lines = scratch.missing("published");
        assert!(lines.len() == 4 && lines.iter().all(|line| line.starts_with("src/heap/")), "{lines:?}");
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
}
