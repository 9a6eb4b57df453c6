//! A reader who follows a page of the documentation from top to bottom: all its commands in one shell, in a copy of
//! the repository where the product is built and installed.
//!
//! Knows: the shell. Must not know: the forms of marks (`blocks`), how output is compared (`output`), what any page is
//! about.
//!
//! The script has as many lines as the page, with each command on its own, so the shell's messages name the page's
//! lines. Commands that build or measure for long do not run: `make`, except to install, only says whether it would,
//! and what cargo gets is compared with the packages and commands that are there.

use core::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::blocks::{Kind, Part, blocks, parts};
use crate::expect::End;
use crate::output::{STEP, is_like, is_notice, last_lines, last_step, output_of};
use crate::{installed, pages, paths, run};

/// The shell's status after a command that must not fail failed.
const FAILED: i32 = 99;
/// Folders in which commands of pages make files; in all others of the repository they must not.
const WORKED_IN: [&str; 1] = ["examples"];
/// Where the reader has the repository, in outputs on pages.
const HOME: &str = "/home/user/spandrel";
/// CPU time that the commands of a page may take, in seconds.
const PATIENCE: u64 = 60;

/// The things that a reader did with a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Commands of sessions, and whole scripts, that ran.
    pub ran: usize,
    /// Outputs that were compared.
    pub compared: usize,
    /// Blocks that did not run: their lines, and why.
    pub left_out: Vec<(usize, String)>,
}

/// The output that a step should have, and how to compare it.
struct Expected {
    line: usize,
    output: Vec<String>,
    numbers_vary: bool,
}

/// Whether the page has anything for a shell.
///
/// # Errors
/// When a mark is wrong.
pub fn has_commands(text: &str) -> Result<bool, String> {
    Ok(blocks(text)?.iter().any(|block| block.kind().is_some()))
}

/// Follows the page at `path` below `root`. `package` says why a package is not there, if it is not.
///
/// # Errors
/// When a command fails, or prints something else than the page says.
pub fn follow(root: &Path, path: &Path, package: &dyn Fn(&str) -> Option<String>) -> Result<Account, String> {
    let text = fs::read_to_string(root.join(path)).map_err(|error| format!("{}: {error}", path.display()))?;
    let named = path.display().to_string();
    let place = Place::new(root, &named.replace('/', "-"))?;
    let mut account = Account::default();
    let (script, expected) = script(&text, &place, package, &mut account).map_err(|what| format!("{named}:{what}"))?;
    let file = place.outside.join(Path::new(&named).file_name().unwrap_or_default());
    fs::write(&file, script).map_err(|error| error.to_string())?;
    let mut shell = run::command("bash");
    shell.arg(&file).current_dir(&place.root).env("PAGE_PLACE", &place.outside);
    // Settings of the surroundings must not lead commands out of the copy.
    for name in ["CARGO_TARGET_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR", "PREFIX", "SPANDREL_SO"] {
        shell.env_remove(name);
    }
    let outcome = run::run(&mut shell, PATIENCE)?;
    let printed = place.as_the_page_has_it(&outcome.stdout);
    let fail = |line: usize, what: &str| Err(format!("{named}:{line}: {what}\n{printed}\n{}", outcome.stderr));
    match outcome.end {
        End::Exit(0) => {}
        End::Exit(FAILED) => return Err(format!("{named}: {}", last_lines(&printed))),
        ref other => return fail(last_step(&printed), &format!("the shell ended: {other:?}")),
    }
    for step in &expected {
        let Some(actual) = output_of(&printed, step.line) else { return fail(step.line, "it did not run") };
        let actual: Vec<&str> = actual.lines().filter(|line| !is_notice(line, &named)).collect();
        let wanted: Vec<&str> = step.output.iter().map(String::as_str).collect();
        if !is_like(&wanted, &actual, step.numbers_vary) {
            return Err(format!(
                "{named}:{}: the page says\n{}\nand the command printed\n{}",
                step.line,
                wanted.join("\n"),
                actual.join("\n")
            ));
        }
        account.compared += 1;
    }
    let record = fs::read_to_string(place.outside.join("cargo")).unwrap_or_default();
    pages::check_cargo(root, &record).map_err(|what| format!("{named}: {what}"))?;
    // The files are of no more use.
    let _ = fs::remove_dir_all(&place.outside);
    Ok(account)
}

