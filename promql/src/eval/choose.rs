//! Aggregations that choose series of a group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::hash::Hasher;

use sarsen_block::LabelsRef;
use twox_hash::XxHash64;

use super::column::{Cell, Column, ColumnBuilder, Grid};
use super::heap::{Before, Heap, ascending, descending, push, replace};
use crate::ast::{AggregateOp, Place};
use crate::func::pattern_sort::sort_like_go;
use crate::{Annotations, Error, Note};

/// What is chosen, and by which parameter at each step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) op: AggregateOp,
    pub(super) grid: Grid,
    pub(super) parameter: &'a [f64],
    /// Where the whole aggregation stands.
    pub(super) place: Place,
    /// Where its parameter stands.
    pub(super) parameter_place: Place,
}

impl Choice<'_> {
    /// Whether parameters are numbers with which something can be chosen; `false`: nothing is chosen at any step.
    pub(super) fn check(&self, notes: &mut Annotations) -> Result<bool, Error> {
        let fail = |text: String| Err(Error::Execution(text));
        let any_nan = self.parameter.iter().any(|value| value.is_nan());
        let most = self.parameter.iter().copied().fold(f64::MIN, f64::max);
        let least = self.parameter.iter().copied().fold(f64::MAX, f64::min);
        if self.op == AggregateOp::LimitRatio {
            if !any_nan && most == 0.0 && least == 0.0 {
                return Ok(false);
            }
            if any_nan {
                return fail("Ratio value is NaN".into());
            }
            for (found, bound, outside) in [(most, 1.0, most > 1.0), (least, -1.0, least < -1.0)] {
                if outside {
                    notes.add(Note::invalid_ratio(found, bound), self.parameter_place);
                }
            }
            return Ok(true);
        }
        if !any_nan && most < 1.0 {
            return Ok(false);
        }
        if any_nan {
            return fail("Parameter value is NaN".into());
        }
        // 64 bits of a whole number, as floats have them.
        let (lowest, highest) = (i64::MIN as f64, i64::MAX as f64);
        if least <= lowest {
            return fail(format!("Scalar value {} underflows int64", crate::number::general(least)));
        }
        if most >= highest {
            return fail(format!("Scalar value {} overflows int64", crate::number::general(most)));
        }
        Ok(true)
    }

    /// The chosen series, holding something only where they were chosen. At a single step the best of each group comes first.
    pub(super) fn run(
        &self,
        columns: &[Column],
        (groups, count): (&[usize], usize),
        notes: &mut Annotations,
    ) -> Vec<Column> {
        let steps = self.grid.steps();
        let offsets: Vec<f64> = if self.op == AggregateOp::LimitRatio {
            columns.iter().map(|column| offset(column.labels.as_ref().as_ref())).collect()
        } else {
            Vec::new()
        };
        let mut chosen: Vec<Option<ColumnBuilder>> = Vec::new();
        chosen.resize_with(columns.len(), || None);
        let mut order = Vec::new();
        let mut heaps = vec![Heap::new(); count];
        for step in 0..steps {
            heaps.iter_mut().for_each(Vec::clear);
            self.step(step, (columns, groups), (&mut heaps, &offsets), notes);
            for heap in &mut heaps {
                self.sort(heap);
                for (_, at) in heap.iter() {
                    let (Some(column), Some(builder)) = (columns.get(*at), chosen.get_mut(*at)) else {
                        continue;
                    };
                    let builder = builder.get_or_insert_with(|| {
                        order.push(*at);
                        ColumnBuilder::new(steps)
                    });
                    if let Some(cell) = column.cell(step) {
                        builder.cell(step, cell);
                    }
                }
            }
        }
        if !self.grid.is_instant() {
            order.sort_unstable();
        }
        let finished = order.into_iter().filter_map(|at| {
            let column = columns.get(at)?;
            Some(chosen.get_mut(at)?.take()?.finish(column.labels.clone(), column.drop_name))
        });
        finished.collect()
    }

    /// Fills the heaps of a step.
    fn step(
        &self,
        step: usize,
        (columns, groups): (&[Column], &[usize]),
        (heaps, offsets): (&mut [Heap], &[f64]),
        notes: &mut Annotations,
    ) {
        let parameter = self.parameter.get(step).copied().unwrap_or_default();
        let k = (parameter as i64).min(columns.len() as i64);
        let ratio = parameter.clamp(-1.0, 1.0);
        if if self.op == AggregateOp::LimitRatio { parameter == 0.0 } else { k < 1 } {
            return;
        }
        for (at, (column, group)) in columns.iter().zip(groups).enumerate() {
            let Some(cell) = column.cell(step) else { continue };
            let Some(heap) = heaps.get_mut(*group) else { continue };
            let value = match cell {
                Cell::Float(value) => value,
                // Where histograms are chosen, their order among others is by 0.
                Cell::Histogram(_) => 0.0,
            };
            let full = heap.len() as i64 >= k;
            match self.op {
                AggregateOp::LimitRatio => {
                    let offset = offsets.get(at).copied().unwrap_or_default();
                    if (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio) {
                        push(heap, ascending, (value, at));
                    }
                }
                AggregateOp::Limitk if !full => push(heap, ascending, (value, at)),
                AggregateOp::Limitk => {}
                op if matches!(cell, Cell::Histogram(_)) => {
                    notes.add(Note::ignored_in_aggregation(op.name()), self.place);
                }
                _ if !full => push(heap, self.before(), (value, at)),
                _ => {
                    let worst = heap.first().map_or(f64::NAN, |(worst, _)| *worst);
                    let better = if self.op == AggregateOp::Topk { worst < value } else { worst > value };
                    if better || (worst.is_nan() && !value.is_nan()) {
                        replace(heap, self.before(), (value, at));
                    }
                }
            }
        }
    }

    fn before(&self) -> Before {
        if self.op == AggregateOp::Bottomk { descending } else { ascending }
    }

    /// The best first; NaN last.
    fn sort(&self, heap: &mut Heap) {
        if matches!(self.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            // The heap has the worst on top, so its order is turned round.
            let before = self.before();
            sort_like_go(heap, |a, b| before(b.0, a.0));
        }
    }
}

/// Where in 0 to 1 a label set lies: its hash as Prometheus' usual build reckons it, over the largest hash.
fn offset(labels: LabelsRef<'_>) -> f64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len());
    for (name, value) in labels.iter() {
        for text in [name, value] {
            if text.len() < 255 {
                bytes.push(text.len() as u8);
            } else {
                bytes.push(255);
                bytes.extend_from_slice(text.len().to_le_bytes().get(..3).unwrap_or_default());
            }
            bytes.extend_from_slice(text);
        }
    }
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(&bytes);
    hasher.finish() as f64 / u64::MAX as f64
}
