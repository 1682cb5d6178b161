//! Local blocks written anew: without what is deleted, or in the encodings that Thanos reads.
//!
//! The new block names the old one as its parent and takes its place: first it gets its name, durably, then readers are shown it,
//! then the old one is removed. A crash in between leaves both; the old one is then known by its name in the new one's
//! meta file, is not opened, and is removed at open. A block of which nothing is left is removed without a successor.

use std::sync::Arc;

use sarsen_block::{
    Ancestry, Block, BlockId, BlockWriterOptions, Encoding, RewriteOptions, Timestamp, rewrite,
};

use crate::block_files::Target;
use crate::blocks::{self, BlockInfo};
use crate::db::Shared;
use crate::error::Error;
use crate::query::View;
use crate::upkeep::Upkeep;

/// What is to be different in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rewrite {
    /// What its tombstones cover is not in it, and it has none.
    Clean,
    /// The same, and its chunks have the encodings that Thanos reads: XOR for floats, no start timestamps.
    CleanAndPlain,
}

/// What became of a block that was to be written anew.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Rewritten {
    /// There is no such block.
    Missing,
    /// It is as wanted already.
    Untouched,
    /// This one has taken its place.
    Replaced(Box<BlockInfo>),
    /// Everything in it was deleted. It is gone.
    Removed,
}

impl Shared {
    /// Writes one block anew, if need be.
    pub(crate) fn rewrite_one(
        &self,
        upkeep: &mut Upkeep,
        id: BlockId,
        how: Rewrite,
        now: Timestamp,
    ) -> Result<Rewritten, Error> {
        let view = Arc::clone(&self.view.read());
        let Some(old) = view.blocks.iter().find(|local| local.info.id == id) else {
            return Ok(Rewritten::Missing);
        };
        let is_wanted =
            !old.block.tombstones().is_empty() || how == Rewrite::CleanAndPlain && !is_plain(&old.block)?;
        if !is_wanted {
            return Ok(Rewritten::Untouched);
        }
        let options = BlockWriterOptions { segment_size: self.options.chunk_segment_size };
        let target = Target { disk: self.disk.as_ref(), directory: &self.directory, options };
        let new_id = self.new_id(upkeep, now)?;
        let made = target.make(new_id, |sink| {
            let options = RewriteOptions {
                writer: options,
                plain: how == Rewrite::CleanAndPlain,
                ..RewriteOptions::new(new_id, Ancestry::Cleaned)
            };
            let rewritten = rewrite(std::slice::from_ref(&old.block), sink, options)?;
            Ok((!rewritten.is_empty()).then_some(rewritten.meta))
        })?;
        let Some(made) = made else {
            self.retire_one(upkeep, id)?;
            return Ok(Rewritten::Removed);
        };
        let info = Box::new(made.info.clone());
        let mut blocks: Vec<_> = view.blocks.iter().filter(|local| local.info.id != id).cloned().collect();
        blocks.push(Arc::new(made));
        blocks::sort(&mut blocks);
        self.show(upkeep, View { blocks, ..*view });
        blocks::remove(self.disk.as_ref(), &self.directory, id)?;
        Ok(Rewritten::Replaced(info))
    }

    /// Writes all blocks with tombstones anew.
    pub(crate) fn clean_tombstones(&self, now: Timestamp) -> Result<Vec<(BlockId, Rewritten)>, Error> {
        let mut upkeep = self.upkeep.lock();
        let view = Arc::clone(&self.view.read());
        let mut done = Vec::new();
        for id in view.blocks.iter().map(|local| local.info.id) {
            match self.rewrite_one(&mut upkeep, id, Rewrite::Clean, now)? {
                Rewritten::Untouched | Rewritten::Missing => {}
                changed => done.push((id, changed)),
            }
        }
        Ok(done)
    }
}

/// Whether Thanos reads all chunks of a block. Looks at every chunk until one is not.
fn is_plain(block: &Block) -> Result<bool, Error> {
    for no in block.postings(&[])? {
        for chunk in block.series(no)?.chunks {
            let encoding = block.chunk(chunk.chunk_ref)?.encoding;
            if matches!(encoding, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
