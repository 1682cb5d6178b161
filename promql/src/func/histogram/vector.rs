//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` over a whole vector, native and classic histograms at once.
//!
//! Series with numbers whose labels differ in `le` only are one classic histogram. Where a native one with the same labels stands beside it at a
//! step, neither has a result. Native ones come first in the result, in the order of the argument, then classic ones, in the order of their first
//! buckets.

use std::collections::HashMap;
use std::sync::Arc;

use sarsen_block::{Histogram, Labels, METRIC_NAME};

use super::classic::{self, Cumulative, Forced};
use super::native::{self, Told};
use crate::annotations::{Note, Repaired};
use crate::ast::Place;
use crate::eval::{Column, ColumnBuilder, Grid, VectorCall, filtered, with, without_name};
use crate::number::general;
use crate::{Annotations, Error};

/// The label with the bound of a classic bucket.
const LE: &[u8] = b"le";

/// `histogram_quantile(q, vector)`.
pub(crate) fn quantile(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let [qs] = &*std::mem::take(&mut call.scalars) else { return Ok(Vec::new()) };
    note_invalid(qs, call.arguments.first(), call);
    let all: Vec<usize> = (0..call.grid.steps()).collect();
    let mut work = Work::of(call, 1);
    let q = |step: usize| qs.get(step).copied().unwrap_or(f64::NAN);
    Ok(work.evaluate(&all, |step, one| match one {
        One::Native(histogram) => Made::native(native::quantile(q(step), histogram)),
        One::Classic(buckets) => Made::classic(classic::quantile(q(step), buckets)),
    }))
}

/// `histogram_fraction(lower, upper, vector)`.
pub(crate) fn fraction(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let [lower, upper] = &*std::mem::take(&mut call.scalars) else { return Ok(Vec::new()) };
    let all: Vec<usize> = (0..call.grid.steps()).collect();
    let mut work = Work::of(call, 2);
    let at = |values: &[f64], step: usize| values.get(step).copied().unwrap_or(f64::NAN);
    Ok(work.evaluate(&all, |step, one| match one {
        One::Native(histogram) => Made::native(native::fraction(at(lower, step), at(upper, step), histogram)),
        One::Classic(buckets) => {
            Made::classic((classic::fraction(at(lower, step), at(upper, step), buckets), None))
        }
    }))
}

/// `histogram_quantiles(vector, "label", q, ...)`: the result has the label with the quantile.
pub(crate) fn quantiles(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let arguments = std::mem::take(&mut call.scalars);
    let label = call.texts.first().cloned().unwrap_or_default();
    for (at, qs) in arguments.iter().enumerate() {
        note_invalid(qs, call.arguments.get(at + 2), call);
    }
    let mut work = Work::of(call, 0);
    let mut result = Vec::new();
    for qs in &arguments {
        for (q, steps) in by_value(qs) {
            let made = work.evaluate(&steps, |_, one| match one {
                One::Native(histogram) => Made::native(native::quantile(q, histogram)),
                One::Classic(buckets) => Made::classic(classic::quantile(q, buckets)),
            });
            let text = with_point(q);
            result.extend(made.into_iter().map(|mut column| {
                column.labels = Arc::new(with(column.labels.as_ref().as_ref(), &label, text.as_bytes()));
                column
            }));
        }
    }
    Ok(result)
}

/// Notes quantiles that are none.
fn note_invalid(qs: &[f64], place: Option<&Place>, call: &mut VectorCall<'_>) {
    let place = place.copied().unwrap_or(call.place);
    let mut last = None;
    for q in qs.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        if last != Some(q.to_bits()) {
            call.notes.add(Note::invalid_quantile(*q), place);
            last = Some(q.to_bits());
        }
    }
}

/// The steps at which a scalar has each of its values.
fn by_value(values: &[f64]) -> Vec<(f64, Vec<usize>)> {
    let mut found: Vec<(f64, Vec<usize>)> = Vec::new();
    let mut index: HashMap<u64, usize> = HashMap::new();
    for (step, value) in values.iter().enumerate() {
        let at = *index.entry(value.to_bits()).or_insert_with(|| {
            found.push((*value, Vec::new()));
            found.len() - 1
        });
        if let Some((_, steps)) = found.get_mut(at) {
            steps.push(step);
        }
    }
    found
}

