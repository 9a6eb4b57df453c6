//! Build script of the product: how the shared object is linked.
//!
//! `nodelete` keeps it mapped after `dlclose`, because thread exit may still call into it. `now` resolves every import at load
//! time, so no malloc ever runs the lazy binder. `initfirst` has our constructor run before all others, so that our fork handlers
//! are registered first and nobody else's run while they hold the locks. The soname carries the major version of the ABI. binutils' linker puts code and
//! constants into one segment and what is read-only after relocation into that of the data: two mappings where others make four,
//! which short programs notice.

fn main() {
    for argument in [
        "-soname,libspandrel.so.0",
        "-z,noseparate-code",
        "-z,nodelete",
        "-z,initfirst",
        "-z,now",
        "-z,relro",
        "--hash-style=gnu",
        "-O1",
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rustc-cdylib-link-arg=-fuse-ld=bfd");
    // `dlopen`, which a static library must not define.
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-cdylib-link-arg={folder}/scripts/dlopen.ld");
    println!("cargo::rerun-if-changed=scripts/dlopen.ld");
    println!("cargo::rerun-if-changed=scripts/link.rs");
}
