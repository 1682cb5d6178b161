//! Samples as chunks where the rules of an open chunk do not apply: late samples, and chunks that lose a part.
//!
//! Late samples that are put away become one chunk for a run of one kind, however many they are; those that are brought together
//! from chunks that overlap end near 1024 bytes; a histogram that does not go behind the one before it begins another chunk in either
//! case. A chunk that loses samples keeps its encoding. So it is in Prometheus' head.

use sarsen_block::{
    Appended, Chunk, Encoding, Error, HistogramChunk, Sample, SampleIter, TimeRange, TimedChunk, Timestamp,
    Value, Xor2Appender, XorAppender, decode_chunks,
};

/// A float chunk that is made of others takes no further sample at more bytes: one of at most 19 bytes might pass 1024.
const FLOAT_BYTES: usize = 1024 - 19;
/// The same for a histogram chunk, if it has more samples than these.
const HISTOGRAM_BYTES: usize = 1024;
const LEAST_HISTOGRAMS: u16 = 10;

/// A chunk that is being written.
struct Open {
    state: State,
    range: TimeRange,
    samples: u16,
}

enum State {
    Xor(XorAppender, Vec<u8>),
    Xor2(Xor2Appender, Vec<u8>),
    Histogram(HistogramChunk),
}

impl Open {
    fn begin(encoding: Encoding) -> Result<Self, Error> {
        let state = match encoding {
            Encoding::Xor => State::Xor(XorAppender::new(), Vec::new()),
            Encoding::Xor2 => State::Xor2(Xor2Appender::new(), Vec::new()),
            Encoding::Histogram => State::Histogram(HistogramChunk::begin(false, false)),
            Encoding::FloatHistogram => State::Histogram(HistogramChunk::begin(false, true)),
            Encoding::HistogramSt => State::Histogram(HistogramChunk::begin(true, false)),
            Encoding::FloatHistogramSt => State::Histogram(HistogramChunk::begin(true, true)),
            Encoding::Aggregate => return Err(Error::invalid("chunk", "an aggregate is not encoded anew")),
        };
        Ok(Self { state, range: TimeRange::new(0, 0), samples: 0 })
    }

    const fn encoding(&self) -> Encoding {
        match &self.state {
            State::Xor(..) => Encoding::Xor,
            State::Xor2(..) => Encoding::Xor2,
            State::Histogram(chunk) => chunk.encoding(),
        }
    }

    /// Whether a chunk that is made of others ends here.
    fn is_long(&self) -> bool {
        match &self.state {
            State::Xor(appender, bytes) => appender.byte_len(bytes.len()) > FLOAT_BYTES,
            State::Xor2(appender, bytes) => appender.byte_len(bytes.len()) > FLOAT_BYTES,
            State::Histogram(chunk) => chunk.len() > HISTOGRAM_BYTES && self.samples > LEAST_HISTOGRAMS,
        }
    }

    /// Appends a sample of the kind of the chunk. If it had to begin a new one, the finished one goes to `chunks`.
    fn append(&mut self, sample: &Sample, chunks: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let Sample { t, start, value } = sample;
        let fits = match (&mut self.state, value) {
            (State::Xor(appender, bytes), Value::Float(v)) => appender.append(bytes, *t, *v),
            (State::Xor2(appender, bytes), Value::Float(v)) => appender.append(bytes, *t, *start, *v),
            (State::Histogram(chunk), Value::Histogram(histogram)) => {
                if let Appended::NewChunk(next) = chunk.append(None, *t, *start, histogram)? {
                    let full = std::mem::replace(chunk, *next).to_chunk();
                    chunks.push(TimedChunk { range: self.range, chunk: full });
                    self.samples = 0;
                }
                true
            }
            _ => return Err(Error::invalid("sample", "it is of another kind than its chunk")),
        };
        if !fits {
            let full = std::mem::replace(self, Self::begin(self.encoding())?);
            chunks.extend(full.finish());
            return self.append(sample, chunks);
        }
        let min = if self.samples == 0 { *t } else { self.range.min };
        self.range = TimeRange::new(min, *t);
        self.samples = self.samples.saturating_add(1);
        Ok(())
    }

