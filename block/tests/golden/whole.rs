//! Golden blocks opened, and blocks written to memory compared with golden ones.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{Block, BlockMeta, Files, Source, Tombstones};

use super::GoldenBlock;

pub(crate) fn file(block: &GoldenBlock, name: &str) -> Bytes {
    fs::read(block.dir.join(name)).unwrap().into()
}

pub(crate) fn open(block: &GoldenBlock) -> Block {
    open_with(block, Tombstones::decode(&file(block, "tombstones")).unwrap())
}

/// Blocks in a bucket have no such file.
pub(crate) fn open_without_tombstones(block: &GoldenBlock) -> Block {
    assert!(!block.dir.join("tombstones").exists());
    open_with(block, Tombstones::default())
}

pub(crate) fn open_with(block: &GoldenBlock, tombstones: Tombstones) -> Block {
    let segments =
        block.chunk_files().into_iter().map(|f| Arc::new(Bytes::from(f)) as Arc<dyn Source>).collect();
    let meta = BlockMeta::parse(&file(block, "meta.json")).unwrap();
    Block::open(Arc::new(file(block, "index")), segments, meta, tombstones).unwrap()
}

/// The block that these files are, without tombstones.
pub(crate) fn opened_files(files: &Files, meta: BlockMeta) -> Block {
    files.open(meta, Tombstones::default()).unwrap()
}

pub(crate) fn same_files(written: &Files, dir: &Path) {
    let mut names = vec!["index".to_owned()];
    for entry in fs::read_dir(dir.join("chunks")).unwrap() {
        names.push(format!("chunks/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    names.sort();
    assert_eq!(written.0.keys().cloned().collect::<Vec<_>>().len(), names.len());
    for name in names {
        let wanted = fs::read(dir.join(&name)).unwrap();
        assert!(written.0[&name] == wanted, "{} of {}", name, dir.display());
    }
}
