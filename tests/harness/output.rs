//! The output of a shell, compared with that on a page.
//!
//! Knows: the lines that divide the output into steps, and what stands for any text. Must not know: where the page is
//! from, or how the commands ran.

/// Before the number of a line in the shell's output.
pub const STEP: char = '\u{1e}';
/// A line of expected output for any number of lines, and a part of a line for any text.
const ANYTHING: &str = "…";

/// The number of the step that the output ends in.
pub fn last_step(printed: &str) -> usize {
    let line = printed.rsplit(STEP).next().and_then(|rest| rest.lines().next());
    line.and_then(|line| line.parse().ok()).unwrap_or(0)
}

/// The end of an output, for a message.
pub fn last_lines(printed: &str) -> String {
    const SHOWN: usize = 30;
    let lines: Vec<&str> = printed.rsplit(STEP).next().unwrap_or_default().lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// The output of the step at a line of the page.
pub fn output_of(printed: &str, line: usize) -> Option<&str> {
    let mut steps = printed.split(STEP).skip(1).filter_map(|step| step.split_once('\n'));
    steps.find(|(number, _)| number.parse() == Ok(line)).map(|(_, output)| output)
}

/// A line by which the shell says how a process ended.
pub fn is_notice(line: &str, page: &str) -> bool {
    let name = page.rsplit('/').next().unwrap_or(page);
    line.split_once(": line ").is_some_and(|(before, rest)| {
        before.ends_with(name) && rest.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    })
}

/// Whether the lines of a command are those of the page.
pub fn is_like(wanted: &[&str], actual: &[&str], numbers_vary: bool) -> bool {
    match wanted.split_first() {
        None => actual.iter().all(|line| line.trim().is_empty()),
        Some((&ANYTHING, rest)) => (0..=actual.len()).any(|skipped| is_like(rest, &actual[skipped..], numbers_vary)),
        Some((first, rest)) => actual.split_first().is_some_and(|(line, others)| {
            let (first, line) = (shape(first, numbers_vary), shape(line, numbers_vary));
            is_line_like(&first, &line) && is_like(rest, others, numbers_vary)
        }),
    }
}

fn is_line_like(wanted: &str, actual: &str) -> bool {
    let Some((before, after)) = wanted.split_once(ANYTHING) else { return wanted == actual };
    let Some(rest) = actual.strip_prefix(before) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.into_iter().any(|at| is_line_like(after, &rest[at..]))
}

/// The line without blanks at its end; where numbers vary, with `#` for each number and its unit, and one blank for
/// several.
fn shape(line: &str, numbers_vary: bool) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "#"];
    if !numbers_vary {
        return line.trim_end().to_owned();
    }
    let mut shaped: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let word = without_numbers(word);
        let is_unit = UNITS.contains(&word.trim_end_matches([',', ')', ':', ';', '.']));
        match shaped.last_mut().filter(|last| is_unit && word != "#" && last.ends_with('#')) {
            Some(last) => {
                last.push_str(&word[word.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(word.len())..])
            }
            None => shaped.push(word),
        }
    }
    shaped.join(" ")
}

/// The word with `#` for each number in it.
fn without_numbers(word: &str) -> String {
    let mut shaped = String::new();
    let mut rest = word;
    while let Some(letter) = rest.chars().next() {
        let hexadecimal = rest
            .strip_prefix("0x")
            .map(|digits| 2 + digits.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(digits.len()));
        let decimal = letter.is_ascii_digit().then(|| {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
            rest[..end].trim_end_matches('.').len()
        });
        if let Some(length) = hexadecimal.or(decimal) {
            shaped.push('#');
            rest = &rest[length..];
        } else {
            shaped.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    shaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_shape_and_words_keep_theirs() {
        assert_eq!(shape("a  12.5 MiB, 0x1fF: 3 B", true), shape("a 1 KiB, 0x0: 44 GiB", true));
        assert_ne!(shape("a 1", true), shape("b 1", true));
        assert_ne!(shape("1", false), shape("2", false));
        assert!(is_line_like("a … c … e", "a b c d e") && !is_line_like("a … c", "a b d"));
    }
}
