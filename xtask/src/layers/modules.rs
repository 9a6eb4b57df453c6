//! The modules of `src/`, and which file each of them imports from.
//!
//! Knows: Rust's paths, `use` and `mod`. Must not know: the rules.
//! Works on tokens: code that a macro wraps counts like any other. Code of tests and of the models for loom does not
//! count. A name that a module re-exports counts as an import of the file that defines it; what a macro defines counts
//! as its module's own.

use super::source::is_separator;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From each file to those it imports from.
pub(super) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// A path of the crate as it is written, split at `::`.
type Names = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// The names that the file defines here.
    items: BTreeSet<String>,
    /// The names that `use` brings in, with the paths they stand for.
    aliases: BTreeMap<String, Names>,
    /// Modules whose names are all brought in.
    globs: Vec<Names>,
    /// Every path that code here names.
    paths: Vec<Names>,
}

/// The tree of modules below `lib.rs`.
#[derive(Debug, Default)]
struct Crate {
    modules: Vec<Module>,
}

/// The end of a path.
enum Target {
    Module(usize),
    Item(usize),
}

/// The imports of all files that `lib.rs` in `sources` leads to. `read` gives the text of a file below `sources`, if
/// there is one.
pub(super) fn imports(read: &dyn Fn(&Path) -> Option<String>) -> Imports {
    let mut tree = Crate::default();
    tree.load(read, Path::new("lib.rs"), Path::new(""), None);
    tree.imports()
}

impl Crate {
    fn load(
        &mut self,
        read: &dyn Fn(&Path) -> Option<String>,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
    ) -> usize {
        let number = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        if let Some(tokens) = read(file).and_then(|text| text.parse().ok()) {
            self.items(read, number, folder, tokens);
        }
        number
    }

    /// Reads the items of a module, and the modules that they declare.
    fn items(&mut self, read: &dyn Fn(&Path) -> Option<String>, number: usize, folder: &Path, tokens: TokenStream) {
        let trees = active(tokens);
        let mut at = 0;
        while at < trees.len() {
            let name = |offset: usize| match trees.get(at + offset) {
                Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
                _ => None,
            };
            match (name(0).as_deref(), name(1)) {
                (Some("mod"), Some(child)) => {
                    let below = folder.join(&child);
                    let loaded = match trees.get(at + 2) {
                        Some(TokenTree::Group(body)) => {
                            let inline = self.modules.len();
                            let file = self.modules[number].file.clone();
                            self.modules.push(Module { file, parent: Some(number), ..Module::default() });
                            self.items(read, inline, &below, body.stream());
                            inline
                        }
                        _ => {
                            let (flat, deep) = (folder.join(format!("{child}.rs")), below.join("mod.rs"));
                            let file = if read(&flat).is_some() { flat } else { deep };
                            self.load(read, &file, &below, Some(number))
                        }
                    };
                    self.modules[number].children.insert(child, loaded);
                    at += 3;
                }
                (Some("use"), _) => {
                    let end = trees[at..].iter().position(is_semicolon).map_or(trees.len(), |length| at + length);
                    self.used(number, &trees[at + 1..end], is_public(&trees[..at]));
                    at = end + 1;
                }
                (Some("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"), Some(item)) => {
                    self.modules[number].items.insert(item);
                    at += 2;
                }
                (Some("macro_rules"), _) => {
                    if let Some(TokenTree::Ident(item)) = trees.get(at + 2) {
                        self.modules[number].items.insert(item.to_string());
                    }
                    at += 3;
                }
                _ => {
                    at += self.code(number, &trees, at);
                }
            }
        }
    }

