//! The commands of a page of the documentation: its blocks of shell, and the marks beside them.
//!
//! Knows: the Markdown that our pages use, and the forms of marks. Must not know: how commands run.
//!
//! A mark is a comment that browsers hide. It stands on lines of its own, and those on a block stand above it:
//!
//! | Mark | Says |
//! |---|---|
//! | `<!-- not run: REASON -->` | nobody runs the next block |
//! | `<!-- ends with 134 -->` | a command of the next block ends with that status |
//! | `<!-- numbers vary -->` | numbers of the next block's output are different each time |
//! | `<!-- needs PACKAGE… -->` | the next block runs where these packages of Debian are, or can be installed |
//! | `<!-- read WORD as TEXT -->` | from here on commands of the page have TEXT in place of WORD |
//! | `<!-- run first`, lines, `-->` | commands of a test that a reader does not need |

/// Between a word and what stands for it.
const AS: &str = " as ";
const FENCE: &str = "```";
const PROMPT: &str = "$ ";

/// How a block says what to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sh`: all lines are commands.
    Script,
    /// `console`: commands stand behind `$`, and what they print below them.
    Session,
}

/// The words of marks on one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Why nobody runs it.
    pub not_run: Option<String>,
    /// The status with which a command of it ends.
    pub status: Option<u8>,
    /// Its numbers are different each time.
    pub numbers_vary: bool,
    /// The packages that it needs.
    pub needs: Vec<String>,
}

/// A command of a session, and its output on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line of the page where it stands, from 1.
    pub line: usize,
    /// Its lines, without the prompt.
    pub command: Vec<String>,
    /// Its output; empty if the page does not say.
    pub output: Vec<String>,
}

/// A part of a page for its reader's shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Commands of a test alone: the line where they start, and the lines.
    First(usize, Vec<String>),
    /// From here on another text stands for a word.
    Read(String, String),
    /// A block: what marks say of it, and its commands.
    Block(Marks, Kind, Vec<Step>),
}

/// Everything that a page has for a shell.
///
/// # Errors
/// When a mark is not understood, or stands above no block.
pub fn parts(text: &str) -> Result<Vec<Part>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut parts, mut marks, mut at) = (Vec::new(), Marks::default(), 0);
    while at < lines.len() {
        let line = lines[at].trim();
        if let Some(language) = line.strip_prefix(FENCE) {
            let length = lines[at + 1..].iter().take_while(|line| !line.trim().starts_with(FENCE)).count();
            let body = &lines[at + 1..(at + 1 + length).min(lines.len())];
            if let Some(kind) = kind(language) {
                parts.push(Part::Block(core::mem::take(&mut marks), kind, steps(kind, body, at + 2)));
            }
            at += length + 2;
        } else if let Some(rest) = line.strip_prefix("<!-- ") {
            let length = lines[at..].iter().take_while(|line| !line.contains("-->")).count();
            if rest.trim() == "run first" {
                let body = lines[at + 1..(at + length).min(lines.len())].iter();
                parts.push(Part::First(at + 2, body.map(|line| (*line).to_owned()).collect()));
            } else if let Some(said) = rest.strip_suffix("-->") {
                parts.extend(mark(said.trim(), &mut marks).map_err(|what| format!("{}: {what}", at + 1))?);
            }
            at += length + 1;
        } else {
            if line.starts_with('#') && marks != Marks::default() {
                return Err(format!("{}: a mark above stands above no block", at + 1));
            }
            at += 1;
        }
    }
    if marks == Marks::default() { Ok(parts) } else { Err("the last mark stands above no block".to_owned()) }
}

fn kind(language: &str) -> Option<Kind> {
    match language.trim() {
        "sh" | "bash" | "shell" => Some(Kind::Script),
        "console" => Some(Kind::Session),
        _ => None,
    }
}

/// Reads one mark. Other comments say nothing to a shell.
fn mark(said: &str, marks: &mut Marks) -> Result<Option<Part>, String> {
    if let Some(reason) = said.strip_prefix("not run:") {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err("`not run` has no reason".to_owned());
        }
        marks.not_run = Some(reason.to_owned());
    } else if let Some(status) = said.strip_prefix("ends with ") {
        marks.status = Some(status.trim().parse().map_err(|_| format!("{status} is no status"))?);
    } else if said == "numbers vary" {
        marks.numbers_vary = true;
    } else if let Some(names) = said.strip_prefix("needs ") {
        marks.needs.extend(names.split_whitespace().map(str::to_owned));
    } else if let Some(pair) = said.strip_prefix("read ") {
        let (word, text) = pair.split_once(AS).ok_or("`read` without `as`")?;
        return Ok(Some(Part::Read(word.to_owned(), text.to_owned())));
    }
    Ok(None)
}

/// The commands of a block that starts at this line of the page.
fn steps(kind: Kind, body: &[&str], first: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (first..).zip(body) {
        let prompted = text.strip_prefix(PROMPT);
        match (kind, steps.last_mut(), prompted) {
            (Kind::Script, Some(step), _) => step.command.push((*text).to_owned()),
            (Kind::Session, Some(step), _) if goes_on => step.command.push((*text).to_owned()),
            (Kind::Session, Some(step), None) => step.output.push((*text).to_owned()),
            (Kind::Session, None, None) => {}
            _ => steps.push(Step { line, command: vec![prompted.unwrap_or(text).to_owned()], output: Vec::new() }),
        }
        goes_on = (goes_on || prompted.is_some()) && text.ends_with('\\');
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: usize, command: &[&str], output: &[&str]) -> Step {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Step { line, command: owned(command), output: owned(output) }
    }

    #[test]
    fn commands_and_marks_are_found_where_they_stand() {
        let page = "# Page\n\n```sh\none\ntwo\n```\n\n<!-- ends with 134 -->\n<!-- numbers vary -->\n```console\n\
            $ three \\\n    --more\nout 1\n$ four &\n```\n```c\nint main;\n```\n<!-- run first\nmake it\n-->\n\
            <!-- read PID as $PID -->\n<!-- Generated. -->\n<!-- not run: it takes long -->\n```sh\nfive\n```\n";
        let marks = |change: &dyn Fn(&mut Marks)| {
            let mut marks = Marks::default();
            change(&mut marks);
            marks
        };
        let session = vec![step(11, &["three \\", "    --more"], &["out 1"]), step(14, &["four &"], &[])];
        let expected = vec![
            Part::Block(Marks::default(), Kind::Script, vec![step(4, &["one", "two"], &[])]),
            Part::Block(marks(&|marks| (marks.status, marks.numbers_vary) = (Some(134), true)), Kind::Session, session),
            Part::First(20, vec!["make it".to_owned()]),
            Part::Read("PID".to_owned(), "$PID".to_owned()),
            Part::Block(
                marks(&|marks| marks.not_run = Some("it takes long".to_owned())),
                Kind::Script,
                vec![step(26, &["five"], &[])],
            ),
        ];
        assert_eq!(parts(page), Ok(expected));
    }

    #[test]
    fn a_mark_that_says_nothing_or_of_nothing_is_refused() {
        for page in ["<!-- not run: -->\n```sh\na\n```\n", "<!-- ends with x -->\n", "<!-- numbers vary -->\n# Next\n"]
        {
            assert!(parts(page).is_err(), "{page}");
        }
        assert!(parts("<!-- not run: x -->\n").is_err());
        assert_eq!(parts("<!-- Some words. -->\n# Head\n\n```text\n$ a\n```\n"), Ok(Vec::new()));
    }
}
