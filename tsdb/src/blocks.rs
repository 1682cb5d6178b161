//! The complete local blocks: opened, refreshed, retired.
//!
//! A directory is a block if its name is a ULID. A block comes into being and goes by renaming its directory, so one that
//! carries the plain name is complete; what an interrupted step leaves carries a suffix and is removed at open. A block
//! that cannot be read is set aside: left where it is, named in the report, and otherwise as if it were not there.
//! Indexes are mapped, chunk files are read by position.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{Block, BlockId, BlockMeta, Source, Tombstones};
use sarsen_wal::{Disk, FileSource, read_file, real_disk};

use crate::error::Error;
use crate::report::SetAside;

/// Ending of the directory of a block that is being written.
pub(crate) const FOR_CREATION: &str = ".tmp-for-creation";
/// Ending of the directory of a block that is being removed.
const FOR_DELETION: &str = ".tmp-for-deletion";
/// What interrupted work may end in; the last one is of old versions of Prometheus.
const LEFTOVERS: [&str; 3] = [FOR_CREATION, FOR_DELETION, ".tmp"];

/// A local block, as its owner sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Its id, which is the name of its directory.
    pub id: BlockId,
    /// Where it lies.
    pub directory: PathBuf,
    /// What its meta file says.
    pub meta: BlockMeta,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A local block, open.
#[derive(Debug)]
pub(crate) struct LocalBlock {
    pub(crate) info: BlockInfo,
    pub(crate) block: Block,
}

/// What a look into the directory found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) blocks: Vec<Arc<LocalBlock>>,
    pub(crate) set_aside: Vec<SetAside>,
    /// Blocks that another block has taken the place of.
    pub(crate) superseded: Vec<Arc<LocalBlock>>,
}

impl Found {
    /// Leaves out downsampled blocks: a compactor may keep them in the directory of a database, whose readers know raw samples only. They
    /// are read with all others of the directory ([`open_blocks`]).
    pub(crate) fn leave_out_downsampled(&mut self) {
        let raw = |local: &Arc<LocalBlock>| {
            local.info.meta.thanos.as_ref().is_none_or(|thanos| thanos.resolution == 0)
        };
        self.blocks.retain(raw);
        self.superseded.retain(raw);
    }
}

/// Removes what interrupted work has left behind.
pub(crate) fn clean(disk: &dyn Disk, directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut removed = Vec::new();
    for entry in list(disk, directory)? {
        let is_leftover = LEFTOVERS
            .iter()
            .any(|ending| entry.strip_suffix(ending).is_some_and(|name| name.parse::<BlockId>().is_ok()));
        if is_leftover {
            let path = directory.join(&entry);
            disk.remove_dir_all(&path).map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
            removed.push(path);
        } else if entry.parse::<BlockId>().is_ok() {
            clean_block(disk, &directory.join(&entry), &mut removed)?;
        }
    }
    Ok(removed)
}

/// Removes what an interrupted delete has left in the directory of a block.
fn clean_block(disk: &dyn Disk, directory: &Path, removed: &mut Vec<PathBuf>) -> Result<(), Error> {
    for name in ["meta.json.tmp", "tombstones.tmp"] {
        let path = directory.join(name);
        match disk.remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(format!("removing {}", path.display()), e)),
        }
    }
    Ok(())
}

/// Names of the directories in a directory.
fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<String>, Error> {
    let entries =
        disk.read_dir(directory).map_err(|e| Error::io(format!("listing {}", directory.display()), e))?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
}

/// Opens the blocks of a directory, those that are `known` excepted, which are taken over.
pub(crate) fn load(disk: &dyn Disk, directory: &Path, known: &[Arc<LocalBlock>]) -> Result<Found, Error> {
    let mut found = Found::default();
    for name in list(disk, directory)? {
        let Ok(id) = name.parse::<BlockId>() else { continue };
        if let Some(block) = known.iter().find(|block| block.info.id == id) {
            found.blocks.push(Arc::clone(block));
            continue;
        }
        match open(disk, &directory.join(&name), id, Access::Random) {
            Ok(block) => found.blocks.push(Arc::new(block)),
            Err(error) => {
                found.set_aside.push(SetAside { directory: directory.join(&name), why: error.to_string() });
            }
        }
    }
    sort(&mut found.blocks);
    let parents = |local: &Arc<LocalBlock>| local.info.meta.compaction.parents.clone();
    let parents: HashSet<BlockId> = found
        .blocks
        .iter()
        .flat_map(parents)
        .map(|parent| parent.id)
        .filter(|&id| id != BlockId::NONE)
        .collect();
    (found.superseded, found.blocks) =
        found.blocks.into_iter().partition(|local| parents.contains(&local.info.id));
    Ok(found)
}

