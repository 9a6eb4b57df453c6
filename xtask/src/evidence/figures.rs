//! Figures by check: what was measured, what is promised of it, and how far the recorded figure may be from the
//! measured one.
//!
//! Knows: the form of a file of checks. Must not know: how anything is measured.
//!
//! # Invariants
//! - A recorded figure is compared, never trusted: it has to keep what is promised, and to be what was measured now.
//! - A check that the machine of the record could not make is recorded in words, and nothing is compared with it.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// In place of figures: why there are none.
const IMPOSSIBLE: &str = "impossible";
const WHAT: &str = "what";

/// The value of a figure.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A count, or bytes.
    Number(i64),
    /// A word.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(out),
            Self::Text(text) => fmt::Debug::fmt(text, out),
        }
    }
}

/// The promise for a figure.
#[derive(Clone, Debug, PartialEq)]
enum Promise {
    /// Nothing.
    None,
    Is(Value),
    Within(i64, i64),
}

/// How far from the measured a recorded figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slack {
    None,
    /// A part of it in hundredths, and so much more.
    Near(i64, i64),
    /// Any that keeps the promise: chance has a say.
    Promise,
}

/// One figure as measured now.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    name: &'static str,
    value: Value,
    promise: Promise,
    slack: Slack,
}

impl Figure {
    /// A number of which nothing is promised, and which has to come out the same each time.
    pub fn number(name: &'static str, number: i64) -> Self {
        Self { name, value: Value::Number(number), promise: Promise::None, slack: Slack::None }
    }

    /// A word that has to be this one.
    pub fn word(name: &'static str, word: &str, promised: &str) -> Self {
        let promise = Promise::Is(Value::Text(promised.to_owned()));
        Self { name, value: Value::Text(word.to_owned()), promise, slack: Slack::None }
    }

    /// It has to be this.
    pub fn is(self, promised: i64) -> Self {
        Self { promise: Promise::Is(Value::Number(promised)), ..self }
    }

    /// It has to be this or more.
    pub fn at_least(self, least: i64) -> Self {
        self.within(least, i64::MAX)
    }

    /// It has to be this or less.
    pub fn at_most(self, most: i64) -> Self {
        self.within(i64::MIN, most)
    }

    /// It has to lie between, or be one of the two.
    pub fn within(self, least: i64, most: i64) -> Self {
        Self { promise: Promise::Within(least, most), ..self }
    }

    /// It may differ from time to time by a part in hundredths, and so much more.
    pub fn near(self, hundredths: i64, more: i64) -> Self {
        Self { slack: Slack::Near(hundredths, more), ..self }
    }

    /// It may differ from time to time as far as it keeps the promise.
    pub fn varying(self) -> Self {
        Self { slack: Slack::Promise, ..self }
    }

    fn keeps(&self, value: &Value) -> bool {
        match (&self.promise, value) {
            (Promise::None, _) => true,
            (Promise::Is(promised), value) => promised == value,
            (Promise::Within(least, most), Value::Number(number)) => (*least..=*most).contains(number),
            (Promise::Within(..), Value::Text(_)) => false,
        }
    }

    fn is_as(&self, recorded: &Value) -> bool {
        match (self.slack, &self.value, recorded) {
            (Slack::None, now, recorded) => now == recorded,
            (Slack::Near(hundredths, more), Value::Number(now), Value::Number(recorded)) => {
                (i128::from(*now) - i128::from(*recorded)).abs() * 100
                    <= i128::from(*now).abs() * i128::from(hundredths) + i128::from(more) * 100
            }
            (Slack::Promise, _, recorded) => self.keeps(recorded),
            (Slack::Near(..), ..) => false,
        }
    }

    fn promised(&self) -> String {
        match &self.promise {
            Promise::None => "anything".to_owned(),
            Promise::Is(value) => value.to_string(),
            Promise::Within(i64::MIN, most) => format!("{most} at most"),
            Promise::Within(least, i64::MAX) => format!("{least} at least"),
            Promise::Within(least, most) => format!("{least} to {most}"),
        }
    }
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It was made.
    Figures(Vec<Figure>),
    /// The machine cannot, and why.
    Impossible(String),
}

