//! Samples that came late: kept beside the series, sorted, until a block of their own takes them.
//!
//! What lies here is older than something that its series had when it came, so it cannot go behind the open chunk. Each series
//! collects such samples in a sorted buffer; a full buffer is encoded and put away, and the next begins. Chunks of one series
//! may overlap each other and those in order; who reads brings them together. Within a buffer a time is kept once, the
//! first value; a time that an older chunk has may come again, as in Prometheus, and which one counts is decided on reading.
//!
//! Only few series have late samples, so they are not in the records of the series but in a tree of their own, which never
//! stops a commit to grow. Whoever walks it does so in slices.
//!
//! What is to be cut is sealed first: buffers are put away, and a mark says up to where. What comes later lies behind the mark.

use std::collections::BTreeMap;

use sarsen_block::{Error, Sample, SampleIter, SeriesNo, TimeRange, TimedChunk, Timestamp, decode_chunks};
use sarsen_wal::SeriesId;

use super::encode::encode;

/// Series looked at in one step of a walk.
const SLICE: usize = 512;

/// The late samples of one series.
#[derive(Debug)]
struct Late {
    /// Times rising, none twice.
    buffer: Vec<Sample>,
    /// Full buffers, encoded, in the order in which they filled.
    full: Vec<TimedChunk>,
    /// So many of the full ones are being cut.
    sealed: usize,
    /// Of everything here, or wider.
    range: TimeRange,
}

/// The late samples of all series.
#[derive(Debug)]
pub(crate) struct LateTable {
    series: BTreeMap<SeriesNo, Late>,
    /// Of everything here, or wider; empty if there is nothing.
    range: TimeRange,
    /// Bytes of encoded chunks.
    bytes: u64,
    /// A buffer of more samples is put away.
    cap: usize,
}

const NOTHING: TimeRange = TimeRange { min: Timestamp::MAX, max: Timestamp::MIN };

fn joined(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.min.min(b.min), a.max.max(b.max))
}

impl Late {
    fn new() -> Self {
        Self { buffer: Vec::new(), full: Vec::new(), sealed: 0, range: NOTHING }
    }

    /// Puts the buffer away; how many bytes it came to.
    fn put_away(&mut self) -> Result<u64, Error> {
        let chunks = encode(&self.buffer)?;
        let size = chunks.iter().map(size_of_chunk).sum();
        self.full.reserve_exact(chunks.len());
        self.full.extend(chunks);
        self.buffer.clear();
        Ok(size)
    }

    /// Drops the sealed chunks; how many bytes that freed.
    fn drop_sealed(&mut self) -> u64 {
        let sealed = self.full.drain(..self.sealed.min(self.full.len()));
        let dropped = sealed.as_slice().iter().map(size_of_chunk).sum();
        drop(sealed);
        self.sealed = 0;
        self.full.shrink_to_fit();
        self.measure();
        dropped
    }

    /// Takes what lies in `range` out.
    fn delete(&mut self, range: TimeRange) -> Result<(), Error> {
        self.buffer.retain(|sample| !range.contains(sample.t));
        let mut left = Vec::with_capacity(self.full.len());
        for (at, chunk) in std::mem::take(&mut self.full).into_iter().enumerate() {
            if chunk.range.overlaps(range) {
                let mut samples = decode_chunks(std::slice::from_ref(&chunk), TimeRange::ALL)?;
                samples.retain(|sample| !range.contains(sample.t));
                left.extend(encode(&samples)?.into_iter().map(|chunk| (at, chunk)));
            } else {
                left.push((at, chunk));
            }
        }
        self.sealed = left.partition_point(|&(at, _)| at < self.sealed);
        self.full = left.into_iter().map(|(_, chunk)| chunk).collect();
        self.measure();
        Ok(())
    }

    /// Finds out about the range.
    fn measure(&mut self) {
        let times = self.buffer.iter().map(|sample| TimeRange::new(sample.t, sample.t));
        self.range = self.full.iter().map(|chunk| chunk.range).chain(times).fold(NOTHING, joined);
    }

