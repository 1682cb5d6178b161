//! An aggregate chunk as rows, one a window, and rows as chunks again.
//!
//! Where downsampled blocks overlap, or a part of one is deleted, windows have to be picked one by one. The count part says which there
//! are; what another part lacks stays lacking. Rows of one chunk that are all there become that chunk again, byte for byte. Of picked ones the
//! counter is written so that [`CounterIter`](crate::CounterIter) sees each gain once: from row to row what its own chunk gained, and
//! never less than was seen before.

use sarsen_block::{Error, SampleIter, TimedChunk, Timestamp, Value};

use crate::aggr::{AggrChunk, Aggregate};
use crate::floats::FloatParts;
use crate::histogram::{self, HistogramParts, Timed, Window};

/// A chunk taken apart.
#[derive(Debug)]
pub(crate) struct Rows {
    chunk: TimedChunk,
    /// The time of each window.
    pub(crate) times: Vec<Timestamp>,
    counts: Vec<f64>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Floats(Floats),
    Histograms { sums: Vec<Timed>, counters: Vec<Timed> },
}

#[derive(Debug)]
struct Floats {
    /// Sums, least and greatest, each with its time.
    others: [Vec<(Timestamp, f64)>; 3],
    /// What the counter stood at in each window, by the account of the chunk.
    counters: Vec<(Timestamp, f64)>,
    /// The true values of the counter: time and value of the first, value of the last. None if the chunk has no counter.
    ends: Option<((Timestamp, f64), f64)>,
}

/// A row of one of several chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Which chunk.
    pub(crate) chunk: usize,
    /// Which of its windows.
    pub(crate) window: usize,
}

impl Rows {
    /// Takes a chunk apart.
    ///
    /// # Errors
    /// `Corrupt` if it is damaged, `Invalid` if it is not one of aggregates.
    pub(crate) fn of(chunk: TimedChunk) -> Result<Self, Error> {
        let parts = AggrChunk::parse(&chunk.chunk)?;
        let (times, counts): (Vec<_>, Vec<_>) = floats(&parts, Aggregate::Count)?.into_iter().unzip();
        let kind = if parts.is_of_histograms() {
            Kind::Histograms {
                sums: timed(&parts, Aggregate::Sum)?,
                counters: timed(&parts, Aggregate::Counter)?,
            }
        } else {
            let mut counters = floats(&parts, Aggregate::Counter)?;
            let last = counters.pop();
            let ends = last.map(|last| {
                let first = if counters.is_empty() { last } else { counters.remove(0) };
                (first, last.1)
            });
            let others = [
                floats(&parts, Aggregate::Sum)?,
                floats(&parts, Aggregate::Min)?,
                floats(&parts, Aggregate::Max)?,
            ];
            Kind::Floats(Floats { others, counters, ends })
        };
        Ok(Self { chunk, times, counts, kind })
    }

    const fn is_of_floats(&self) -> bool {
        matches!(self.kind, Kind::Floats(_))
    }
}

/// The samples of a float part; none if it is missing.
fn floats(parts: &AggrChunk, aggregate: Aggregate) -> Result<Vec<(Timestamp, f64)>, Error> {
    let mut read = Vec::new();
    let Some(part) = parts.get(aggregate) else { return Ok(read) };
    let mut samples = part.samples()?;
    while let Some(sample) = samples.next()? {
        let Value::Float(value) = sample.value else {
            return Err(Error::corrupt("aggregate chunk", 0, "histograms where floats are expected"));
        };
        read.push((sample.t, value));
    }
    Ok(read)
}

/// The samples of a histogram part; none if it is missing.
fn timed(parts: &AggrChunk, aggregate: Aggregate) -> Result<Vec<Timed>, Error> {
    let mut read = Vec::new();
    if let Some(part) = parts.get(aggregate) {
        histogram::extend(part, &mut read)?;
    }
    Ok(read)
}

fn at<T>(list: &[(Timestamp, T)], t: Timestamp) -> Option<&T> {
    let found = list.binary_search_by_key(&t, |(time, _)| *time).ok()?;
    list.get(found).map(|(_, value)| value)
}

/// Writes picked rows of `chunks`. They stand in order of time, those of one chunk in its order.
pub(crate) fn write(chunks: &[Rows], picked: &[Row]) -> Result<Vec<TimedChunk>, Error> {
    let mut writer = Writer::default();
    for piece in picked.chunk_by(|a, b| a.chunk == b.chunk) {
        let Some(rows) = piece.first().and_then(|row| chunks.get(row.chunk)) else { continue };
        if rows.is_of_floats() {
            writer.floats(rows, piece)?;
        } else if piece.len() == rows.times.len() {
            writer.written.push(rows.chunk.clone());
        } else {
            writer.histograms(rows, piece)?;
        }
    }
    Ok(writer.written)
}