impl Found {
    /// The figures that do not keep what is promised of them.
    pub fn broken(&self) -> Vec<String> {
        let Self::Figures(figures) = self else { return Vec::new() };
        let broken = figures.iter().filter(|figure| !figure.keeps(&figure.value));
        broken.map(|figure| format!("{} is {}, promised is {}", figure.name, figure.value, figure.promised())).collect()
    }

    /// In a line.
    pub fn text(&self) -> String {
        match self {
            Self::Figures(figures) => {
                figures.iter().map(|figure| format!("{} {}", figure.name, figure.value)).collect::<Vec<_>>().join(", ")
            }
            Self::Impossible(why) => format!("not on this machine: {why}"),
        }
    }
}

/// A check that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its name in the file.
    pub key: String,
    /// Its subject, in words.
    pub what: String,
    /// Its outcome.
    pub found: Found,
}

/// The figures of a file of checks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Record {
    checks: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Record {
    /// Makes sure that the file has these checks and no others.
    ///
    /// # Errors
    /// When it has not, or a check has no figures.
    pub fn validate(&self, keys: &[String]) -> Result<()> {
        if let Some(missing) = keys.iter().find(|key| !self.checks.contains_key(*key)) {
            bail!("[checks.{missing:?}] is missing");
        }
        for (key, row) in &self.checks {
            if !keys.contains(key) {
                bail!("[checks.{key:?}] is no check that is made");
            }
            let text = |name: &str| matches!(row.get(name), Some(Value::Text(text)) if !text.is_empty());
            if !text(WHAT) || row.len() < 2 {
                bail!("[checks.{key:?}] has no figures, or does not say what they are of");
            }
            if row.contains_key(IMPOSSIBLE) && !(text(IMPOSSIBLE) && row.len() == 2) {
                bail!("[checks.{key:?}] has figures of what it calls impossible");
            }
        }
        Ok(())
    }

    /// The figures that are recorded otherwise than they were measured now.
    pub fn stale(&self, made: &Made) -> Vec<String> {
        let Some(row) = self.checks.get(&made.key) else { return vec!["not recorded".to_owned()] };
        let (Found::Figures(figures), false) = (&made.found, row.contains_key(IMPOSSIBLE)) else { return Vec::new() };
        let mut stale = Vec::new();
        for figure in figures {
            match row.get(figure.name) {
                None => stale.push(format!("{} is not recorded", figure.name)),
                Some(recorded) if !figure.keeps(recorded) || !figure.is_as(recorded) => {
                    stale.push(format!("{} is {}, recorded {recorded}", figure.name, figure.value));
                }
                Some(_) => {}
            }
        }
        let known = |name: &String| name == WHAT || figures.iter().any(|figure| figure.name == name);
        stale.extend(
            row.keys()
                .filter(|name| !known(name))
                .map(|name| format!("{name} is recorded, and nothing that is measured")),
        );
        stale
    }

    /// Whether the machine of the record could not make this check.
    pub fn calls_impossible(&self, key: &str) -> bool {
        self.checks.get(key).is_some_and(|row| row.contains_key(IMPOSSIBLE))
    }
}

