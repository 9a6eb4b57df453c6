//! Inputs too large to be kept as files: made anew by functions that always return the same text.
//!
//! Knows: text formats. Must not know: who reads them.

use std::fmt::Write;

/// A small deterministic generator, the same on every machine.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// A word of three to ten letters.
    pub fn word(&mut self) -> String {
        (0..3 + self.below(8)).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
    }
}

/// A large C++ source, as [`cpp_source_of`] makes it.
#[must_use]
pub fn cpp_source() -> String {
    const UNITS: usize = 12;
    cpp_source_of(UNITS)
}

/// A smaller one, which takes a compiler about two seconds.
#[must_use]
pub fn cpp_source_small() -> String {
    const UNITS: usize = 4;
    cpp_source_of(UNITS)
}

/// A C++ source of some units: many headers, class templates, recursion at compile time, containers and algorithms of
/// many types.
fn cpp_source_of(units: usize) -> String {
    let headers = [
        "algorithm",
        "array",
        "bitset",
        "chrono",
        "complex",
        "deque",
        "functional",
        "future",
        "iomanip",
        "iostream",
        "list",
        "map",
        "memory",
        "numeric",
        "optional",
        "queue",
        "random",
        "regex",
        "set",
        "sstream",
        "string",
        "thread",
        "tuple",
        "unordered_map",
        "variant",
        "vector",
    ];
    let mut text: String = headers.iter().map(|header| format!("#include <{header}>\n")).collect();
    text.push_str(
        "template <int N> struct Chain : Chain<N - 1> { std::array<int, N> row; int sum() const { return row[0] + Chain<N - 1>::sum(); } };\n\
         template <> struct Chain<0> { int sum() const { return 0; } };\n\
         template <class... T> auto total(T... values) { return (values + ... + 0); }\n",
    );
    for unit in 0..units {
        let size = 20 + unit;
        let _ = write!(
            text,
            "namespace unit{unit} {{\n\
             struct Key {{ int id; std::string name; bool operator<(const Key& other) const {{ return std::tie(id, name) < std::tie(other.id, other.name); }} }};\n\
             template <class T> class Store {{\n\
               std::map<Key, std::vector<T>> rows; std::unordered_map<int, std::shared_ptr<Key>> ids;\n\
             public:\n\
               void add(Key key, T value) {{ ids[key.id] = std::make_shared<Key>(key); rows[std::move(key)].push_back(std::move(value)); }}\n\
               template <class F> auto collect(F visit) const {{ std::deque<decltype(visit(std::declval<T>()))> out;\n\
                 for (const auto& [key, row] : rows) std::transform(row.begin(), row.end(), std::back_inserter(out), visit); return out; }}\n\
             }};\n\
             using Value = std::variant<int, double, std::string, std::pair<int, Chain<{size}>>>;\n\
             int run(int seed) {{\n\
               Store<Value> store; for (int i = 0; i < seed; ++i) store.add({{i, std::to_string(i)}}, Value(i * {unit}.5));\n\
               auto sizes = store.collect([](const Value& value) {{ return value.index(); }});\n\
               std::sort(sizes.begin(), sizes.end(), [](auto a, auto b) {{ return a > b + {unit}; }});\n\
               std::set<std::tuple<int, long, std::string>> seen; seen.emplace(seed, {unit}L, \"u{unit}\");\n\
               return total(int(sizes.size()), int(seen.size()), Chain<{size}>().sum(), {unit});\n\
             }}\n}}\n"
        );
    }
    text.push_str("int main() {\n  int sum = 0;\n");
    for unit in 0..units {
        let _ = writeln!(text, "  sum += unit{unit}::run({});", unit + 3);
    }
    text.push_str("  std::cout << sum << '\\n';\n}\n");
    text
}

/// A stream for `git fast-import`: many commits that rewrite a few of many files.
#[must_use]
pub fn git_history() -> String {
    const FILES: u64 = 120;
    const COMMITS: u64 = 250;
    const FIRST_SECOND: u64 = 1_700_000_000;
    let mut numbers = Numbers::new(5);
    let mut files: Vec<String> = (0..FILES).map(|_| lines(&mut numbers, 80)).collect();
    let mut text = String::new();
    for commit in 0..COMMITS {
        let message = format!("change {commit}: {} {}", numbers.word(), numbers.word());
        let _ = write!(
            text,
            "commit refs/heads/main\ncommitter A U Thor <author@example.com> {} +0000\ndata {}\n{message}\n",
            FIRST_SECOND + commit * 3600,
            message.len()
        );
        let changed: Vec<u64> =
            if commit == 0 { (0..FILES).collect() } else { (0..6).map(|_| numbers.below(FILES)).collect() };
        for file in changed {
            let content = &mut files[usize::try_from(file).unwrap_or(0)];
            let cut = content.char_indices().filter(|(_, letter)| *letter == '\n').nth(5).map_or(0, |(at, _)| at + 1);
            content.drain(..cut);
            content.push_str(&lines(&mut numbers, 6));
            let _ = write!(text, "M 100644 inline dir{}/file{file}.txt\ndata {}\n{content}\n", file % 9, content.len());
        }
        text.push('\n');
    }
    text
}

fn lines(numbers: &mut Numbers, count: u64) -> String {
    (0..count)
        .map(|_| format!("{} {} {} {}\n", numbers.word(), numbers.word(), numbers.word(), numbers.below(1000)))
        .collect()
}

/// Redis commands that build strings, hashes, lists and sorted sets and delete part of them again.
#[must_use]
pub fn redis_commands() -> String {
    const COMMANDS: u64 = 60_000;
    let mut numbers = Numbers::new(11);
    let mut text = String::new();
    for turn in 0..COMMANDS {
        let key = numbers.below(9000);
        let value = numbers.word().repeat(usize::try_from(1 + numbers.below(60)).unwrap_or(1));
        let _ = match turn % 7 {
            0 => writeln!(text, "SET s{key} {value}"),
            1 => writeln!(text, "HSET h{} f{key} {value}", key % 500),
            2 => writeln!(text, "RPUSH l{} {value}", key % 300),
            3 => writeln!(text, "ZADD z{} {} {value}", key % 200, numbers.below(10_000)),
            4 => writeln!(text, "APPEND s{} {value}", key % 700),
            5 => writeln!(text, "DEL s{key}"),
            _ => writeln!(text, "LPOP l{}", key % 300),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_each_time() {
        assert_eq!(git_history(), git_history());
        assert_eq!(redis_commands(), redis_commands());
        assert_eq!(cpp_source(), cpp_source());
        assert!(cpp_source_small().len() < cpp_source().len());
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut numbers = Numbers::new(1);
        assert!((0..1000).all(|_| numbers.below(7) < 7));
        assert!((0..100).map(|_| numbers.word()).all(|word| (3..=10).contains(&word.len())));
    }
}
