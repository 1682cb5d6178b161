//! What a block is: labels, samples, chunks, index and meta, as bytes and as streams.
//!
//! This crate is pure: bytes in, bytes out. It opens no file, reads no clock and starts no thread. A block is written
//! through a [`BlockSink`] and read through [`Source`]s, whoever stands behind them; here, memory:
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use sarsen_block::*;
//!
//! #[derive(Default)]
//! struct Files(Vec<Vec<u8>>);
//!
//! impl BlockSink for Files {
//!     type File = Vec<u8>;
//!     fn create(&mut self, _path: &str) -> std::io::Result<Vec<u8>> {
//!         Ok(Vec::new())
//!     }
//!     fn finish(&mut self, file: Vec<u8>) -> std::io::Result<()> {
//!         self.0.push(file);
//!         Ok(())
//!     }
//! }
//!
//! let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
//! appender.append(&mut bytes, 1000, 1.0);
//! appender.append(&mut bytes, 2000, 2.0);
//! let chunk = TimedChunk { range: TimeRange::new(1000, 2000), chunk: Chunk::xor(appender.finish(&bytes)) };
//!
//! let symbols = ["__name__", "job", "node", "up"];
//! let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols)?;
//! writer.add(Labels::from_pairs([("__name__", "up"), ("job", "node")])?.as_ref(), &[chunk])?;
//! let written = writer.finish()?;
//!
//! let meta = BlockMeta::fresh(BlockId::from_parts(1, 2), TimeRange::new(1000, 2000), written.stats);
//! let [chunks, index] = written.sink.0.try_into().expect("a chunk file and the index");
//! let segments = vec![Arc::new(Bytes::from(chunks)) as Arc<dyn Source>];
//! let block = Block::open(Arc::new(Bytes::from(index)), segments, meta, Tombstones::default())?;
//! assert!(verify(&block).is_sound());
//!
//! let found = block.select(&[Matcher::equal("job", "node")], TimeRange::ALL)?;
//! let series = Decode::new(found, TimeRange::new(1500, 9000)).next()?.expect("one series");
//! assert_eq!(series.samples, [Sample::float(2000, 2.0)]);
//! # Ok::<(), Error>(())
//! ```
//!
//! The rooms, in reading order: `time` and `duration`, `labels` (with `regex`), `histogram` and `sample`, `chunk` (on `bits`) and `chunkfile`;
//! `postings`, then `index`; `meta` (on `json`) and `tombstones`; `writer`, `reader`, `rewrite`, `verify`, `checks` for whole blocks;
//! `series` for the streams that come out. `codec`, `source` and `error` are under all of them. `FORMAT.md` draws every byte.

#![forbid(unsafe_code)]

mod bits;
mod checks;
mod chunk;
mod chunkfile;
pub mod codec;
mod duration;
mod error;
#[cfg(any(test, feature = "files"))]
mod files;
mod histogram;
mod index;
pub mod json;
mod labels;
mod meta;
mod postings;
mod reader;
mod regex;
mod rewrite;
mod sample;
mod series;
mod source;
mod time;
mod tombstones;
mod verify;
mod writer;

pub use checks::{Checks, SectionCheck, SegmentCheck};
pub use chunk::{
    Appended, Chunk, ChunkCut, ChunkEnd, ChunkIter, ChunkMeta, ChunkRef, EncodeOptions, Encoding,
    HistogramChunk, HistogramCut, HistogramIter, ResetHeader, TimedChunk, Xor2Appender, Xor2Iter,
    XorAppender, XorIter, encode_chunks,
};
pub use chunkfile::{
    CHUNK_FILE_HEADER_LEN, ChunkFileWalk, ChunkFileWriter, DEFAULT_CHUNK_FILE_LIMIT, RECORD_HEAD_LEN,
    check_chunk_file_header, read_chunk, record_len, record_size,
};
pub use duration::{DurationError, parse_duration, print_duration};
pub use error::{Advice, Corrupt, Error};
#[cfg(any(test, feature = "files"))]
pub use files::{Files, OpenFile};
pub use histogram::{Bucket, CUSTOM_BUCKETS, Combined, Counts, Histogram, HistogramSum, ResetHint, Span};
pub use index::{
    HeaderBuilder, IndexHeader, IndexReader, IndexSeries, IndexWriter, ListRun, Listed, Lists, Stage,
    SymbolTexts, Toc, WrittenIndex, read_series_entry, series_entry_len,
};
pub use labels::{
    Labels, LabelsBuilder, LabelsIter, LabelsRef, METRIC_NAME, MatchOp, Matcher, SeriesHash, SeriesHasher,
    append_label, parse_selector, quote, unquote,
};
pub use meta::{
    BlockFile, BlockId, BlockMeta, BlockStats, Compaction, FileHash, IndexStats, Parent, ThanosMeta,
    UploadTime,
};
pub use postings::{
    Difference, EncodedWalk, Intersection, ListWalk, Postings, PostingsSource, SeriesNo, Union,
    join_postings, select_postings,
};
pub use reader::{Block, BlockChunkSet, SeriesReader};
pub use regex::Rewriter;
pub use rewrite::{Ancestry, RewriteOptions, Rewritten, rewrite};
pub use sample::{NORMAL_NAN_BITS, STALE_NAN_BITS, Sample, SampleIter, Value, is_stale};
pub use series::{
    Aggregates, ChunkSeries, ChunkSet, Decode, Merge, Overlap, Replicas, SampleSeries, SampleSet, Timed,
    decode_chunks, interleave,
};
pub use source::Source;
pub use time::{TimeRange, Timestamp};
pub use tombstones::Tombstones;
pub use verify::{Fault, MAX_FAULTS, Report, verify, verify_quick};
pub use writer::{BlockSink, BlockWriter, BlockWriterOptions, WrittenBlock};
