//! Checks what a script can of the way the project writes: lines that fit, words that are out, sentences with a
//! subject, no marks of a merge that is not done.
//!
//! Knows: the rules, and which folders keep them already. Must not know: Rust, C or Markdown (`text`), the words
//! (`words`).

mod text;
mod words;

use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use words::{Out, Scope, WORDS};

/// The folders and single files that are read.
const ROOTS: [&str; 14] = [
    "src",
    "rust/README.md",
    "include",
    "compat",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "xtask",
    "cli",
    "plot",
    "tests",
    "benches",
    "ffi-tests",
];
const ENDINGS: [&str; 6] = ["rs", "md", "c", "h", "cpp", "toml"];
/// Generated files, those that quote sources which are checked themselves, and the table of words.
const EXEMPT: [&str; 8] = [
    "docs/README.md",
    "docs/options.md",
    "docs/diagnostics.md",
    "docs/benchmarks/report.md",
    "docs/evidence/",
    "docs/studies/",
    "tests/mutants/mutants.toml",
    "xtask/src/prose/words.rs",
];
const LONGEST_LINE: usize = 120;
/// Folders and files that do not keep to the length of lines yet: their lines are counted and do not fail.
const LONG_LINES_IN: &[&str] = &[];
/// Folders and files that do not keep to sentences with a subject yet.
const BARE_OPENINGS_IN: &[&str] = &[];
/// A sentence that is no question names its subject; these stand in for one.
const OPENINGS: [&str; 3] = ["Who", "What", "Whoever"];

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    problem: String,
    /// Only counted, under this name.
    pending: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

/// The amount of output.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Print what is only counted as well
    #[arg(long)]
    pending: bool,
}

/// Prints what is wrong.
///
/// # Errors
/// When anything is wrong or cannot be read.
pub fn run(root: &Path, request: &Request) -> Result<()> {
    let files = files(root)?;
    let mut findings = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        findings.extend(check(file, &text));
    }
    let (counted, wrong): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.pending.is_some());
    for finding in wrong.iter().chain(counted.iter().filter(|_| request.pending)) {
        println!("{finding}");
    }
    let count = |name: &str| counted.iter().filter(|finding| finding.pending.as_deref() == Some(name)).count();
    let (pending, clean): (Vec<&Out>, Vec<&Out>) =
        WORDS.iter().filter(|out| out.pending).partition(|out| count(out.forms[0]) > 0);
    let told: Vec<String> = pending.iter().map(|out| format!("{} {}", out.forms[0], count(out.forms[0]))).collect();
    println!("prose: {} files; {} words are out, pending: {}", files.len(), WORDS.len(), told.join(", "));
    for out in clean {
        println!("prose: `{}` occurs no more: it need not be pending", out.forms[0]);
    }
    println!(
        "prose: pending: {} lines above {LONGEST_LINE} columns, {} sentences without a subject",
        count(LINES),
        count(SENTENCES)
    );
    if !wrong.is_empty() {
        bail!("{} places break the rules of writing", wrong.len());
    }
    Ok(())
}

const LINES: &str = "lines";
const SENTENCES: &str = "sentences";
/// Git writes them around what it could not merge.
const MERGE_MARKS: [&str; 2] = ["<<<<<<< ", ">>>>>>> "];

fn is_in(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file.starts_with(place))
}

fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: usize, problem: String, pending: Option<&str>| {
        findings.push(Finding { file: file.to_owned(), line, problem, pending: pending.map(str::to_owned) });
    };
    let pending = is_in(file, LONG_LINES_IN).then_some(LINES);
    let quoted = text::quoted(file, text);
    for (number, line) in text::lines(text) {
        let columns = line.chars().count();
        // A table has its rows on a line each, and an address cannot be broken.
        if columns > LONGEST_LINE && !line.starts_with('|') && !line.contains("https://") && !quoted.contains(&number) {
            found(number, format!("has {columns} columns, at most {LONGEST_LINE} are allowed"), pending);
        }
        if MERGE_MARKS.iter().any(|mark| line.starts_with(mark)) {
            found(number, "has the mark of a merge that is not done".to_owned(), None);
        }
    }
    let pending = is_in(file, BARE_OPENINGS_IN).then_some(SENTENCES);
    for paragraph in text::paragraphs(file, text) {
        for sentence in text::sentences(&paragraph) {
            let (Some((line, first)), Some((_, last))) = (sentence.first(), sentence.last()) else { continue };
            if OPENINGS.contains(first) && !last.contains('?') {
                found(*line, format!("a sentence begins with a bare `{first}`: name its subject"), pending);
            }
        }
    }
    let names = text::names(file, text);
    for out in WORDS {
        let pending = out.pending.then_some(out.forms[0]);
        for line in places(out, file, text, &names) {
            found(line, format!("`{}` is out; say: {}", out.forms[0], out.instead), pending);
        }
    }
    findings
}

