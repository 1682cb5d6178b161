//! `tools block verify`: everything that is wrong with blocks, a line each, with file and offset.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::directories;
use super::open::{open_block, some_blocks_in};
use super::print::{Stopped, on_stdout};
use crate::cli::Failure;
use crate::config::flags::Given;

/// Reads every block of the arguments whole.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for directory in directories(&given)? {
        paths.extend(some_blocks_in(Path::new(directory))?);
    }
    let mut faults = 0;
    on_stdout(|out| {
        faults = blocks(&paths, out)?;
        Ok(())
    })?;
    ended(faults)
}

/// Reads blocks whole and prints what is wrong, or that nothing is; gives the number of faults.
pub(super) fn blocks(paths: &[PathBuf], out: &mut impl Write) -> Result<u64, Stopped> {
    let mut faults = 0;
    for path in paths {
        match open_block(path) {
            Err(Failure::Usage(why) | Failure::Run(why)) => {
                faults += 1;
                writeln!(out, "{why}")?;
            }
            Ok(opened) => {
                let report = sarsen_block::verify(&opened.block);
                for fault in &report.faults {
                    writeln!(out, "{}/{fault}", path.display())?;
                }
                if report.more_faults > 0 {
                    writeln!(out, "{}: {} more faults", path.display(), report.more_faults)?;
                }
                faults += report.faults.len() as u64 + report.more_faults;
                if report.is_sound() {
                    let stats = &report.stats;
                    let (series, chunks, samples) = (stats.num_series, stats.num_chunks, stats.num_samples);
                    writeln!(
                        out,
                        "{}: sound: {series} series, {chunks} chunks, {samples} samples",
                        path.display()
                    )?;
                }
            }
        }
    }
    Ok(faults)
}

/// The end of a tool that looked for faults.
pub(super) fn ended(faults: u64) -> Result<(), Failure> {
    match faults {
        0 => Ok(()),
        1 => Err(Failure::Run("1 fault found, it is listed on standard output".to_owned())),
        faults => Err(Failure::Run(format!("{faults} faults found, they are listed on standard output"))),
    }
}
