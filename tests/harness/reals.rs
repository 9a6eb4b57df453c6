//! Real programs whose output is the same every time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::run::Outcome;
use crate::{paths, run};

const PYTHON_MIX: &str = "
import json, re, threading, zlib, hashlib, collections
text = json.dumps([{'n': i, 's': 'x' * (i % 700)} for i in range(3000)])
back = json.loads(text)
print(len(text), hashlib.sha256(zlib.compress(text.encode())).hexdigest(), len(re.findall('x{7}', text)))
out = collections.Counter()
def work(k):
    for i in range(2000): out[(k, i % 50)] += len(bytes(i % 900))
ts = [threading.Thread(target=work, args=(k,)) for k in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sum(out.values()), len(back))
";

/// Strings in a hash.
pub const PERL_MIX: &str = "my %h; for my $i (1..30000) { $h{$i % 977} .= 'ab' x ($i % 13); } \
    my $n = 0; $n += length for values %h; print join(',', (sort { $a <=> $b } keys %h)[0..9]), \" $n\\n\";";

const NODE_MIX: &str = "const o = []; for (let i = 0; i < 50000; i++) o.push({ i, s: 'y'.repeat(i % 300) }); \
    const z = require('zlib').deflateSync(JSON.stringify(o)); \
    console.log(o.length, require('crypto').createHash('sha1').update(require('zlib').inflateSync(z)).digest('hex'));";

const SQL_MIX: &str = "create table t(a integer primary key, b text); \
    with recursive n(i) as (select 1 union all select i+1 from n where i < 30000) \
    insert into t select i, printf('%.*c', i % 200, 'q') from n; create index b on t(b); \
    select count(*), sum(length(b)), count(distinct b) from t; select max(a) from t group by a % 7;";

/// A repository made, filled, packed, searched and removed, with fixed dates: the same output every time.
const GIT_ALIAS: &str = "alias.demo=!set -e; unset $(git rev-parse --local-env-vars); d=$(mktemp -d); cd $d; export GIT_AUTHOR_DATE=@1700000000 GIT_COMMITTER_DATE=@1700000000 \
    GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; git init -q -b trunk .; \
    for i in 1 2 3 4 5 6; do seq $i 4000 > file$i; git add .; git commit -q -m commit$i; done; git gc -q; \
    git log --stat --format=%H; git grep -c 77; git diff HEAD~3 | cksum; git fsck; cd /; rm -rf $d";

const SHELL_MIX: &str =
    "for i in $(seq 1 200); do echo line $i; done | sort -r | head -50 | tr a-z A-Z | sed 's/L/l/' | uniq | wc";

/// A program and the arguments under which its output is the same every time.
pub struct Real {
    /// The name in tests.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

fn real(name: &'static str, program: &'static str, arguments: &[&str]) -> Real {
    Real { name, program, arguments: arguments.iter().map(|word| (*word).to_owned()).collect() }
}

/// Its run without the allocator, which a test process makes once.
pub fn plain(real: &Real) -> Result<Outcome, String> {
    type Run = Arc<OnceLock<Result<Outcome, String>>>;
    static RUNS: Mutex<BTreeMap<&str, Run>> = Mutex::new(BTreeMap::new());
    let run = Arc::clone(RUNS.lock().unwrap_or_else(PoisonError::into_inner).entry(real.name).or_default());
    run.get_or_init(|| run::run(run::command(real.program).args(&real.arguments), 60)).clone()
}

/// All of them.
pub fn all() -> Vec<Real> {
    let workspace = paths::workspace().display().to_string();
    let source = |name| paths::ffi_sources().join(name).display().to_string();
    let (c, cpp) = (source("threads/producer_consumer.c"), source("cxx/std_containers.cpp"));
    // The compiler brings an allocator of its own along.
    let rust = paths::workspace().join("tests/harness/diag.rs").display().to_string();
    let include = format!("-I{}", paths::ffi_support().display());
    vec![
        real("true", "true", &[]),
        real("sh", "sh", &["-c", SHELL_MIX]),
        real("bash", "bash", &["-c", SHELL_MIX]),
        real("python3", "python3", &["-c", PYTHON_MIX]),
        real("perl", "perl", &["-e", PERL_MIX]),
        real("git", "git", &["-c", GIT_ALIAS, "demo"]),
        real("sqlite3", "sqlite3", &[":memory:", SQL_MIX]),
        real("node", "node", &["-e", NODE_MIX]),
        real(
            "awk",
            "awk",
            &[
                "BEGIN { for (i = 0; i < 50000; i++) a[i % 999] = a[i % 999] i; n = 0; for (k in a) n += length(a[k]); print n }",
            ],
        ),
        real("sort", "sort", &["--parallel=4", "-u", "/etc/services", "/etc/passwd"]),
        real("tar", "tar", &["--sort=name", "--mtime=@0", "-cf", "-", "-C", &workspace, "ffi-tests"]),
        real("xz", "sh", &["-c", "seq 1 200000 | xz -T2 -c | xz -dc | cksum"]),
        real("cc", "cc", &["-O2", "-S", "-o", "-", &include, "-D_GNU_SOURCE", &c]),
        real("rustc", "rustc", &["--edition=2024", "--crate-type=lib", "-O", "--emit=asm", "-o", "-", &rust]),
        real("php", "php", &[&paths::program_source("extensions.php").display().to_string()]),
        real("java", "java", &["-version"]),
        real("c++", "c++", &["-O1", "-std=c++17", "-S", "-o", "-", &include, &cpp]),
    ]
}