/// The page as a script, a line for a line, and what it has to print.
fn script(
    text: &str,
    place: &Place,
    package: &dyn Fn(&str) -> Option<String>,
    account: &mut Account,
) -> Result<(String, Vec<Expected>), String> {
    let mut lines = vec![String::new(); text.lines().count() + 1];
    let (mut words, mut expected) = (Vec::new(), Vec::new());
    let mut put = |line: usize, text: String| lines[line - 1].push_str(&text);
    put(1, ". \"$PAGE_PLACE/prelude\"".to_owned());
    for part in parts(text)? {
        match part {
            Part::Read(word, text) => words.push((word, text)),
            Part::First(first, commands) => {
                for (line, command) in (first..).zip(&commands) {
                    put(line, place.as_it_is_here(command));
                }
            }
            Part::Block(block) => {
                let Some(kind) = block.kind() else { continue };
                let (steps, marks) = (block.steps(), block.marks);
                let missing = marks.needs.iter().find_map(|name| package(name));
                if let Some(reason) = marks.not_run.or(missing) {
                    account.left_out.push((steps.first().map_or(0, |step| step.line), reason));
                    continue;
                }
                for step in steps {
                    account.ran += 1;
                    put(step.line, format!("step {} {}; ", step.line, marks.status.unwrap_or(0)));
                    for (line, command) in (step.line..).zip(&step.command) {
                        put(line, place.as_it_is_here(&replaced(command, &words)));
                    }
                    if kind == Kind::Session && !step.output.is_empty() {
                        let (line, output) = (step.line, step.output);
                        expected.push(Expected { line, output, numbers_vary: marks.numbers_vary });
                    }
                }
            }
        }
    }
    put(text.lines().count() + 1, "step end 0\n".to_owned());
    Ok((lines.join("\n"), expected))
}

/// The command with the page's texts for its words. A word ends where letters and digits do.
fn replaced(command: &str, words: &[(String, String)]) -> String {
    let is_inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let mut command = command.to_owned();
    for (word, text) in words {
        let mut from = 0;
        while let Some(at) = command[from..].find(word.as_str()).map(|at| from + at) {
            let end = at + word.len();
            from = end;
            if !is_inside(command[..at].chars().next_back()) && !is_inside(command[end..].chars().next()) {
                command.replace_range(at..end, text);
                from = at + text.len();
            }
        }
    }
    command
}

/// Where the reader works: a copy of the repository, and beside it what the shell needs.
struct Place {
    /// The copy.
    root: PathBuf,
    /// `/usr/local` and `/tmp` of the reader, and the shell's own files.
    outside: PathBuf,
}

