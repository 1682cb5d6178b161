//! `tools bucket undelete`: takes deletion marks off blocks that are still whole, within the delete delay.

use std::io::Write as _;

use sarsen_block::BlockId;
use sarsen_bucket::{MarkKind, Undeleted, View, undelete};

use super::{failed, named, open, run as in_runtime};
use crate::cli::Failure;
use crate::clock::now;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::print::{on_stdout, time};
use crate::tools::usage;

/// Own flags of the tool.
pub(in crate::tools) const FLAGS: &[Flag] = &[
    Flag::switch("all", "Every marked block, instead of those in the arguments."),
    Flag::new(
        "delete-delay",
        Kind::Duration,
        "48h",
        "The compactor's --delete-delay. Blocks marked longer ago may be on their way out and are left alone.",
    ),
];

/// Brings marked blocks back.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let mut ids = named(&given)?;
    if ids.is_empty() != given.is_on("all") {
        return Err(usage("give either block ids or --all".to_owned()));
    }
    let delay_s = given.millis("delete-delay").map_err(usage)? / 1000;
    let mut left = 0u64;
    in_runtime(async {
        let bucket = open(&given, "objstore.config", None)?;
        if given.is_on("all") {
            let view = View::fetch(&bucket).await.map_err(failed)?;
            let marked = |id: &&BlockId| view.mark(**id, MarkKind::Deletion).is_some();
            ids = view.blocks.keys().filter(marked).copied().collect();
        }
        for id in &ids {
            let undeleted = undelete(&bucket, *id, now() / 1000, delay_s).await.map_err(failed)?;
            left += u64::from(!matches!(undeleted, Undeleted::Restored { .. }));
            on_stdout(|out| {
                match undeleted {
                    Undeleted::Restored { mark } => {
                        let details = mark.map_or_else(String::new, |mark| mark.details);
                        writeln!(out, "{id}: restored; was marked: {details:?}")?;
                    }
                    Undeleted::NotMarked => writeln!(out, "{id}: is not marked for deletion")?,
                    Undeleted::TooLate { marked_s } => {
                        let since = time(marked_s.saturating_mul(1000));
                        writeln!(out, "{id}: left alone; marked at {since}, the delete delay is over")?;
                    }
                    Undeleted::Incomplete { why } => writeln!(out, "{id}: cannot be restored: {why}")?,
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    match left {
        0 => Ok(()),
        left => Err(Failure::Run(format!(
            "{left} of {} blocks were not restored, see standard output",
            ids.len()
        ))),
    }
}