/// The tables of these checks.
pub fn text(made: &[Made]) -> String {
    let mut text = String::new();
    for Made { key, what, found } in made {
        text += &format!("\n[checks.{key:?}]\n{WHAT} = {what:?}\n");
        match found {
            Found::Impossible(why) => text += &format!("{IMPOSSIBLE} = {why:?}\n"),
            Found::Figures(figures) => {
                text +=
                    &figures.iter().map(|figure| format!("{} = {}\n", figure.name, figure.value)).collect::<String>();
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Origin};

    fn made() -> [Made; 2] {
        let figures = vec![
            Figure::number("calls", 7),
            Figure::number("status", 23).is(23),
            Figure::number("kib", 1000).at_least(500).near(10, 24),
            Figure::number("points", 90).within(1, 100).varying(),
            Figure::word("policy", "bind:0", "bind:0"),
        ];
        let key = |key: &str| (key.to_owned(), format!("what {key} is"));
        let [(one, what_one), (two, what_two)] = [key("a.one"), key("a.two")];
        let why = "no such pages".to_owned();
        [
            Made { key: one, what: what_one, found: Found::Figures(figures) },
            Made { key: two, what: what_two, found: Found::Impossible(why) },
        ]
    }

    fn keys() -> Vec<String> {
        made().map(|made| made.key).to_vec()
    }

    fn written() -> String {
        let [command, date, commit, kernel, compiler] =
            ["make evidence", "2026-01-02", "abc", "Linux 6.1", "rustc 1"].map(str::to_owned);
        Origin { command, date, commit, kernel, compiler }.text() + &text(&made())
    }

    fn parse(text: &str, keys: &[String]) -> Result<Record> {
        let record: Record = Evidence::parse(text)?.figures;
        record.validate(keys).map(|()| record)
    }

    /// The stale figures, or the refusal, once a passage of the file is another.
    fn stale(passage: &str, other: &str) -> Vec<String> {
        assert!(written().contains(passage), "{passage}");
        match parse(&written().replacen(passage, other, 1), &keys()) {
            Ok(record) => made().iter().flat_map(|made| record.stale(made)).collect(),
            Err(error) => vec![format!("{error:#}")],
        }
    }

    #[test]
    fn true_evidence_passes() {
        assert_eq!(stale("calls", "calls"), Vec::<String>::new());
        assert_eq!(made().iter().flat_map(|made| made.found.broken()).count(), 0);
        let record = parse(&written(), &keys()).unwrap();
        assert!(record.calls_impossible("a.two") && !record.calls_impossible("a.one"));
    }

    #[test]
    fn every_figure_made_false_is_stale() {
        for (passage, other, line) in [
            ("calls = 7", "calls = 8", "calls is 7, recorded 8"),
            ("status = 23", "status = 0", "status is 23, recorded 0"),
            ("kib = 1000", "kib = 1130", "kib is 1000, recorded 1130"),
            ("kib = 1000", "kib = 400", "kib is 1000, recorded 400"),
            ("points = 90", "points = 0", "points is 90, recorded 0"),
            ("policy = \"bind:0\"", "policy = \"bind:1\"", "policy is \"bind:0\", recorded \"bind:1\""),
            ("calls = 7", "calls = \"7\"", "calls is 7, recorded \"7\""),
            ("calls = 7\n", "", "calls is not recorded"),
            ("calls = 7", "calls = 7\nmore = 1", "more is recorded, and nothing that is measured"),
        ] {
            assert_eq!(stale(passage, other), [line]);
        }
        assert_eq!(stale("kib = 1000", "kib = 1124"), Vec::<String>::new());
        assert_eq!(stale("points = 90", "points = 3"), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for (passage, other, part) in [
            ("a.two", "a.three", "[checks.\"a.two\"] is missing"),
            ("commit = \"abc\"", "commit = \"\"", "commit is empty"),
            ("what = \"what a.one is\"\n", "", "does not say what"),
            ("impossible = \"no such pages\"\n", "", "has no figures"),
            ("impossible = \"no such pages\"\n", "impossible = \"no\"\ncalls = 1\n", "of what it calls impossible"),
            ("calls = 7", "calls = 7.5", "near line"),
            ("[checks.\"a.one\"]", "[checks.\"a.one\"", "near line"),
        ] {
            let refusal = stale(passage, other);
            assert!(refusal.len() == 1 && refusal[0].contains(part), "{refusal:?}");
        }
        assert!(parse(&written(), &keys()[..1]).unwrap_err().to_string().contains("no check that is made"));
    }

    #[test]
    fn broken_promises_are_told() {
        let found = Found::Figures(vec![
            Figure::number("status", 0).is(23),
            Figure::number("kib", 9).at_least(10),
            Figure::number("calls", 1).at_most(0),
            Figure::number("points", 0).within(1, 2),
            Figure::word("policy", "default", "local"),
        ]);
        assert_eq!(
            found.broken(),
            [
                "status is 0, promised is 23",
                "kib is 9, promised is 10 at least",
                "calls is 1, promised is 0 at most",
                "points is 0, promised is 1 to 2",
                "policy is \"default\", promised is \"local\""
            ]
        );
    }
}