impl Place {
    fn new(root: &Path, name: &str) -> Result<Self, String> {
        let outside = paths::fresh(name)?;
        let place = Self { root: outside.join("spandrel"), outside };
        copy(root, &place.root, &WORKED_IN)?;
        let built = place.root.join("target/release");
        for folder in [built.clone(), place.outside.join("tmp"), place.outside.join("home")] {
            fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        for file in product() {
            let link = built.join(file.file_name().unwrap_or_default());
            symlink(&file, &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
        // Pages that use nothing of it need no product.
        if paths::tool().is_ok() && paths::static_library().is_ok() {
            copy(&installed::tree()?, &place.outside.join("local"), &[])?;
        }
        let prelude = PRELUDE.replace("STEP", &STEP.to_string()).replace("FAILED", &FAILED.to_string());
        fs::write(place.outside.join("prelude"), prelude).map_err(|error| error.to_string())?;
        Ok(place)
    }

    /// The page's text with this place's paths.
    fn as_it_is_here(&self, command: &str) -> String {
        let here = |folder: &str| self.outside.join(folder).display().to_string();
        // First the folder in which this place may lie itself.
        let command = command.replace("/tmp/", &format!("{}/", here("tmp"))).replace("/usr/local", &here("local"));
        command.replace("/path/to/libspandrel.so", &format!("{}/lib/libspandrel.so", here("local")))
    }

    /// The output of a shell here, as a page has it.
    fn as_the_page_has_it(&self, printed: &str) -> String {
        let here = |folder: &str| self.outside.join(folder).display().to_string();
        let printed = printed.replace(&here("local"), "/usr/local").replace(&format!("{}/", here("tmp")), "/tmp/");
        printed.replace(&self.root.display().to_string(), HOME)
    }
}

/// The files that `make build` makes for users: libraries and the command. Pages that use none of these need none.
fn product() -> Vec<PathBuf> {
    let folder = paths::shared_library().ok().and_then(|library| library.parent().map(Path::to_path_buf));
    let files = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let is_library = |path: &Path| path.extension().is_some_and(|end| end == "so" || end == "a");
    files.map(|entry| entry.path()).filter(|path| is_library(path) || path.ends_with("spandrel")).collect()
}

/// Links to everything in a folder but to the output of builds and to Git's own. The folders named, in which a reader
/// works, are folders of the copy's own; all if none is named.
fn copy(from: &Path, to: &Path, own: &[&str]) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(say)?;
    for entry in fs::read_dir(from).map_err(say)?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() && (own.is_empty() || own.iter().any(|folder| name == *folder)) {
            copy(&path, &to.join(name), &[])?;
        } else {
            symlink(&path, to.join(name)).map_err(say)?;
        }
    }
    Ok(())
}

/// Functions and settings before the first command.
const PRELUDE: &str = include_str!("prelude.sh");

/// A line for each block that did not run.
pub fn left_out(page: &Path, account: &Account) -> String {
    let mut text = String::new();
    for (line, reason) in &account.left_out {
        let _ = writeln!(text, "not run: {}:{line}: {reason}", page.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn page(text: &str) -> Result<Account, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("page-{}.md", NEXT.fetch_add(1, Ordering::Relaxed));
        let root = paths::fresh(&format!("reader-{name}"))?;
        for folder in ["xtask/src", "a"] {
            fs::create_dir_all(root.join(folder)).map_err(|error| error.to_string())?;
        }
        let files = [
            ("Makefile", "there:\n\tfalse\n"),
            ("xtask/src/main.rs", "ColdCall\n"),
            ("a/Cargo.toml", "name = \"a-package\"\n"),
            (name.as_str(), text),
        ];
        for (file, text) in files {
            fs::write(root.join(file), text).map_err(|error| error.to_string())?;
        }
        let missing = |name: &str| (name == "gone").then(|| "gone is not here".to_owned());
        follow(&root, Path::new(&name), &missing)
    }

    #[test]
    fn pages_that_keep_their_word_pass() {
        let account = page(
            "# Page\n\n```sh\nx=5\nmake there\n```\n\n<!-- read PID as $x -->\n```console\n$ echo PID PIDS\n5 …S\n\
             $ echo one; echo two; echo three\none\n…\nthree\n```\n\n<!-- ends with 3 -->\n```sh\n(exit 3)\n```\n\
             <!-- numbers vary -->\n```console\n$ echo 'at 0x7f2a: 3.5 MiB (12)'\nat 0xabc: 17 KiB (1)\n```\n\
             <!-- not run: so -->\n```sh\nfalse\n```\n<!-- needs gone -->\n```sh\nfalse\n```\n\
             <!-- run first\ntrue\n-->\n```sh\ncargo test -p a-package\ncargo xtask cold-call\n```\n",
        );
        let left_out = vec![(29, "so".to_owned()), (33, "gone is not here".to_owned())];
        assert_eq!(account, Ok(Account { ran: 6, compared: 3, left_out }));
    }

    #[test]
    fn pages_that_do_not_are_refused_at_their_line() {
        let wrong = [
            ("```sh\ntrue\nfalse\n```", "line 3: a command ended with 1"),
            ("```sh\nmake gone\n```", "line 2: "),
            ("```console\n$ echo a\nb\n```", "the page says\nb\nand the command printed\na"),
            ("```console\n$ echo a\na\n…\nb\n```", "the page says"),
            ("<!-- ends with 3 -->\n```sh\ntrue\n```", "no command ended with 3"),
            ("<!-- ends with 3 -->\n```sh\nfalse\n```", "a command ended with 1"),
            ("```sh\ncargo test -p gone\n```", "gone, which is not there"),
            ("```sh\ncargo xtask gone\n```", "there is no Gone"),
            ("```sh\nno-such-program\n```", "a command ended with 127"),
        ];
        for (text, said) in wrong {
            let refused = page(text).expect_err(text);
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
