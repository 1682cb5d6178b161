//! Chunks by their places, in few requests, each checked and none decoded.

use std::ops::Range;

use bytes::Bytes;
use futures_util::future::try_join_all;
use sarsen_block::{Chunk, ChunkRef, RECORD_HEAD_LEN, read_chunk, record_len};

use super::super::{BlockPart, Held, ReadCount};
use super::batch::RemoteChunk;
use super::requests::get_each;
use super::{Budget, Purpose, RemoteBlock};
use crate::error::Error;
use crate::layout::Layout;
use crate::ranges::coalesce;

/// How long the last chunk of a series is expected to be where nothing is known.
const ROOM: u64 = 16_000;
/// The same where the meta tells the longest of the others.
const LEAST_ROOM: u64 = 4096;

/// Chunks that were fetched, in the order asked for, and the room that they take.
#[derive(Debug, Default)]
pub struct FetchedChunks {
    /// As they lie in the bucket. They share the bytes of the requests that brought them.
    pub chunks: Vec<Chunk>,
    /// To be kept for as long as the chunks are.
    pub held: Vec<Held>,
}

/// A chunk that is wanted, and how many bytes of it are asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    at: ChunkRef,
    length: u64,
    /// Its place in the answer.
    number: usize,
}

impl Wanted {
    fn range(&self, size: u64) -> Range<u64> {
        let start = u64::from(self.at.offset()).min(size);
        start..start.saturating_add(self.length).min(size)
    }
}

impl RemoteBlock {
    /// Fetches chunks. Those of which a part is deleted come whole: [`visible`](super::visible) cuts them.
    ///
    /// # Errors
    /// `Corrupt` if a chunk is damaged or lies in no segment, `NotFound` if the block has gone, `Exceeded` if the request may not take so
    /// much; otherwise as the store says.
    pub async fn chunks(&self, wanted: &[RemoteChunk], budget: &Budget) -> Result<FetchedChunks, Error> {
        let began = self.0.shared.bucket.elapsed();
        let count = wanted.len() as u64;
        let mut step = ReadCount { touched: count, fetched: count, ..ReadCount::default() };
        let room = self.chunk_room();
        let mut missing: Vec<Wanted> = wanted
            .iter()
            .enumerate()
            .map(|(number, chunk)| Wanted {
                at: chunk.meta.chunk_ref,
                length: if chunk.room == 0 { room } else { u64::from(chunk.room) },
                number,
            })
            .collect();
        missing.sort_by_key(|chunk| chunk.at);
        let mut found: Vec<Option<Chunk>> = vec![None; wanted.len()];
        let mut held = Vec::new();
        // A chunk that is longer than expected is asked for again, as far as its first bytes say.
        while !missing.is_empty() {
            let fetched = try_join_all(
                missing
                    .chunk_by(|a, b| a.at.segment() == b.at.segment())
                    .map(|chunks| self.of_segment(chunks, budget)),
            );
            let mut longer = Vec::new();
            for (chunks, (bytes, room)) in
                missing.chunk_by(|a, b| a.at.segment() == b.at.segment()).zip(fetched.await?)
            {
                step.fetched_bytes += room.bytes();
                held.push(room);
                for (chunk, bytes) in chunks.iter().zip(bytes) {
                    match self.read(chunk, &bytes)? {
                        Read::Chunk(read) => {
                            step.touched_bytes += read.data.len() as u64;
                            if let Some(slot) = found.get_mut(chunk.number) {
                                *slot = Some(read);
                            }
                        }
                        Read::Longer(length) => longer.push(Wanted { length, ..*chunk }),
                    }
                }
            }
            step.again += longer.len() as u64;
            missing = longer;
        }
        step.took = self.0.shared.bucket.elapsed().saturating_sub(began);
        budget.note(Purpose::Chunks, &step);
        let chunks = found.into_iter().flatten().collect();
        Ok(FetchedChunks { chunks, held })
    }

