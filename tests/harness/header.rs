//! The comment header of a test program: how it is built and run, and the expected result.
//!
//! Directives are `// key: value` lines before the first line of code. Keys: `expect`, `env`, `args`, `flags`,
//! `variants`, `only`, `timeout`, `run`, `says`, `stack`. Lines before the first `run` hold for every run; each `run: NAME`
//! opens a further run of the same program. Other comment lines are prose.

use crate::expect::Expectation;

/// How the program meets the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// An ordinary program, started with `LD_PRELOAD`.
    Preload,
    /// Linked against `libspandrel.so`.
    Linked,
    /// Linked against `libspandrel.a`.
    Static,
    /// Nothing of ours: shows that the test itself tells the truth about glibc.
    Glibc,
}

impl Variant {
    /// The word used in headers and test names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preload => "preload",
            Self::Linked => "linked",
            Self::Static => "static",
            Self::Glibc => "glibc",
        }
    }

    fn parse(word: &str) -> Result<Self, String> {
        [Self::Preload, Self::Linked, Self::Static, Self::Glibc]
            .into_iter()
            .find(|variant| variant.word() == word)
            .ok_or_else(|| format!("unknown variant `{word}`"))
    }
}

/// One way to run a program.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Empty when the program has only one run.
    pub name: String,
    /// Environment on top of the test's own.
    pub env: Vec<(String, String)>,
    /// Command line arguments.
    pub args: Vec<String>,
    /// The expected result.
    pub expect: Expectation,
    /// Pieces that lines of standard error must have; see [`crate::expect::says`].
    pub says: Vec<String>,
    /// Pieces that the frames of a call stack must have; see [`crate::expect::has_stack`].
    pub stacks: Vec<String>,
}

/// A parsed header.
#[derive(Clone, Debug)]
pub struct Header {
    /// Extra words for the compiler and the linker.
    pub flags: Vec<String>,
    /// Which variants are run.
    pub variants: Vec<Variant>,
    /// Seconds until the program counts as hanging.
    pub timeout: u64,
    /// At least one.
    pub runs: Vec<RunSpec>,
}

#[derive(Clone, Default)]
struct Draft {
    name: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    expect: Option<Expectation>,
    says: Vec<String>,
    stacks: Vec<String>,
}

impl Draft {
    fn finish(self) -> Result<RunSpec, String> {
        let expect = self.expect.ok_or_else(|| format!("run `{}` has no `// expect:` line", self.name))?;
        Ok(RunSpec { name: self.name, env: self.env, args: self.args, expect, says: self.says, stacks: self.stacks })
    }
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

/// Reads the header of a source text.
pub fn parse(source: &str) -> Result<Header, String> {
    let mut header =
        Header { flags: Vec::new(), variants: vec![Variant::Preload, Variant::Linked], timeout: 30, runs: Vec::new() };
    let mut common = Draft::default();
    let mut current: Option<Draft> = None;
    for line in source.lines().take_while(|line| line.starts_with("//")) {
        let Some((key, value)) = line.trim_start_matches('/').trim().split_once(':') else { continue };
        let value = value.trim();
        let draft = current.as_mut().unwrap_or(&mut common);
        match key {
            "expect" => draft.expect = Some(Expectation::parse(value)?),
            "env" => {
                let pair = value.split_once('=').ok_or_else(|| format!("`env: {value}` wants NAME=VALUE"))?;
                draft.env.push((pair.0.to_owned(), pair.1.to_owned()));
            }
            "says" => draft.says.push(value.to_owned()),
            "stack" => draft.stacks.push(value.to_owned()),
            "args" => draft.args = words(value),
            "flags" => header.flags = words(value),
            "variants" | "only" => {
                header.variants = value.split_whitespace().map(Variant::parse).collect::<Result<_, _>>()?;
            }
            "timeout" => header.timeout = value.parse().map_err(|_| format!("`timeout: {value}` wants seconds"))?,
            "run" => {
                if let Some(done) = current.take() {
                    header.runs.push(done.finish()?);
                }
                current = Some(Draft { name: value.to_owned(), ..common.clone() });
            }
            _ => {}
        }
    }
    header.runs.push(current.unwrap_or(common).finish()?);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::{Variant, parse};

    #[test]
    fn runs_inherit_the_common_part() -> Result<(), String> {
        let header = parse(
            "// Prose: ignored.\n// env: A=1\n// expect: exit 0\n// run: one\n// run: two\n// env: B=x=y\n// expect: exit 3\nint x;\n// expect: exit 9\n",
        )?;
        assert_eq!(header.runs.len(), 2);
        assert_eq!(header.runs[0].env.len(), 1);
        assert_eq!(header.runs[1].env[1], ("B".to_owned(), "x=y".to_owned()));
        assert_ne!(header.runs[0].expect, header.runs[1].expect);
        assert_eq!(header.variants, [Variant::Preload, Variant::Linked]);
        Ok(())
    }

    #[test]
    fn a_header_without_an_expectation_is_an_error() {
        assert!(parse("// only: preload\nint main;\n").is_err());
        assert!(parse("// only: nowhere\n// expect: exit 0\n").is_err());
        assert!(parse("// expect: exit zero\n").is_err());
    }
}
