//! A copy of the database that others can open: blocks by hard link, the head as one more block, late samples as another.
//!
//! The copy comes into being under a temporary name beside its target and is renamed when it is whole and durable; what an
//! interrupted snapshot leaves carries the temporary name and is removed by the next one to the same target. Upkeep waits
//! meanwhile: no block goes or changes. Writers do not; the copy has everything that was committed before the call, and a
//! prefix of what comes later in each series. A linked file is never written again in either place: what changes in a block
//! is replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{BlockId, TimeRange, Timestamp};
use sarsen_wal::{Disk, FileSource};

use crate::block_files::Target;
use crate::blocks::FOR_CREATION;
use crate::builder::FOREIGN_LOG;
use crate::db::Shared;
use crate::error::Error;
use crate::head::{HeadLists, Reach};
use crate::head_compaction::{Content, write_block};
use crate::upkeep::Upkeep;

/// Bytes that a copy moves at a time.
const PIECE: u64 = 1 << 20;

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Blocks of the database, oldest first.
    pub blocks: Vec<BlockId>,
    /// Blocks that were made of the head; none if it was empty.
    pub head: Vec<BlockId>,
}

impl Shared {
    pub(crate) fn snapshot(&self, target: &Path, now: Timestamp) -> Result<SnapshotReport, Error> {
        let mut upkeep = self.upkeep.lock();
        self.check()?;
        let failed = |e| Error::io(format!("making the snapshot {}", target.display()), e);
        let Some(name) = target.file_name() else {
            return Err(Error::invalid("snapshot", "the target has no name"));
        };
        let disk = self.disk.as_ref();
        let exists = disk.stat(target).map_err(failed)?;
        if exists.is_some_and(|entry| !entry.is_dir)
            || disk.read_dir(target).is_ok_and(|entries| !entries.is_empty())
        {
            return Err(Error::invalid("snapshot", format!("{} is not empty", target.display())));
        }
        let parent = target.parent().unwrap_or(Path::new(""));
        let mut temporary = name.to_owned();
        temporary.push(FOR_CREATION);
        let temporary = parent.join(temporary);
        if disk.stat(&temporary).map_err(failed)?.is_some() {
            disk.remove_dir_all(&temporary).map_err(failed)?;
        }
        let made = self.fill_snapshot(&mut upkeep, &temporary, now).and_then(|report| {
            if disk.stat(target).map_err(failed)?.is_some() {
                disk.remove_dir_all(target).map_err(failed)?;
            }
            disk.rename(&temporary, target).map_err(failed)?;
            disk.sync_dir(parent).map_err(failed)?;
            Ok(report)
        });
        if made.is_err() {
            // The first failure is the one to tell of; what is left is removed by the next call.
            let _ = disk.remove_dir_all(&temporary);
        }
        made
    }

    fn fill_snapshot(
        &self,
        upkeep: &mut Upkeep,
        directory: &Path,
        now: Timestamp,
    ) -> Result<SnapshotReport, Error> {
        let disk = self.disk.as_ref();
        let failed = |e| Error::io(format!("making the snapshot {}", directory.display()), e);
        disk.create_dir_all(&directory.join(FOREIGN_LOG)).map_err(failed)?;
        let mut report = SnapshotReport::default();
        let view = Arc::clone(&self.view.read());
        for local in &view.blocks {
            link_block(disk, &local.info.directory, &directory.join(local.info.id.to_string()))
                .map_err(failed)?;
            report.blocks.push(local.info.id);
        }
        let target = Target { directory, ..self.target() };
        let (ordered, late) = {
            let head = self.head.read();
            (head.range(), head.late.range())
        };
        if let Some(head) = ordered {
            let range = head.intersect(TimeRange::new(view.head_from, Timestamp::MAX));
            let id = self.new_id(upkeep, now)?;
            let made = write_block(&self.head, target, (id, range), Content::Ordered)?;
            report.head.extend(made.map(|local| local.info.id));
        }
        if let Some(range) = late {
            let none = TimeRange::new(Timestamp::MAX, Timestamp::MIN);
            let series = HeadLists::new(&self.head).select(&[], Reach { ordered: none, late: range })?;
            let id = self.new_id(upkeep, now)?;
            let made = write_block(&self.head, target, (id, range), Content::Late(&series))?;
            report.head.extend(made.map(|local| local.info.id));
        }
        disk.sync_dir(directory).map_err(failed)?;
        Ok(report)
    }
}

/// Gives the files of the block in `from` second names in `to`, or copies them to another volume.
pub(crate) fn link_block(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.create_dir_all(&to.join("chunks"))?;
    let mut files: Vec<PathBuf> = vec!["index".into(), "tombstones".into(), "meta.json".into()];
    let chunks = disk.read_dir(&from.join("chunks"))?;
    files.extend(chunks.into_iter().filter(|entry| !entry.is_dir).map(|e| Path::new("chunks").join(e.name)));
    for file in files {
        match disk.hard_link(&from.join(&file), &to.join(&file)) {
            Err(e) if matches!(e.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported) => {
                copy(disk, &from.join(&file), &to.join(&file))?;
            }
            // A block without a tombstones file has no tombstones.
            Err(e) if e.kind() == io::ErrorKind::NotFound && file == Path::new("tombstones") => {}
            done => done?,
        }
    }
    disk.sync_dir(&to.join("chunks"))?;
    disk.sync_dir(to)
}

/// Copies a file, for a target on another volume.
fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    use sarsen_block::Source;
    let source = FileSource::open(disk, from)?;
    let file = disk.create(to)?;
    let mut at = 0;
    while at < Source::len(&source) {
        let end = Source::len(&source).min(at + PIECE);
        file.append(&source.read(at..end)?)?;
        at = end;
    }
    file.sync()
}
