//! Mutants: small patches that break one promise of `docs/` each, applied one by one, with the test that must fail.
//!
//! A mutant that no test finds shows that a test is missing. The list is `mutants.toml`.

pub mod cargo;
pub mod list;
pub mod run;
pub mod table;
pub mod tree;
