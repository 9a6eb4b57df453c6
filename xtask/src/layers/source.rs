//! Takes one source file apart into what the rules ask about.
//!
//! Knows: Rust's grammar (through syn) and module paths. Must not know: the rules.
//! Works on tokens where macros may hide code from the grammar; text in comments and strings never counts.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// How many segments of a path are of interest.
const SEGMENTS: usize = 2;
/// The functions by which `errno` is set: ours and the C library's.
const ERRNO_SETTERS: [&str; 2] = ["set_errno", "__errno_location"];

/// The parts of a file that the rules ask about.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Paths into the crate, written with `crate::` or with `super::`.
    pub(super) crate_paths: Vec<CratePath>,
    /// Functions with a body.
    pub(super) functions: Vec<Function>,
    /// Lines that name `core::sync::atomic` or std's.
    pub(super) core_atomics: Vec<usize>,
    /// Lines that name `SeqCst`.
    pub(super) sequential: Vec<usize>,
    /// Lines that name what sets `errno`.
    pub(super) errno: Vec<usize>,
}

/// A path into the crate: its first segments after `crate::`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CratePath {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

/// A function from its signature to its closing brace.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl Source {
    /// Takes the text of `file` (its path below `src/`) apart.
    pub(super) fn parse(file: &Path, text: &str) -> syn::Result<Self> {
        let parsed = syn::parse_file(text)?;
        let mut source = Self::default();
        source.visit_file(&parsed);
        let tokens: TokenStream = text.parse().map_err(syn::Error::from)?;
        source.scan(tokens, &module_path(file));
        Ok(source)
    }

    fn scan(&mut self, tokens: TokenStream, module: &[String]) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Ident(ident) => self.word(&ident.to_string(), ident.span().start().line, &trees, at, module),
                TokenTree::Group(group) => {
                    let mut inner = module.to_vec();
                    if let (true, Some(name)) = (group.delimiter() == Delimiter::Brace, inline_module(&trees, at)) {
                        inner.push(name);
                    }
                    self.scan(group.stream(), &inner);
                }
                // A string may be the name under which a function is linked.
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if ERRNO_SETTERS.contains(&text.trim_matches('"')) {
                        self.errno.push(literal.span().start().line);
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }

    fn word(&mut self, word: &str, line: usize, trees: &[TokenTree], at: usize, module: &[String]) {
        let is_start = !(at >= 2 && is_separator(trees, at - 2));
        let after = &trees[at + 1..];
        match word {
            "SeqCst" => self.sequential.push(line),
            setter if ERRNO_SETTERS.contains(&setter) => self.errno.push(line),
            "crate" => self.paths(line, &[], after),
            "super" if is_start => {
                let mut base = parent(module);
                let mut rest = after;
                while is_separator(rest, 0) && matches!(rest.get(2), Some(TokenTree::Ident(next)) if next == "super") {
                    base = parent(base);
                    rest = &rest[3..];
                }
                self.paths(line, base, rest);
            }
            "core" | "std" if is_start => {
                let atomics = paths_after(after)
                    .into_iter()
                    .filter(|path| path.starts_with(&["sync".to_owned(), "atomic".to_owned()]));
                self.core_atomics.extend(atomics.map(|_| line));
            }
            _ => {}
        }
    }

    fn paths(&mut self, line: usize, base: &[String], after: &[TokenTree]) {
        for tail in paths_after(after) {
            let segments: Vec<String> = base.iter().cloned().chain(tail).take(SEGMENTS).collect();
            let path = CratePath { line, segments };
            if !self.crate_paths.contains(&path) {
                self.crate_paths.push(path);
            }
        }
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let line = signature.span().start().line;
        let lines = body.span().end().line + 1 - line;
        self.functions.push(Function { name: signature.ident.to_string(), line, lines });
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// The module that a file below `src/` defines, as segments.
fn module_path(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let mut segments: Vec<String> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if segments.last().is_some_and(|last| last == "mod" || (segments.len() == 1 && last == "lib")) {
        segments.pop();
    }
    segments
}

fn parent(module: &[String]) -> &[String] {
    module.split_last().map_or(&[], |(_, rest)| rest)
}

/// The name in `mod name { … }` if the group at `at` is that body.
fn inline_module(trees: &[TokenTree], at: usize) -> Option<String> {
    match (trees.get(at.checked_sub(2)?)?, trees.get(at.checked_sub(1)?)?) {
        (TokenTree::Ident(keyword), TokenTree::Ident(name)) if keyword == "mod" => Some(name.to_string()),
        _ => None,
    }
}

pub(crate) fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    let colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(trees.get(at)) && colon(trees.get(at + 1))
}

/// The paths that continue after a first segment: `::a::b` is one, `::{a, b::c}` two, anything else none.
fn paths_after(trees: &[TokenTree]) -> Vec<Vec<String>> {
    if !is_separator(trees, 0) {
        return Vec::new();
    }
    match trees.get(2) {
        Some(TokenTree::Ident(ident)) => continued(&ident.to_string(), &trees[3..]),
        Some(TokenTree::Group(group)) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',');
            inner
                .split(is_comma)
                .filter_map(|part| part.split_first())
                .flat_map(|(first, rest)| continued(&first.to_string(), rest))
                .collect()
        }
        _ => vec![Vec::new()],
    }
}

fn continued(first: &str, rest: &[TokenTree]) -> Vec<Vec<String>> {
    let tails = paths_after(rest);
    if tails.is_empty() {
        return vec![vec![first.to_owned()]];
    }
    tails.into_iter().map(|tail| [vec![first.to_owned()], tail].concat()).collect()
}
