//! The open chunk of a series that does not hold plain floats: histograms, or XOR2 where start timestamps are kept.
//!
//! Most series have plain floats, and their open chunks lie in the records and in cells. Others have what is here, behind a
//! pointer, whole and in memory until it is finished. When a chunk ends is Prometheus' rule for each kind ([`ChunkCut`],
//! [`HistogramCut`]); a histogram chunk also ends where a histogram does not go behind the one before it. What its header says
//! about that is found out by comparing with the chunk before, if that is of the same kind.

use sarsen_block::codec::{Reader, put_str, put_varint};
use sarsen_block::{
    Appended, Chunk, ChunkCut, Encoding, Error, Histogram, HistogramChunk, HistogramCut, TimeRange,
    Timestamp, Value, Xor2Appender,
};

use super::judge::{Kind, Newest, digest};

/// An open chunk with at least one sample.
#[derive(Debug)]
pub(super) struct OpenOther {
    newest: Newest,
    state: State,
}

#[derive(Debug)]
enum State {
    Xor2 { appender: Xor2Appender, bytes: Vec<u8>, cut: ChunkCut },
    Histogram(Box<OpenHistogram>),
}

#[derive(Debug)]
struct OpenHistogram {
    chunk: HistogramChunk,
    cut: HistogramCut,
}

/// What chunks are like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) block_range: Timestamp,
    /// Whether chunks keep start timestamps: floats go into XOR2 then.
    pub(super) starts: bool,
}

/// A chunk as it is at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) encoding: Encoding,
    pub(super) range: TimeRange,
    pub(super) samples: u16,
    pub(super) bytes: Vec<u8>,
}

/// A sample with what has been found out about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) t: Timestamp,
    pub(super) start: Timestamp,
    /// Of the float, or the digest of the histogram.
    pub(super) bits: u64,
    /// `None` for a float.
    pub(super) histogram: Option<&'a Histogram>,
}

impl<'a> Row<'a> {
    /// A sample as the log has it.
    pub(super) fn of(t: Timestamp, start: Timestamp, value: &'a Value) -> Self {
        match value {
            Value::Float(v) => Self { t, start, bits: v.to_bits(), histogram: None },
            Value::Histogram(histogram) => {
                Self { t, start, bits: digest(histogram), histogram: Some(histogram) }
            }
        }
    }

    fn newest(self) -> Newest {
        let kind = self.histogram.map_or(Kind::Float, Kind::of);
        Newest { t: self.t, bits: self.bits, kind, is_any: true }
    }
}

impl State {
    /// A chunk of one sample. `before` counts if it is of the same kind: the chunk that was cut for its size or the time.
    fn begin(row: Row<'_>, form: Form, before: Option<&Self>) -> Result<Self, Error> {
        let Some(histogram) = row.histogram else {
            let (mut appender, mut bytes) = (Xor2Appender::new(), Vec::new());
            appender.append(&mut bytes, row.t, row.start, f64::from_bits(row.bits));
            return Ok(Self::Xor2 { appender, bytes, cut: ChunkCut::begin(row.t, form.block_range) });
        };
        let before = match before {
            Some(Self::Histogram(open)) => Some(&open.chunk),
            _ => None,
        };
        let mut chunk = HistogramChunk::begin(form.starts, histogram.is_float());
        chunk.append(before, row.t, row.start, histogram)?;
        let cut = HistogramCut::begin(row.t, form.block_range);
        Ok(Self::Histogram(Box::new(OpenHistogram { chunk, cut })))
    }

    /// Appends a sample, or gives the chunk that it begins.
    fn append(&mut self, row: Row<'_>, form: Form) -> Result<Option<Self>, Error> {
        match (&mut *self, row.histogram) {
            (Self::Xor2 { appender, bytes, cut }, None) => {
                let is_due = cut.is_due_xor2(row.t, appender, bytes.len());
                if !is_due && appender.append(bytes, row.t, row.start, f64::from_bits(row.bits)) {
                    return Ok(None);
                }
            }
            (Self::Histogram(open), Some(histogram)) => match open.append(row, histogram, form)? {
                Went::In => return Ok(None),
                Went::Next(next) => return Ok(Some(Self::Histogram(next))),
                Went::Nowhere => {}
            },
            _ => {}
        }
        Ok(Some(Self::begin(row, form, Some(self))?))
    }

