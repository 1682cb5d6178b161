//! The plain model of a database: what was sent, what was taken, what may be read. It knows nothing of chunks, logs or blocks.
//!
//! Outcomes follow Prometheus' table (DESIGN.md, "What is taken"), written down once more and slowly. What the bounds of the
//! moment are it is told; everything else it works out itself.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_block::{Counts, Histogram, STALE_NAN_BITS, Sample, Span, TimeRange, Timestamp, Value};
use sarsen_tsdb::{Committed, Reason};

/// A value as it counts: bits, and buckets by their numbers. Hints and empty buckets play no part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    Float(u64),
    Histogram { is_float: bool, what: Vec<u64>, buckets: BTreeMap<(bool, i64), u64> },
}

impl Plain {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Float(v) => Self::Float(v.to_bits()),
            Value::Histogram(histogram) => Self::of_histogram(histogram),
        }
    }

    fn of_histogram(histogram: &Histogram) -> Self {
        if histogram.is_stale() {
            let (what, buckets) = (vec![STALE_NAN_BITS], BTreeMap::new());
            return Self::Histogram { is_float: histogram.is_float(), what, buckets };
        }
        let mut buckets = BTreeMap::new();
        let mut put = |spans: &[Span], negative: bool, counts: Vec<u64>| {
            let numbers = spans.iter().scan(0i64, |at, span| {
                let start = *at + i64::from(span.offset);
                *at = start + i64::from(span.length);
                Some(start..*at)
            });
            let all = numbers.flatten().zip(counts).filter(|&(_, count)| count != 0);
            buckets.extend(all.map(|(number, count)| ((negative, number), count)));
        };
        let what = match &histogram.counts {
            Counts::Integer { count, zero, positive, negative } => {
                let absolute = |differences: &[i64]| {
                    let sum = |sum: &mut i64, by: &i64| {
                        *sum += by;
                        Some(*sum as u64)
                    };
                    differences.iter().scan(0, sum).collect()
                };
                put(&histogram.positive_spans, false, absolute(positive));
                put(&histogram.negative_spans, true, absolute(negative));
                vec![*count, *zero]
            }
            Counts::Float { count, zero, positive, negative } => {
                let bits = |counts: &[f64]| counts.iter().map(|count| count.to_bits()).collect();
                put(&histogram.positive_spans, false, bits(positive));
                put(&histogram.negative_spans, true, bits(negative));
                vec![count.to_bits(), zero.to_bits()]
            }
        };
        let rest = [histogram.schema as u64, histogram.zero_threshold.to_bits(), histogram.sum.to_bits()];
        let what = what.into_iter().chain(rest).collect();
        Self::Histogram { is_float: histogram.is_float(), what, buckets }
    }

    /// What is stored of this behind `newest`.
    fn behind(self, newest: Option<&(Timestamp, Self)>) -> Self {
        match newest {
            Some((_, Self::Histogram { is_float, .. })) if self == Self::Float(STALE_NAN_BITS) => {
                Self::of_histogram(&Histogram::stale(*is_float))
            }
            _ => self,
        }
    }
}

/// What a database says of the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) max: Option<Timestamp>,
    pub(crate) floor: Timestamp,
}

/// Settings that decide about samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) range: Timestamp,
    pub(crate) window: Timestamp,
    pub(crate) starts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Late,
    Same,
    No(Reason),
}

#[derive(Debug, Default)]
struct Series {
    newest: Option<(Timestamp, Plain)>,
    /// What may be read at a time: start and value.
    may: BTreeMap<Timestamp, Vec<(Timestamp, Plain)>>,
    /// Times at which something must be read.
    must: BTreeSet<Timestamp>,
    /// Whether the newest sample is not known for certain.
    unsure: bool,
}

/// All series, by a number that the test gives them.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    series: BTreeMap<usize, Series>,
    /// Samples that were sent and not acknowledged when the power went.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    no: usize,
    t: Timestamp,
    value: Plain,
    /// If it was to go behind its series: what was the newest until then.
    before: Option<Option<(Timestamp, Plain)>>,
}

/// What a batch should come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) refused: Vec<(u32, Reason)>,
    pub(crate) in_order: u64,
    /// Late ones, and those that are there already: which of the two a late sample is depends on what is kept together.
    pub(crate) late_or_same: u64,
    pub(crate) overtaken: u64,
}

impl Expected {
    pub(crate) fn of(committed: &Committed) -> Self {
        Self {
            refused: committed.refused.iter().map(|refusal| (refusal.sample, refusal.reason)).collect(),
            in_order: committed.accepted - committed.late,
            late_or_same: committed.late + committed.duplicates,
            overtaken: committed.overtaken,
        }
    }
}

