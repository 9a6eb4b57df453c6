//! Links `spandrel-measure` as a static program without a C runtime, so that its own memory stays below
//! that of anything it measures.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ["-nostdlib", "-nostartfiles", "-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bin=spandrel-measure={argument}");
    }
}