/// A number as OpenMetrics writes it: with a point or an exponent.
fn with_point(q: f64) -> String {
    let text = general(q);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if plain { text + ".0" } else { text }
}

/// A bound as Go reads it.
fn bound(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let bound: f64 = text.parse().ok()?;
    // A finite number that is too large is an error.
    let finite = text.bytes().any(|byte| byte.is_ascii_digit());
    (!finite || bound.is_finite()).then_some(bound)
}

/// One histogram at one step.
enum One<'a> {
    Native(&'a Histogram),
    Classic(&'a mut Vec<Cumulative>),
}

/// What was made of it.
struct Made {
    value: f64,
    told: Told,
    forced: Option<Forced>,
}

impl Made {
    const fn native((value, told): (f64, Told)) -> Self {
        Self { value, told, forced: None }
    }

    const fn classic((value, forced): (f64, Option<Forced>)) -> Self {
        Self { value, told: None, forced }
    }
}

/// A native histogram over all steps.
struct Native {
    labels: Arc<Labels>,
    histograms: Vec<(u32, Arc<Histogram>)>,
}

/// A classic histogram over all steps.
struct Classic {
    labels: Arc<Labels>,
    /// Buckets by rising bounds.
    buckets: Vec<(f64, Column)>,
    /// Steps at which there is a native histogram with the same labels, rising.
    taken: Vec<u32>,
}

/// The histograms of a vector, sorted out.
struct Work<'a> {
    natives: Vec<Native>,
    classics: Vec<Classic>,
    grid: Grid,
    delayed: bool,
    /// Where the vector stands in the query.
    place: Place,
    notes: &'a mut Annotations,
}

impl<'a> Work<'a> {
    /// Sorts out the vector of a call, which is its argument `at`.
    fn of(call: &'a mut VectorCall<'_>, at: usize) -> Self {
        let place = call.arguments.get(at).copied().unwrap_or(call.place);
        let vector = std::mem::take(&mut call.vector);
        let (grid, delayed) = (call.grid, call.delayed);
        let (natives, classics) = (Vec::new(), Vec::new());
        let mut work = Self { natives, classics, grid, delayed, place, notes: &mut *call.notes };
        work.sort_out(vector);
        work.resolve_conflicts();
        work
    }

