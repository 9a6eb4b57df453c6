//! A page of results: tables as markdown, and the same as JSON.
//!
//! Knows: form. Must not know: what the figures mean.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A table: a title, what its columns are called, and the rows.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// The note that explains how to read it.
    pub(crate) note: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// The results of one study.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// Of the files.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) tables: Vec<Table>,
}

/// The lines of a page about how it was made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    command: String,
    date: String,
    machine: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pictures: Vec<String>,
    #[serde(flatten)]
    page: &'a Page,
}

impl Page {
    /// Writes `NAME.md` and `NAME.json` into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        self.write_with(dir, None)
    }

    /// As [`Page::write`], with a picture in SVG, which becomes `NAME.svg` and leads the page.
    pub(crate) fn write_with(&self, dir: &Path, picture: Option<&str>) -> Result<()> {
        let made = Made {
            command: format!("make study-{}", self.name),
            date: said_by("date", &["-u", "+%Y-%m-%d"])?,
            machine: format!("{}, {} cores, Linux {}", processor(), cores(), said_by("uname", &["-r"])?),
            pictures: picture.iter().map(|_| format!("{}.svg", self.name)).collect(),
            page: self,
        };
        fs::create_dir_all(dir)?;
        let path = dir.join(self.name);
        picture.map_or(Ok(()), |svg| write_file(&path.with_extension("svg"), svg))?;
        write_file(&path.with_extension("md"), &made.markdown())?;
        write_file(&path.with_extension("json"), &format!("{}\n", serde_json::to_string_pretty(&made)?))
    }
}

impl Made<'_> {
    fn markdown(&self) -> String {
        let mut text =
            format!("# {}\n\nMade by `{}` on {} ({}).\n", self.page.title, self.command, self.date, self.machine);
        for picture in &self.pictures {
            let _ = write!(text, "\n![{}]({picture})\n", self.page.title);
        }
        for table in &self.page.tables {
            table.push_to(&mut text);
        }
        text
    }
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, note: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), note: note.into(), columns, rows: Vec::new() }
    }

    fn push_to(&self, text: &mut String) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let _ = write!(text, "\n## {}\n\n{}\n\n", self.title, self.note);
        text.push_str(&line(&self.columns));
        let rules: Vec<String> =
            (0..self.columns.len()).map(|at| if self.is_text(at) { "---".into() } else { "---:".into() }).collect();
        text.push_str(&line(&rules));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
    }

    /// Whether a column has sentences rather than figures.
    fn is_text(&self, column: usize) -> bool {
        const WORDS: usize = 4;
        column == 0 || self.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.split(' ').count() >= WORDS))
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: written", path.display());
    Ok(())
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_markdown() {
        let mut table = Table::new("T", "N.", &["a", "b"]);
        table.rows.push(vec!["x".into(), "1".into()]);
        let mut text = String::new();
        table.push_to(&mut text);
        assert_eq!(text, "\n## T\n\nN.\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n");
    }
}
