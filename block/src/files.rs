//! The files of a block in memory, by their paths in the block's folder (feature `files`).
//!
//! For tests and benches, which write a block, look at its bytes or spoil them, and open it again. No disk is touched.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::meta::BlockMeta;
use crate::reader::Block;
use crate::source::Source;
use crate::tombstones::Tombstones;
use crate::writer::BlockSink;

/// Index and chunk files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

/// One of the files while it is written.
#[derive(Debug)]
pub struct OpenFile(String, Vec<u8>);

impl Write for OpenFile {
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

    /// Refuses a file that was written before.
    fn finish(&mut self, OpenFile(rel_path, bytes): OpenFile) -> io::Result<()> {
        match self.0.insert(rel_path, bytes) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }
}

impl Files {
    /// The block that these files are.
    ///
    /// # Errors
    /// As [`Block::open`]; `Corrupt` if there is no index.
    pub fn open(&self, meta: BlockMeta, tombstones: Tombstones) -> Result<Block, Error> {
        let source = |bytes: &Vec<u8>| Arc::new(Bytes::from(bytes.clone())) as Arc<dyn Source>;
        let index = self.0.get("index").ok_or_else(|| Error::corrupt("index", 0, "is missing"))?;
        let segments = self.0.iter().filter(|(path, _)| path.starts_with("chunks/"));
        Block::open(source(index), segments.map(|(_, bytes)| source(bytes)).collect(), meta, tombstones)
    }
}
