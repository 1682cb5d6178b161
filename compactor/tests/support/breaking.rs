//! Ways to break the files of a block, with checksums made right again where the damage is to lie deeper.

use std::ops::Range;

use bytes::Bytes;
use sarsen_block::codec::{Reader, crc32c, put_uvarint};
use sarsen_block::{Block, RECORD_HEAD_LEN, SeriesNo, record_len};

use super::Made;

impl Made {
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.files[path].to_vec()
    }

    pub(crate) fn set(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), Bytes::from(bytes));
    }

    /// Changes a file without changing its length.
    pub(crate) fn edit(&mut self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes(path);
        edit(&mut bytes);
        self.set(path, bytes);
    }

    /// Cuts a file off at `keep` of its length, in percent. The meta is told, so that the damage is not seen by the size.
    pub(crate) fn cut(&mut self, path: &str, keep: usize) {
        let mut bytes = self.bytes(path);
        bytes.truncate(bytes.len() * keep / 100);
        self.tell_size(path, bytes.len() as u64);
        self.set(path, bytes);
    }

    /// Lets the meta say that a file has so many bytes.
    pub(crate) fn tell_size(&mut self, path: &str, bytes: u64) {
        for file in &mut self.meta.thanos.as_mut().unwrap().files {
            if file.rel_path == path {
                file.size_bytes = bytes;
            }
        }
    }

    /// Takes a file away, and out of the meta.
    pub(crate) fn forget(&mut self, path: &str) {
        self.files.remove(path);
        self.meta.thanos.as_mut().unwrap().files.retain(|file| file.rel_path != path);
    }

    /// Where the entry of a series lies in the index: its content.
    pub(crate) fn series_content(&self, number: usize) -> Range<usize> {
        let block: Block = self.open();
        let no: SeriesNo = block.postings(&[]).unwrap()[number];
        let at = block.index().series_offset(no) as usize;
        let index = &self.files["index"];
        let mut reader = Reader::new("index", &index[at..]);
        let length = reader.uvarint("length").unwrap() as usize;
        let begin = at + reader.position();
        begin..begin + length
    }

    /// Changes the content of a series entry and makes its checksum right.
    pub(crate) fn edit_series(&mut self, number: usize, edit: impl FnOnce(&mut [u8])) {
        let content = self.series_content(number);
        self.edit("index", |index| {
            edit(&mut index[content.clone()]);
            let crc = crc32c(&index[content.clone()]);
            index[content.end..content.end + 4].copy_from_slice(&crc.to_be_bytes());
        });
    }

    /// The records of a chunk segment: encoding byte and data.
    pub(crate) fn records(&self, path: &str) -> Vec<Range<usize>> {
        let bytes = &self.files[path];
        let (mut at, mut found) = (8, Vec::new());
        while at < bytes.len() {
            let head = &bytes[at..bytes.len().min(at + RECORD_HEAD_LEN)];
            let length = record_len(head, sarsen_block::ChunkRef::new(0, at as u32)).unwrap() as usize;
            let mut reader = Reader::new("chunk", head);
            reader.uvarint("length").unwrap();
            found.push(at + reader.position()..at + length - 4);
            at += length;
        }
        found
    }

    /// Changes a record and makes its checksum right.
    pub(crate) fn edit_record(&mut self, path: &str, number: usize, edit: impl FnOnce(&mut [u8])) {
        let record = self.records(path)[number].clone();
        self.edit(path, |bytes| {
            edit(&mut bytes[record.clone()]);
            let crc = crc32c(&bytes[record.clone()]);
            bytes[record.end..record.end + 4].copy_from_slice(&crc.to_be_bytes());
        });
    }

    /// Lets the second chunk of a series begin where the first one ends: they are out of order then, as Thanos sees it.
    pub(crate) fn put_out_of_order(&mut self, number: usize) {
        self.edit_series(number, |content| {
            let mut reader = Reader::new("series", content);
            for _ in 0..2 * reader.uvarint("labels").unwrap() {
                reader.uvarint("symbol").unwrap();
            }
            assert!(reader.uvarint("chunks").unwrap() > 1, "a series of one chunk");
            reader.varint("min").unwrap();
            reader.uvarint("length").unwrap();
            reader.uvarint("ref").unwrap();
            let begin = reader.position();
            reader.uvarint("distance").unwrap();
            let end = reader.position();
            // Nothing, in as many bytes as there were.
            for (at, byte) in content[begin..end].iter_mut().enumerate() {
                *byte = if at + 1 == end - begin { 0 } else { 0x80 };
            }
        });
    }

    /// Gives a series the labels of the one before it.
    pub(crate) fn double_series(&mut self, number: usize) {
        let labels = |content: &[u8]| {
            let mut reader = Reader::new("series", content);
            for _ in 0..2 * reader.uvarint("labels").unwrap() {
                reader.uvarint("symbol").unwrap();
            }
            reader.position()
        };
        let first = self.bytes("index")[self.series_content(number - 1)].to_vec();
        let wanted = first[..labels(&first)].to_vec();
        self.edit_series(number, |content| {
            let own = labels(content);
            assert_eq!(own, wanted.len(), "labels of other lengths");
            content[..own].copy_from_slice(&wanted);
        });
    }
}

/// Turns one bit over.
pub(crate) fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 0x10;
}

/// A tombstones file that ends in the middle of a stone, with the right checksum.
pub(crate) fn torn_tombstones() -> Vec<u8> {
    let mut bytes = vec![0x01, 0x30, 0xBA, 0x30, 1];
    let mut stones = Vec::new();
    put_uvarint(&mut stones, 3);
    stones.push(0x80);
    let crc = crc32c(&stones);
    bytes.extend_from_slice(&stones);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}
