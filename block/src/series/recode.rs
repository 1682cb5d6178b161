//! The chunks that several blocks have of one series, as one run of chunks that do not overlap.
//!
//! What Prometheus' and Thanos' compaction make of them, chunk for chunk: they are taken by first, then last time; one that is the same as
//! the one taken before is dropped; one that overlaps no other is passed on as it is, without being read; those that hang
//! together by overlapping are decoded, merged ([`Overlap`]) and encoded anew. Small neighbours are never joined.
//!
//! In one thing this is not Thanos: its penalty deduplication keeps of chunks that hang together only those of the kind of the first one.
//! Here each kind of samples is deduplicated in itself, and all of them are kept; where two kinds are left at one time, that of the
//! chunk that begins first.

use crate::chunk::{Chunk, ChunkEnd, EncodeOptions, Encoding, TimedChunk, encode_chunks, encode_floats};
use crate::error::Error;
use crate::sample::Sample;
use crate::series::aggregates::Aggregates;
use crate::series::decode::{decode_floats, decode_group, decode_one};
use crate::series::dedup::believable;
use crate::series::heap::Heap;
use crate::series::overlap::interleave;
use crate::time::TimeRange;

/// What happens to the samples of chunks that overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// All times stay, each once: Prometheus' rule, and that of Thanos without deduplication.
    #[default]
    Chain,
    /// The blocks are replicas of one another, scraped out of step: Thanos' penalty deduplication.
    Penalty,
}

/// How chunks that overlap become chunks that do not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recode<'a> {
    pub(crate) encode: EncodeOptions,
    pub(crate) overlap: Overlap,
    pub(crate) aggregates: Option<&'a dyn Aggregates>,
}

/// A chunk of a run.
#[derive(Debug)]
pub(crate) struct Piece<P> {
    pub(crate) range: TimeRange,
    pub(crate) held: Held<P>,
}

/// Where the bytes of a chunk are.
#[derive(Debug)]
pub(crate) enum Held<P> {
    /// Where they were found.
    Stored(P),
    /// In memory.
    Made(Chunk),
}

impl<P> From<TimedChunk> for Piece<P> {
    fn from(TimedChunk { range, chunk }: TimedChunk) -> Self {
        Self { range, held: Held::Made(chunk) }
    }
}

/// Whoever has the stored chunks and takes the result.
pub(crate) trait Desk {
    /// Where a chunk lies.
    type Place;

    /// Reads a stored chunk.
    fn fetch(&mut self, place: Self::Place) -> Result<Chunk, Error>;

    /// Takes the next chunk of the result.
    fn put(&mut self, piece: Piece<Self::Place>) -> Result<(), Error>;

    /// Says whose fault an error is: that of the run with this number.
    fn blame(&self, run: usize, error: Error) -> Error;
}

/// Chunks of one origin, at least one, in order of time.
#[derive(Debug)]
struct Run<P> {
    /// Which of the origins.
    number: usize,
    first: Piece<P>,
    others: std::vec::IntoIter<Piece<P>>,
}

impl<P> Run<P> {
    fn new(number: usize, chunks: Vec<Piece<P>>) -> Option<Self> {
        let mut others = chunks.into_iter();
        Some(Self { number, first: others.next()?, others })
    }

    fn before(&self, other: &Self) -> bool {
        let times = |run: &Self| (run.first.range.min, run.first.range.max);
        times(self) < times(other)
    }
}

/// Takes the first chunk of all, and from which run it is; its run goes back without it.
fn pop<P, L: Fn(&Run<P>, &Run<P>) -> bool>(heap: &mut Heap<Run<P>, L>) -> Option<(usize, Piece<P>)> {
    let Run { number, first, mut others } = heap.pop()?;
    if let Some(next) = others.next() {
        heap.push(Run { number, first: next, others });
    }
    Some((number, first))
}

/// Puts the chunks of `runs`, each of them in order of time and without overlaps, on the desk as one such run. Where chunks of two runs
/// have the same times and other content, the order of the runs decides.
///
/// # Errors
/// As the desk, decoding and [`encode_chunks`].
pub(crate) fn compact<D: Desk>(
    runs: Vec<Vec<Piece<D::Place>>>,
    how: Recode<'_>,
    desk: &mut D,
) -> Result<(), Error> {
    let mut heap = Heap::new(Run::before);
    for (number, run) in runs.into_iter().enumerate() {
        if let Some(run) = Run::new(number, run) {
            heap.push(run);
        }
    }
    while let Some((number, first)) = pop(&mut heap) {
        let mut end = first.range.max;
        if heap.first().is_none_or(|run| run.first.range.min > end) {
            desk.put(first)?;
            continue;
        }
        let mut group = vec![fetched(first, desk)?];
        let mut numbers = vec![number];
        while heap.first().is_some_and(|run| run.first.range.min <= end) {
            let Some((number, next)) = pop(&mut heap) else { break };
            let next = fetched(next, desk)?;
            if group.last() != Some(&next) {
                end = end.max(next.range.max);
                group.push(next);
                numbers.push(number);
            }
        }
        match <[TimedChunk; 1]>::try_from(group) {
            Ok([alone]) => desk.put(alone.into())?,
            Err(group) if group.iter().any(|timed| timed.chunk.encoding == Encoding::Aggregate) => {
                for chunk in merged_aggregates(group, &numbers, how)? {
                    desk.put(chunk.into())?;
                }
            }
            Err(group) => {
                let merged = match merged_floats(&group, how) {
                    Ok(Some(merged)) => Ok(merged),
                    Ok(None) => merged_samples(&group, how),
                    Err(error) => Err(error),
                };
                let merged = merged.map_err(|error| culprit(&group, &numbers, error, &*desk))?;
                let mut encoded = merged.into_iter();
                if let Some(first) = encoded.next() {
                    desk.put(first.into())?;
                }
                // The others wait their turn: where they stand in the heap decides on what comes behind them.
                if let Some(run) = Run::new(number, encoded.map(Piece::from).collect()) {
                    heap.push(run);
                }
            }
        }
    }
    Ok(())
}

