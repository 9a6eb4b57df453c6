//! The program `spandrel`. Knows: nothing but the library that it starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    spandrel_cli::main()
}
