//! Names in the pages of the documentation (links, files of the repository, targets of `make`) that lead nowhere.
//!
//! Knows: the Markdown that our pages use, and GitHub's names for headings. Must not know: what any page says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All pages of the repository, but for what is built and what Git keeps. Those in linked folders are read where they
/// lie.
pub fn all(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with(".git") && !path.is_symlink() {
                    folders.push(path);
                }
            } else if is_page(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "md")
}

/// The names in the page at `path`, with this text, that are not in the repository at `root`.
pub fn faults(root: &Path, path: &Path, text: &str) -> Vec<String> {
    let shown = path.strip_prefix(root).unwrap_or(path).display();
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let links = links(line).filter(|link| !link_leads(path, text, link));
        let files = spans(line).filter(|span| !file_exists(root, span));
        let targets = spans(line).filter(|span| !target_exists(root, span));
        found.extend(links.chain(files).chain(targets).map(|what| format!("{shown}:{number}: {what} is not there")));
    }
    found
}

/// Lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((index + 1, line))
    })
}

/// Where links and pictures of a line lead: those in parentheses, the targets of named links, and those of HTML.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, link)| link.trim());
    let marked = ["src=\"", "href=\""].into_iter().flat_map(|mark| line.split(mark).skip(1));
    inline.chain(named).chain(marked.filter_map(|rest| rest.split_once('"').map(|(link, _)| link)))
}

/// The links of a page that lead out of the repository, with their lines: also addresses in angle brackets.
pub fn external(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let bare = line.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(link, _)| link);
        let found = links(line).filter(|link| link.contains("://")).chain(bare.filter(|link| link.starts_with("http")));
        found.map(move |link| (number, link)).collect::<Vec<_>>()
    })
}

/// Whether a link out of the repository has the form of an address: `https`, a host with a dot, and no sign that an
/// address must not have.
pub fn is_address(link: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'*+,;=%".contains(letter);
    link.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let named = host.split('.').all(|part| !part.is_empty() && !part.starts_with('-'));
        host.contains('.') && named && rest.chars().all(allowed)
    })
}

/// Code in a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn link_leads(page: &Path, text: &str, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = page.parent().unwrap_or(page).join(file);
    if file.is_empty() {
        return has_heading(text, heading);
    }
    target.exists() && (heading.is_empty() || fs::read_to_string(&target).is_ok_and(|text| has_heading(&text, heading)))
}

/// GitHub's name of a heading: small letters, hyphens for blanks, and no other signs.
fn slug(heading: &str) -> String {
    let letters = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    letters.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_heading(text: &str, wanted: &str) -> bool {
    prose(text).any(|(_, line)| line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == wanted)
}

/// False if the code looks like a path from the root or from `src/`, and there is no such file. `*` stands for any
/// name.
fn file_exists(root: &Path, code: &str) -> bool {
    let is_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-*".contains(letter);
    let Some((first, _)) = code.split_once('/') else { return true };
    let placeholder =
        code.split(['/', '.']).any(|part| part.len() > 1 && part.chars().all(|letter| letter.is_ascii_uppercase()));
    if first.is_empty() || first == "target" || placeholder || !code.chars().all(is_path) {
        return true;
    }
    let bases = [root.to_path_buf(), root.join("src")];
    let mut known = bases.iter().filter(|base| base.join(first).is_dir()).peekable();
    known.peek().is_none() || known.any(|base| matches(base, code.trim_end_matches('/')))
}

fn matches(base: &Path, path: &str) -> bool {
    let (part, rest) = path.split_once('/').map_or((path, None), |(part, rest)| (part, Some(rest)));
    let go_on = |next: PathBuf| rest.map_or_else(|| next.exists(), |rest| matches(&next, rest));
    let Some((before, after)) = part.split_once('*') else { return go_on(base.join(part)) };
    entries(base).is_ok_and(|found| {
        found.into_iter().any(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(before) && name.ends_with(after) && go_on(path)
        })
    })
}

/// False if the code is a `make` command and the Makefile does not have its target.
fn target_exists(root: &Path, code: &str) -> bool {
    let words: Vec<&str> = code.split_whitespace().collect();
    let (folder, target) = match words.as_slice() {
        ["make", "-C", folder, target, ..] => (*folder, *target),
        ["make", target, ..] if *target != "-C" => ("", *target),
        _ => return true,
    };
    let text = fs::read_to_string(root.join(folder).join("Makefile")).unwrap_or_default();
    let rule = format!("{target}:");
    let lists = |line: &str| {
        line.strip_prefix("STUDIES =").is_some_and(|list| list.split_whitespace().any(|word| word == target))
    };
    target.contains('=') || text.lines().any(|line| line.starts_with(&rule) || lists(line))
}

