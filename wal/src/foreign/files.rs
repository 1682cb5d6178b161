//! Which files of a directory are the log of Prometheus, and in which order they count.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::Error;

const CHECKPOINT: &str = "checkpoint.";

/// The files of a log of Prometheus, each list in the order in which it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Segments of the newest checkpoint.
    pub checkpoint: Vec<PathBuf>,
    /// Segments of the log behind the checkpoint.
    pub segments: Vec<PathBuf>,
    /// Segments of the log of out-of-order samples.
    pub out_of_order: Vec<PathBuf>,
    /// Files with chunks of the head, with their numbers. A gap in the numbers ends the list: what lies behind does not
    /// count for Prometheus, whose log has it all.
    pub head_chunks: Vec<(u32, PathBuf)>,
    /// Files that should lie between others and do not.
    pub missing: Vec<PathBuf>,
}

impl Files {
    /// Looks into a data directory. A part that is not there is empty.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn find(disk: &dyn Disk, directory: &Path) -> Result<Self, Error> {
        let mut files = Self::default();
        let log = directory.join("wal");
        let newest = checkpoint(disk, &log)?;
        if let Some((_, name)) = &newest {
            let directory = log.join(name);
            files.checkpoint = files.in_order(&directory, numbered(disk, &directory, 8)?);
        }
        let behind = newest.map_or(0, |(number, _)| number + 1);
        let mut segments = numbered(disk, &log, 8)?;
        segments.retain(|(number, _)| *number >= behind);
        if let Some((first, _)) = segments.first().filter(|(first, _)| behind > 0 && *first > behind) {
            files.missing.extend((behind..*first).map(|number| log.join(format!("{number:08}"))));
        }
        files.segments = files.in_order(&log, segments);
        let late = directory.join("wbl");
        let segments = numbered(disk, &late, 8)?;
        files.out_of_order = files.in_order(&late, segments);
        for (number, path) in numbered(disk, &directory.join("chunks_head"), 6)? {
            let Ok(number) = u32::try_from(number) else { break };
            if files.head_chunks.last().is_some_and(|(last, _)| number != last + 1) {
                break;
            }
            files.head_chunks.push((number, path));
        }
        Ok(files)
    }

    /// Whether there is no file at all.
    pub const fn is_empty(&self) -> bool {
        self.checkpoint.is_empty()
            && self.segments.is_empty()
            && self.out_of_order.is_empty()
            && self.head_chunks.is_empty()
    }

    /// The paths of numbered files; notes what is missing between them.
    fn in_order(&mut self, directory: &Path, found: Vec<(u64, PathBuf)>) -> Vec<PathBuf> {
        for pair in found.windows(2) {
            if let [(before, _), (after, _)] = pair {
                // A stray file with a huge number would otherwise list as many.
                let gap = (before + 1..*after).take(100);
                self.missing.extend(gap.map(|number| directory.join(format!("{number:08}"))));
            }
        }
        found.into_iter().map(|(_, path)| path).collect()
    }
}

/// The entries of a directory; none if it is not there.
fn entries(disk: &dyn Disk, directory: &Path) -> Result<Vec<crate::disk::Entry>, Error> {
    match disk.read_dir(directory) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("listing", directory, error)),
    }
}

/// The files whose names are numbers of at least so many digits, by number.
fn numbered(disk: &dyn Disk, directory: &Path, digits: usize) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in entries(disk, directory)? {
        if let Some(number) = number(&entry.name, digits).filter(|_| !entry.is_dir) {
            found.push((number, directory.join(&entry.name)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn number(name: &str, digits: usize) -> Option<u64> {
    let valid = name.len() >= digits && name.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| name.parse().ok()).flatten().filter(|number| *number < u64::MAX)
}

/// Number and name of the newest checkpoint.
fn checkpoint(disk: &dyn Disk, log: &Path) -> Result<Option<(u64, String)>, Error> {
    let found = entries(disk, log)?.into_iter().filter(|entry| entry.is_dir);
    let numbered =
        found.filter_map(|entry| Some((number(entry.name.strip_prefix(CHECKPOINT)?, 1)?, entry.name)));
    Ok(numbered.max())
}
