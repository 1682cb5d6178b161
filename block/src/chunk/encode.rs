//! From samples to chunks, where no head decides how long a chunk is.
//!
//! The rules are Prometheus': samples that were merged from overlapping chunks go into chunks of at most 120, or of about 1024 bytes
//! where late samples of a head are merged, which before had gone into chunks of any length ([`encode_chunks`]); a chunk that loses
//! some of its samples stays one chunk of its encoding ([`Chunk::without`]). A histogram chunk written here says nothing about the chunk before it, for who knows whether that will lie before it.

use crate::chunk::{Appended, Chunk, Encoding, HistogramChunk, TimedChunk, Xor2Appender, XorAppender};
use crate::error::Error;
use crate::sample::{Sample, SampleIter, Value};
use crate::time::{TimeRange, Timestamp};

/// The most samples of a chunk that compaction makes.
const MOST_SAMPLES: u16 = 120;

/// A float chunk of merged late samples takes no further one at more bytes: one of at most 19 bytes might pass 1024.
const MOST_FLOAT_BYTES: usize = 1024 - 19;
/// The same for a histogram chunk, if it has more samples than these.
const MOST_HISTOGRAM_BYTES: usize = 1024;
const LEAST_HISTOGRAMS: u16 = 10;

/// Where a histogram chunk without start timestamps has its [`ResetHeader`](crate::ResetHeader), in the upper two bits.
const RESET_HEADER_AT: usize = 2;

/// How long chunks get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkEnd {
    /// At most 120 samples, as in Prometheus' compaction.
    #[default]
    Samples,
    /// About 1024 bytes, as where Prometheus' head merges late samples.
    Bytes,
    /// As long as it comes, as where Prometheus' head puts late samples away.
    Never,
}

/// How samples are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Floats without a start timestamp go into XOR2 chunks too. Those with one always do, and histograms with one into the
    /// encodings that have them.
    pub xor2: bool,
    /// How long chunks get.
    pub end: ChunkEnd,
}

/// What samples of one chunk have in common: encoding, and whether they have start timestamps.
type Kind = (Encoding, bool);

impl EncodeOptions {
    fn kind(self, sample: &Sample) -> Kind {
        let started = sample.start != 0;
        let encoding = match (&sample.value, started) {
            (Value::Float(_), started) if started || self.xor2 => Encoding::Xor2,
            (Value::Float(_), _) => Encoding::Xor,
            (Value::Histogram(histogram), started) => match (histogram.is_float(), started) {
                (false, false) => Encoding::Histogram,
                (true, false) => Encoding::FloatHistogram,
                (false, true) => Encoding::HistogramSt,
                (true, true) => Encoding::FloatHistogramSt,
            },
        };
        (encoding, started)
    }
}

/// Encodes samples of any kinds with rising times, as Prometheus does those of overlapping chunks: chunks as long as the options
/// say, a new chunk where the kind of samples changes, where start timestamps begin or end, and where a histogram does
/// not fit behind the one before it.
///
/// # Errors
/// `Invalid` for a histogram whose parts do not fit together.
pub fn encode_chunks(samples: &[Sample], options: EncodeOptions) -> Result<Vec<TimedChunk>, Error> {
    let mut chunks = Vec::new();
    let mut open: Option<(Kind, OpenChunk)> = None;
    for sample in samples {
        let kind = options.kind(sample);
        let fits = open.as_ref().is_some_and(|(last, open)| *last == kind && !open.is_full(options.end));
        if !fits {
            chunks.extend(open.take().and_then(|(_, full)| full.finish()));
        }
        let (_, chunk) = match &mut open {
            Some(open) => open,
            none => none.insert((kind, OpenChunk::new(kind.0)?)),
        };
        chunks.extend(chunk.append(sample)?);
    }
    chunks.extend(open.and_then(|(_, last)| last.finish()));
    Ok(chunks)
}

/// The same for floats without start timestamps, into XOR chunks of at most 120 samples.
pub(crate) fn encode_floats(samples: &[(Timestamp, f64)]) -> Vec<TimedChunk> {
    let mut bytes = Vec::new();
    let encode = |part: &[(Timestamp, f64)]| {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { return None };
        let mut appender = XorAppender::new();
        bytes.clear();
        for &(t, value) in part {
            appender.append(&mut bytes, t, value);
        }
        let range = TimeRange::new(first.0, last.0);
        Some(TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) })
    };
    samples.chunks(MOST_SAMPLES.into()).filter_map(encode).collect()
}

/// A chunk that is being written, of whatever encoding.
struct OpenChunk {
    state: State,
    count: u16,
    range: TimeRange,
}

enum State {
    Xor(XorAppender, Vec<u8>),
    Xor2(Xor2Appender, Vec<u8>),
    Histogram(HistogramChunk),
}

impl OpenChunk {
    fn new(encoding: Encoding) -> Result<Self, Error> {
        let state = match encoding {
            Encoding::Xor => State::Xor(XorAppender::new(), Vec::new()),
            Encoding::Xor2 => State::Xor2(Xor2Appender::new(), Vec::new()),
            Encoding::Histogram => State::Histogram(HistogramChunk::begin(false, false)),
            Encoding::FloatHistogram => State::Histogram(HistogramChunk::begin(false, true)),
            Encoding::HistogramSt => State::Histogram(HistogramChunk::begin(true, false)),
            Encoding::FloatHistogramSt => State::Histogram(HistogramChunk::begin(true, true)),
            Encoding::Aggregate => {
                return Err(Error::invalid("chunk", "an aggregate chunk cannot be encoded anew"));
            }
        };
        Ok(Self { state, count: 0, range: TimeRange::new(0, 0) })
    }

