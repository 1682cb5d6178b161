//! `tools bucket copy`: the blocks of one bucket into another one, as a backup or to bring them back.
//!
//! A copy may be broken off and repeated; it brings what is new. Compactors may go on meanwhile: the source is looked at again until a
//! look shows nothing new.

use std::collections::BTreeSet;
use std::io::Write as _;

use sarsen_block::BlockId;
use sarsen_bucket::{Copied, MarkKind, View, copy_block};

use super::{BANDWIDTH, bytes_of, chosen, failed, open, run as in_runtime};
use crate::cli::Failure;
use crate::config::flags::{Flag, Given, Kind};
use crate::tools::print::on_stdout;
use crate::tools::progress::Progress;

/// Own flags of the tool.
pub(in crate::tools) const FLAGS: &[Flag] = &[
    Flag::new("objstore-to.config-file", Kind::Text, "", "File with the object store that blocks go to."),
    Flag::new("objstore-to.config", Kind::Text, "", "The same as text."),
    Flag::switch("ignore-marked-for-deletion", "Leave out blocks that are marked for deletion."),
    BANDWIDTH,
];

/// Looks after which a source that never comes to rest is left as it is.
const LOOKS: usize = 10;

/// Copies every block, or those in the arguments.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let progress = Progress::new("copy");
    in_runtime(async {
        let from = open(&given, "objstore.config", Some(&progress))?;
        let to = open(&given, "objstore-to.config", None)?;
        let mut done: BTreeSet<BlockId> = BTreeSet::new();
        let (mut count, mut all_bytes, mut present) = (0, 0, 0);
        for _ in 0..LOOKS {
            let view = View::fetch(&from).await.map_err(failed)?;
            let there = View::fetch(&to).await.map_err(failed)?;
            let mut metas = chosen(&given, &view)?;
            metas.retain(|meta| {
                let is_left = given.is_on("ignore-marked-for-deletion")
                    && view.mark(meta.id, MarkKind::Deletion).is_some();
                !is_left && !done.contains(&meta.id)
            });
            if metas.is_empty() {
                break;
            }
            let missing = metas.iter().filter(|meta| !there.blocks.contains_key(&meta.id));
            progress.expect(missing.map(|meta| bytes_of(meta)).sum());
            for meta in metas {
                progress.at(&meta.id.to_string());
                let copied = copy_block(&from, &to, meta.id).await.map_err(failed)?;
                done.insert(meta.id);
                progress.clear();
                on_stdout(|out| {
                    match copied {
                        Copied::Complete { bytes, .. } => {
                            count += 1;
                            all_bytes += bytes;
                            writeln!(out, "{}: copied, {bytes} bytes", meta.id)?;
                        }
                        Copied::Present => present += 1,
                        Copied::Gone => writeln!(out, "{}: was removed meanwhile", meta.id)?,
                    }
                    Ok(())
                })?;
            }
            if !given.arguments.is_empty() {
                break;
            }
        }
        progress.end();
        on_stdout(|out| {
            Ok(writeln!(out, "{count} blocks copied, {all_bytes} bytes; {present} were there already")?)
        })
    })
}
