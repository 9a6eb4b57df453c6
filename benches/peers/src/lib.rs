//! Nothing of its own: a package to depend on the peers' crates with (see Cargo.toml and scripts/peers).