/// The error with the run in which the chunk that cannot be decoded lies.
#[cold]
fn culprit<D: Desk>(group: &[TimedChunk], numbers: &[usize], error: Error, desk: &D) -> Error {
    for (timed, &number) in group.iter().zip(numbers) {
        if let Err(found) = decode_one(timed, TimeRange::ALL, &mut Vec::new()) {
            return desk.blame(number, found);
        }
    }
    error
}

fn fetched<D: Desk>(piece: Piece<D::Place>, desk: &mut D) -> Result<TimedChunk, Error> {
    let chunk = match piece.held {
        Held::Stored(place) => desk.fetch(place)?,
        Held::Made(chunk) => chunk,
    };
    Ok(TimedChunk { range: piece.range, chunk })
}

/// Chunks that hang together by overlapping, as chunks that do not.
fn merged_samples(group: &[TimedChunk], how: Recode<'_>) -> Result<Vec<TimedChunk>, Error> {
    let samples = match how.overlap {
        Overlap::Chain => decode_group(group),
        Overlap::Penalty => deduplicated(group),
    };
    encode_chunks(&samples?, how.encode)
}

/// The same for the usual ones, in a third of the time: floats without start timestamps are a time and a number each. `None` if
/// there are others among them.
fn merged_floats(group: &[TimedChunk], how: Recode<'_>) -> Result<Option<Vec<TimedChunk>>, Error> {
    if how.encode != (EncodeOptions { xor2: false, end: ChunkEnd::Samples }) {
        return Ok(None);
    }
    let Some(mut runs) = decode_floats(group)? else { return Ok(None) };
    let merged = match how.overlap {
        Overlap::Chain => {
            runs.rotate_left(1);
            let mut merged = Vec::with_capacity(runs.iter().map(Vec::len).max().unwrap_or(0));
            interleave(&runs, &mut merged);
            merged
        }
        Overlap::Penalty => runs.into_iter().reduce(|used, run| believable(&used, &run)).unwrap_or_default(),
    };
    Ok(Some(encode_floats(&merged)))
}

/// What samples have to have in common to be replicas of one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Histogram,
    FloatHistogram,
}

impl Kind {
    const fn of(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Xor | Encoding::Xor2 => Some(Self::Float),
            Encoding::Histogram | Encoding::HistogramSt => Some(Self::Histogram),
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => Some(Self::FloatHistogram),
            Encoding::Aggregate => None,
        }
    }
}

/// The samples of chunks that hang together by overlapping, those of each kind deduplicated.
fn deduplicated(group: &[TimedChunk]) -> Result<Vec<Sample>, Error> {
    let mut kinds: Vec<(Option<Kind>, Vec<Sample>)> = Vec::with_capacity(1);
    for timed in group {
        let mut run = Vec::new();
        decode_one(timed, TimeRange::ALL, &mut run)?;
        let kind = Kind::of(timed.chunk.encoding);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, samples)) => *samples = believable(samples, &run),
            None => kinds.push((kind, run)),
        }
    }
    let several = kinds.len() > 1;
    let mut samples: Vec<_> = kinds.into_iter().flat_map(|(_, samples)| samples).collect();
    if several {
        // The sort is stable: of two kinds at one time, the one that was met first stays.
        samples.sort_by_key(|sample| sample.t);
        samples.dedup_by_key(|sample| sample.t);
    }
    Ok(samples)
}

/// Aggregate chunks that hang together by overlapping, the n-th of them from run `numbers[n]`, as chunks that do not.
fn merged_aggregates(
    group: Vec<TimedChunk>,
    numbers: &[usize],
    how: Recode<'_>,
) -> Result<Vec<TimedChunk>, Error> {
    let Some(aggregates) = how.aggregates else {
        return Err(Error::invalid(
            "series",
            "aggregate chunks overlap, and nothing here knows what is in them",
        ));
    };
    if group.iter().any(|timed| timed.chunk.encoding != Encoding::Aggregate) {
        return Err(Error::invalid("series", "aggregate chunks overlap chunks of samples"));
    }
    let mut runs: Vec<(usize, Vec<TimedChunk>)> = Vec::new();
    for (&number, timed) in numbers.iter().zip(group) {
        match runs.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, run)) = runs.get_mut(at) {
                    run.push(timed);
                }
            }
            Err(at) => runs.insert(at, (number, vec![timed])),
        }
    }
    aggregates.merge(runs.into_iter().map(|(_, run)| run).collect())
}