    /// Bytes of the encoded chunks.
    fn bytes(&self) -> u64 {
        self.full.iter().map(size_of_chunk).sum()
    }

    /// Everything that shares a millisecond with `range`, by first, then last time.
    fn chunks(&self, range: TimeRange) -> Result<Vec<TimedChunk>, Error> {
        let open = encode(&self.buffer)?;
        let all = self.full.iter().cloned().chain(open);
        let mut chunks: Vec<TimedChunk> = all.filter(|chunk| chunk.range.overlaps(range)).collect();
        chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
        Ok(chunks)
    }
}

/// Bytes that a chunk takes here.
fn size_of_chunk(chunk: &TimedChunk) -> u64 {
    (chunk.chunk.data.len() + size_of::<TimedChunk>()) as u64
}

impl LateTable {
    pub(super) fn new(cap: usize) -> Self {
        Self { series: BTreeMap::new(), range: NOTHING, bytes: 0, cap }
    }

    /// Keeps a sample; `false` if the buffer of its series has one at that time.
    ///
    /// # Errors
    /// [`Error::Block`] if a full buffer cannot be encoded, which would be a fault of this program.
    pub(super) fn insert(&mut self, no: SeriesNo, sample: Sample) -> Result<bool, Error> {
        let late = self.series.entry(no).or_insert_with(Late::new);
        let t = sample.t;
        if late.buffer.len() >= self.cap {
            self.bytes += late.put_away()?;
        }
        let at = late.buffer.partition_point(|kept| kept.t < t);
        let is_new = late.buffer.get(at).is_none_or(|kept| kept.t != t);
        if is_new {
            late.buffer.insert(at, sample);
            late.range = joined(late.range, TimeRange::new(t, t));
            self.range = joined(self.range, TimeRange::new(t, t));
        }
        Ok(is_new)
    }

    /// Whether a series has late samples.
    pub(super) fn has(&self, no: SeriesNo) -> bool {
        self.series.contains_key(&no)
    }

    /// Whether a late sample of a series lies in `range`, as far as is known without looking closely.
    pub(super) fn may_have(&self, no: SeriesNo, range: TimeRange) -> bool {
        self.range.overlaps(range) && self.series.get(&no).is_some_and(|late| late.range.overlaps(range))
    }

