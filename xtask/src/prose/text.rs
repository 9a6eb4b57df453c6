//! Takes a file apart into names, lines, and the sentences of its comments or paragraphs.
//!
//! Knows: the forms of Rust, C and Markdown. Must not know: what is looked for.

use proc_macro2::{TokenStream, TokenTree};

/// A word of prose: its line and its text.
pub(super) type Word<'a> = (usize, &'a str);

/// The identifiers of code and their lines: of Rust by its tokens, of C by its letters, of Markdown those between
/// backticks.
pub(super) fn names(file: &str, text: &str) -> Vec<(usize, String)> {
    match text.parse::<TokenStream>() {
        Ok(tokens) if file.ends_with(".rs") => {
            let mut names = Vec::new();
            identifiers(tokens, &mut names);
            names
        }
        _ if file.ends_with(".md") => {
            let spans = lines(text)
                .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)));
            spans.flat_map(|(number, span)| split(number, span)).collect()
        }
        _ => lines(text)
            .filter(|(_, line)| comment(line).is_none())
            .flat_map(|(number, line)| split(number, line))
            .collect(),
    }
}

fn identifiers(tokens: TokenStream, names: &mut Vec<(usize, String)>) {
    for tree in tokens {
        match tree {
            TokenTree::Ident(name) => names.push((name.span().start().line, name.to_string())),
            TokenTree::Group(group) => identifiers(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn split(number: usize, text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let parts = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    parts.filter(|part| !part.is_empty()).map(move |part| (number, part.to_owned()))
}

/// The lines that text in quotes stands on: it cannot be broken without becoming another text.
pub(super) fn quoted(file: &str, text: &str) -> Vec<usize> {
    fn within(tokens: TokenStream, quoted: &mut Vec<usize>) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => within(group.stream(), quoted),
                TokenTree::Literal(literal) if literal.to_string().contains('"') => {
                    quoted.extend(literal.span().start().line..=literal.span().end().line);
                }
                TokenTree::Literal(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let mut quoted = Vec::new();
    match text.parse::<TokenStream>() {
        Ok(tokens) if file.ends_with(".rs") => within(tokens, &mut quoted),
        _ if file.ends_with(".md") => {}
        _ => quoted.extend(lines(text).filter(|(_, line)| line.contains('"')).map(|(number, _)| number)),
    }
    quoted
}

/// The words that a name is put together from, in lower case.
pub(super) fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        let is_start = letter == '_' || (letter.is_uppercase() && !before.is_uppercase());
        if is_start {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (letter != '_', parts.last_mut()) {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The lines of a text, numbered from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// The text of a line that is a comment and nothing else.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let marks = ["///", "//!", "//", "/**", "/*", "* "];
    let said = marks.iter().find_map(|mark| line.strip_prefix(mark)).or_else(|| (line == "*").then_some(""))?;
    Some(said.trim_end().trim_end_matches("*/"))
}

/// The paragraphs of comments, or of a page: their words with the lines they stand in. Headings, tables and code are
/// none.
pub(super) fn paragraphs<'a>(file: &str, text: &'a str) -> Vec<Vec<Word<'a>>> {
    let mut all: Vec<Vec<Word<'a>>> = vec![Vec::new()];
    let (mut fenced, mut form) = (false, "");
    for (number, line) in lines(text) {
        let said = if file.ends_with(".md") { Some(line.trim()) } else { comment(line).map(str::trim) };
        let fence = said.is_some_and(|said| said.starts_with("```"));
        fenced ^= fence;
        let said = said.filter(|said| !fence && !fenced && !said.starts_with(['|', '#', '<']));
        // Another kind of comment says something else.
        let before = core::mem::replace(&mut form, line.trim_start().get(..3).unwrap_or_default());
        let is_item = said.is_some_and(|said| {
            said.starts_with("- ") || said.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
        });
        if said.is_none_or(str::is_empty)
            || is_item
            || (!file.ends_with(".md") && before != form && !form.starts_with('*'))
        {
            all.push(Vec::new());
        }
        if let (Some(said), Some(paragraph)) = (said, all.last_mut()) {
            let said = said.strip_prefix("- ").unwrap_or(said);
            paragraph.extend(said.split_whitespace().map(|word| (number, word)));
        }
    }
    all.retain(|paragraph| !paragraph.is_empty());
    all
}

/// The sentences of a paragraph.
pub(super) fn sentences<'a, 'b>(paragraph: &'b [Word<'a>]) -> impl Iterator<Item = &'b [Word<'a>]> {
    paragraph
        .split_inclusive(|(_, word)| word.trim_end_matches(['"', '\'', ')', '`', '*']).ends_with(['.', '?', '!', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(parts("HeapGuard"), ["heap", "guard"]);
        assert_eq!(parts("is_busy"), ["is", "busy"]);
        assert_eq!(parts("LONGEST_RING"), ["longest", "ring"]);
        assert_eq!(names("a.rs", "// ring\nfn a(b: C) { \"ring\" }\n").len(), 4);
        assert_eq!(names("a.md", "A ring and `one_ring`.\n"), [(1, "one_ring".to_owned())]);
        assert_eq!(names("a.c", "/* ring */\nint ring;\n"), [(2, "int".to_owned()), (2, "ring".to_owned())]);
    }

    #[test]
    fn sentences_know_their_lines() {
        let text = "/// One is\n/// here. Two?\nfn three() {}\n// Four\n\n//! Five.\n";
        let all = paragraphs("a.rs", text);
        let found: Vec<(usize, usize)> = all
            .iter()
            .flat_map(|paragraph| sentences(paragraph))
            .map(|sentence| (sentence[0].0, sentence.len()))
            .collect();
        assert_eq!(found, [(1, 3), (2, 1), (4, 1), (6, 1)]);
        assert_eq!(paragraphs("a.md", "# Head\n\n| a | b |\n\n```sh\ncode\n```\n- one\n- two\n").len(), 2);
    }
}