/// The lines in which a word is that must not be there.
fn places(out: &Out, file: &str, text: &str, names: &[(usize, String)]) -> Vec<usize> {
    let mut lines: Vec<usize> = match out.scope {
        Scope::Names => {
            let named = names.iter().filter(|(_, name)| !out.except.contains(&name.to_lowercase().as_str()));
            named
                .filter(|(_, name)| text::parts(name).iter().any(|part| out.forms.contains(&part.as_str())))
                .map(|(line, _)| *line)
                .collect()
        }
        Scope::Everywhere => {
            let lower = text::lines(text).map(|(number, line)| (number, line.to_lowercase()));
            let bare = lower.filter(|(_, line)| !out.except.iter().any(|passage| line.contains(passage)));
            bare.filter(|(number, line)| {
                has_form(out, line) || text::lines(text).nth(number - 1).is_some_and(|(_, line)| has_name(out, line))
            })
            .map(|(number, _)| number)
            .collect()
        }
    };
    // The name of the file is a name, too.
    let path = Path::new(file).with_extension("");
    if path
        .iter()
        .any(|part| text::parts(&part.to_string_lossy()).iter().any(|part| out.forms.contains(&part.as_str())))
    {
        lines.push(1);
    }
    lines.dedup();
    lines
}

/// Whether a line in lower case has one of the forms as whole words.
fn has_form(out: &Out, line: &str) -> bool {
    let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    out.forms.iter().any(|form| {
        line.match_indices(form).any(|(at, _)| {
            !is_letter(line[..at].chars().next_back()) && !is_letter(line[at + form.len()..].chars().next())
        })
    })
}

/// Whether a line has a name that one of the forms is a part of.
fn has_name(out: &Out, line: &str) -> bool {
    let names = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|name| !name.is_empty());
    names.into_iter().any(|name| text::parts(name).iter().any(|part| out.forms.contains(&part.as_str())))
}

/// The files that are read, below the root.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = ROOTS.iter().map(|start| root.join(start)).filter(|path| path.exists()).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                open.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
            }
            continue;
        }
        let name = path.strip_prefix(root)?.display().to_string();
        if path.extension().is_some_and(|end| ENDINGS.iter().any(|ending| end == *ending)) && !is_in(&name, &EXEMPT) {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Out =
        Out { forms: &["pot", "pots"], instead: "jar", scope: Scope::Everywhere, except: &["pot of"], pending: false };

    fn lines(out: &Out, file: &str, text: &str) -> Vec<usize> {
        places(out, file, text, &text::names(file, text))
    }

    #[test]
    fn words_are_found_in_names_and_prose_and_not_within_words() {
        let text =
            "// A pot.\nfn pot_of_heap() {}\nstruct HeapPots;\n// spot, potato\nlet x = \"the pot of a cook\";\n";
        assert_eq!(lines(&OUT, "a.rs", text), [1, 2, 3]);
        assert_eq!(lines(&OUT, "pot.rs", "//! A file.\n"), [1]);
        let names = Out { scope: Scope::Names, except: &["pot"], ..OUT };
        assert_eq!(lines(&names, "a.rs", text), [2, 3]);
        let phrase = Out { forms: &["bit path"], ..OUT };
        assert_eq!(lines(&phrase, "a.md", "The bit path.\nA rabbit path.\n"), [1]);
    }

    #[test]
    fn long_lines_and_bare_openings_are_found() {
        let problems = |file: &str, text: &str| {
            check(file, text).iter().map(|finding| (finding.line, finding.pending.clone())).collect::<Vec<_>>()
        };
        let long = "a ".repeat(LONGEST_LINE / 2);
        assert_eq!(problems("scripts/a.md", &format!("{long}b\n| {long}\n{long}\n")), [(1, None)]);
        assert_eq!(
            problems("scripts/a.rs", "/// What it was. What\n/// is it?\n// One. Who calls\n// waits.\n"),
            [(1, None), (3, None)]
        );
        assert_eq!(problems("scripts/a.md", "# What it is\n\nWhatever. Say what.\n"), [(0, None); 0]);
    }

    #[test]
    fn merges_that_are_not_done_are_found() {
        let text = "One.\n<<<<<<< HEAD\nTwo.\n=======\nThree.\n>>>>>>> other\nA <<<<<<< b.\n";
        let lines: Vec<usize> = check("scripts/a.md", text).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 6]);
    }

    #[test]
    fn every_word_is_there_once_in_lower_case() {
        let mut forms: Vec<&str> = WORDS.iter().flat_map(|out| out.forms.iter().copied()).collect();
        let count = forms.len();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), count);
        assert!(forms.iter().chain(WORDS.iter().flat_map(|out| out.except)).all(|form| form.to_lowercase() == **form));
    }
}
