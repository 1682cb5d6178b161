//! Cut the log at a stated place; the only room that shortens a log.

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::error::Error;
use crate::segment::{self, CHECKPOINT, Position};

/// What a cut found to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes that are gone.
    pub(crate) bytes: u64,
    /// Whether the segment that now ends at the place was synced.
    pub(crate) synced: bool,
}

/// Makes `end` the end of the segments in `log`. Later segments go first, from the last backwards, so that an
/// interrupted cut leaves a shorter log with the same fault, or none.
pub(crate) fn cut(disk: &dyn Disk, log: &Path, end: Position) -> Result<Cut, Error> {
    let mut done = Cut::default();
    let mut removed = false;
    for (number, length) in segment::list(disk, log)?.into_iter().rev() {
        let path = number.path(log);
        if number > end.segment || (number == end.segment && end.offset == 0) {
            disk.remove_file(&path).map_err(Error::on("removing", &path))?;
            // One by one: the order of removals is kept only between syncs.
            disk.sync_dir(log).map_err(Error::on("syncing", log))?;
            done.bytes += length;
            removed = true;
        } else if number == end.segment && length > end.offset {
            let file = disk.open_append(&path).map_err(Error::on("opening", &path))?;
            file.cut(end.offset).map_err(Error::on("cutting", &path))?;
            file.sync().map_err(Error::on("syncing", &path))?;
            if !removed {
                disk.sync_dir(log).map_err(Error::on("syncing", log))?;
            }
            done.bytes += length - end.offset;
            done.synced = true;
        }
    }
    Ok(done)
}

/// Removes what an interrupted checkpoint left behind.
pub(crate) fn clean(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let directory = dir.join(CHECKPOINT);
    let entries = match disk.read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("listing", &directory, error)),
    };
    for entry in entries.iter().filter(|entry| entry.is_dir && entry.name.ends_with(".tmp")) {
        let path = directory.join(&entry.name);
        disk.remove_dir_all(&path).map_err(Error::on("removing", &path))?;
    }
    Ok(())
}
