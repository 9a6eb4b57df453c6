//! Shared by all test targets: where things are, how a C program is built, how a program is run and judged.
//!
//! Knows the product only as files (`libspandrel.so`, `libspandrel.a`, `spandrel.h`), never as Rust code.

pub mod background;
pub mod blocks;
pub mod build;
pub mod command;
pub mod diag;
pub mod expect;
pub mod header;
pub mod http;
pub mod injection;
pub mod installed;
pub mod machine;
pub mod observed;
pub mod output;
pub mod pages;
pub mod paths;
pub mod profiles;
pub mod programs;
pub mod reader;
pub mod reals;
pub mod run;
pub mod sandbox;
pub mod server;
pub mod suite;