/// Removes the blocks that others have taken the place of: whoever wrote these did not come to it.
pub(crate) fn remove_superseded(
    disk: &dyn Disk,
    directory: &Path,
    found: &mut Found,
) -> Result<Vec<PathBuf>, Error> {
    let superseded = std::mem::take(&mut found.superseded);
    superseded
        .into_iter()
        .map(|local| remove(disk, directory, local.info.id).map(|()| local.info.directory.clone()))
        .collect()
}

/// Opens the block in a directory, for reading only. It may be one of Prometheus or Thanos.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read, [`Error::Block`] if meta file, index or tombstones are damaged,
/// [`Error::Invalid`] if the name of the directory is not that of the block. Chunks are not looked at.
pub fn open_block(directory: impl AsRef<Path>) -> Result<Block, Error> {
    let directory = directory.as_ref();
    let name = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let id = name.parse::<BlockId>()?;
    Ok(open(real_disk().as_ref(), directory, id, Access::Random)?.block)
}

/// Opens all blocks of a directory, the oldest first, for reading only: a data directory of Prometheus, Thanos or this crate, or
/// one tenant of a receiver. Blocks that another has taken the place of are left out, as are half ones. Downsampled blocks are among
/// them: their resolution stands in their meta.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be listed, [`Error::Invalid`] for the first block that cannot be opened.
pub fn open_blocks(directory: impl AsRef<Path>) -> Result<Vec<Block>, Error> {
    let found = load(real_disk().as_ref(), directory.as_ref(), &[])?;
    match found.set_aside.first() {
        Some(SetAside { directory, why }) => {
            Err(Error::invalid("block", format!("{}: {why}", directory.display())))
        }
        None => Ok(found.blocks.iter().map(|local| local.block.clone()).collect()),
    }
}

/// Oldest first; of two that begin together, the one made first.
pub(crate) fn sort(blocks: &mut [Arc<LocalBlock>]) {
    blocks.sort_by_key(|block| (block.info.meta.min_time, block.info.id));
}

/// How an index is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Here and there, for as long as the block lives: mapped.
    Random,
    /// Once from end to end: by position, so that its pages do not become resident.
    Once,
}

/// Opens the block in a directory.
pub(crate) fn open(
    disk: &dyn Disk,
    directory: &Path,
    id: BlockId,
    access: Access,
) -> Result<LocalBlock, Error> {
    let reading = |path: &Path| {
        let what = format!("reading {}", path.display());
        move |e| Error::io(what, e)
    };
    let path = directory.join("meta.json");
    let text = read_file(disk, &path).map_err(reading(&path))?;
    let mut meta = BlockMeta::parse(&text)?;
    if meta.id != id {
        return Err(Error::invalid(
            "block",
            format!("meta.json in {} says {}", directory.display(), meta.id),
        ));
    }
    let mut bytes = text.len() as u64;
    let path = directory.join("tombstones");
    let tombstones = match read_file(disk, &path) {
        Ok(stones) => {
            bytes += stones.len() as u64;
            Tombstones::decode(&stones)?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Tombstones::default(),
        Err(e) => return Err(reading(&path)(e)),
    };
    // An interrupted delete may have left stones that the meta file does not count yet.
    meta.stats.num_tombstones = tombstones.count() as u64;
    let path = directory.join("index");
    let index: Arc<dyn Source> = match access {
        Access::Random => Arc::new(disk.map(&path).map_err(reading(&path))?),
        Access::Once => Arc::new(FileSource::open(disk, &path).map_err(reading(&path))?),
    };
    bytes += index.len();
    let chunks = directory.join("chunks");
    let mut segments: Vec<Arc<dyn Source>> = Vec::new();
    for entry in disk.read_dir(&chunks).map_err(reading(&chunks))? {
        if entry.is_dir || entry.name.len() != 6 || !entry.name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let path = chunks.join(&entry.name);
        let source = FileSource::open(disk, &path).map_err(reading(&path))?;
        bytes += Source::len(&source);
        segments.push(Arc::new(source));
    }
    let block = Block::open(index, segments, meta.clone(), tombstones)?;
    Ok(LocalBlock { info: BlockInfo { id, directory: directory.to_owned(), meta, bytes }, block })
}

/// Takes a block out of the directory. Whoever has it open may go on reading.
pub(crate) fn remove(disk: &dyn Disk, directory: &Path, id: BlockId) -> Result<(), Error> {
    let path = directory.join(id.to_string());
    let going = directory.join(format!("{id}{FOR_DELETION}"));
    let failed = |e| Error::io(format!("removing {}", path.display()), e);
    disk.rename(&path, &going).map_err(failed)?;
    disk.sync_dir(directory).map_err(failed)?;
    disk.remove_dir_all(&going).map_err(failed)
}
