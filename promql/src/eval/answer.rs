//! The answer of a query: columns become series of points, names that are due go, matrices are sorted.

use std::sync::Arc;

use sarsen_block::{Histogram, is_stale};

use super::column::{Column, Grid};
use super::evaluator::Evaluator;
use super::extended::window;
use super::merge::{Clash, same_labels};
use super::meter::Stats;
use super::names::without_name;
use super::series::drop_stale;
use crate::ast::ValueType;
use crate::histogram::weight;
use crate::input::{Samples, SeriesSet};
use crate::plan::{NodeKind, Selector};
use crate::{Annotations, Budget, Error, InstantSample, Point, Prepared, RangeSeries, Value};

/// What a query answers, what is to be said of it, and what it took.
#[derive(Debug)]
pub struct Answer {
    /// The answer itself.
    pub value: Value,
    /// Warnings and infos; their places refer to the query's text.
    pub annotations: Annotations,
    /// Samples that were read and held.
    pub stats: Stats,
}

impl Prepared {
    /// Computes the answer of the series that were found: one set for each of [`selections`](Self::selections), in their order.
    ///
    /// Blocks as long as a set blocks. Works on `budget.workers` threads that end before it returns.
    ///
    /// # Errors
    /// [`Error::Execution`] with Prometheus' text if these data have no answer; [`Error::TooManySamples`], [`Error::TooManyBytes`],
    /// [`Error::Timeout`], [`Error::Canceled`] as the budget says; [`Error::Data`] if data cannot be read.
    pub fn evaluate(&self, sets: Vec<Box<dyn SeriesSet>>, budget: &Budget) -> Result<Answer, Error> {
        let question = self.question;
        let is_range = question.step != 0;
        let grid = Grid {
            start: question.start,
            end: if is_range { question.end } else { question.start },
            step: question.step.max(1),
        };
        let mut evaluator = Evaluator::new(self, sets, budget, grid);
        let value =
            if grid.steps() == 0 { Value::Matrix(Vec::new()) } else { evaluator.answer(grid, is_range)? };
        let Evaluator { notes, meter, .. } = evaluator;
        Ok(Answer { value, annotations: notes, stats: meter.finish() })
    }
}

impl Evaluator<'_> {
    fn answer(&mut self, grid: Grid, is_range: bool) -> Result<Value, Error> {
        let query = self.query;
        let root = &query.root;
        match (root.value, &root.kind) {
            (ValueType::Scalar, _) => {
                let values = self.scalar(root, grid)?;
                if is_range {
                    let column = Column::dense(Arc::default(), values);
                    return Ok(Value::Matrix(vec![points(column, grid)]));
                }
                Ok(Value::Scalar(grid.start, values.first().copied().unwrap_or(f64::NAN)))
            }
            (ValueType::String, NodeKind::Text(text)) => Ok(Value::String(grid.start, text.clone())),
            (ValueType::Matrix, NodeKind::Window(selector)) => self.samples(selector, grid.start),
            (ValueType::Matrix, NodeKind::Subquery(subquery)) => {
                let (columns, inner) = self.subquery(subquery, grid, 0)?;
                let columns = self.named(columns, inner)?;
                Ok(matrix(columns, inner))
            }
            _ => {
                let columns = self.columns(root, grid)?;
                let columns = self.named(columns, grid)?;
                if is_range { Ok(matrix(columns, grid)) } else { Ok(vector(columns, grid)) }
            }
        }
    }

    /// Takes names away that were to go at the end of the query.
    fn named(&self, mut columns: Vec<Column>, grid: Grid) -> Result<Vec<Column>, Error> {
        if !self.delayed() {
            return Ok(columns);
        }
        for column in columns.iter_mut().filter(|column| column.drop_name) {
            column.labels = Arc::new(without_name(column.labels.as_ref().as_ref()));
        }
        same_labels(columns, grid.steps(), Clash::SameKind)
    }

    /// The samples in the window of a selector that is the whole query.
    fn samples(&mut self, selector: &Selector, at: i64) -> Result<Value, Error> {
        let to = selector.at.unwrap_or(at).saturating_sub(selector.offset_ms);
        let from = to.saturating_sub(selector.range_ms);
        let mut reader = self.sources.open(selector.selection)?;
        let mut samples = Samples::default();
        let mut found = Vec::new();
        loop {
            self.budget.check()?;
            let batch = reader.batch(256)?;
            if batch.is_empty() {
                break;
            }
            for input in batch {
                input.read(&mut samples)?;
                let inside = |t: i64| from < t && t <= to;
                let series = if let Some(extension) = selector.extension {
                    let lookback = self.query.question.lookback_ms;
                    {
                        drop_stale(&mut samples);
                        (window(&samples, (from, to), lookback, extension)?, Vec::new())
                    }
                } else {
                    within(&samples, inside)
                };
                let size = series.0.len() as u64 + series.1.iter().map(|(_, one)| weight(one)).sum::<u64>();
                if size > 0 {
                    self.meter.count_at(0, size, size);
                    self.meter.add(size)?;
                    found.push(RangeSeries {
                        labels: input.labels.as_ref().clone(),
                        floats: series.0,
                        histograms: series.1,
                    });
                }
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Value::Matrix(found))
    }
}

type Points = (Vec<(i64, f64)>, Vec<(i64, Histogram)>);

fn within(samples: &Samples, inside: impl Fn(i64) -> bool) -> Points {
    let floats = samples.times.iter().zip(&samples.floats);
    let floats = floats.filter(|(t, value)| inside(**t) && !is_stale(**value)).map(|(t, value)| (*t, *value));
    let histograms = samples.histogram_times.iter().zip(&samples.histograms);
    let histograms =
        histograms.filter(|(t, one)| inside(**t) && !one.is_stale()).map(|(t, one)| (*t, one.clone()));
    (floats.collect(), histograms.collect())
}

fn points(column: Column, grid: Grid) -> RangeSeries {
    let floats = column.iter_floats().map(|(step, value)| (grid.at(step), value)).collect();
    let histograms = column.histograms.into_iter();
    let histograms = histograms
        .map(|(step, histogram)| (grid.at(step as usize), Arc::unwrap_or_clone(histogram)))
        .collect();
    RangeSeries { labels: Arc::unwrap_or_clone(column.labels), floats, histograms }
}

fn matrix(columns: Vec<Column>, grid: Grid) -> Value {
    let mut series: Vec<_> = columns.into_iter().map(|column| points(column, grid)).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Value::Matrix(series)
}

fn vector(columns: Vec<Column>, grid: Grid) -> Value {
    let samples = columns.into_iter().filter_map(|column| {
        let point = match column.histogram(0) {
            Some(histogram) => Point::Histogram(Box::new(histogram.as_ref().clone())),
            None => Point::Float(column.float(0)?),
        };
        Some(InstantSample { labels: Arc::unwrap_or_clone(column.labels), t: grid.start, point })
    });
    Value::Vector(samples.collect())
}
