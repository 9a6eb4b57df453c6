//! Circles of imports: files of which each imports, by way of the others, from all others.
//!
//! Knows: graphs. Must not know: how imports are found.

use super::modules::Imports;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The circles of two files and more, the longest first.
pub(super) fn circles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> =
        imports.keys().map(|file| (file.as_path(), reached(imports, file))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, reached) in &reach {
        if !reached.contains(file) || seen.contains(file) {
            continue;
        }
        let circle: Vec<&Path> =
            reached.iter().copied().filter(|other| reach.get(other).is_some_and(|back| back.contains(file))).collect();
        seen.extend(circle.iter().copied());
        circles.push(circle.into_iter().map(Path::to_owned).collect::<Vec<_>>());
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

/// All files that a file imports from, by way of others too.
fn reached<'a>(imports: &'a Imports, file: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Path> = imports.get(file).into_iter().flatten().map(PathBuf::as_path).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports.get(next).into_iter().flatten().map(PathBuf::as_path));
        }
    }
    reached
}

/// The imports within a circle, a line for each of its files.
pub(super) fn arrows(circle: &[PathBuf], imports: &Imports) -> Vec<String> {
    let line = |file: &PathBuf| {
        let within = imports.get(file).into_iter().flatten().filter(|target| circle.contains(target));
        let targets: Vec<String> = within.map(|target| target.display().to_string()).collect();
        format!("{} → {}", file.display(), targets.join(", "))
    };
    circle.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::modules;

    fn graph(files: &[(&str, &str)]) -> Imports {
        modules::imports(&|path| {
            files.iter().find(|(file, _)| Path::new(file) == path).map(|(_, text)| (*text).to_owned())
        })
    }

    fn of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let names = |circle: &Vec<PathBuf>| circle.iter().map(|file| file.display().to_string()).collect();
        circles(&graph(files)).iter().map(names).collect()
    }

    #[test]
    fn a_circle_is_found_whatever_its_paths_look_like() {
        for (first, second) in [
            ("use crate::heap::two::B; struct A;", "use super::one::A; struct B;"),
            ("use super::two; fn a() { two::b() }", "fn b() { crate::heap::one::a() }"),
            ("fn a() { assert!(super::two::b()) }", "use crate::heap::{self, one as other}; fn b() { other::a() }"),
            ("mod inner { pub fn a() { super::super::two::b() } }", "use super::one::inner; fn b() { inner::a() }"),
            ("macro_rules! m { () => { $crate::heap::two::b() } } fn a() {}", "fn b() { super::one::a() }"),
            ("use super::two::*; fn a() { b() }", "use super::one::a; fn b() {}"),
        ] {
            let files = [
                ("lib.rs", "mod heap;"),
                ("heap/mod.rs", "mod one; mod two;"),
                ("heap/one.rs", first),
                ("heap/two.rs", second),
            ];
            assert_eq!(of(&files), [["heap/one.rs", "heap/two.rs"]], "{first} {second}");
        }
    }

    #[test]
    fn names_that_are_passed_on_count_for_the_file_that_defines_them() {
        let files = [
            ("lib.rs", "mod heap;"),
            ("heap/mod.rs", "mod one; mod two; pub(crate) use one::A; pub(crate) use two::B;"),
            ("heap/one.rs", "use super::B; struct A;"),
            ("heap/two.rs", "use crate::heap::A; struct B;"),
        ];
        assert_eq!(of(&files), [["heap/one.rs", "heap/two.rs"]]);
        assert_eq!(
            arrows(&circles(&graph(&files))[0], &graph(&files)),
            ["heap/one.rs → heap/two.rs", "heap/two.rs → heap/one.rs"]
        );
        let one_way = [
            files[0],
            ("heap/mod.rs", "mod one; mod two; pub(crate) use one::A; fn c() {}"),
            files[2],
            ("heap/two.rs", "struct B;"),
        ];
        assert_eq!(of(&one_way), [[""; 0]; 0]);
    }

    #[test]
    fn tests_and_models_do_not_count() {
        let back = |code: &str| {
            [
                ("lib.rs", "mod one; mod two;".to_owned()),
                ("one.rs", "use crate::two::B; struct A;".to_owned()),
                ("two.rs", format!("struct B; {code}")),
                ("two/tests.rs", "use crate::one::A;".to_owned()),
            ]
        };
        let circles = |code: &str| of(&back(code).each_ref().map(|(file, text)| (*file, text.as_str()))).len();
        assert_eq!(circles("#[cfg(test)] mod tests { use crate::one::A; }"), 0);
        assert_eq!(circles("#[cfg(test)] mod tests;"), 0);
        assert_eq!(circles("#[cfg(all(test, loom))] #[inline] fn f<T, U>() { crate::one::a() }"), 0);
        assert_eq!(circles("fn f() { #[cfg(loom)] crate::one::a(); }"), 0);
        assert_eq!(circles("#[cfg(all(debug_assertions, not(loom)))] fn f() { crate::one::a() }"), 1);
        assert_eq!(circles("#[cfg(not(test))] mod tests; use tests::C;"), 1);
    }
}