/// What was read: by series, then time.
pub(crate) type Content = BTreeMap<usize, Vec<Sample>>;

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, series: BTreeMap::new(), open: Vec::new() }
    }

    fn judge(
        &self,
        now: Moment,
        first: Timestamp,
        newest: Option<&(Timestamp, Plain)>,
        row: (Timestamp, &Plain),
    ) -> Verdict {
        let (t, value) = row;
        let max = now.max.unwrap_or(first);
        let oldest = (max - self.rules.range / 2).max(now.floor);
        let late = self.rules.window > 0;
        match newest {
            _ if t < oldest && !late => Verdict::No(Reason::OutOfBounds),
            None if t >= oldest => Verdict::Good,
            Some((last, _)) if t >= oldest && t > *last => Verdict::Good,
            Some((last, there)) if t >= oldest && t == *last => {
                if *there == value.clone().behind(newest) {
                    Verdict::Same
                } else {
                    Verdict::No(Reason::DuplicateValue)
                }
            }
            _ if late && t >= max - self.rules.window => Verdict::Late,
            _ if late => Verdict::No(Reason::TooOld),
            _ => Verdict::No(Reason::OutOfOrder),
        }
    }

    /// A batch was sent. If it is not acknowledged, what it brought may be there or not. `None` if it cannot be told what
    /// becomes of it.
    pub(crate) fn send(
        &mut self,
        now: Moment,
        rows: &[(usize, Sample)],
        acknowledged: bool,
    ) -> Option<Expected> {
        let mut expected = Expected::default();
        let (_, first) = rows.first()?;
        if rows.iter().any(|(no, _)| self.series.get(no).is_some_and(|series| series.unsure)) {
            for (no, sample) in rows {
                let series = self.series.entry(*no).or_default();
                let start = if self.rules.starts { sample.start } else { 0 };
                let value = Plain::of(&sample.value);
                let may = series.may.entry(sample.t).or_default();
                if value == Plain::Float(STALE_NAN_BITS) {
                    may.extend(
                        [true, false]
                            .map(|is_float| (start, Plain::of_histogram(&Histogram::stale(is_float)))),
                    );
                }
                may.push((start, value));
                series.unsure = true;
            }
            return None;
        }
        let before: BTreeMap<usize, Option<(Timestamp, Plain)>> =
            self.series.iter().map(|(&no, series)| (no, series.newest.clone())).collect();
        for (at, (no, sample)) in rows.iter().enumerate() {
            let value = Plain::of(&sample.value);
            let row = (sample.t, &value);
            let was = before.get(no).and_then(Option::as_ref);
            match self.judge(now, first.t, was, row) {
                Verdict::No(reason) => {
                    expected.refused.push((at as u32, reason));
                    continue;
                }
                Verdict::Same => {
                    expected.late_or_same += 1;
                    continue;
                }
                Verdict::Good | Verdict::Late => {}
            }
            let is = self.series.get(no).and_then(|series| series.newest.as_ref());
            let verdict = self.judge(now, first.t, is, row);
            let value = value.clone().behind(is);
            match verdict {
                Verdict::No(_) => expected.overtaken += 1,
                Verdict::Same => expected.late_or_same += 1,
                Verdict::Good | Verdict::Late => {
                    let good = verdict == Verdict::Good;
                    *(if good { &mut expected.in_order } else { &mut expected.late_or_same }) += 1;
                    self.take(*no, sample, (value, good), acknowledged);
                }
            }
        }
        Some(expected)
    }

    fn take(&mut self, no: usize, sample: &Sample, (value, good): (Plain, bool), acknowledged: bool) {
        let series = self.series.entry(no).or_default();
        let start = if self.rules.starts { sample.start } else { 0 };
        series.may.entry(sample.t).or_default().push((start, value.clone()));
        if acknowledged {
            series.must.insert(sample.t);
        } else {
            let before = good.then(|| series.newest.clone());
            self.open.push(Open { no, t: sample.t, value: value.clone(), before });
        }
        if good {
            series.newest = Some((sample.t, value));
        }
    }

    /// What was deleted is gone, or, if the deletion is not acknowledged, perhaps.
    pub(crate) fn delete(&mut self, which: impl Fn(usize) -> bool, range: TimeRange, acknowledged: bool) {
        for (_, series) in self.series.iter_mut().filter(|(no, _)| which(**no)) {
            series.must.retain(|&t| !range.contains(t));
            if acknowledged {
                series.may.retain(|&t, _| !range.contains(t));
            }
        }
    }

    /// Series that have nothing at or behind `floor` in order are as new.
    pub(crate) fn cut(&mut self, floor: Timestamp) {
        for series in self.series.values_mut() {
            series.newest.take_if(|(t, _)| *t < floor);
        }
    }

    /// The database was opened again and holds `content`: what was open is settled by it.
    pub(crate) fn reopened(&mut self, floor: Timestamp, content: &Content) {
        for Open { no, t, value, before } in std::mem::take(&mut self.open).into_iter().rev() {
            let Some(series) = self.series.get_mut(&no) else { continue };
            let found = content.get(&no).into_iter().flatten().find(|sample| sample.t == t);
            let is_there = found.is_some_and(|sample| Plain::of(&sample.value) == value);
            match (found, before) {
                (Some(_), _) if is_there => {
                    series.must.insert(t);
                }
                (None, Some(before)) => {
                    series.may.remove(&t);
                    series.newest = before;
                }
                (None, None) => {
                    series.may.remove(&t);
                }
                // Another value at that time is read; this one may lie behind it.
                (Some(_), Some(_)) => series.unsure = true,
                (Some(_), None) => {}
            }
        }
        self.cut(floor);
    }

    /// Holds what was read against what was sent.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self, content: &Content) -> Result<(), String> {
        for (no, samples) in content {
            let Some(series) = self.series.get(no) else {
                return Err(format!("series {no} was never taken"));
            };
            for sample in samples {
                let found = (sample.start, Plain::of(&sample.value));
                let may = series.may.get(&sample.t);
                if !may.is_some_and(|may| may.contains(&found)) {
                    return Err(format!("series {no} has {found:?} at {}, and may have {may:?}", sample.t));
                }
            }
            if !samples.is_sorted_by(|a, b| a.t < b.t) {
                return Err(format!("the times of series {no} do not rise"));
            }
        }
        for (no, series) in &self.series {
            let there: BTreeSet<Timestamp> =
                content.get(no).into_iter().flatten().map(|sample| sample.t).collect();
            if let Some(t) = series.must.difference(&there).next() {
                return Err(format!("series {no} has lost what it had at {t}: {:?}", series.may.get(t)));
            }
        }
        Ok(())
    }
}