/// Whether each line, the arguments of a cargo, names what is there: packages, tests and examples, or a command of `xtask`.
///
/// # Errors
/// When one does not, or manifests cannot be read.
pub fn check_cargo(root: &Path, record: &str) -> Result<(), String> {
    let mut names = BTreeSet::new();
    collect_names(root, &mut names)?;
    let commands = fs::read_to_string(root.join("xtask/src/main.rs")).map_err(|error| error.to_string())?;
    for line in record.lines() {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| *word != "--").collect();
        let missing = words.windows(2).find(|pair| {
            ["-p", "--package", "--test", "--bin", "--example"].contains(&pair[0]) && !names.contains(pair[1])
        });
        if let Some(pair) = missing {
            return Err(format!("`cargo {line}` names {}, which is not there", pair[1]));
        }
        match words.first().copied() {
            Some("build" | "test" | "tests" | "run" | "clippy" | "fmt" | "add" | "bench" | "doc" | "publish") => {}
            Some("xtask") => {
                let variant: String = words.get(1).into_iter().flat_map(|name| name.split('-')).map(capital).collect();
                if !commands.contains(&variant) {
                    return Err(format!("`cargo {line}`: there is no {variant} in xtask/src/main.rs"));
                }
            }
            _ => return Err(format!("`cargo {line}` is no command that is known here")),
        }
    }
    Ok(())
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// The names that manifests give to packages, tests and programs.
fn collect_names(folder: &Path, names: &mut BTreeSet<String>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect_names(&path, names)?;
        } else if name == "Cargo.toml" {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            let named = text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            names.extend(named.map(str::to_owned));
        } else if folder.ends_with("examples") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::fresh;

    fn place() -> Result<PathBuf, String> {
        let root = fresh("pages")?;
        for folder in ["docs", "src/heap"] {
            fs::create_dir_all(root.join(folder)).map_err(|error| error.to_string())?;
        }
        for (file, text) in
            [("docs/other.md", "# A b, `c` d-e\n"), ("src/heap/bin.rs", ""), ("Makefile", "check: build ##\n")]
        {
            fs::write(root.join(file), text).map_err(|error| error.to_string())?;
        }
        Ok(root)
    }

    #[test]
    fn external_links_are_found_and_judged() {
        let text =
            "[a](https://x.y/z) <https://u.v>\n```\n<https://no.no>\n```\n[b]: http://c.d\n<img src=\"https://e\">\n";
        let found: Vec<(usize, &str)> = external(text).collect();
        assert_eq!(found, [(1, "https://x.y/z"), (1, "https://u.v"), (5, "http://c.d"), (6, "https://e")]);
        let right = ["https://x.y/z#a", "https://a-b.c/?d=e%20f"];
        let wrong = ["http://c.d", "https://e", "https://a b.c", "https://.x", "https://x..y", "https://x.y/<z>"];
        assert!(right.into_iter().all(is_address) && !wrong.into_iter().any(is_address));
    }

    #[test]
    fn what_is_there_is_no_fault_and_what_is_not_is_one() -> Result<(), String> {
        let root = place()?;
        let right = [
            "[a](other.md) [b](other.md#a-b-c-d-e) [c](#own) [d](https://x.y/z)\n# Own",
            "`src/heap/bin.rs` `heap/bin.rs` `src/*/bin.rs` `docs/` `docs/NAME.md` `usr/lib` `a / b` `make check` `make X=1`",
            "`make -C docs` `make -C docs X=1` `make -C . check`",
            "```\n`heap/gone.rs` [a](gone.md)\n```",
        ];
        let page = root.join("docs/page.md");
        for text in right {
            assert_eq!(faults(&root, &page, text), Vec::<String>::new());
        }
        let wrong = [
            "[a](gone.md)",
            "[a](other.md#gone)",
            "[a](#gone)",
            "[a]: gone.md",
            "<img src=\"gone.png\">",
            "`src/heap/gone.rs`",
            "`heap/gone.rs`",
            "`src/*/gone.rs`",
            "`docs/gone/`",
            "`make gone`",
            "`make -C . gone`",
        ];
        for text in wrong {
            let found = faults(&root, &page, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("docs/page.md:1: "));
        }
        Ok(())
    }
}
