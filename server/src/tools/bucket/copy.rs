//! `tools bucket copy`: the blocks of one bucket into another one, as a backup or to bring them back.
//!
//! A copy may be broken off and repeated; it brings what is new. Compactors may go on meanwhile: the source is looked at again until a
//! look shows nothing new.

use std::collections::BTreeSet;
use std::io::Write as _;

use sarsen_block::BlockId;
use sarsen_bucket::{Bucket, Copied, MarkKind, View, copy_block};
use tokio::task::JoinSet;

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
/// Blocks that are on their way at the same time; of each, a few parts are in memory.
const BLOCKS_IN_FLIGHT: usize = 4;

/// What has been done.
#[derive(Default)]
struct Tally {
    seen: BTreeSet<BlockId>,
    copied: usize,
    bytes: u64,
    present: usize,
}

/// Copies every block, or those in the arguments.
pub(in crate::tools) fn run(given: Given) -> Result<(), Failure> {
    let progress = Progress::new("copy");
    let mut tally = Tally::default();
    in_runtime(async {
        let from = open(&given, "objstore.config", Some(&progress))?;
        let to = open(&given, "objstore-to.config", None)?;
        for _ in 0..LOOKS {
            let view = View::fetch(&from).await.map_err(failed)?;
            let there = View::fetch(&to).await.map_err(failed)?;
            let mut metas = chosen(&given, &view)?;
            metas.retain(|meta| {
                let marked = view.mark(meta.id, MarkKind::Deletion).is_some();
                let unwanted = marked && given.is_on("ignore-marked-for-deletion");
                !unwanted && !tally.seen.contains(&meta.id)
            });
            if metas.is_empty() {
                break;
            }
            let missing = metas.iter().filter(|meta| !there.blocks.contains_key(&meta.id));
            progress.expect(missing.map(|meta| bytes_of(meta)).sum());
            copy_all(&from, &to, metas.iter().map(|meta| meta.id), &mut tally, &progress).await?;
            if !given.arguments.is_empty() {
                break;
            }
        }
        Ok(())
    })?;
    progress.end();
    let Tally { copied, bytes, present, .. } = tally;
    on_stdout(|out| Ok(writeln!(out, "{copied} blocks copied, {bytes} bytes; {present} were there already")?))
}

async fn copy_all(
    from: &Bucket,
    to: &Bucket,
    mut ids: impl Iterator<Item = BlockId>,
    tally: &mut Tally,
    progress: &Progress,
) -> Result<(), Failure> {
    // What is on its way when an error ends this is broken off: half a block, with which the next copy goes on.
    let mut underway = JoinSet::new();
    loop {
        while underway.len() < BLOCKS_IN_FLIGHT
            && let Some(id) = ids.next()
        {
            progress.at(&id.to_string());
            let (from, to) = (from.clone(), to.clone());
            underway.spawn(async move { (id, copy_block(&from, &to, id).await) });
        }
        let Some(ended) = underway.join_next().await else { return Ok(()) };
        let (id, copied) = ended.map_err(|why| Failure::Run(why.to_string()))?;
        let copied = copied.map_err(failed)?;
        tally.seen.insert(id);
        progress.clear();
        on_stdout(|out| {
            match copied {
                Copied::Complete { bytes, .. } => {
                    tally.copied += 1;
                    tally.bytes += bytes;
                    writeln!(out, "{id}: copied, {bytes} bytes")?;
                }
                Copied::Present => tally.present += 1,
                Copied::Gone => writeln!(out, "{id}: was removed meanwhile")?,
            }
            Ok(())
        })?;
    }
}
