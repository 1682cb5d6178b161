//! `sarsen-query`: the querier alone, as a small program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sarsen_server::run_query(std::env::args_os())
}
