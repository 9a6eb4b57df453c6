//! Build script of the product: how the shared object is linked.
//!
//! `nodelete` keeps it mapped after `dlclose`, because thread exit may still call into it. `now` resolves every import at load
//! time, so no malloc ever runs the lazy binder. `initfirst` has our constructor run before all others, so that our fork handlers
//! are registered first and nobody else's run while they hold the locks. The soname carries the major version of the ABI. binutils' linker puts code and
//! constants into one segment and what is read-only after relocation into that of the data: two mappings where others make four,
//! which short programs notice.
//!
//! `layout.ld` orders the sections. binutils' linker takes an order in a script of its own alone, so this one is made from the script
//! that it has built in; a linker that shows none links without the order, which costs a process pages and nothing else.

use std::path::Path;
use std::process::Command;

/// What selects the script that the linker has built in.
const OF_SCRIPT: [&str; 3] = ["-znoseparate-code", "-znow", "-zrelro"];
const OTHERS: [&str; 5] = ["-soname,libspandrel.so.0", "-znodelete", "-zinitfirst", "--hash-style=gnu", "-O1"];

fn main() {
    for argument in OF_SCRIPT.iter().chain(&OTHERS) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rustc-cdylib-link-arg=-fuse-ld=bfd");
    // `dlopen`, which a static library must not define.
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-cdylib-link-arg={folder}/scripts/dlopen.ld");
    println!("cargo::rerun-if-changed=scripts/dlopen.ld");
    println!("cargo::rerun-if-changed=scripts/layout.ld");
    println!("cargo::rerun-if-changed=scripts/link.rs");
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    let made = Path::new(&out).join("layout.ld");
    let script = std::fs::read_to_string(format!("{folder}/scripts/layout.ld"))
        .map_err(|error| error.to_string())
        .and_then(|layout| ordered(&built_in()?, &layout))
        .and_then(|script| std::fs::write(&made, script).map_err(|error| error.to_string()));
    match script {
        Ok(()) => println!("cargo::rustc-cdylib-link-arg=-Wl,-T,{}", made.display()),
        Err(what) => println!("cargo::warning=the sections are not ordered: {what}"),
    }
}

/// The script that the linker has built in, which it prints between two lines of equals signs.
fn built_in() -> Result<String, String> {
    let output = Command::new("ld.bfd").arg("-shared").args(OF_SCRIPT).arg("--verbose").output();
    let text = String::from_utf8_lossy(&output.map_err(|error| format!("ld.bfd: {error}"))?.stdout).into_owned();
    let mut parts = text.split("==================================================\n");
    parts.nth(1).map(str::to_owned).ok_or_else(|| "ld.bfd --verbose shows no script".to_owned())
}

/// `script` with the parts of `layout` where these say.
fn ordered(script: &str, layout: &str) -> Result<String, String> {
    let mut script = script.to_owned();
    let parts = layout.split("\n\n").filter_map(|part| {
        let (head, body) = part.trim_start().split_once('\n')?;
        let (place, name) = head.split_once(' ').filter(|(place, _)| matches!(*place, "before" | "into"))?;
        Some((place, name, body))
    });
    for (place, name, body) in parts {
        let start = script.match_indices(&format!("\n  {name} ")).map(|(at, _)| at + 1).next();
        let start = start.ok_or_else(|| format!("the linker's script has no section {name}"))?;
        let brace = script[start..].find('{').ok_or_else(|| format!("section {name} has no contents"))?;
        let at = if place == "before" { start } else { start + brace + 1 };
        script.insert_str(at, &format!("\n{body}\n"));
    }
    Ok(script)
}
