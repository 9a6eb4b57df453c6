//! The remainder of a text when names, imports and comments are taken out. Where that is the same before and after, a
//! change renamed, moved or reworded, and did nothing else.
//!
//! Knows: Rust's tokens. Must not know: where texts come from.

use crate::layers::modules::active;
use crate::layers::source::is_separator;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;

/// How often each piece of code occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bag(BTreeMap<String, usize>);

/// Words of the language that do something; the others only name, import or say who may see.
const WORDS: [&str; 24] = [
    "as", "await", "break", "const", "continue", "dyn", "else", "enum", "fn", "for", "if", "impl", "let", "loop",
    "match", "move", "mut", "ref", "return", "static", "struct", "trait", "unsafe", "while",
];
/// Attributes that tell compiler and reader something, and change no code.
const SILENT: [&str; 5] = ["allow", "doc", "expect", "must_use", "derive"];

impl Bag {
    /// Adds the text of a file of this name.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        match text.parse::<TokenStream>() {
            Ok(tokens) if file.ends_with(".rs") => self.trees(&active(tokens)),
            _ => text.lines().for_each(|line| self.count(line)),
        }
    }

    fn count(&mut self, piece: &str) {
        *self.0.entry(piece.to_owned()).or_default() += 1;
    }

    fn trees(&mut self, trees: &[TokenTree]) {
        let mut at = 0;
        while at < trees.len() {
            at += match &trees[at] {
                TokenTree::Ident(word) if word == "use" || word == "mod" => {
                    let name = trees[at..]
                        .iter()
                        .position(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ';'));
                    match (word == "use", trees.get(at + 2)) {
                        (false, Some(TokenTree::Group(_))) => 2,
                        _ => name.map_or(1, |length| length + 1),
                    }
                }
                TokenTree::Ident(word) if word == "pub" => match trees.get(at + 1) {
                    Some(TokenTree::Group(group)) if is_scope(&group.stream()) => 2,
                    _ => 1,
                },
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    if WORDS.contains(&word.as_str()) {
                        self.count(&word);
                    }
                    1
                }
                TokenTree::Group(group) => {
                    self.count(&format!("{:?}", group.delimiter()));
                    self.trees(&active(group.stream()));
                    1
                }
                TokenTree::Punct(_) if is_separator(trees, at) => 2,
                // A comma at the end comes and goes with the length of the line.
                TokenTree::Punct(punct) if punct.as_char() == ',' && at + 1 == trees.len() => 1,
                TokenTree::Punct(punct) if punct.as_char() == '#' => self.attribute(trees, at),
                other => {
                    self.count(&other.to_string());
                    1
                }
            };
        }
    }

    /// Passes over an attribute that changes no code.
    fn attribute(&mut self, trees: &[TokenTree], at: usize) -> usize {
        let inner = matches!(trees.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
        let bracket = at + if inner { 2 } else { 1 };
        if let Some(TokenTree::Group(group)) = trees.get(bracket)
            && let Some(TokenTree::Ident(name)) = group.stream().into_iter().next()
            && SILENT.contains(&name.to_string().as_str())
        {
            return bracket + 1 - at;
        }
        self.count("#");
        1
    }
}

/// Whether what stands behind `pub` says for whom.
fn is_scope(inside: &TokenStream) -> bool {
    let first = inside.clone().into_iter().next();
    matches!(first, Some(TokenTree::Ident(word)) if ["crate", "super", "self", "in"].iter().any(|scope| word == scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(text: &str) -> Bag {
        let mut bag = Bag::default();
        bag.add("a.rs", text);
        bag
    }

    const CODE: &str = "//! A file.\nuse crate::a::B;\nmod c;\n/// Adds.\npub(crate) fn add(left: u8, right: u8) -> u8 {\n    B::sum(left, right, 7)\n}\n";

    #[test]
    fn names_imports_comments_and_visibility_are_silent() {
        for other in [
            CODE.replace("add", "plus").replace("left", "first"),
            CODE.replace("use crate::a::B;\n", "use super::{B, D as E};\nuse core::fmt;\n"),
            CODE.replace("B::sum", "crate::a::b::B::sum"),
            CODE.replace("/// Adds.", "/// Adds two numbers, and seven.\n#[expect(unsafe_code, reason = \"none\")]"),
            CODE.replace("pub(crate) ", "pub ").replace("mod c;", ""),
            CODE.replace("(left, right, 7)", "(\n        left,\n        right,\n        7, // seven\n    )"),
            format!("{CODE}#[cfg(test)]\nmod tests {{ fn more() {{ assert!(1 < 2) }} }}\n"),
        ] {
            assert_eq!(bag(&other), bag(CODE), "{other}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for other in [
            CODE.replace('7', "8"),
            CODE.replace("B::sum(left, right, 7)", "B::sum(left, right, 7) + 1"),
            CODE.replace("left: u8, right: u8", "left: u8, right: u8, third: u8"),
            CODE.replace("B::sum(left, right, 7)", "unsafe { B::sum(left, right, 7) }"),
            CODE.replace("B::sum", "!B::sum"),
            CODE.replace("pub(crate) fn", "#[cold]\npub(crate) fn"),
            CODE.replace("left, right, 7", "&left, right, 7"),
        ] {
            assert_ne!(bag(&other), bag(CODE), "{other}");
        }
    }

    #[test]
    fn code_that_moves_to_another_file_is_silent_in_sum() {
        let (one, two) = ("fn a() { b(1) }\n", "use crate::a;\nfn b(c: u8) { a() }\n");
        let (mut before, mut after) = (Bag::default(), Bag::default());
        before.add("a.rs", &format!("{one}{two}"));
        after.add("a.rs", one);
        after.add("c/d.rs", two);
        assert_eq!(before, after);
        after.add("e.c", "int f;\n");
        assert_ne!(before, after);
    }
}