    /// How long the last chunk of a series is expected to be at most.
    fn chunk_room(&self) -> u64 {
        let known = self.meta().thanos.as_ref().map_or(0, |thanos| thanos.index_stats.chunk_max_size);
        match u64::try_from(known) {
            Ok(known) if known > 0 => known.saturating_mul(2).max(LEAST_ROOM),
            _ => ROOM,
        }
    }

    fn read(&self, chunk: &Wanted, bytes: &Bytes) -> Result<Read, Error> {
        let size = self.segment_size(chunk.at)?;
        let head = bytes.get(..RECORD_HEAD_LEN.min(bytes.len())).unwrap_or_default();
        let left = size.saturating_sub(u64::from(chunk.at.offset()));
        let length = if (head.len() as u64) < left.min(RECORD_HEAD_LEN as u64) {
            RECORD_HEAD_LEN as u64
        } else {
            record_len(head, chunk.at).map_err(self.damage())?
        };
        if length > bytes.len() as u64 && length <= left && length > chunk.length {
            return Ok(Read::Longer(length));
        }
        read_chunk(bytes, chunk.at).map(Read::Chunk).map_err(self.damage())
    }

    fn segment_size(&self, at: ChunkRef) -> Result<u64, Error> {
        let segments = &self.0.sizes.segments;
        segments.get(at.segment() as usize).copied().ok_or_else(|| {
            let (file, files) = (u64::from(at.segment()) + 1, segments.len());
            Error::corrupt(Layout::index(self.id()), format!("a chunk in file {file} of {files}"))
        })
    }

    /// The bytes of chunks of one segment, in their order, and the room that they take.
    async fn of_segment(&self, chunks: &[Wanted], budget: &Budget) -> Result<(Vec<Bytes>, Held), Error> {
        let Some(first) = chunks.first() else { return Ok((Vec::new(), budget.hold(0).await?)) };
        let size = self.segment_size(first.at)?;
        let ranges: Vec<Range<u64>> = chunks.iter().map(|chunk| chunk.range(size)).collect();
        let shared = &*self.0.shared;
        let options = shared.options;
        let file = format!("{}/{:06}", Layout::CHUNKS, u64::from(first.at.segment()) + 1);
        let name = Layout::file(self.id(), &file);
        let fetch = async |ranges: &[Range<u64>]| {
            let joined = coalesce(ranges, options.gap, options.most);
            budget.take_bytes(joined.iter().map(|range| range.end - range.start).sum(), Purpose::Chunks)?;
            get_each(&shared.bucket, shared.hedge.as_ref(), &name, joined, options.in_flight).await
        };
        let bytes =
            coalesce(&ranges, options.gap, options.most).iter().map(|range| range.end - range.start).sum();
        let held = budget.hold(bytes).await?;
        let missing = |range: &Range<u64>| {
            Error::corrupt(&name, format!("bytes {}..{} are missing", range.start, range.end))
        };
        if let Some(cache) = shared.cache.as_ref().filter(|cache| cache.keeps_chunks()) {
            let part = BlockPart { block: self.id(), file: &file, size };
            let fetch = async |ranges: Vec<Range<u64>>| {
                let fetched = fetch(&ranges).await?;
                ranges.iter().map(|range| fetched.cut(range).ok_or_else(|| missing(range))).collect()
            };
            return Ok((cache.chunk_ranges(part, &ranges, fetch).await?, held));
        }
        let fetched = fetch(&ranges).await?;
        let from = |range: &Range<u64>| match range.is_empty() {
            true => Ok(Bytes::new()),
            false => fetched.from(range.start).ok_or_else(|| missing(range)),
        };
        Ok((ranges.iter().map(from).collect::<Result<_, _>>()?, held))
    }
}

/// What a look at fetched bytes gives.
enum Read {
    Chunk(Chunk),
    /// They are too few: so many are needed.
    Longer(u64),
}
