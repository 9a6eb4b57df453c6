//! The blocks of code of a page of the documentation, and the marks beside those for a shell.
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

/// A block of code, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The heading above it, without its signs.
    pub heading: String,
    /// The paragraph that ends in a colon before it, on one line; or nothing.
    pub introduction: String,
    /// The word behind the fence.
    pub language: String,
    /// The text of its marks; nothing of one that is not for a shell.
    pub marks: Marks,
    /// The line of the page where its first one stands, from 1.
    pub first: usize,
    /// Its lines.
    pub lines: Vec<String>,
}

/// A part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Commands of a test alone: the line where they start, and the lines.
    First(usize, Vec<String>),
    /// From here on another text stands for a word.
    Read(String, String),
    /// Code.
    Block(Block),
}

impl Block {
    /// How it says what to run; nothing if it is not for a shell.
    pub fn kind(&self) -> Option<Kind> {
        match self.language.as_str() {
            "sh" | "bash" | "shell" => Some(Kind::Script),
            "console" => Some(Kind::Session),
            _ => None,
        }
    }

    /// Its lines, each with its end.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Its commands; none if it is not for a shell.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let Some(kind) = self.kind() else { return steps };
        let mut goes_on = false;
        for (line, text) in (self.first..).zip(&self.lines) {
            let prompted = text.strip_prefix(PROMPT);
            match (kind, steps.last_mut(), prompted) {
                (Kind::Script, Some(step), _) => step.command.push(text.clone()),
                (Kind::Session, Some(step), _) if goes_on => step.command.push(text.clone()),
                (Kind::Session, Some(step), None) => step.output.push(text.clone()),
                (Kind::Session, None, None) => {}
                _ => steps.push(Step { line, command: vec![prompted.unwrap_or(text).to_owned()], output: Vec::new() }),
            }
            goes_on = (goes_on || prompted.is_some()) && text.ends_with('\\');
        }
        steps
    }
}

/// The blocks of code of a page, in order.
///
/// # Errors
/// As of [`parts`].
pub fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let of_code = |part| if let Part::Block(block) = part { Some(block) } else { None };
    Ok(parts(text)?.into_iter().filter_map(of_code).collect())
}

/// The blocks and marks of a page, in order.
///
/// # Errors
/// When a mark is not understood, or stands above no block.
pub fn parts(text: &str) -> Result<Vec<Part>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
    let (mut heading, mut introduction) = (String::new(), String::new());
    let (mut parts, mut marks, mut at) = (Vec::new(), Marks::default(), 0);
    while at < lines.len() {
        let line = lines[at].trim();
        if let Some(language) = line.strip_prefix(FENCE) {
            let length = lines[at + 1..].iter().take_while(|line| !line.trim().starts_with(FENCE)).count();
            let mut block = Block {
                heading: heading.clone(),
                introduction: core::mem::take(&mut introduction),
                language: language.trim().to_owned(),
                marks: Marks::default(),
                first: at + 2,
                lines: owned(&lines[at + 1..(at + 1 + length).min(lines.len())]),
            };
            if block.kind().is_some() {
                block.marks = core::mem::take(&mut marks);
            }
            parts.push(Part::Block(block));
            at += length + 2;
        } else if let Some(rest) = line.strip_prefix("<!-- ") {
            let length = lines[at..].iter().take_while(|line| !line.contains("-->")).count();
            if rest.trim() == "run first" {
                parts.push(Part::First(at + 2, owned(&lines[at + 1..(at + length).min(lines.len())])));
            } else if let Some(said) = rest.strip_suffix("-->") {
                parts.extend(mark(said.trim(), &mut marks).map_err(|what| format!("{}: {what}", at + 1))?);
            }
            at += length + 1;
        } else {
            if line.starts_with('#') {
                if marks != Marks::default() {
                    return Err(format!("{}: a mark above stands above no block", at + 1));
                }
                heading = line.trim_start_matches(['#', ' ']).to_owned();
                introduction.clear();
            } else if !line.is_empty() {
                introduction.push_str(line);
                introduction.push(' ');
            } else if !introduction.ends_with(": ") {
                introduction.clear();
            }
            at += 1;
        }
    }
    if marks == Marks::default() { Ok(parts) } else { Err("the last mark stands above no block".to_owned()) }
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
        let varied = Marks { status: Some(134), numbers_vary: true, ..Marks::default() };
        let not_run = Marks { not_run: Some("it takes long".to_owned()), ..Marks::default() };
        let expected = [
            (Marks::default(), Some(Kind::Script), vec![step(4, &["one", "two"], &[])]),
            (
                varied,
                Some(Kind::Session),
                vec![step(11, &["three \\", "    --more"], &["out 1"]), step(14, &["four &"], &[])],
            ),
            (Marks::default(), None, Vec::new()),
            (not_run, Some(Kind::Script), vec![step(26, &["five"], &[])]),
        ];
        let found = blocks(page).expect("the marks are right");
        let found: Vec<_> = found.into_iter().map(|block| (block.marks.clone(), block.kind(), block.steps())).collect();
        assert_eq!(found, expected);
        let others: Vec<Part> =
            parts(page).into_iter().flatten().filter(|part| !matches!(part, Part::Block(_))).collect();
        let read = Part::Read("PID".to_owned(), "$PID".to_owned());
        assert_eq!(others, [Part::First(20, vec!["make it".to_owned()]), read]);
    }

    #[test]
    fn blocks_know_what_stands_before_them() {
        let page = "# A\n\nx\n\n```sh\none\n\ntwo\n```\n\n## B `c`\n\nTo\ndo:\n\n<!-- y -->\n```text\n```\n";
        let found = blocks(page).expect("there are no marks");
        let found: Vec<_> =
            found.iter().map(|block| (&*block.heading, &*block.introduction, &*block.language, block.text())).collect();
        let expected = [("A", "", "sh", "one\n\ntwo\n".to_owned()), ("B `c`", "To do: ", "text", String::new())];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mark_that_says_nothing_or_of_nothing_is_refused() {
        for page in ["<!-- not run: -->\n```sh\na\n```\n", "<!-- ends with x -->\n", "<!-- numbers vary -->\n# Next\n"]
        {
            assert!(parts(page).is_err(), "{page}");
        }
        assert!(parts("<!-- not run: x -->\n").is_err());
        assert!(parts("<!-- Some words. -->\n# Head\n\n```text\n$ a\n```\n").is_ok());
    }
}
