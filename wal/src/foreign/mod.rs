//! The log of Prometheus, read and never written: to move in where Prometheus or Thanos Receive lived.
//!
//! ```text
//! <directory>/
//!   wal/checkpoint.00000002/00000000   what is still needed of segments up to 2
//!   wal/00000003 ...                   samples in the order they came
//!   wbl/00000005 ...                   samples that came out of order, and which of them were moved to chunks
//!   chunks_head/000003 ...             finished chunks of the head, which are in the log as well
//! ```
//!
//! [`Files`] says what there is, [`Segment`] gives the records of one file, [`Record`] what they say, and
//! [`HeadChunks`] the chunks of a file in `chunks_head`. Everything that is announced by the bytes is held against the
//! bytes that are there. Where a file ends in bad bytes, reading stops as Prometheus stops, at the same record.
//!
//! Formats: the descriptions of the log and of head chunks in the documents of Prometheus' `tsdb`, and what its code
//! does where it differs.

mod files;
mod head_chunks;
mod histogram;
mod pages;
mod record;

pub use files::Files;
pub use head_chunks::{HeadChunk, HeadChunks};
pub use pages::{Segment, Step};
pub use record::{
    Exemplar, Exemplars, Kind, Marker, Markers, Metadata, MetadataRow, Record, Sample, Samples, Series,
    Tombstone, Tombstones,
};

#[cfg(test)]
mod tests;
