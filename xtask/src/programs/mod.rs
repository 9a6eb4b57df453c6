//! The real programs that Spandrel is tried with: those that the demonstration compares, and those that the lab
//! measures.
//!
//! Knows: command lines. Must not know: how they are run (`session`).
//! A program that the two want in different sizes has a row for each.

pub mod diag;
pub mod generate;
mod memcached;
pub mod program;
pub mod session;
mod smt;

use generate::{cpp_source, cpp_source_small, git_history, redis_commands};
use program::{Client, Content, Input, Program, Step, User};
use smt::smt_problems;

const BOTH: &[User] = &[User::Demo, User::Lab];

/// The defaults of most programs: the demonstration requires them; no environment, no result files.
const PLAIN: Program = Program {
    users: &[User::Demo],
    name: "",
    work: "",
    packages: &[],
    commands: &[],
    required: true,
    environment: &[],
    inputs: &[],
    steps: &[],
    results: &[],
};

const IDENTITY: &[(&str, &str)] = &[
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.com"),
    ("GIT_COMMITTER_NAME", "A U Thor"),
    ("GIT_COMMITTER_EMAIL", "author@example.com"),
    ("GIT_PAGER", "cat"),
];

/// The programs of a user, in the order of its tables.
#[must_use]
pub fn of(user: User) -> Vec<&'static Program> {
    ALL.iter().filter(|program| program.users.contains(&user)).collect()
}

/// The work of ghostscript at a resolution.
macro_rules! ghostscript {
    ($resolution:literal) => {
        &["gs", "-q", "-dBATCH", "-dNOPAUSE", $resolution, "-sDEVICE=ppmraw", "-sOutputFile=out.ppm", "work.ps"]
    };
}

/// All of them.
const ALL: &[Program] = &[
    Program {
        users: BOTH,
        name: "python3",
        work: "dicts, JSON, regular expressions on malloc",
        packages: &["python3"],
        commands: &["python3"],
        environment: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1")],
        inputs: &[Input { name: "work.py", content: Content::Text(include_str!("../../programs/work.py")) }],
        steps: &[Step::Run(&["python3", "-S", "work.py"])],
        ..PLAIN
    },
    Program {
        name: "perl",
        work: "hashes of arrays, sorting, substitution",
        packages: &["perl"],
        commands: &["perl"],
        environment: &[("PERL_HASH_SEED", "0")],
        inputs: &[Input { name: "work.pl", content: Content::Text(include_str!("../../programs/work.pl")) }],
        steps: &[Step::Run(&["perl", "work.pl"])],
        ..PLAIN
    },
    Program {
        name: "git",
        work: "import, clone, log -p, gc, fsck, blame",
        packages: &["git"],
        commands: &["git"],
        environment: IDENTITY,
        inputs: &[Input { name: "history", content: Content::Made(git_history) }],
        steps: &[
            Step::Run(&["git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git"]),
            Step::Feed(&["git", "-C", "origin.git", "fast-import", "--quiet"], "history"),
            Step::Run(&["git", "clone", "--quiet", "--no-local", "origin.git", "copy"]),
            Step::Run(&["git", "-C", "copy", "log", "-p", "--stat", "--no-color"]),
            Step::Run(&["git", "-C", "copy", "-c", "pack.threads=2", "gc", "--quiet", "--aggressive"]),
            Step::Run(&["git", "-C", "copy", "fsck", "--full", "--strict", "--no-progress"]),
            Step::Run(&["git", "-C", "copy", "blame", "-w", "dir1/file1.txt"]),
            Step::Run(&["git", "-C", "copy", "rev-list", "--objects", "--all"]),
        ],
        ..PLAIN
    },
    Program {
        users: BOTH,
        name: "node",
        work: "maps, buffers, zlib, worker threads",
        packages: &["nodejs"],
        commands: &["node"],
        inputs: &[Input { name: "work.js", content: Content::Text(include_str!("../../programs/work.js")) }],
        steps: &[Step::Run(&["node", "work.js"])],
        ..PLAIN
    },
    GXX,
    Program {
        users: &[User::Lab],
        work: "compiles a C++ file of many templates",
        inputs: &[Input { name: "large.cpp", content: Content::Made(cpp_source_small) }],
        ..GXX
    },
    Program {
        users: BOTH,
        name: "sqlite3",
        work: "in-memory inserts, indexes, joins",
        packages: &["sqlite3"],
        commands: &["sqlite3"],
        inputs: &[Input { name: "work.sql", content: Content::Text(include_str!("../../programs/work.sql")) }],
        steps: &[Step::Feed(&["sqlite3", "-batch", ":memory:"], "work.sql")],
        ..PLAIN
    },
    Program {
        users: BOTH,
        name: "redis",
        work: "server under redis-benchmark, database digest",
        packages: &["redis-server", "redis-tools"],
        commands: &["redis-server", "redis-benchmark", "redis-cli"],
        inputs: &[
            Input { name: "commands", content: Content::Made(redis_commands) },
            Input { name: "digest.lua", content: Content::Text(include_str!("../../programs/digest.lua")) },
        ],
        steps: &[Step::Serve(REDIS, REDIS_CLIENTS)],
        ..PLAIN
    },
    Program {
        users: BOTH,
        name: "memcached",
        work: "server with 4 threads under 8 connections",
        packages: &["memcached"],
        commands: &["memcached"],
        steps: &[Step::Serve(
            &["memcached", "-A", "-l", "127.0.0.1", "-p", "{port}", "-U", "0", "-t", "4", "-m", "64", "-u", "nobody"],
            &[Client::Code(memcached::load)],
        )],
        ..PLAIN
    },
    Program {
        name: "java",
        work: "javac, then collections, buffers, threads",
        packages: &["default-jdk-headless"],
        commands: &["javac", "java"],
        inputs: &[Input { name: "Work.java", content: Content::Text(include_str!("../../programs/Work.java")) }],
        steps: &[
            Step::Run(&["javac", "-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1", "Work.java"]),
            Step::Run(&["java", "-XX:+UseSerialGC", "-Xmx192m", "-Xshare:auto", "Work"]),
        ],
        ..PLAIN
    },
    Program {
        users: BOTH,
        name: "lua",
        work: "tables, trees, strings",
        packages: &["lua5.4"],
        commands: &["lua5.4"],
        inputs: &[Input { name: "work.lua", content: Content::Text(include_str!("../../programs/work.lua")) }],
        steps: &[Step::Run(&["lua5.4", "work.lua"])],
        ..PLAIN
    },
    Program {
        users: BOTH,
        name: "ruby",
        work: "strings, hashes, garbage collection",
        packages: &["ruby"],
        commands: &["ruby"],
        required: false,
        inputs: &[Input { name: "work.rb", content: Content::Text(include_str!("../../programs/work.rb")) }],
        steps: &[Step::Run(&["ruby", "--disable-gems", "work.rb"])],
        ..PLAIN
    },
    Program { required: false, steps: &[Step::Run(ghostscript!("-r60"))], ..GHOSTSCRIPT },
    Program { users: &[User::Lab], steps: &[Step::Run(ghostscript!("-r180"))], ..GHOSTSCRIPT },
    Program {
        users: &[User::Lab],
        name: "postgres",
        work: "server under pgbench, then sorts, joins, JSON",
        packages: &["postgresql"],
        commands: &["sh", "setpriv", "pg_lsclusters"],
        inputs: &[
            Input { name: "postgres.sh", content: Content::Text(include_str!("../../programs/postgres.sh")) },
            Input { name: "postgres.sql", content: Content::Text(include_str!("../../programs/postgres.sql")) },
        ],
        steps: &[
            Step::Prepare(&["sh", "postgres.sh", "init"]),
            Step::Serve(&["sh", "postgres.sh", "serve", "{port}"], POSTGRES_CLIENTS),
        ],
        ..PLAIN
    },
    Program {
        users: &[User::Lab],
        name: "z3",
        work: "decides 22 job-shop problems in SMT-LIB",
        packages: &["z3"],
        commands: &["z3"],
        inputs: &[Input { name: "shop.smt2", content: Content::Made(smt_problems) }],
        steps: &[Step::Run(&["z3", "shop.smt2"])],
        ..PLAIN
    },
];