    fn snapshot(&self, end: Timestamp) -> Snapshot {
        match self {
            Self::Xor2 { appender, bytes, cut } => Snapshot {
                encoding: Encoding::Xor2,
                range: TimeRange::new(cut.start(), end),
                samples: appender.num_samples(),
                bytes: appender.finish(bytes),
            },
            Self::Histogram(open) => Snapshot {
                encoding: open.chunk.encoding(),
                range: TimeRange::new(open.cut.start(), end),
                samples: open.chunk.num_samples(),
                bytes: open.chunk.to_bytes(),
            },
        }
    }
}

/// What an open histogram chunk did with a sample.
enum Went {
    /// It is the last now.
    In,
    /// It begins this chunk, because it does not go behind the last.
    Next(Box<OpenHistogram>),
    /// The chunk has ended before it.
    Nowhere,
}

impl OpenHistogram {
    fn append(&mut self, row: Row<'_>, histogram: &Histogram, form: Form) -> Result<Went, Error> {
        let Self { chunk, cut } = self;
        let is_float = matches!(chunk.encoding(), Encoding::FloatHistogram | Encoding::FloatHistogramSt);
        if is_float != histogram.is_float() || cut.is_due(row.t, chunk) {
            return Ok(Went::Nowhere);
        }
        Ok(match chunk.append(None, row.t, row.start, histogram)? {
            Appended::Appended | Appended::Recoded => Went::In,
            Appended::NewChunk(chunk) => {
                let cut = cut.begin_forced(row.t, form.block_range);
                Went::Next(Box::new(Self { chunk: *chunk, cut }))
            }
        })
    }
}

impl OpenOther {
    /// A chunk of one sample, behind a chunk of plain floats or none.
    pub(super) fn begin(row: Row<'_>, form: Form) -> Result<Self, Error> {
        Ok(Self { newest: row.newest(), state: State::begin(row, form, None)? })
    }

    /// Appends a sample that was judged before. The finished chunk, if the sample begins a new one.
    ///
    /// # Errors
    /// [`Error::Invalid`], and nothing is changed, for a histogram that is none.
    pub(super) fn append(&mut self, row: Row<'_>, form: Form) -> Result<Option<Snapshot>, Error> {
        let finished = self.state.append(row, form)?.map(|next| {
            let full = std::mem::replace(&mut self.state, next);
            full.snapshot(self.newest.t)
        });
        self.newest = row.newest();
        Ok(finished)
    }

    pub(super) const fn newest(&self) -> Newest {
        self.newest
    }

    /// First and last time.
    pub(super) const fn range(&self) -> TimeRange {
        let start = match &self.state {
            State::Xor2 { cut, .. } => cut.start(),
            State::Histogram(open) => open.cut.start(),
        };
        TimeRange::new(start, self.newest.t)
    }

    /// Writes everything that is needed to go on with the chunk.
    pub(super) fn put_state(&self, out: &mut Vec<u8>) {
        let (encoding, cut, foreseen, bytes) = match &self.state {
            State::Xor2 { appender, bytes, cut } => {
                (Encoding::Xor2, (cut.start(), cut.end()), false, appender.finish(bytes))
            }
            State::Histogram(open) => {
                let OpenHistogram { chunk, cut } = open.as_ref();
                (chunk.encoding(), (cut.start(), cut.end()), cut.is_foreseen(), chunk.to_bytes())
            }
        };
        out.extend_from_slice(&[encoding.byte(), u8::from(foreseen)]);
        put_varint(out, cut.0);
        put_varint(out, cut.1.wrapping_sub(cut.0));
        put_varint(out, self.newest.t);
        out.extend_from_slice(&self.newest.bits.to_be_bytes());
        put_str(out, &bytes);
    }

