//! The list of mutants: what it says of each, and what of that does not fit the sources.
//!
//! Knows: the form of `mutants.toml`. Must not know: how a test is run.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Where the list is, from the root of the repository.
pub const FILE: &str = "tests/mutants/mutants.toml";

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The mutants, in the order in which they are tried.
    #[serde(default, rename = "mutant")]
    pub mutants: Vec<Mutant>,
    /// Promises that no test of ours can see broken.
    #[serde(default)]
    pub untested: Vec<Untested>,
}

/// A patch and the test that must fail with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name.
    pub name: String,
    /// The promise that it breaks: the page, and what it says.
    pub promise: String,
    /// The file to change, from the root of the repository.
    pub file: String,
    /// Text that is in the file once.
    pub find: String,
    /// The text that takes its place.
    pub replace: String,
    /// The narrowest test that must fail: `unit NAME`, `loom NAME`, `tool NAME`, or `TARGET CASE` of `tests/`.
    pub test: Test,
}

/// A promise without a mutant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Untested {
    /// The page, and what it says.
    pub promise: String,
    /// Why no test here can see it broken.
    pub reason: String,
}

/// A test by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Test {
    /// Where it is found.
    pub kind: Kind,
    /// Its whole name.
    pub name: String,
}

/// Where a test is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A unit or property test of `src/`.
    Unit,
    /// A model of `src/`, for the model checker.
    Loom,
    /// A unit test of the command `spandrel`.
    Tool,
    /// A case of this test target of `tests/`, which runs the built library.
    Target(String),
}

impl TryFrom<String> for Test {
    type Error = String;

    fn try_from(text: String) -> core::result::Result<Self, String> {
        let (kind, name) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not `KIND NAME`"))?;
        let kind = match kind {
            "unit" => Kind::Unit,
            "loom" => Kind::Loom,
            "tool" => Kind::Tool,
            target => Kind::Target(target.to_owned()),
        };
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl core::fmt::Display for Test {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.kind {
            Kind::Unit => write!(out, "unit {}", self.name),
            Kind::Loom => write!(out, "loom {}", self.name),
            Kind::Tool => write!(out, "tool {}", self.name),
            Kind::Target(target) => write!(out, "{target} {}", self.name),
        }
    }
}

impl List {
    /// Reads the list of the repository at `root`.
    ///
    /// # Errors
    /// When it cannot be read, or two mutants have one name.
    pub fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        Self::parse(&text)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// As for [`List::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text).with_context(|| format!("cannot understand {FILE}"))?;
        let mut seen = HashSet::new();
        if let Some(twice) = list.mutants.iter().find(|mutant| !seen.insert(&mutant.name)) {
            bail!("two mutants are called {}", twice.name);
        }
        Ok(list)
    }

    /// The faults of the mutants, given the sources below `root`: patches that do not apply, pages that are not
    /// there.
    #[must_use]
    pub fn faults(&self, root: &Path) -> Vec<String> {
        let patches = self.mutants.iter().filter_map(|mutant| {
            let error = mutant.apply(root).err()?;
            Some(format!("{}: {error:#}", mutant.name))
        });
        let promises =
            self.mutants.iter().map(|mutant| &mutant.promise).chain(self.untested.iter().map(|one| &one.promise));
        let pages =
            promises.filter(|promise| !names_a_page(root, promise)).map(|promise| format!("no such page: {promise}"));
        patches.chain(pages).collect()
    }
}

/// Whether the promise begins with a page of the repository and a colon.
fn names_a_page(root: &Path, promise: &str) -> bool {
    promise.split_once(": ").is_some_and(|(page, text)| root.join(page).is_file() && !text.is_empty())
}

impl Mutant {
    /// The text of its file below `root`, changed.
    ///
    /// # Errors
    /// When the file cannot be read, what is to be changed is not in it exactly once, or nothing would change.
    pub fn apply(&self, root: &Path) -> Result<String> {
        let text = fs::read_to_string(root.join(&self.file)).with_context(|| format!("cannot read {}", self.file))?;
        match text.matches(&self.find).count() {
            _ if self.find == self.replace => bail!("changes nothing"),
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            0 => bail!("stale: {} does not have the text to change", self.file),
            count => bail!("stale: {} has the text to change {count} times", self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        [[mutant]]
        name = "a"
        promise = "page.md: two is two"
        file = "x.rs"
        find = "2"
        replace = "3"
        test = "ffi case [preload]"
    "#;

    fn faults(list: &str, source: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x.rs"), source).unwrap();
        fs::write(root.path().join("page.md"), "two is two").unwrap();
        List::parse(list).unwrap().faults(root.path())
    }

    #[test]
    fn a_patch_that_fits_has_no_fault() {
        assert_eq!(faults(ONE, "one 2 one"), [""; 0]);
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x.rs"), "one 2 one").unwrap();
        assert_eq!(List::parse(ONE).unwrap().mutants[0].apply(root.path()).unwrap(), "one 3 one");
    }

    #[test]
    fn stale_patches_are_found() {
        assert_eq!(faults(ONE, "one"), ["a: stale: x.rs does not have the text to change"]);
        assert_eq!(faults(ONE, "2 2"), ["a: stale: x.rs has the text to change 2 times"]);
        assert_eq!(faults(&ONE.replace("\"3\"", "\"2\""), "2"), ["a: changes nothing"]);
        assert_eq!(faults(&ONE.replace("x.rs", "y.rs"), "2").len(), 1);
    }

    #[test]
    fn a_promise_names_a_page() {
        assert_eq!(faults(&ONE.replace("page.md", "other.md"), "2"), ["no such page: other.md: two is two"]);
        assert_eq!(faults(&ONE.replace("page.md: two is two", "two is two"), "2").len(), 1);
    }

    #[test]
    fn tests_are_named_by_kind_and_name() {
        let test = |text: &str| Test::try_from(text.to_owned());
        assert_eq!(test("unit a::b").unwrap().kind, Kind::Unit);
        assert_eq!(test("loom a").unwrap().kind, Kind::Loom);
        assert_eq!(test("tool a::b").unwrap().kind, Kind::Tool);
        let case = test("ffi a::b [linked]").unwrap();
        assert_eq!((case.kind.clone(), case.name.as_str()), (Kind::Target("ffi".to_owned()), "a::b [linked]"));
        assert_eq!(case.to_string(), "ffi a::b [linked]");
        assert!(test("unit").is_err());
    }

    #[test]
    fn unknown_words_and_names_used_twice_are_errors() {
        assert!(List::parse(&ONE.replace("find", "seek")).is_err());
        assert!(List::parse(&format!("{ONE}{ONE}")).is_err());
    }
}