/// As the demonstration has it.
const GXX: Program = Program {
    name: "g++",
    work: "compiles a large C++ file, compares assembly",
    packages: &["g++"],
    commands: &["g++"],
    inputs: &[Input { name: "large.cpp", content: Content::Made(cpp_source) }],
    steps: &[Step::Run(&["g++", "-std=c++17", "-S", "-o", "large.s", "large.cpp"])],
    results: &["large.s"],
    ..PLAIN
};

/// Without its step, which has the resolution.
const GHOSTSCRIPT: Program = Program {
    name: "ghostscript",
    work: "renders 20 pages of curves and text",
    packages: &["ghostscript"],
    commands: &["gs"],
    inputs: &[Input { name: "work.ps", content: Content::Text(include_str!("../../programs/work.ps")) }],
    results: &["out.ppm"],
    ..PLAIN
};

const POSTGRES_CLIENTS: &[Client] = &[
    Client::Load(&["sh", "postgres.sh", "load", "{port}"]),
    Client::Run(&["sh", "postgres.sh", "work", "{port}"]),
    Client::Stop(&["sh", "postgres.sh", "stop"]),
];

/// Without its input-output threads, which spin and so would measure how busy the machine is; the flush at the end
/// frees in a thread of its own.
const REDIS: &[&str] = &[
    "redis-server",
    "--port",
    "{port}",
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
    "--lazyfree-lazy-user-flush",
    "yes",
];

/// redis-benchmark draws random keys from the clock, so it works on fixed ones; the varied keys come from the command
/// file.
const REDIS_CLIENTS: &[Client] = &[
    Client::Load(&[
        "redis-benchmark",
        "-p",
        "{port}",
        "-q",
        "-c",
        "20",
        "-n",
        "8000",
        "-d",
        "400",
        "-t",
        "set,get,incr,lpush,lpop,sadd,hset",
    ]),
    Client::Feed(&["redis-cli", "-p", "{port}", "--pipe"], "commands"),
    Client::Run(&["redis-cli", "-p", "{port}", "dbsize"]),
    Client::Run(&["redis-cli", "-p", "{port}", "--eval", "digest.lua"]),
    Client::Run(&["redis-cli", "-p", "{port}", "flushall"]),
    Client::Stop(&["redis-cli", "-p", "{port}", "shutdown", "nosave"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_and_names_of_a_user_differ() {
        for user in [User::Demo, User::Lab] {
            let mut names: Vec<&str> = of(user).iter().map(|program| program.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(names.len() == count && count >= 10, "{user:?}");
        }
        assert!(of(User::Demo).iter().filter(|program| program.required).count() >= 10);
        assert!(ALL.iter().all(|program| !program.users.is_empty()));
    }

    #[test]
    fn every_command_and_every_input_that_a_step_names_is_declared() {
        for program in ALL {
            for step in program.steps {
                let (command, input) = match step {
                    Step::Prepare(command) | Step::Run(command) | Step::Serve(command, _) => (command, None),
                    Step::Feed(command, input) => (command, Some(input)),
                };
                assert!(program.commands.contains(&command[0]), "{}", program.name);
                assert!(input.is_none_or(|name| program.inputs.iter().any(|input| input.name == *name)));
            }
        }
    }
}
