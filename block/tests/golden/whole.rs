//! Golden blocks opened, and blocks written to memory compared with golden ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{Block, BlockMeta, BlockSink, Source, Tombstones};

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

/// Files in memory.
#[derive(Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

pub(crate) struct OpenFile(String, Vec<u8>);

impl io::Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for Files {
    type File = OpenFile;
    fn create(&mut self, rel_path: &str) -> io::Result<OpenFile> {
        Ok(OpenFile(rel_path.to_owned(), Vec::new()))
    }
    fn finish(&mut self, file: OpenFile) -> io::Result<()> {
        assert!(self.0.insert(file.0, file.1).is_none(), "a file is written once");
        Ok(())
    }
}

/// The block that these files are, without tombstones.
pub(crate) fn opened_files(files: &Files, meta: BlockMeta) -> Block {
    let file = |bytes: &Vec<u8>| Arc::new(Bytes::from(bytes.clone())) as Arc<dyn Source>;
    let segments = files.0.range("chunks".to_owned().."d".to_owned()).map(|(_, bytes)| file(bytes)).collect();
    Block::open(file(&files.0["index"]), segments, meta, Tombstones::default()).unwrap()
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
