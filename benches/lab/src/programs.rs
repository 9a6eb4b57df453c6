//! The real programs of the lab: those of the demonstration that suit it, and some of its own.
//!
//! Knows: command lines. Must not know: how they are run.

use crate::inputs::{cpp_source, smt_problems};
use spandrel_xtask::demo::program::{Client, Content, Input, Program, Step};
use spandrel_xtask::demo::programs::{ALL, PLAIN};

/// Those taken over from the demonstration.
const SHARED: &[&str] = &["python3", "lua", "sqlite3", "ruby", "node", "redis", "memcached"];

/// Those that only the lab has, or has in another size.
const OWN: &[Program] = &[
    Program {
        name: "postgres",
        work: "server under pgbench, then sorts, joins, JSON",
        packages: &["postgresql"],
        commands: &["sh", "setpriv", "pg_lsclusters"],
        inputs: &[
            Input { name: "postgres.sh", content: Content::Text(include_str!("../programs/postgres.sh")) },
            Input { name: "postgres.sql", content: Content::Text(include_str!("../programs/postgres.sql")) },
        ],
        steps: &[
            Step::Prepare(&["sh", "postgres.sh", "init"]),
            Step::Serve(
                &["sh", "postgres.sh", "serve", "{port}"],
                &[
                    Client::Load(&["sh", "postgres.sh", "load", "{port}"]),
                    Client::Run(&["sh", "postgres.sh", "work", "{port}"]),
                    Client::Stop(&["sh", "postgres.sh", "stop"]),
                ],
            ),
        ],
        ..PLAIN
    },
    Program {
        name: "z3",
        work: "decides 22 job-shop problems in SMT-LIB",
        packages: &["z3"],
        commands: &["z3"],
        inputs: &[Input { name: "shop.smt2", content: Content::Made(smt_problems) }],
        steps: &[Step::Run(&["z3", "shop.smt2"])],
        ..PLAIN
    },
    Program {
        name: "g++",
        work: "compiles a C++ file of many templates",
        packages: &["g++"],
        commands: &["g++"],
        inputs: &[Input { name: "large.cpp", content: Content::Made(cpp_source) }],
        steps: &[Step::Run(&["g++", "-std=c++17", "-S", "-o", "large.s", "large.cpp"])],
        results: &["large.s"],
        ..PLAIN
    },
    Program {
        name: "ghostscript",
        work: "renders 20 pages of curves and text",
        packages: &["ghostscript"],
        commands: &["gs"],
        inputs: &[Input { name: "work.ps", content: Content::Text(include_str!("../../../xtask/programs/work.ps")) }],
        steps: &[Step::Run(&["gs", "-q", "-dBATCH", "-dNOPAUSE", "-r180", "-sDEVICE=ppmraw", "-sOutputFile=out.ppm", "work.ps"])],
        results: &["out.ppm"],
        ..PLAIN
    },
];

/// All of them, in the order of the tables.
#[must_use]
pub fn all() -> Vec<&'static Program> {
    let shared = SHARED.iter().filter_map(|name| ALL.iter().find(|program| program.name == *name));
    shared.chain(OWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_the_demonstration_that_is_named_is_there() {
        assert_eq!(all().len(), SHARED.len() + OWN.len());
    }
}
