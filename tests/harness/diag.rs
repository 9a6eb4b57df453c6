//! Reads the report which `SPANDREL_DIAG=1` prints at exit; strict, so that a changed grammar is noticed.

use std::collections::BTreeMap;

const LANES: [&str; 4] = ["small", "large", "direct", "libc"];
const REASONS: [&str; 5] = ["init_wait", "recursion", "force_libc", "exiting", "exhausted"];

/// Calls and requested bytes of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Allocation calls.
    pub calls: u64,
    /// Requested bytes.
    pub bytes: u64,
}

/// The proof for a size range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Smallest and largest size, both included.
    pub sizes: (u64, u64),
    /// Calls with a size in the range.
    pub calls: u64,
    /// Of these, served by the allocator.
    pub spandrel: u64,
    /// Of these, served by libc.
    pub libc: u64,
    /// The verdict printed.
    pub proved: bool,
}

/// A whole report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The profile in force.
    pub profile: String,
    lanes: BTreeMap<String, Served>,
    reasons: BTreeMap<String, u64>,
    frees: BTreeMap<String, u64>,
    /// The proof line.
    pub range: Range,
}

impl Report {
    /// The calls that a lane served.
    pub fn lane(&self, name: &str) -> Served {
        self.lanes.get(name).copied().unwrap_or_default()
    }

    /// Calls that went to libc for a reason.
    pub fn reason(&self, name: &str) -> u64 {
        self.reasons.get(name).copied().unwrap_or_default()
    }

    /// Blocks a lane took back.
    pub fn freed(&self, lane: &str) -> u64 {
        self.frees.get(lane).copied().unwrap_or_default()
    }
}

fn pairs<'a>(line: &'a str, keys: &[&str]) -> Result<Vec<&'a str>, String> {
    let fields: Vec<(&str, &str)> = line.split(' ').filter_map(|word| word.split_once('=')).collect();
    let found: Vec<&str> = fields.iter().map(|field| field.0).collect();
    if found != keys || fields.len() != line.split(' ').count() {
        return Err(format!("line `{line}` should have the keys {keys:?}"));
    }
    Ok(fields.iter().map(|field| field.1).collect())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn range(line: &str) -> Result<Range, String> {
    let values = pairs(line, &["range", "calls", "spandrel", "libc", "proved"])?;
    let (low, high) = values[0].split_once('-').ok_or_else(|| format!("`{}` is not LO-HI", values[0]))?;
    let proved = match values[4] {
        "yes" => true,
        "no" => false,
        other => return Err(format!("proved={other} is neither yes nor no")),
    };
    Ok(Range {
        sizes: (number(low)?, number(high)?),
        calls: number(values[1])?,
        spandrel: number(values[2])?,
        libc: number(values[3])?,
        proved,
    })
}

fn insert<T>(table: &mut BTreeMap<String, T>, key: &str, value: T) -> Result<(), String> {
    match table.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(format!("`{key}` appears twice")),
    }
}

fn complete<T>(table: &BTreeMap<String, T>, wanted: &[&str]) -> Result<(), String> {
    let same = table.len() == wanted.len() && wanted.iter().all(|name| table.contains_key(*name));
    if same { Ok(()) } else { Err(format!("expected {wanted:?}, got {:?}", table.keys())) }
}

/// Reads exactly one report from the standard error of a process.
pub fn parse(stderr: &str) -> Result<Report, String> {
    let (mut lanes, mut reasons, mut frees) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut proof, mut profile) = (None, None);
    for line in stderr.lines().filter_map(|line| line.strip_prefix("spandrel: diag: ")) {
        if let Some(rest) = line.strip_prefix("free ") {
            let values = pairs(rest, &["lane", "calls"])?;
            insert(&mut frees, values[0], number(values[1])?)?;
        } else if line.starts_with("profile=") {
            if profile.replace(pairs(line, &["profile"])?[0].to_owned()).is_some() {
                return Err("two profile lines".to_owned());
            }
        } else if line.starts_with("lane=") {
            let values = pairs(line, &["lane", "calls", "bytes"])?;
            insert(&mut lanes, values[0], Served { calls: number(values[1])?, bytes: number(values[2])? })?;
        } else if line.starts_with("reason=") {
            let values = pairs(line, &["reason", "calls"])?;
            insert(&mut reasons, values[0], number(values[1])?)?;
        } else if proof.replace(range(line)?).is_some() {
            return Err("two range lines".to_owned());
        }
    }
    complete(&lanes, &LANES)?;
    complete(&reasons, &REASONS)?;
    complete(&frees, &LANES)?;
    let range = proof.ok_or("no range line")?;
    if range.calls != range.spandrel + range.libc {
        return Err(format!("calls do not add up: {range:?}"));
    }
    if range.proved != (range.calls > 0 && range.libc == 0) {
        return Err(format!("verdict does not follow from the numbers: {range:?}"));
    }
    let profile = profile.ok_or("no profile line")?;
    Ok(Report { profile, lanes, reasons, frees, range })
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn sample() -> String {
        let mut text = String::from("noise\nspandrel: diag: profile=hosted-small\n");
        for lane in super::LANES {
            text.push_str(&format!("spandrel: diag: lane={lane} calls=3 bytes=70\n"));
            text.push_str(&format!("spandrel: diag: free lane={lane} calls=2\n"));
        }
        for reason in super::REASONS {
            text.push_str(&format!("spandrel: diag: reason={reason} calls=1\n"));
        }
        text + "spandrel: diag: range=256-1040 calls=5 spandrel=5 libc=0 proved=yes\n"
    }

    #[test]
    fn reads_a_whole_report() -> Result<(), String> {
        let report = parse(&sample())?;
        assert_eq!((report.lane("large").bytes, report.reason("exiting"), report.freed("libc")), (70, 1, 2));
        assert_eq!((report.range.sizes, report.range.proved), ((256, 1040), true));
        Ok(())
    }

    #[test]
    fn refuses_what_is_not_the_grammar() {
        assert!(parse("").is_err());
        assert!(parse(&sample().replace("lane=small calls=3", "lane=small  calls=3")).is_err());
        assert!(parse(&sample().replace("proved=yes", "proved=no")).is_err());
        assert!(parse(&sample().replace("reason=exiting calls=1\n", "reason=other calls=1\n")).is_err());
        assert!(parse(&(sample() + "spandrel: diag: hello\n")).is_err());
        assert!(parse(&(sample() + "spandrel: diag: profile=other\n")).is_err());
    }
}
