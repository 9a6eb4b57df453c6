//! Accounts: by what the memory of a program that makes no heaps is billed, and the limits that a file sets by name.
//! Must not know how bills are kept.

use super::parse;

/// No limit.
const UNLIMITED: usize = usize::MAX;

/// By what the memory of a program that makes no heaps is billed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Account {
    /// By nothing.
    Off,
    /// By the names of threads.
    ThreadName,
    /// By the control groups of threads.
    CgroupThread,
    /// By the objects that hold the calling code, estimated.
    Object,
}

pub(super) const ACCOUNT: &str = "off, thread-name, cgroup-thread or object";

pub(super) fn account(value: &[u8]) -> Option<Account> {
    match value {
        b"off" => Some(Account::Off),
        b"thread-name" => Some(Account::ThreadName),
        b"cgroup-thread" => Some(Account::CgroupThread),
        b"object" => Some(Account::Object),
        _ => None,
    }
}

/// A line of the file of limits, in bytes; [`UNLIMITED`] for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule<'a> {
    /// The names it is for: `*` stands for any bytes.
    pub(crate) names: &'a [u8],
    pub(crate) soft: usize,
    pub(crate) hard: usize,
}

impl<'a> Rule<'a> {
    /// The rules of the file's `text`, with the line of each: `None` for a line that is none.
    pub(crate) fn each(text: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Option<Self>)> {
        let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(|line| (line, Self::parse(line)))
    }

    /// A name may have blanks, so the two limits are the last words.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (rest, hard) = last_word(line)?;
        let (names, soft) = last_word(rest)?;
        let (soft, hard) = (limit(soft)?, limit(hard)?);
        let is_ordered = soft == UNLIMITED || soft <= hard;
        (is_ordered && !names.is_empty()).then_some(Self { names, soft, hard })
    }

    /// Whether the rule is for `name`.
    pub(crate) fn is_for(&self, name: &[u8]) -> bool {
        matches(self.names, name)
    }
}

/// The text before the last word, and that word.
fn last_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().rposition(u8::is_ascii_whitespace)?;
    let (rest, word) = text.split_at_checked(blank + 1)?;
    Some((rest.trim_ascii_end(), word))
}

/// A limit of 0 bytes would mean none elsewhere, so it is no value here.
fn limit(value: &[u8]) -> Option<usize> {
    if value == b"none" { Some(UNLIMITED) } else { parse::size(value).filter(|&size| size > 0) }
}

/// Whether `pattern`, in which `*` stands for any bytes, is for `name`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Behind the last `*`, and how much of the name that one stood for.
    let mut retry: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, seen));
            }
            Some(byte) if name.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((behind, taken)) = retry else { return false };
                (at, seen) = (behind, taken + 1);
                retry = Some((behind, taken + 1));
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{GIB, MIB};
    use proptest::prelude::*;

    fn rules(text: &str) -> Vec<Option<Rule<'_>>> {
        Rule::each(text.as_bytes()).map(|(_, rule)| rule).collect()
    }

    #[test]
    fn lines_are_names_and_two_limits() {
        let text = "# all\n\n worker-* 32M 64MiB\r\nWeb Content none 1G\nGC\t1m none\nlast 5 5";
        let rule = |names: &'static str, soft, hard| Some(Rule { names: names.as_bytes(), soft, hard });
        let wanted = [
            rule("worker-*", 32 * MIB, 64 * MIB),
            rule("Web Content", UNLIMITED, GIB),
            rule("GC", MIB, UNLIMITED),
            rule("last", 5, 5),
        ];
        assert_eq!(rules(text), wanted);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in
            ["name", "name 1M", "1M 2M", "name 2M 1M", "name 0 1M", "name 1M 0", "name 1M 2X", "name 1M -", "none none"]
        {
            assert_eq!(rules(line), [None], "{line}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*c", "acbc"),
            ("*b*", "abc"),
            ("**", "x"),
            ("a", "a"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("a", ""), ("", "a"), ("a*c", "acb"), ("a*", "ba"), ("a*b*c", "acb"), ("ab", "a")] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    /// As `matches`, by trying every length for a star.
    fn by_trying(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| by_trying(rest, &name[taken..])),
            Some((byte, rest)) => name.first() == Some(byte) && by_trying(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matches_as_by_trying(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(pattern, name), by_trying(pattern, name));
        }

        #[test]
        fn no_text_panics(text: Vec<u8>) {
            Rule::each(&text).for_each(drop);
        }
    }
}
