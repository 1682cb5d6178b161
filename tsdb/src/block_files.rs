//! How a block comes into being on a disk.
//!
//! Everything is written into a directory with a temporary name, synced and verified to the last sample; then the directory is
//! renamed, and from then on there is a block. A name that could not be made durable is taken back, because whoever made
//! the block still has what is in it. What an interrupted call leaves carries the temporary name and is removed at open.

use std::io;
use std::path::{Path, PathBuf};

use sarsen_block::{BlockId, BlockMeta, BlockSink, BlockWriterOptions, Tombstones, verify};
use sarsen_wal::{Disk, File};

use crate::blocks::{self, Access, FOR_CREATION, LocalBlock};
use crate::error::Error;

/// Bytes after which a growing file of a block is synced.
const SYNC_EVERY: usize = 1 << 20;

/// Where blocks go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The directory of the database.
    pub(crate) directory: &'a Path,
    pub(crate) options: BlockWriterOptions,
}

impl Target<'_> {
    /// Makes block `id` of what `write` gives the sink, and opens it. `write` gives the meta back, or `None` if there was
    /// nothing to write and no block is wanted.
    pub(crate) fn make(
        self,
        id: BlockId,
        write: impl FnOnce(DiskSink<'_>) -> Result<Option<BlockMeta>, Error>,
    ) -> Result<Option<LocalBlock>, Error> {
        let temporary = self.directory.join(format!("{id}{FOR_CREATION}"));
        let failed = |e| Error::io(format!("writing {}", temporary.display()), e);
        if self.disk.stat(&temporary).map_err(failed)?.is_some() {
            self.disk.remove_dir_all(&temporary).map_err(failed)?;
        }
        let directory = self.directory.join(id.to_string());
        let written = self.fill(&temporary, write).and_then(|local| {
            if local.is_some() {
                self.disk.rename(&temporary, &directory).map_err(failed)?;
                self.disk.sync_dir(self.directory).map_err(failed)?;
            }
            Ok(local)
        });
        if let Ok(Some(mut local)) = written {
            local.info.directory = directory;
            return Ok(Some(local));
        }
        for left in [&temporary, &directory] {
            // The first failure is the one to tell of; the next open removes what is temporary.
            let _ = self.disk.remove_dir_all(left);
        }
        written
    }

    /// Writes, syncs and verifies all files of a block, and opens it.
    fn fill(
        self,
        temporary: &Path,
        write: impl FnOnce(DiskSink<'_>) -> Result<Option<BlockMeta>, Error>,
    ) -> Result<Option<LocalBlock>, Error> {
        let disk = self.disk;
        let failed = |e| Error::io(format!("writing {}", temporary.display()), e);
        let chunks = temporary.join("chunks");
        disk.create_dir_all(&chunks).map_err(failed)?;
        let Some(meta) = write(DiskSink { disk, directory: temporary.to_owned() })? else {
            return Ok(None);
        };
        for (name, bytes) in
            [("meta.json", meta.to_bytes()), ("tombstones", Tombstones::default().to_bytes())]
        {
            let file = disk.create(&temporary.join(name)).map_err(failed)?;
            file.append(&bytes).and_then(|()| file.sync()).map_err(failed)?;
        }
        disk.sync_dir(&chunks).map_err(failed)?;
        disk.sync_dir(temporary).map_err(failed)?;
        match verify(&blocks::open(disk, temporary, meta.id, Access::Once)?.block).faults.first() {
            None => Ok(Some(blocks::open(disk, temporary, meta.id, Access::Random)?)),
            Some(fault) => Err(Error::invalid("new block", fault.to_string())),
        }
    }
}

/// Files of a block on a disk.
#[derive(Debug)]
pub(crate) struct DiskSink<'a> {
    disk: &'a dyn Disk,
    directory: PathBuf,
}

/// A file of the block that becomes durable as it grows, so that no sync of the log waits behind all of it.
#[derive(Debug)]
pub(crate) struct BlockFile {
    file: Box<dyn File>,
    unsynced: usize,
}

impl io::Write for BlockFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for DiskSink<'_> {
    type File = BlockFile;

    fn create(&mut self, rel_path: &str) -> io::Result<BlockFile> {
        let file = self.disk.create(&self.directory.join(rel_path))?;
        Ok(BlockFile { file, unsynced: 0 })
    }

    fn finish(&mut self, file: BlockFile) -> io::Result<()> {
        file.file.sync()
    }
}
