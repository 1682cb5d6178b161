//! Blocks as they lie in directories, opened for reading with bounded buffers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{Block, BlockId, BlockMeta, Source, Tombstones};
use sarsen_wal::{Disk, FileSource, RealDisk, read_file};

use crate::cli::Failure;

/// A block with the files it is made of.
pub(super) struct Opened {
    pub(super) block: Block,
    /// Bytes of all its files.
    pub(super) bytes: u64,
}

/// Reads the meta of the block in `dir`.
pub(super) fn read_meta(dir: &Path) -> Result<BlockMeta, Failure> {
    let path = dir.join("meta.json");
    let text = read_file(&RealDisk, &path).map_err(|why| fail(&path, why))?;
    BlockMeta::parse(&text).map_err(|why| fail(&path, why))
}

/// Opens the block in `dir`.
pub(super) fn open_block(dir: &Path) -> Result<Opened, Failure> {
    let meta = read_meta(dir)?;
    let mut bytes = 0;
    let mut source = |path: &Path| -> Result<Arc<dyn Source>, Failure> {
        let source = FileSource::open(&RealDisk, path).map_err(|why| fail(path, why))?;
        bytes += source.len();
        Ok(Arc::new(source))
    };
    let index = source(&dir.join("index"))?;
    let chunks = dir.join("chunks");
    let mut names: Vec<String> = RealDisk
        .read_dir(&chunks)
        .map_err(|why| fail(&chunks, why))?
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    names.sort_unstable();
    let segments = names.iter().map(|name| source(&chunks.join(name))).collect::<Result<Vec<_>, _>>()?;
    let path = dir.join("tombstones");
    let tombstones = match path.exists() {
        true => {
            let content = read_file(&RealDisk, &path).map_err(|why| fail(&path, why))?;
            bytes += content.len() as u64;
            Tombstones::decode(&content).map_err(|why| fail(&path, why))?
        }
        false => Tombstones::default(),
    };
    bytes += fs::metadata(dir.join("meta.json")).map_or(0, |meta| meta.len());
    let block = Block::open(index, segments, meta, tombstones).map_err(|why| fail(dir, why))?;
    Ok(Opened { block, bytes })
}

/// The block directories that `dir` stands for: itself, or the blocks that lie in it, by name.
pub(super) fn blocks_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    if dir.join("meta.json").exists() {
        return Ok(vec![dir.to_owned()]);
    }
    let entries = fs::read_dir(dir).map_err(|why| fail(dir, why))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|why| fail(dir, why))?.path();
        let is_block = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.parse::<BlockId>().is_ok());
        if is_block && path.join("meta.json").exists() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// As [`blocks_in`], but a directory without any block is a failure.
pub(super) fn some_blocks_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let found = blocks_in(dir)?;
    if found.is_empty() {
        return Err(Failure::Run(format!("{}: no block and no directory of blocks", dir.display())));
    }
    Ok(found)
}

pub(super) fn fail(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Run(format!("{}: {why}", path.display()))
}
