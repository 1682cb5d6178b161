//! A checkpoint: what the head knows, as bytes, in place of the log up to now.
//!
//! The log is rolled; then labels, series with their open chunks, and what else the segments before the roll told of are
//! written, in slices, while commits go on; then the spill is synced and named. When the checkpoint has its name, the segments
//! before the roll go, and with them spill files that nobody needs any more. It costs what the series weigh, not what was
//! logged, and no sample is encoded again. `DESIGN.md` says why it is right after any crash.

use sarsen_block::SeriesNo;
use sarsen_wal::{Batch, CheckpointWriter};

use crate::db::Shared;
use crate::error::Error;
use crate::head::{Extent, put_spill};
use crate::upkeep::Upkeep;

/// Labels whose texts are copied under one hold of the lock.
const LABEL_SLICE: u32 = 4096;
/// Exemplars that are copied under one hold of the lock.
const EXEMPLAR_SLICE: u32 = 1024;

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checkpointed {
    /// Its bytes; 0 if there was a later one already.
    pub(crate) bytes: u64,
    /// Log segments that it replaced.
    pub(crate) segments: u64,
}

impl Shared {
    /// Writes a checkpoint. The caller holds `upkeep`, so that no series and no label is forgotten meanwhile.
    pub(crate) fn checkpoint(&self, upkeep: &Upkeep) -> Result<Checkpointed, Error> {
        let upto = self.log.roll()?;
        let Some(mut file) = CheckpointWriter::begin(&self.disk, &self.directory, upto)? else {
            return Ok(Checkpointed::default());
        };
        let mut bytes = Vec::new();
        let extent = self.head.read().put_beginning(&mut bytes);
        file.put_state(false, &bytes)?;
        for start in (0..extent.labels).step_by(LABEL_SLICE as usize) {
            bytes.clear();
            let end = extent.labels.min(start.saturating_add(LABEL_SLICE));
            self.head.read().put_labels(start..end, &mut bytes);
            file.put_state(true, &bytes)?;
        }
        for page in 0..extent.pages {
            bytes.clear();
            if self.head.read().put_series(page, extent, &mut bytes) {
                file.put_state(false, &bytes)?;
            }
        }
        self.put_notes(&mut file, extent)?;
        // Sealed samples that are in blocks only wait to be dropped.
        self.put_late(&mut file, upkeep.late.sealed.is_none())?;
        self.head.write().seal_spill();
        let spilled = self.spill.sync()?;
        bytes.clear();
        put_spill(self.spill.next_number(), &spilled, &mut bytes);
        file.put_state(false, &bytes)?;
        let sealed = file.finish()?;
        self.spill.remove_dead()?;
        Ok(Checkpointed { bytes: sealed.bytes, segments: sealed.removed.0 })
    }

    /// What stands beside the chunks, as the records that told of it.
    fn put_notes(&self, file: &mut CheckpointWriter<'_>, extent: Extent) -> Result<(), Error> {
        let mut batch = Batch::new();
        for page in 0..extent.pages {
            self.head.read().log_notes(page, extent, &mut batch);
            file.put(&mut batch)?;
        }
        let mut turn = 0;
        loop {
            let end = turn + EXEMPLAR_SLICE;
            let has_more = self.head.read().log_exemplars(turn..end, extent, &mut batch);
            file.put(&mut batch)?;
            if !has_more {
                return Ok(());
            }
            turn = end;
        }
    }

    /// Late samples, as the records that told of them.
    fn put_late(&self, file: &mut CheckpointWriter<'_>, with_sealed: bool) -> Result<(), Error> {
        let mut batch = Batch::new();
        let mut from = Some(SeriesNo(0));
        while let Some(at) = from {
            from = self.head.read().late.log(at, with_sealed, &mut batch)?;
            file.put(&mut batch)?;
        }
        Ok(())
    }
}