    /// Takes up what [`put_state`](Self::put_state) wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are no such state.
    pub(super) fn restore(reader: &mut Reader<'_>, block_range: Timestamp) -> Result<Self, Error> {
        let encoding = reader.u8("encoding")?;
        let foreseen = reader.u8("foreseen")? != 0;
        let start = reader.varint("start")?;
        let end = start.wrapping_add(reader.varint("end")?);
        let t = reader.varint("newest time")?;
        let bits = reader.take(8, "newest value")?.first_chunk().copied().map_or(0, u64::from_be_bytes);
        let bytes = reader.str("open chunk")?;
        let kind = match Encoding::from_byte(encoding) {
            Some(Encoding::Xor2) => Kind::Float,
            Some(Encoding::Histogram | Encoding::HistogramSt) => Kind::Integer,
            Some(Encoding::FloatHistogram | Encoding::FloatHistogramSt) => Kind::FloatHistogram,
            _ => return Err(reader.corrupt(format!("an open chunk of encoding {encoding}"))),
        };
        let state = match Encoding::from_byte(encoding) {
            Some(encoding) if kind != Kind::Float => {
                let chunk = HistogramChunk::restore(&Chunk { encoding, data: bytes.to_vec().into() })?;
                let cut = HistogramCut::resume(start, end, foreseen, block_range);
                State::Histogram(Box::new(OpenHistogram { chunk, cut }))
            }
            _ => {
                let (appender, bytes) = Xor2Appender::resume(bytes)?;
                State::Xor2 { appender, bytes, cut: ChunkCut::resume(start, end) }
            }
        };
        Ok(Self { newest: Newest { t, bits, kind, is_any: true }, state })
    }

    /// The chunk as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.state.snapshot(self.newest.t)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sarsen_block::{Counts, SampleIter, Span};

    use super::*;

    const RANGE: Timestamp = 7_200_000;

    fn value(kind: u8, step: i64) -> Value {
        let spans = vec![Span { offset: (step % 7) as i32, length: 2 }];
        let count = 10 + step.unsigned_abs();
        let counts = match kind {
            0 => return Value::Float(step as f64 * 1.5),
            1 => {
                Counts::Integer { count, zero: 0, positive: vec![5, count as i64 - 10], negative: Vec::new() }
            }
            _ => Counts::Float {
                count: count as f64,
                zero: 0.0,
                positive: vec![1.5, 2.5],
                negative: Vec::new(),
            },
        };
        Value::Histogram(Box::new(Histogram {
            sum: 2.0,
            positive_spans: spans,
            counts,
            ..Histogram::default()
        }))
    }

    proptest! {
        /// Whatever is appended is in the chunks, in its order, and a chunk that was written down and taken up between any two
        /// samples goes on.
        #[test]
        fn chunks_hold_what_came_and_outlive_a_restart(
            rows in prop::collection::vec((0u8..3, 1i64..400_000, 0i64..40, 0u8..8), 1..300),
            starts in any::<bool>(),
        ) {
            let form = Form { block_range: RANGE, starts };
            let (mut t, mut open, mut chunks) = (0, None::<OpenOther>, Vec::new());
            let mut expected = Vec::new();
            for (kind, gap, step, restart) in rows {
                t += gap;
                let value = value(kind, step);
                let row = Row::of(t, t - step, &value);
                match &mut open {
                    Some(open) => chunks.extend(open.append(row, form).unwrap()),
                    none => *none = Some(OpenOther::begin(row, form).unwrap()),
                }
                expected.push((t, if starts || kind == 0 { t - step } else { 0 }, row.bits, kind));
                let now = open.as_ref().unwrap();
                prop_assert_eq!((now.newest().t, now.newest().bits), (t, row.bits));
                if restart == 0 {
                    let mut bytes = Vec::new();
                    now.put_state(&mut bytes);
                    let mut reader = Reader::new("test", &bytes);
                    let again = OpenOther::restore(&mut reader, RANGE).unwrap();
                    reader.finish().unwrap();
                    prop_assert_eq!(again.snapshot().bytes, now.snapshot().bytes);
                    prop_assert_eq!((again.newest().bits, again.newest().kind), (row.bits, now.newest().kind));
                    open = Some(again);
                }
            }
            chunks.push(open.unwrap().snapshot());
            let mut found = Vec::new();
            for chunk in chunks {
                prop_assert!(chunk.range.max / RANGE == chunk.range.min / RANGE, "a chunk crosses a block");
                let whole = Chunk { encoding: chunk.encoding, data: chunk.bytes.into() };
                prop_assert_eq!(whole.num_samples().unwrap(), chunk.samples);
                let mut samples = whole.samples().unwrap();
                while let Some(sample) = samples.next().unwrap() {
                    let row = Row::of(sample.t, sample.start, &sample.value);
                    let kind = match row.newest().kind { Kind::Float => 0, Kind::Integer => 1, Kind::FloatHistogram => 2 };
                    found.push((row.t, row.start, row.bits, kind));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