    fn is_full(&self, end: ChunkEnd) -> bool {
        match (end, &self.state) {
            (ChunkEnd::Samples, _) => self.count >= MOST_SAMPLES,
            (ChunkEnd::Bytes, State::Xor(appender, bytes)) => {
                appender.byte_len(bytes.len()) > MOST_FLOAT_BYTES
            }
            (ChunkEnd::Bytes, State::Xor2(appender, bytes)) => {
                appender.byte_len(bytes.len()) > MOST_FLOAT_BYTES
            }
            (ChunkEnd::Bytes, State::Histogram(chunk)) => {
                chunk.len() > MOST_HISTOGRAM_BYTES && self.count > LEAST_HISTOGRAMS
            }
            (ChunkEnd::Never, _) => false,
        }
    }

    /// Appends a sample. If it had to begin a new chunk, the finished one is given.
    fn append(&mut self, sample: &Sample) -> Result<Option<TimedChunk>, Error> {
        let Sample { t, start, value } = sample;
        let appended = match (&mut self.state, value) {
            (State::Xor(appender, bytes), Value::Float(v)) => appender.append(bytes, *t, *v),
            (State::Xor2(appender, bytes), Value::Float(v)) => appender.append(bytes, *t, *start, *v),
            (State::Histogram(chunk), Value::Histogram(histogram)) => {
                match chunk.append(None, *t, *start, histogram)? {
                    Appended::Appended | Appended::Recoded => true,
                    Appended::NewChunk(next) => {
                        let chunk = std::mem::replace(chunk, *next).to_chunk();
                        let full = TimedChunk { range: self.range, chunk };
                        self.begin_at(*t);
                        return Ok(Some(full));
                    }
                }
            }
            _ => return Err(Error::invalid("sample", "it is of another kind than its chunk")),
        };
        if !appended {
            let full = std::mem::replace(self, Self::new(self.encoding())?).finish();
            return Ok(self.append(sample)?.or(full));
        }
        if self.count == 0 {
            self.begin_at(*t);
        } else {
            self.count = self.count.saturating_add(1);
            self.range.max = *t;
        }
        Ok(None)
    }

    /// A chunk whose first sample is at `t`.
    const fn begin_at(&mut self, t: Timestamp) {
        self.range = TimeRange::new(t, t);
        self.count = 1;
    }

    const fn encoding(&self) -> Encoding {
        match &self.state {
            State::Xor(..) => Encoding::Xor,
            State::Xor2(..) => Encoding::Xor2,
            State::Histogram(chunk) => chunk.encoding(),
        }
    }

    /// The chunk with its range; `None` if it has no samples.
    fn finish(self) -> Option<TimedChunk> {
        let (count, range) = (self.count, self.range);
        (count > 0).then(|| TimedChunk { range, chunk: self.into_chunk() })
    }

    fn into_chunk(self) -> Chunk {
        let encoding = self.encoding();
        let data = match self.state {
            State::Xor(appender, bytes) => appender.finish(&bytes),
            State::Xor2(appender, bytes) => appender.finish(&bytes),
            State::Histogram(chunk) => chunk.to_bytes(),
        };
        Chunk { encoding, data: data.into() }
    }
}

impl Chunk {
    /// The chunk without the samples in `deleted`, in its encoding. Nothing if none is left; more than one chunk only where
    /// this one could not have been written as it stands.
    ///
    /// # Errors
    /// `Corrupt` if the chunk is damaged, `Invalid` if it is an aggregate.
    pub fn without(&self, deleted: &[TimeRange]) -> Result<Vec<TimedChunk>, Error> {
        let mut chunks = Vec::new();
        let mut open = OpenChunk::new(self.encoding)?;
        let mut samples = self.samples()?;
        while let Some(sample) = samples.next()? {
            if !deleted.iter().any(|interval| interval.contains(sample.t)) {
                chunks.extend(open.append(&sample)?);
            }
        }
        chunks.extend(open.finish());
        Ok(chunks)
    }

    /// The same samples in an encoding that every reader of Prometheus' blocks knows: XOR2 becomes XOR, and a histogram chunk with
    /// start timestamps one without. The start timestamps are lost. A chunk of another encoding is given back as it is.
    ///
    /// # Errors
    /// `Corrupt` if the chunk is damaged.
    pub fn to_plain(&self) -> Result<Self, Error> {
        let encoding = match self.encoding {
            Encoding::Xor2 => Encoding::Xor,
            Encoding::HistogramSt => Encoding::Histogram,
            Encoding::FloatHistogramSt => Encoding::FloatHistogram,
            _ => return Ok(self.clone()),
        };
        let mut open = OpenChunk::new(encoding)?;
        let mut samples = self.samples()?;
        while let Some(sample) = samples.next()? {
            if open.append(&sample)?.is_some() {
                return Err(Error::corrupt("chunk", 0, "its samples do not fit into one chunk"));
            }
        }
        let mut plain = open.into_chunk();
        if let Some(header) = self.reset_header() {
            // What is known about the chunk before this one stays known.
            let mut data = plain.data.to_vec();
            if let Some(byte) = data.get_mut(RESET_HEADER_AT) {
                *byte = (header as u8) << 6;
            }
            plain.data = data.into();
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests;