    /// The name that notes tell: with names that go at once, none.
    fn told_name<'l>(&self, labels: &'l Labels) -> &'l [u8] {
        if self.delayed { labels.get(METRIC_NAME).unwrap_or_default() } else { &[] }
    }

    fn sort_out(&mut self, vector: Vec<Column>) {
        let mut groups: HashMap<Labels, usize> = HashMap::new();
        for mut column in vector {
            if !column.histograms.is_empty() {
                let histograms = std::mem::take(&mut column.histograms);
                self.natives.push(Native { labels: Arc::clone(&column.labels), histograms });
            }
            if column.float_count() == 0 {
                continue;
            }
            let le = column.labels.get(LE).unwrap_or_default();
            let Some(bound) = bound(le) else {
                let note = Note::bad_bucket_label(self.told_name(&column.labels), le);
                self.notes.add(note, self.place);
                continue;
            };
            let labels = filtered(column.labels.as_ref().as_ref(), |name| name != LE);
            let at = *groups.entry(labels).or_insert_with_key(|labels| {
                let labels = Arc::new(labels.clone());
                self.classics.push(Classic { labels, buckets: Vec::new(), taken: Vec::new() });
                self.classics.len() - 1
            });
            if let Some(classic) = self.classics.get_mut(at) {
                classic.buckets.push((bound, column));
            }
        }
        for classic in &mut self.classics {
            classic.buckets.sort_by(|(a, _), (b, _)| {
                // Both zeros are one bound. A NaN is the last one, so that there is no result.
                a.is_nan()
                    .cmp(&b.is_nan())
                    .then_with(|| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
            });
        }
    }

    /// Where a native and a classic histogram have the same labels, both lose the steps that both have.
    fn resolve_conflicts(&mut self) {
        if self.natives.is_empty() || self.classics.is_empty() {
            return;
        }
        let groups: HashMap<Arc<Labels>, usize> =
            self.classics.iter().enumerate().map(|(at, classic)| (Arc::clone(&classic.labels), at)).collect();
        for at in 0..self.natives.len() {
            let Some(native) = self.natives.get_mut(at) else { continue };
            let Some(classic) = groups.get(&native.labels).and_then(|at| self.classics.get_mut(*at)) else {
                continue;
            };
            native.histograms.retain(|(step, _)| {
                let both = classic.buckets.iter().any(|(_, column)| column.has_float(*step as usize));
                if both {
                    classic.taken.push(*step);
                }
                !both
            });
            if !classic.taken.is_empty() {
                let labels = Arc::clone(&classic.labels);
                self.notes.add(Note::mixed_classic_native(self.told_name(&labels)), self.place);
            }
        }
    }

    /// A number of each histogram at each of the `steps`, which rise.
    fn evaluate(&mut self, steps: &[usize], make: impl Fn(usize, One<'_>) -> Made) -> Vec<Column> {
        let (natives, classics) = (std::mem::take(&mut self.natives), std::mem::take(&mut self.classics));
        let mut columns: Vec<Column> = Vec::with_capacity(natives.len() + classics.len());
        for native in &natives {
            columns.extend(self.of_native(native, steps, &make));
        }
        for classic in &classics {
            columns.extend(self.of_classic(classic, steps, &make));
        }
        (self.natives, self.classics) = (natives, classics);
        columns
    }

    fn of_native(
        &mut self,
        native: &Native,
        steps: &[usize],
        make: impl Fn(usize, One<'_>) -> Made,
    ) -> Option<Column> {
        let all = steps.len() == self.grid.steps();
        let mut column = ColumnBuilder::new(self.grid.steps());
        let mut noted: Vec<fn(&[u8]) -> Note> = Vec::new();
        for (step, histogram) in &native.histograms {
            let step = *step as usize;
            if !all && steps.binary_search(&step).is_err() {
                continue;
            }
            let made = make(step, One::Native(histogram));
            column.float(step, made.value);
            if let Some(note) = made.told
                && !noted.iter().any(|seen| std::ptr::fn_addr_eq(*seen, note))
            {
                noted.push(note);
                self.notes.add(note(self.told_name(&native.labels)), self.place);
            }
        }
        self.finish(column, &native.labels)
    }

    fn of_classic(
        &mut self,
        classic: &Classic,
        steps: &[usize],
        make: impl Fn(usize, One<'_>) -> Made,
    ) -> Option<Column> {
        let mut column = ColumnBuilder::new(self.grid.steps());
        let mut buckets = Vec::with_capacity(classic.buckets.len());
        let mut repaired: Option<Repaired> = None;
        for &step in steps {
            if classic.taken.binary_search(&(step as u32)).is_ok() {
                continue;
            }
            buckets.clear();
            buckets.extend(classic.buckets.iter().filter_map(|(bound, column)| {
                column.float(step).map(|count| Cumulative { bound: *bound, count })
            }));
            if buckets.is_empty() {
                continue;
            }
            let made = make(step, One::Classic(&mut buckets));
            column.float(step, made.value);
            if let Some(forced) = made.forced {
                repaired = Some(widened(repaired, forced, self.grid.at(step)));
            }
        }
        if let Some(repaired) = repaired {
            let note = Note::forced_monotonicity(self.told_name(&classic.labels), repaired);
            self.notes.add(note, self.place);
        }
        self.finish(column, &classic.labels)
    }

    fn finish(&self, column: ColumnBuilder, labels: &Arc<Labels>) -> Option<Column> {
        if column.is_empty() {
            return None;
        }
        let labels =
            if self.delayed { Arc::clone(labels) } else { Arc::new(without_name(labels.as_ref().as_ref())) };
        Some(column.finish(labels, true))
    }
}

/// What was repaired so far, and at one more step.
fn widened(so_far: Option<Repaired>, forced: Forced, t: sarsen_block::Timestamp) -> Repaired {
    let Forced { lowest, highest, difference } = forced;
    let one = Repaired { first: t, last: t, lowest, highest, difference, samples: 1 };
    let Some(before) = so_far else { return one };
    Repaired {
        first: before.first.min(t),
        last: before.last.max(t),
        lowest: before.lowest.min(lowest),
        highest: before.highest.max(highest),
        difference: before.difference.max(difference),
        samples: before.samples + 1,
    }
}
