//! Float samples gathered window by window, and the five parts that are written from them.
//!
//! Values are added in the order of the samples, one plain addition each: the last bit of a sum is part of the format. What is not a
//! number spoils a sum and a counter as it does everywhere; whether such samples come here is the caller's choice.

use sarsen_block::codec::uvarint_len;
use sarsen_block::{
    Chunk, ChunkIter, Encoding, Error, SampleIter, TimeRange, TimedChunk, Timestamp, Value, XorAppender,
    XorIter, is_stale,
};

use crate::aggr::{Aggregate, put_part_head};
use crate::window::window_end;

/// What is known of the samples so far: of the present window, and of the counter since the stretch began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) counter: f64,
    last: f64,
    begun: bool,
}

impl Totals {
    /// Before the first sample.
    pub(crate) const NONE: Self =
        Self { count: 0, sum: 0.0, min: f64::MAX, max: f64::MIN, counter: 0.0, last: 0.0, begun: false };

    /// Begins a window with its first sample. A window of nothing but infinities keeps the largest double as its least or greatest.
    #[inline]
    pub(crate) fn open(&mut self, first: f64) {
        if !self.begun {
            self.begun = true;
            self.counter = first;
        } else {
            self.gain(first);
        }
        (self.last, self.count, self.sum) = (first, 1, 0.0 + first);
        self.min = if first < f64::MAX { first } else { f64::MAX };
        self.max = if first > f64::MIN { first } else { f64::MIN };
    }

    /// Adds a sample to the window.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.gain(value);
        self.last = value;
        self.count += 1;
        self.sum += value;
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
    }

    /// A counter that fell began anew at nothing.
    #[inline]
    fn gain(&mut self, value: f64) {
        self.counter += value - if value < self.last { 0.0 } else { self.last };
    }

    /// The last sample.
    pub(crate) const fn last(&self) -> f64 {
        self.last
    }

    /// Begins a window and adds its samples.
    #[inline]
    fn window(&mut self, values: &[f64]) {
        let Some((&first, others)) = values.split_first() else { return };
        self.open(first);
        let mut all = *self;
        others.iter().for_each(|&value| all.add(value));
        *self = all;
    }
}

/// Times, which never fall, and values of float samples.
#[derive(Debug, Default)]
pub(crate) struct Floats {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) values: Vec<f64>,
    /// Whether a value may not be a number.
    pub(crate) nans: bool,
}

impl Floats {
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.nans = false;
    }

    pub(crate) fn push(&mut self, t: Timestamp, value: f64) {
        self.times.push(t);
        self.values.push(value);
        self.nans |= value.is_nan();
    }

    /// Appends the samples of a float chunk: no stale markers, none that goes back in time or lies before the epoch.
    ///
    /// # Errors
    /// `Corrupt` if the chunk is damaged, `Invalid` if it is one of histograms.
    pub(crate) fn extend(&mut self, chunk: &Chunk) -> Result<(), Error> {
        match chunk.samples()? {
            ChunkIter::Xor(samples) => self.extend_xor(samples),
            mut samples => {
                let mut last = self.last_time();
                while let Some(sample) = samples.next()? {
                    let Value::Float(value) = sample.value else {
                        return Err(Error::invalid("chunk", "histograms where floats are expected"));
                    };
                    if sample.t >= last && !is_stale(value) {
                        self.push(sample.t, value);
                        last = sample.t;
                    }
                }
                Ok(())
            }
        }
    }

    /// Time of the last sample; the epoch before the first.
    fn last_time(&self) -> Timestamp {
        self.times.last().copied().unwrap_or(0)
    }

    /// The samples are written into place, without asking for room each time.
    fn extend_xor(&mut self, mut samples: XorIter<'_>) -> Result<(), Error> {
        let mut last = self.last_time();
        let (start, most) = (self.times.len(), usize::from(samples.remaining()));
        self.times.resize(start + most, 0);
        self.values.resize(start + most, 0.0);
        let times = self.times.get_mut(start..).unwrap_or_default().iter_mut();
        let mut places = times.zip(self.values.get_mut(start..).unwrap_or_default());
        let (mut nans, mut left) = (false, 0);
        while let Some((t, value)) = samples.next()? {
            if t < last || is_stale(value) {
                left += 1;
                continue;
            }
            last = t;
            nans |= value.is_nan();
            let Some((time, place)) = places.next() else { break };
            (*time, *place) = (t, value);
        }
        self.nans |= nans;
        self.times.truncate(start + most - left);
        self.values.truncate(start + most - left);
        Ok(())
    }
}

