//! Build script of the library: it needs `libspandrel.so.0`, which need not be built yet.
//!
//! The linker notes the name of a library that it links with and asks for nothing else here, so an empty shared object
//! of that name stands in for libspandrel.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=link.rs");
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let stand_in = Path::new(&out).join("libspandrel.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command.args(["-shared", "-nostdlib", "-Wl,-soname,libspandrel.so.0", "-o"]).arg(&stand_in);
    match command.args(["-x", "c", "/dev/null"]).status() {
        Ok(status) if status.success() => {}
        other => {
            println!("cargo::error={compiler} cannot make a shared object: {other:?}");
            return;
        }
    }
    for argument in [
        "-Wl,-soname,libspandrel_jemalloc.so.0",
        "-Wl,-znow",
        "-Wl,-zrelro",
        "-Wl,-znodelete",
        "-Wl,--hash-style=gnu",
        // The loader puts what a library filters in front of it, so libspandrel's malloc comes before libc's even in a
        // program that names this library alone.
        "-Wl,--filter=libspandrel.so.0",
        "-Wl,--no-as-needed",
        &stand_in.display().to_string(),
        "-lc",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