    /// The late chunks of a series that share a millisecond with `range`, by first, then last time.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(crate) fn chunks(&self, no: SeriesNo, range: TimeRange) -> Result<Vec<TimedChunk>, Error> {
        match self.series.get(&no) {
            Some(late) if late.range.overlaps(range) => late.chunks(range),
            _ => Ok(Vec::new()),
        }
    }

    /// Takes the samples of a series in `range` out; the part of it in which there may have been some.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(super) fn delete(&mut self, no: SeriesNo, range: TimeRange) -> Result<Option<TimeRange>, Error> {
        let Some(late) = self.series.get_mut(&no) else { return Ok(None) };
        let deleted = range.intersect(late.range);
        if deleted.is_empty() {
            return Ok(None);
        }
        let before = late.bytes();
        late.delete(range)?;
        self.bytes = self.bytes.saturating_sub(before) + late.bytes();
        if late.range.is_empty() {
            self.series.remove(&no);
        }
        Ok(Some(deleted))
    }

    /// First and last time, or a wider range; `None` if there is no late sample.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        (!self.range.is_empty()).then_some(self.range)
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        let rows = self.series.len() * size_of::<(SeriesNo, Late)>();
        let buffers =
            self.series.values().map(|late| late.buffer.capacity() * size_of::<Sample>()).sum::<usize>();
        self.bytes + (rows + buffers) as u64
    }

    /// The series of the next slice of a walk that begins at `from`.
    fn slice(&self, from: SeriesNo) -> Vec<SeriesNo> {
        self.series.range(from..).map(|(&no, _)| no).take(SLICE).collect()
    }

    /// Seals the series of one slice: buffers are put away, and what is there now is what a cut takes. Where the next
    /// slice begins, `None` at the end.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(crate) fn seal(&mut self, from: SeriesNo, sealed: &mut Sealed) -> Result<Option<SeriesNo>, Error> {
        let slice = self.slice(from);
        for &no in &slice {
            let Some(late) = self.series.get_mut(&no) else { continue };
            self.bytes += late.put_away()?;
            late.buffer.shrink_to_fit();
            late.sealed = late.full.len();
            sealed.series.push(no);
            sealed.range = joined(sealed.range, late.range);
        }
        Ok(next(&slice))
    }

    /// The sealed chunks of a series that share a millisecond with `range`, by first, then last time.
    pub(crate) fn sealed_chunks(&self, no: SeriesNo, range: TimeRange) -> Vec<TimedChunk> {
        let Some(late) = self.series.get(&no) else { return Vec::new() };
        let sealed = late.full.get(..late.sealed).unwrap_or_default();
        let mut chunks: Vec<TimedChunk> =
            sealed.iter().filter(|chunk| chunk.range.overlaps(range)).cloned().collect();
        chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
        chunks
    }

    /// The samples of the next slice of a walk that begins at `from`, as records of the log; those that are sealed only if
    /// `with_sealed`. Where the next slice begins, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a chunk cannot be read, which would be a fault of this program.
    pub(crate) fn log(
        &self,
        from: SeriesNo,
        with_sealed: bool,
        batch: &mut sarsen_wal::Batch,
    ) -> Result<Option<SeriesNo>, Error> {
        let slice = self.slice(from);
        for (no, late) in slice.iter().filter_map(|no| Some((no, self.series.get(no)?))) {
            let first = if with_sealed { 0 } else { late.sealed };
            let mut put = |sample: &Sample| {
                batch.late(SeriesId(u64::from(no.0)), sample.t, sample.start, &sample.value);
            };
            for chunk in late.full.get(first..).unwrap_or_default() {
                let mut samples = chunk.chunk.samples()?;
                while let Some(sample) = samples.next()? {
                    put(&sample);
                }
            }
            late.buffer.iter().for_each(put);
        }
        Ok(next(&slice))
    }

    /// Whether a series has a sealed chunk that shares a millisecond with `range`.
    pub(crate) fn has_sealed(&self, no: SeriesNo, range: TimeRange) -> bool {
        let sealed = |late: &Late| {
            let mut chunks = late.full.iter().take(late.sealed);
            chunks.any(|chunk| chunk.range.overlaps(range))
        };
        self.series.get(&no).is_some_and(sealed)
    }

    /// Drops what was sealed in one slice. Where the next begins, `None` at the end.
    pub(crate) fn drop_sealed(&mut self, from: SeriesNo) -> Option<SeriesNo> {
        let slice = self.slice(from);
        for no in &slice {
            let Some(late) = self.series.get_mut(no) else { continue };
            self.bytes = self.bytes.saturating_sub(late.drop_sealed());
            if late.range.is_empty() {
                self.series.remove(no);
            }
        }
        let next = next(&slice);
        if next.is_none() {
            self.range = self.series.values().map(|late| late.range).fold(NOTHING, joined);
        }
        next
    }
}

/// Where a walk goes on behind a slice.
fn next(slice: &[SeriesNo]) -> Option<SeriesNo> {
    let last = slice.last().filter(|_| slice.len() == SLICE)?;
    last.0.checked_add(1).map(SeriesNo)
}

/// What was sealed.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Series, rising.
    pub(crate) series: Vec<SeriesNo>,
    /// Of all their late samples, or wider.
    pub(crate) range: TimeRange,
}

impl Default for Sealed {
    fn default() -> Self {
        Self { series: Vec::new(), range: NOTHING }
    }
}