/// What was told of the counter.
#[derive(Debug, Default)]
struct Account {
    /// Time of each row that was written, and all gains up to there.
    totals: Vec<(Timestamp, f64)>,
    /// The value that a reader will judge the next chunk's first against.
    stands_at: Option<f64>,
}

impl Account {
    /// All gains up to `t`, if anything was written up to there.
    fn at(&self, t: Timestamp) -> Option<f64> {
        let behind = self.totals.partition_point(|(time, _)| *time <= t);
        self.totals.get(behind.checked_sub(1)?).map(|(_, total)| *total)
    }

    fn now(&self) -> f64 {
        self.totals.last().map_or(0.0, |(_, total)| *total)
    }
}

#[derive(Debug, Default)]
struct Writer {
    account: Account,
    written: Vec<TimedChunk>,
}

impl Writer {
    fn floats(&mut self, rows: &Rows, piece: &[Row]) -> Result<(), Error> {
        let Kind::Floats(floats) = &rows.kind else { return Ok(()) };
        let whole = piece.len() == rows.times.len();
        let from_start = piece.first().is_some_and(|row| row.window == 0);
        let to_end = piece.last().is_some_and(|row| row.window + 1 == rows.times.len());
        let account = &mut self.account;
        let begun = account.now();
        // What a reader adds for the first true value, if there is one to be read.
        let base = match (floats.ends, from_start, account.stands_at) {
            (Some(((_, first), _)), true, Some(old)) => {
                let gain = if first >= old { first - old } else { first };
                Some((first, begun + gain))
            }
            (Some(((_, first), _)), true, None) => Some((first, first)),
            (_, _, stands_at) => stands_at.map(|value| (value, begun)),
        };
        let before = piece.first().and_then(|row| value_at(floats, rows, row.window.checked_sub(1)?));
        let before = before.map(|(_, value)| value).or(floats.ends.map(|((_, first), _)| first));
        let (value, total) = base.or(before.map(|value| (value, value))).unwrap_or_default();
        let mut own = (value, total);
        let mut parts = FloatParts::default();
        if let Some((first, _)) = floats.ends {
            let before = account.totals.last().map_or(first.0, |(t, _)| *t);
            parts.put(Aggregate::Counter, if from_start { first.0 } else { before }, value)?;
        }
        for row in piece {
            let Some(&t) = rows.times.get(row.window) else { continue };
            let now = total_at(account, floats, rows, *row, own.1);
            account.totals.push((t, now));
            own.1 = now;
            own.0 = value + (now - total);
            parts.put_window(
                Aggregate::Count,
                t,
                rows.counts.get(row.window).copied().unwrap_or_default(),
            )?;
            for (aggregate, list) in
                [Aggregate::Sum, Aggregate::Min, Aggregate::Max].into_iter().zip(&floats.others)
            {
                if let Some(&found) = at(list, t) {
                    parts.put_window(aggregate, t, found)?;
                }
            }
            if at(&floats.counters, t).is_some() {
                parts.put_window(Aggregate::Counter, t, own.0)?;
            }
        }
        let stands_at = match floats.ends {
            Some((_, last)) if to_end => last,
            _ => own.0,
        };
        if let (Some(_), Some(&(t, _))) = (floats.ends, account.totals.last()) {
            parts.put(Aggregate::Counter, t, stands_at)?;
            account.stands_at = Some(stands_at);
        }
        if whole {
            self.written.push(rows.chunk.clone());
        } else {
            self.written.extend(parts.finish());
        }
        Ok(())
    }

    fn histograms(&mut self, rows: &Rows, piece: &[Row]) -> Result<(), Error> {
        let Kind::Histograms { sums, counters } = &rows.kind else { return Ok(()) };
        let mut parts = HistogramParts::new(&mut self.written);
        for row in piece {
            let Some(&t) = rows.times.get(row.window) else { continue };
            let count = rows.counts.get(row.window).copied();
            parts.put(t, Window { count, sum: at(sums, t), counter: at(counters, t) })?;
        }
        parts.finish();
        Ok(())
    }
}

/// All gains up to a row: those up to the window before it in its own chunk, and what its chunk gained since; at least `least`.
fn total_at(account: &Account, floats: &Floats, rows: &Rows, row: Row, least: f64) -> f64 {
    let Some((_, now)) = value_at(floats, rows, row.window) else { return least };
    let before = row.window.checked_sub(1).and_then(|before| value_at(floats, rows, before));
    let (old, total) = match (before, floats.ends) {
        (Some((t, old)), _) => (old, account.at(t).unwrap_or(least)),
        (None, Some(((_, first), _))) => (first, least),
        (None, None) => return least,
    };
    let total = total + (now - old);
    if total > least { total } else { least }
}

/// When a window of a chunk ends, and what the counter stood at then by the account of the chunk.
fn value_at(floats: &Floats, rows: &Rows, window: usize) -> Option<(Timestamp, f64)> {
    let t = *rows.times.get(window)?;
    Some((t, *at(&floats.counters, t)?))
}