/// Goes over the samples window by window. `emit` gets the time of each window and what is known behind it: its last
/// millisecond, but at most the time of the last sample of all. Gives the time of the last window, `None` if there are no samples.
pub(crate) fn walk(
    times: &[Timestamp],
    values: &[f64],
    width: i64,
    mut emit: impl FnMut(Timestamp, &Totals) -> Result<(), Error>,
) -> Result<Option<Timestamp>, Error> {
    let Some(&last) = times.last() else { return Ok(None) };
    let (mut totals, mut stamp, mut len) = (Totals::NONE, None, 1);
    let (mut times, mut values) = (times, values);
    while let Some(&first) = times.first() {
        let time = window_end(first, width).min(last);
        len = window_len(times, time, len);
        let (window, rest) = values.split_at_checked(len).unwrap_or((values, &[]));
        totals.window(window);
        emit(time, &totals)?;
        stamp = Some(time);
        times = times.get(len..).unwrap_or_default();
        values = rest;
    }
    Ok(stamp)
}

/// How many of `times`, which rise and begin in the window, are not behind `end`. Scrapes are regular: mostly as many as the window before
/// had, `guess`, which is looked at first.
#[inline]
fn window_len(times: &[Timestamp], end: Timestamp, guess: usize) -> usize {
    let inside = guess.checked_sub(1).and_then(|last| times.get(last)).is_some_and(|&t| t <= end);
    if inside && times.get(guess).is_none_or(|&t| t > end) {
        return guess;
    }
    times.iter().take_while(|&&t| t <= end).count().max(1)
}

/// The five parts of a chunk that is being written. Their memory is kept from chunk to chunk.
#[derive(Debug, Default)]
pub(crate) struct FloatParts {
    appenders: [XorAppender; 5],
    bytes: [Vec<u8>; 5],
    range: Option<TimeRange>,
}

impl FloatParts {
    /// Appends a sample to one part; the chunk's range is not touched.
    pub(crate) fn put(&mut self, aggregate: Aggregate, t: Timestamp, value: f64) -> Result<(), Error> {
        let at = aggregate as usize;
        let (Some(appender), Some(bytes)) = (self.appenders.get_mut(at), self.bytes.get_mut(at)) else {
            return Ok(());
        };
        if appender.append(bytes, t, value) {
            return Ok(());
        }
        Err(Error::invalid("aggregate chunk", "it cannot hold so many windows"))
    }

    /// Appends the value of a window to one part.
    pub(crate) fn put_window(&mut self, aggregate: Aggregate, t: Timestamp, value: f64) -> Result<(), Error> {
        self.stretch(t);
        self.put(aggregate, t, value)
    }

    /// Appends a window to all parts.
    pub(crate) fn put_all(&mut self, t: Timestamp, totals: &Totals) -> Result<(), Error> {
        self.stretch(t);
        let values = [totals.count as f64, totals.sum, totals.min, totals.max, totals.counter];
        let mut sound = true;
        for ((appender, bytes), value) in self.appenders.iter_mut().zip(&mut self.bytes).zip(values) {
            sound &= appender.append(bytes, t, value);
        }
        if sound { Ok(()) } else { Err(Error::invalid("aggregate chunk", "it cannot hold so many windows")) }
    }

    fn stretch(&mut self, t: Timestamp) {
        let range = self.range.unwrap_or(TimeRange::new(t, t));
        self.range = Some(TimeRange::new(range.min.min(t), range.max.max(t)));
    }

    /// The chunk, and empty parts again. `None` if there was no window.
    pub(crate) fn finish(&mut self) -> Option<TimedChunk> {
        let range = self.range.take();
        let lengths = self.appenders.iter().zip(&self.bytes).map(|(appender, bytes)| {
            let len = appender.byte_len(bytes.len());
            uvarint_len(len as u64) + 1 + len
        });
        let mut data = Vec::with_capacity(lengths.sum());
        for (appender, bytes) in self.appenders.iter_mut().zip(&mut self.bytes) {
            if appender.num_samples() == 0 {
                data.push(0);
                continue;
            }
            put_part_head(&mut data, Encoding::Xor, appender.byte_len(bytes.len()));
            appender.finish_into(bytes, &mut data);
            *appender = XorAppender::new();
            bytes.clear();
        }
        let chunk = Chunk { encoding: Encoding::Aggregate, data: data.into() };
        Some(TimedChunk { range: range?, chunk })
    }
}
