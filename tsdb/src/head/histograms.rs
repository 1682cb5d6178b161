//! The open chunk of a series that does not hold plain floats: histograms, or XOR2 where start timestamps are kept.
//!
//! Most series have plain floats, and their open chunks lie in the records and in cells. Others have what is here, behind a
//! pointer, whole and in memory until it is finished. When a chunk ends is Prometheus' rule for each kind ([`ChunkCut`],
//! [`HistogramCut`]); a histogram chunk also ends where a histogram does not go behind the one before it. What its header says
//! about that is found out by comparing with the chunk before, if that is of the same kind.

use sarsen_block::{
    Appended, ChunkCut, Encoding, Error, Histogram, HistogramChunk, HistogramCut, TimeRange, Timestamp,
    Value, Xor2Appender,
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

    /// The chunk as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.state.snapshot(self.newest.t)
    }
}
