//! A counter without its resets, over the chunks of a series.
//!
//! Each chunk gives the values of a counter, raw or the counter part of an aggregate. What a counter gained is summed up from the first
//! sample on; where it fell, it began anew at nothing. A time that comes twice is the mark of an aggregate's end: its value is the
//! counter's true one, against which the first value of the next chunk is judged, and is not given out. So `rate` over several
//! chunks is that over the raw samples. Values that are no numbers are passed over; histograms go through as they are.

use sarsen_block::{Chunk, ChunkIter, Error, Sample, SampleIter, Timestamp, Value};

/// What a counter has gained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gains {
    /// Time of the last sample that was seen, and its value.
    last: (Timestamp, f64),
    total: f64,
    begun: bool,
    /// Behind the end of a chunk nothing is given before this time: chunks may overlap.
    floor: Timestamp,
}

impl Gains {
    pub(crate) const fn new() -> Self {
        Self { last: (0, 0.0), total: 0.0, begun: false, floor: Timestamp::MIN }
    }

    /// The true value of the counter at the last sample that was seen.
    pub(crate) const fn true_value(&self) -> f64 {
        self.last.1
    }

    /// Behind the last sample of a chunk.
    pub(crate) fn end_chunk(&mut self) {
        self.floor = self.floor.max(self.last.0.saturating_add(1));
    }

    /// At `t`, up to where all gains are counted, the counter stood at `value` by another account, which is gone on with.
    pub(crate) fn take_up(&mut self, t: Timestamp, value: f64) {
        if self.begun {
            self.last = (self.last.0.max(t), value);
        }
    }

    /// What the counter has gained at a sample; `None` if nothing is to be given out for it.
    pub(crate) fn add(&mut self, t: Timestamp, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        let (before, old) = self.last;
        if !self.begun {
            self.begun = true;
            self.total = value;
        } else if t > before {
            self.total += if value >= old { value - old } else { value };
        } else {
            if t == before {
                self.last.1 = value;
            }
            return None;
        }
        self.last = (t, value);
        self.passes(t).then_some(self.total)
    }

    /// Whether something that is no float is to be given out.
    pub(crate) fn pass(&mut self, t: Timestamp) -> bool {
        self.last.0 = t;
        self.passes(t)
    }

    fn passes(&mut self, t: Timestamp) -> bool {
        let passes = t >= self.floor;
        if passes {
            self.floor = Timestamp::MIN;
        }
        passes
    }
}

/// The samples of a counter over a run of chunks, resets taken out: times rise, values do not fall.
#[derive(Debug)]
pub struct CounterIter<'a> {
    chunks: std::vec::IntoIter<&'a Chunk>,
    samples: Option<ChunkIter<'a>>,
    gains: Gains,
}

impl<'a> CounterIter<'a> {
    /// Over `chunks` in order of time: raw ones, or counter parts.
    pub fn new(chunks: impl IntoIterator<Item = &'a Chunk>) -> Self {
        let chunks: Vec<_> = chunks.into_iter().collect();
        Self { chunks: chunks.into_iter(), samples: None, gains: Gains::new() }
    }

    /// The value of the counter where the last sample was seen: what it truly stood at, resets and all.
    pub const fn true_value(&self) -> f64 {
        self.gains.true_value()
    }

    /// The next sample of the present chunk, or of the next one that has any.
    fn raw(&mut self) -> Result<Option<Sample>, Error> {
        loop {
            let samples = match &mut self.samples {
                Some(samples) => samples,
                none => match self.chunks.next() {
                    Some(chunk) => none.insert(chunk.samples()?),
                    None => return Ok(None),
                },
            };
            if let Some(sample) = samples.next()? {
                return Ok(Some(sample));
            }
            self.samples = None;
            self.gains.end_chunk();
        }
    }
}

impl SampleIter for CounterIter<'_> {
    fn next(&mut self) -> Result<Option<Sample>, Error> {
        while let Some(sample) = self.raw()? {
            match sample.value {
                Value::Float(value) => {
                    if let Some(total) = self.gains.add(sample.t, value) {
                        return Ok(Some(Sample::float(sample.t, total)));
                    }
                }
                Value::Histogram(_) => {
                    if self.gains.pass(sample.t) {
                        return Ok(Some(sample));
                    }
                }
            }
        }
        Ok(None)
    }
}
