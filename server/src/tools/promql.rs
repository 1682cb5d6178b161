//! `tools promql`: test scripts, and answers straight from blocks.

mod blocks;
mod query;
mod show;

use std::fs;
use std::io::Write as _;

use sarsen_promql::{Report, ScriptOptions, run_script};

use super::print::on_stdout;
use crate::cli::Failure;
use crate::config::flags::{Flag, Given};

pub(super) use query::{FLAGS as QUERY_FLAGS, run as query};

/// Own flags of `tools promql test`.
pub(super) const TEST_FLAGS: &[Flag] = &[Flag::switch(
    "once",
    "Ask each query once, instead of again with its time held by @ and as a part of a range.",
)];

/// Runs the scripts in the arguments, prints what fails, and closes with the numbers.
pub(super) fn test(given: Given) -> Result<(), Failure> {
    if given.arguments.is_empty() {
        return Err(Failure::Usage("required argument 'FILE' not provided".to_owned()));
    }
    let (mut passed, mut failed) = (0, 0);
    on_stdout(|out| {
        for file in &given.arguments {
            let text = fs::read_to_string(file).map_err(|why| Failure::Run(format!("{file}: {why}")))?;
            let again = !given.is_on("once");
            let options = ScriptOptions { name: file.clone(), again, ..ScriptOptions::default() };
            let Report { passed: good, failures } = run_script(&text, &options);
            for failure in &failures {
                writeln!(out, "{failure}")?;
            }
            passed += good;
            failed += failures.len();
        }
        Ok(writeln!(out, "{passed} passed, {failed} failed")?)
    })?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Run(format!("{failed} failed, they are listed on standard output"))),
    }
}