    /// Notes the path or the group that begins at a place, and how many trees it takes.
    fn code(&mut self, number: usize, trees: &[TokenTree], at: usize) -> usize {
        match &trees[at] {
            TokenTree::Group(group) => {
                // Functions of a foreign block, and those of a trait or an implementation, are no names of the module.
                let inner = active(group.stream());
                let mut inside = 0;
                while inside < inner.len() {
                    inside += match &inner[inside] {
                        TokenTree::Ident(word) if word == "use" => {
                            let end = inner[inside..]
                                .iter()
                                .position(is_semicolon)
                                .map_or(inner.len(), |length| inside + length);
                            self.used(number, &inner[inside + 1..end], false);
                            end + 1 - inside
                        }
                        _ => self.code(number, &inner, inside),
                    };
                }
                1
            }
            TokenTree::Ident(first) => {
                let mut names = vec![first.to_string()];
                let mut next = at + 1;
                while is_separator(trees, next) {
                    let Some(TokenTree::Ident(name)) = trees.get(next + 2) else { break };
                    names.push(name.to_string());
                    next += 3;
                }
                let before = at.checked_sub(1).map(|before| &trees[before]);
                let is_field = matches!(before, Some(TokenTree::Punct(dot)) if dot.as_char() == '.');
                if !is_field {
                    self.modules[number].paths.push(names);
                }
                next - at
            }
            _ => 1,
        }
    }

    /// Notes what a `use` brings in. A name that is only passed on is no import of this file, unless its code uses the
    /// name as well.
    fn used(&mut self, number: usize, tree: &[TokenTree], passed_on: bool) {
        let mut leaves = Vec::new();
        unfold(&Names::new(), tree, &mut leaves);
        let module = &mut self.modules[number];
        for (mut path, alias) in leaves {
            if path.last().is_some_and(|last| last == "*") {
                path.pop();
                module.globs.push(path);
                continue;
            }
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            if !passed_on {
                module.paths.push(path.clone());
            }
            if let Some(name) = alias.or_else(|| path.last().cloned()) {
                module.aliases.insert(name, path);
            }
        }
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (number, module) in self.modules.iter().enumerate() {
            let from = imports.entry(module.file.clone()).or_default();
            for path in &module.paths {
                if let Some(Target::Item(target)) = self.resolve(number, path, 0) {
                    let file = &self.modules[target].file;
                    if *file != module.file {
                        from.insert(file.clone());
                    }
                }
            }
        }
        imports
    }

    /// Where a path of a module leads; nothing for names from elsewhere.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Target> {
        /// Names may stand for one another in a circle.
        const DEEPEST: usize = 16;
        let (first, rest) = path.split_first()?;
        if depth > DEEPEST {
            return None;
        }
        match first.as_str() {
            "crate" => self.descend(0, rest, depth),
            "self" => self.descend(from, rest, depth),
            "super" => self.descend(self.modules[from].parent?, rest, depth),
            name => {
                let module = &self.modules[from];
                let known = module.children.contains_key(name) || module.aliases.contains_key(name);
                if known { self.descend(from, path, depth) } else { self.through_globs(from, path, depth) }
            }
        }
    }

    /// Where a path below a module leads.
    fn descend(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let Some((first, rest)) = path.split_first() else { return Some(Target::Module(module)) };
        let place = &self.modules[module];
        if first == "super" {
            return self.descend(place.parent?, rest, depth);
        }
        if let Some(child) = place.children.get(first) {
            return self.descend(*child, rest, depth);
        }
        if place.items.contains(first) {
            return Some(Target::Item(module));
        }
        if let Some(alias) = place.aliases.get(first) {
            let whole: Names = alias.iter().chain(rest).cloned().collect();
            return self.resolve(module, &whole, depth + 1);
        }
        // A name that no file defines is made by a macro there.
        self.through_globs(module, path, depth).or(Some(Target::Item(module)))
    }

    fn through_globs(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        self.modules[module].globs.iter().find_map(|glob| {
            let Some(Target::Module(target)) = self.resolve(module, glob, depth + 1) else { return None };
            let place = &self.modules[target];
            let first = path.first()?;
            let known =
                place.children.contains_key(first) || place.items.contains(first) || place.aliases.contains_key(first);
            if known { self.descend(target, path, depth + 1) } else { None }
        })
    }
}

