//! What a block is: labels, samples, chunks, index and meta, as bytes and as streams.
//!
//! This crate is pure: bytes in, bytes out. It opens no file, reads no clock and starts no thread.
//!
//! ```
//! use sarsen_block::Labels;
//!
//! let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")])?;
//! assert_eq!(labels.get(b"job"), Some(&b"node"[..]));
//! # Ok::<(), sarsen_block::Error>(())
//! ```

#![forbid(unsafe_code)]

mod bits;
mod chunk;
mod chunkfile;
pub mod codec;
mod error;
mod index;
pub mod json;
mod labels;
mod meta;
mod postings;
mod reader;
mod regex;
mod sample;
mod series;
mod source;
mod time;
mod tombstones;
mod verify;
mod writer;

pub use chunk::{
    Chunk, ChunkCut, ChunkIter, ChunkMeta, ChunkRef, Encoding, TimedChunk, XorAppender, XorIter,
};
pub use chunkfile::{
    CHUNK_FILE_HEADER_LEN, ChunkFileWalk, ChunkFileWriter, DEFAULT_CHUNK_FILE_LIMIT, RECORD_HEAD_LEN,
    check_chunk_file_header, read_chunk, record_len, record_size,
};
pub use error::{Advice, Corrupt, Error};
pub use index::{IndexReader, IndexSeries, IndexWriter, Stage, Toc, WrittenIndex};
pub use labels::{
    Labels, LabelsBuilder, LabelsIter, LabelsRef, METRIC_NAME, MatchOp, Matcher, SeriesHash, SeriesHasher,
    parse_selector, unquote,
};
pub use meta::{
    BlockFile, BlockId, BlockMeta, BlockStats, Compaction, FileHash, IndexStats, Parent, ThanosMeta,
    UploadTime,
};
pub use postings::{
    Difference, EncodedWalk, Intersection, ListWalk, Postings, PostingsSource, SeriesNo, Union,
    select_postings,
};
pub use reader::{Block, BlockChunkSet};
pub use sample::{NORMAL_NAN_BITS, STALE_NAN_BITS, Sample, SampleIter, Value, is_stale};
pub use series::{ChunkSeries, ChunkSet, Decode, Merge, SampleSeries, SampleSet, decode_chunks};
pub use source::Source;
pub use time::{TimeRange, Timestamp};
pub use tombstones::Tombstones;
pub use verify::{Fault, MAX_FAULTS, Report, verify};
pub use writer::{BlockSink, BlockWriter, BlockWriterOptions, WrittenBlock};
