//! Two layouts of buckets as one that has the buckets of both.

use super::cell::Cell;
use crate::histogram::Span;

/// Who has a bucket of the joint layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Both,
    Chunk,
    Sample,
}

/// One side, positive or negative, of a chunk and of a sample that do not have the same buckets.
#[derive(Debug, Clone)]
pub(super) struct Joint {
    slots: Vec<Slot>,
    /// The joint layout, neighbouring buckets in one span.
    pub(super) spans: Vec<Span>,
    /// The chunk has buckets that the sample has not.
    pub(super) chunk_only: bool,
    /// The sample has buckets that the chunk has not.
    pub(super) sample_only: bool,
}

/// Two layouts whose buckets lie too far apart for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFar;

/// The numbers of the buckets in `spans`.
fn numbers(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// The joint layout of a chunk's and a sample's buckets; `None` if both have the same.
pub(super) fn join(chunk: &[Span], sample: &[Span]) -> Result<Option<Joint>, TooFar> {
    if chunk == sample {
        return Ok(None);
    }
    let (mut chunk, mut sample) = (numbers(chunk).peekable(), numbers(sample).peekable());
    let (mut slots, mut spans) = (Vec::new(), Spans::default());
    loop {
        let slot = match (chunk.peek(), sample.peek()) {
            (None, None) => break,
            (Some(_), None) => Slot::Chunk,
            (None, Some(_)) => Slot::Sample,
            (Some(a), Some(b)) if a < b => Slot::Chunk,
            (Some(a), Some(b)) if a > b => Slot::Sample,
            _ => Slot::Both,
        };
        let of_chunk = if slot == Slot::Sample { None } else { chunk.next() };
        let of_sample = if slot == Slot::Chunk { None } else { sample.next() };
        spans.add(of_chunk.or(of_sample).unwrap_or_default())?;
        slots.push(slot);
    }
    let chunk_only = slots.contains(&Slot::Chunk);
    let sample_only = slots.contains(&Slot::Sample);
    Ok((chunk_only || sample_only).then_some(Joint { slots, spans: spans.list, chunk_only, sample_only }))
}

/// `spans` with neighbouring buckets in one span, and none empty.
pub(super) fn canonical(spans: &[Span]) -> Result<Vec<Span>, TooFar> {
    let mut canonical = Spans::default();
    numbers(spans).try_for_each(|number| canonical.add(number))?;
    Ok(canonical.list)
}

/// Spans that grow by a bucket at a time.
#[derive(Debug, Default)]
struct Spans {
    list: Vec<Span>,
    /// The number behind the last bucket.
    next: i64,
}

impl Spans {
    fn add(&mut self, number: i64) -> Result<(), TooFar> {
        match self.list.last_mut() {
            Some(last) if number == self.next => last.length += 1,
            _ => {
                let offset = i32::try_from(number - self.next).map_err(|_| TooFar)?;
                self.list.push(Span { offset, length: 1 });
            }
        }
        self.next = number + 1;
        Ok(())
    }
}

impl Joint {
    /// `buckets` of the chunk, as they are stored, in the joint layout.
    pub(super) fn widen_chunk<C: Cell>(&self, buckets: impl Iterator<Item = C::Count>) -> Vec<C::Count> {
        self.widen::<C>(Slot::Sample, buckets)
    }

    /// `buckets` of the sample, as they are stored, in the joint layout.
    pub(super) fn widen_sample<C: Cell>(&self, buckets: &[C::Count]) -> Vec<C::Count> {
        self.widen::<C>(Slot::Chunk, buckets.iter().copied())
    }

    /// Puts empty buckets where `missing` says that there is none.
    fn widen<C: Cell>(&self, missing: Slot, mut buckets: impl Iterator<Item = C::Count>) -> Vec<C::Count> {
        let (mut read, mut written) = (C::Count::default(), C::Count::default());
        let widened = self.slots.iter().map(|&slot| {
            let mut bucket = C::Count::default();
            if slot != missing {
                read = C::absolute(read, buckets.next().unwrap_or_default());
                bucket = read;
            }
            let stored = C::stored(written, bucket);
            written = bucket;
            stored
        });
        widened.collect()
    }

    /// Whether no bucket of the chunk's last sample has more observations than that of the sample, and only empty ones are missing.
    pub(super) fn rises<C: Cell>(&self, chunk: &[C], sample: &[C::Count]) -> bool {
        let (mut chunk, mut sample) = (absolutes(chunk), sample.iter().copied());
        let mut now = C::Count::default();
        let mut next = || {
            now = C::absolute(now, sample.next().unwrap_or_default());
            now
        };
        self.slots.iter().all(|slot| match slot {
            Slot::Both => !falls(chunk.next().unwrap_or_default(), next()),
            Slot::Chunk => chunk.next().unwrap_or_default() == C::Count::default(),
            Slot::Sample => {
                next();
                true
            }
        })
    }
}

/// Whether no bucket of the chunk's last sample has more observations than that of the sample, which has the same buckets.
pub(super) fn rises<C: Cell>(chunk: &[C], sample: &[C::Count]) -> bool {
    let mut now = C::Count::default();
    absolutes(chunk).zip(sample).all(|(before, &stored)| {
        now = C::absolute(now, stored);
        !falls(before, now)
    })
}

/// Whether a bucket went down. What is not a number does not.
fn falls<T: PartialOrd>(before: T, now: T) -> bool {
    before > now
}

/// The observations in each bucket of the last sample.
fn absolutes<C: Cell>(cells: &[C]) -> impl Iterator<Item = C::Count> {
    let mut last = C::Count::default();
    cells.iter().map(move |cell| {
        last = C::absolute(last, cell.value());
        last
    })
}
