//! `sarsen`: every role behind one name.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sarsen_server::run_sarsen(std::env::args_os())
}
