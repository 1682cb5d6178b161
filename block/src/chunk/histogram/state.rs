//! Where a histogram chunk stands after its last sample: enough to write or to read the next.

use super::cell::{Cell, Window};
use super::layout::{self, Layout};
use super::starts::Starts;
use crate::bits::{BitReader, BitWriter};
use crate::chunk::varbit;
use crate::histogram::{Histogram, ResetHint};
use crate::sample::is_stale;
use crate::time::Timestamp;

/// A sample on its way into a chunk: its buckets are those of the chunk's layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a, T> {
    pub(super) t: Timestamp,
    pub(super) start: Timestamp,
    pub(super) sum: f64,
    pub(super) count: T,
    pub(super) zero: T,
    pub(super) positive: &'a [T],
    pub(super) negative: &'a [T],
}

/// The last sample of a chunk, and how it followed from those before.
#[derive(Debug, Clone)]
pub(super) struct State<C> {
    pub(super) layout: Layout,
    pub(super) time: Timestamp,
    step: i64,
    pub(super) starts: Option<Starts>,
    sum: Window,
    pub(super) count: C,
    pub(super) zero: C,
    pub(super) positive: Vec<C>,
    pub(super) negative: Vec<C>,
}

impl<C: Cell> State<C> {
    /// Writes the layout and the first sample.
    pub(super) fn first(
        out: &mut BitWriter<'_>,
        layout: Layout,
        starts: Option<Starts>,
        sample: &Incoming<'_, C::Count>,
    ) -> Self {
        layout.put(out);
        varbit::put_int(out, sample.t);
        let count = C::put_total(out, sample.count);
        let zero = C::put_total(out, sample.zero);
        let sum = Window::put_first(out, sample.sum);
        let positive = sample.positive.iter().map(|&bucket| C::put_bucket(out, bucket)).collect();
        let negative = sample.negative.iter().map(|&bucket| C::put_bucket(out, bucket)).collect();
        let mut state =
            Self { layout, time: sample.t, step: 0, starts, sum, count, zero, positive, negative };
        if let Some(starts) = &mut state.starts {
            starts.put(out, 0, [sample.t; 2], sample.start);
        }
        state
    }

    /// Writes sample `index`, counted from 0, which is not the first.
    pub(super) fn put(&mut self, out: &mut BitWriter<'_>, index: u16, sample: &Incoming<'_, C::Count>) {
        let step = sample.t.wrapping_sub(self.time);
        varbit::put_int(out, step.wrapping_sub(self.step));
        if is_stale(sample.sum) {
            self.count.put_stale(out);
            self.zero.put_stale(out);
            self.sum.put(out, sample.sum);
        } else {
            self.count.put(out, sample.count);
            self.zero.put(out, sample.zero);
            self.sum.put(out, sample.sum);
            for (cell, &bucket) in self.positive.iter_mut().zip(sample.positive) {
                cell.put(out, bucket);
            }
            for (cell, &bucket) in self.negative.iter_mut().zip(sample.negative) {
                cell.put(out, bucket);
            }
        }
        if let Some(starts) = &mut self.starts {
            starts.put(out, index, [self.time, sample.t], sample.start);
        }
        (self.time, self.step) = (sample.t, step);
    }

    /// Reads the layout and the first sample.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn read_first(bits: &mut BitReader<'_>, starts: Option<Starts>) -> Result<Self, &'static str> {
        let layout = Layout::read(bits)?;
        Self::read_begun(bits, layout, starts).ok_or("the first sample cannot be read")
    }

    fn read_begun(bits: &mut BitReader<'_>, layout: Layout, starts: Option<Starts>) -> Option<Self> {
        let time = varbit::read_int(bits)?;
        let count = C::read_total(bits)?;
        let zero = C::read_total(bits)?;
        let sum = Window::read_first(bits)?;
        let positive = read_buckets(bits, layout::buckets(&layout.positive))?;
        let negative = read_buckets(bits, layout::buckets(&layout.negative))?;
        let mut state = Self { layout, time, step: 0, starts, sum, count, zero, positive, negative };
        if let Some(starts) = &mut state.starts {
            starts.read(bits, 0, [time; 2])?;
        }
        Some(state)
    }

    /// Reads sample `index`, which is not the first; `None` if it cannot be.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>, index: u16) -> Option<()> {
        self.step = self.step.wrapping_add(varbit::read_int(bits)?);
        let before = self.time;
        self.time = before.wrapping_add(self.step);
        self.count.read(bits)?;
        self.zero.read(bits)?;
        self.sum.read(bits)?;
        if !self.is_stale() {
            for cell in self.positive.iter_mut().chain(&mut self.negative) {
                cell.read(bits)?;
            }
        }
        if let Some(starts) = &mut self.starts {
            starts.read(bits, index, [before, self.time])?;
        }
        Some(())
    }

    /// As Prometheus goes on with a chunk that it has read.
    pub(super) fn take_up(&mut self) {
        self.sum = self.sum.taken_up();
        let totals = [&mut self.count, &mut self.zero];
        for cell in totals.into_iter().chain(&mut self.positive).chain(&mut self.negative) {
            *cell = cell.taken_up();
        }
    }

    /// The sum of the last sample.
    pub(super) fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// Whether the last sample is a stale marker. Then only its time and its start are true.
    pub(super) fn is_stale(&self) -> bool {
        is_stale(self.sum())
    }

    /// When the counter behind the last sample began; 0 if that is not known.
    pub(super) fn start(&self) -> Timestamp {
        self.starts.map_or(0, Starts::last)
    }

    /// The last sample as a histogram in the layout of the chunk.
    pub(super) fn histogram(&self, hint: ResetHint) -> Histogram {
        if self.is_stale() {
            return Histogram::stale(C::FLOAT);
        }
        let values = |cells: &[C]| cells.iter().map(Cell::value).collect();
        Histogram {
            hint,
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            sum: self.sum(),
            positive_spans: self.layout.positive.clone(),
            negative_spans: self.layout.negative.clone(),
            custom_values: self.layout.custom.clone(),
            counts: C::counts(
                self.count.value(),
                self.zero.value(),
                [values(&self.positive), values(&self.negative)],
            ),
        }
    }
}

/// The first values of `count` buckets, of which the layout says that they can be there.
fn read_buckets<C: Cell>(bits: &mut BitReader<'_>, count: u64) -> Option<Vec<C>> {
    let mut cells = Vec::with_capacity(usize::try_from(count).ok()?);
    for _ in 0..count {
        cells.push(C::read_bucket(bits)?);
    }
    Some(cells)
}