/// The trees that are compiled: without what `cfg` leaves out of the product.
pub(crate) fn active(tokens: TokenStream) -> Vec<TokenTree> {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        match attribute(&trees, at) {
            Some(group) if !holds(&group) => {
                while attribute(&trees, at).is_some() {
                    at += 2;
                }
                at = behind_item(&trees, at);
            }
            _ => {
                kept.push(trees[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// The brackets of an attribute.
fn attribute(trees: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    match (trees.get(at)?, trees.get(at + 1)?) {
        (TokenTree::Punct(sign), TokenTree::Group(group))
            if sign.as_char() == '#' && group.delimiter() == Delimiter::Bracket =>
        {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

/// Whether the product has what stands below an attribute.
fn holds(attribute: &[TokenTree]) -> bool {
    match attribute {
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "cfg" => {
            holds_all(group.stream().into_iter().collect::<Vec<_>>().as_slice()).into_iter().all(|holds| holds)
        }
        _ => true,
    }
}

/// Each predicate of a list: `test` and `loom` are off, everything else is on.
fn holds_all(list: &[TokenTree]) -> Vec<bool> {
    let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ',');
    let parts = list.split(is_comma).filter(|part| !part.is_empty());
    parts
        .map(|part| match part {
            [TokenTree::Ident(name), TokenTree::Group(group)] => {
                let inner = holds_all(&group.stream().into_iter().collect::<Vec<_>>());
                match name.to_string().as_str() {
                    "not" => !inner.iter().all(|holds| *holds),
                    "any" => inner.iter().any(|holds| *holds),
                    _ => inner.iter().all(|holds| *holds),
                }
            }
            [TokenTree::Ident(name)] => name != "test" && name != "loom",
            _ => true,
        })
        .collect()
}

/// The place behind the item, field or statement that begins at a place.
fn behind_item(trees: &[TokenTree], mut at: usize) -> usize {
    let mut angles = 0_i32;
    while let Some(tree) = trees.get(at) {
        at += 1;
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            TokenTree::Punct(sign) => match sign.as_char() {
                ';' => break,
                '<' => angles += 1,
                '>' => angles -= 1,
                ',' if angles <= 0 => break,
                _ => {}
            },
            _ => {}
        }
    }
    at
}

fn is_semicolon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ';')
}

/// Whether what stands before a `use` makes it one that passes names on.
fn is_public(before: &[TokenTree]) -> bool {
    let is_pub = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Ident(word)) if word == "pub");
    match before.split_last() {
        Some((TokenTree::Group(_), rest)) => is_pub(rest.last()),
        Some((last, _)) => is_pub(Some(last)),
        None => false,
    }
}

/// The paths of a tree of `use`, each with the name that follows `as`.
fn unfold(base: &Names, tree: &[TokenTree], leaves: &mut Vec<(Names, Option<String>)>) {
    let mut path = base.clone();
    let mut at = 0;
    while let Some(part) = tree.get(at) {
        match part {
            TokenTree::Ident(word) if word == "as" => {
                let alias = tree.get(at + 1).map(ToString::to_string);
                leaves.push((path, alias));
                return;
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == '*' => path.push("*".to_owned()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(sign) if sign.as_char() == ',');
                for part in inner.split(is_comma).filter(|part| !part.is_empty()) {
                    unfold(&path, part, leaves);
                }
                return;
            }
            _ => {}
        }
        at += 1;
    }
    leaves.push((path, None));
}

/// Whether the product's part of a text has `unsafe` code.
pub(super) fn is_unsafe(text: &str) -> bool {
    fn within(trees: Vec<TokenTree>) -> bool {
        trees.into_iter().any(|tree| match tree {
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Group(group) => within(active(group.stream())),
            _ => false,
        })
    }
    text.parse().is_ok_and(|tokens| within(active(tokens)))
}