    fn finish(self) -> Option<TimedChunk> {
        let (encoding, range) = (self.encoding(), self.range);
        let data = match self.state {
            State::Xor(appender, bytes) => appender.finish(&bytes),
            State::Xor2(appender, bytes) => appender.finish(&bytes),
            State::Histogram(chunk) => chunk.to_bytes(),
        };
        (self.samples > 0).then(|| TimedChunk { range, chunk: Chunk { encoding, data: data.into() } })
    }
}

/// The chunk that a sample of a run goes into.
fn encoding_of(sample: &Sample) -> Encoding {
    match (&sample.value, sample.start != 0) {
        (Value::Float(_), false) => Encoding::Xor,
        (Value::Float(_), true) => Encoding::Xor2,
        (Value::Histogram(histogram), starts) => match (histogram.is_float(), starts) {
            (false, false) => Encoding::Histogram,
            (true, false) => Encoding::FloatHistogram,
            (false, true) => Encoding::HistogramSt,
            (true, true) => Encoding::FloatHistogramSt,
        },
    }
}

/// The chunks of samples whose times rise, each as long as it comes.
pub(super) fn encode(samples: &[Sample]) -> Result<Vec<TimedChunk>, Error> {
    encode_until(samples, |_| false)
}

fn encode_until(samples: &[Sample], ends: impl Fn(&Open) -> bool) -> Result<Vec<TimedChunk>, Error> {
    let mut chunks = Vec::new();
    for run in samples.chunk_by(|a, b| encoding_of(a) == encoding_of(b)) {
        let Some(first) = run.first() else { continue };
        let mut open = Open::begin(encoding_of(first))?;
        for sample in run {
            if ends(&open) {
                chunks.extend(std::mem::replace(&mut open, Open::begin(encoding_of(first))?).finish());
            }
            open.append(sample, &mut chunks)?;
        }
        chunks.extend(open.finish());
    }
    Ok(chunks)
}

/// The samples of a chunk for which `keep` says so, in its encoding: one chunk or none, if it could have been written as it
/// stands. A histogram chunk then says nothing any more about the chunk before it.
pub(super) fn anew(chunk: &Chunk, keep: impl Fn(Timestamp) -> bool) -> Result<Vec<TimedChunk>, Error> {
    let mut chunks = Vec::new();
    let mut open = Open::begin(chunk.encoding)?;
    let mut samples = chunk.samples()?;
    while let Some(sample) = samples.next()? {
        if keep(sample.t) {
            open.append(&sample, &mut chunks)?;
        }
    }
    chunks.extend(open.finish());
    Ok(chunks)
}

/// A chunk that was still being written when its block was cut, as Prometheus writes it: encoded once more, so that a histogram
/// chunk says nothing about the chunk before it.
pub(crate) fn closed(open: TimedChunk) -> Result<Vec<TimedChunk>, Error> {
    match open.chunk.encoding {
        Encoding::Xor | Encoding::Xor2 => Ok(vec![open]),
        _ => anew(&open.chunk, |_| true),
    }
}

/// Chunks of one series, by first, then last time, such that none overlaps another: those that do are made into new
/// ones, the others stay as they are.
pub(crate) fn join_overlapping(chunks: Vec<TimedChunk>) -> Result<Vec<TimedChunk>, Error> {
    let mut joined = Vec::with_capacity(chunks.len());
    let mut group: Vec<TimedChunk> = Vec::new();
    let mut end = Timestamp::MIN;
    for chunk in chunks {
        if !group.is_empty() && chunk.range.min > end {
            settle(&mut group, &mut joined)?;
        }
        end = end.max(chunk.range.max);
        group.push(chunk);
    }
    settle(&mut group, &mut joined)?;
    Ok(joined)
}

/// Moves a group of chunks that hang together by overlapping.
fn settle(group: &mut Vec<TimedChunk>, joined: &mut Vec<TimedChunk>) -> Result<(), Error> {
    if group.len() < 2 {
        joined.append(group);
    } else {
        joined.extend(encode_until(&decode_chunks(group, TimeRange::ALL)?, Open::is_long)?);
        group.clear();
    }
    Ok(())
}
