//! Where the series of a selector come from, in batches.
//!
//! What one node reads is taken from the set as it comes and dropped when it was read. What several nodes read is kept, encoded,
//! until the last of them has begun.

use std::sync::Arc;

use sarsen_block::{Labels, ResetHint};

use super::column::{Column, Grid};
use crate::input::{Samples, SeriesData, SeriesSet};
use crate::{Error, Prepared};

/// A series whose samples can be read.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) labels: Arc<Labels>,
    /// Whether its name is to go (the result of a subquery).
    pub(super) drop_name: bool,
    data: InputData,
}

#[derive(Debug)]
enum InputData {
    Stored(Box<dyn SeriesData>),
    /// A result on a grid, of a subquery.
    Computed(Column, Grid),
}

impl Input {
    /// A result of a subquery as a series.
    pub(super) fn computed(column: Column, grid: Grid) -> Self {
        let labels = Arc::clone(&column.labels);
        Self { labels, drop_name: column.drop_name, data: InputData::Computed(column, grid) }
    }

    /// Decodes all its samples.
    pub(super) fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        samples.clear();
        match &self.data {
            InputData::Stored(data) => data.read(samples),
            InputData::Computed(column, grid) => {
                for (step, value) in column.iter_floats() {
                    samples.times.push(grid.at(step));
                    samples.floats.push(value);
                }
                for (step, histogram) in &column.histograms {
                    let mut histogram = histogram.as_ref().clone();
                    // What a hint says of the sample before is not true of the one before on the grid.
                    if matches!(histogram.hint, ResetHint::Reset | ResetHint::NotReset) {
                        histogram.hint = ResetHint::Unknown;
                    }
                    samples.histogram_times.push(grid.at(*step as usize));
                    samples.histograms.push(histogram);
                }
                Ok(())
            }
        }
    }
}

/// The series of one selection.
enum Source {
    Stream(Box<dyn SeriesSet>),
    Kept(Vec<Arc<Input>>),
    Gone,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Kept(_) => "Kept",
            Self::Gone => "Gone",
        })
    }
}

/// The series of all selections.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<(Source, usize)>,
}

impl Sources {
    /// One set for each selection, in their order; sets that are missing are empty.
    pub(super) fn new(query: &Prepared, sets: Vec<Box<dyn SeriesSet>>) -> Self {
        let uses = query.uses.iter().copied();
        Self { sources: sets.into_iter().map(Source::Stream).zip(uses).collect() }
    }

    /// The series of a selection, for one of the nodes that read it.
    pub(super) fn open(&mut self, selection: usize) -> Result<Reader, Error> {
        let Some((source, uses)) = self.sources.get_mut(selection) else {
            return Ok(Reader::Listed(Vec::new().into_iter()));
        };
        *uses = uses.saturating_sub(1);
        let last = *uses == 0;
        Ok(match std::mem::replace(source, Source::Gone) {
            Source::Gone => Reader::Listed(Vec::new().into_iter()),
            Source::Kept(inputs) if last => Reader::Listed(inputs.into_iter()),
            Source::Stream(set) if last => Reader::Stream(set),
            Source::Kept(inputs) => {
                *source = Source::Kept(inputs.clone());
                Reader::Listed(inputs.into_iter())
            }
            Source::Stream(set) => {
                let mut reader = Reader::Stream(set);
                let inputs = reader.batch(usize::MAX)?;
                *source = Source::Kept(inputs.clone());
                Reader::Listed(inputs.into_iter())
            }
        })
    }
}

/// Gives series in batches.
pub(super) enum Reader {
    Stream(Box<dyn SeriesSet>),
    Listed(std::vec::IntoIter<Arc<Input>>),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// These series.
    pub(super) fn of(columns: Vec<Column>, grid: Grid) -> Self {
        let inputs: Vec<_> =
            columns.into_iter().map(|column| Arc::new(Input::computed(column, grid))).collect();
        Self::Listed(inputs.into_iter())
    }

    /// The next series, at most so many; none at the end.
    pub(super) fn batch(&mut self, most: usize) -> Result<Vec<Arc<Input>>, Error> {
        match self {
            Self::Listed(inputs) => Ok(inputs.by_ref().take(most).collect()),
            Self::Stream(set) => {
                let mut batch = Vec::new();
                while batch.len() < most
                    && let Some(series) = set.next()?
                {
                    batch.push(Arc::new(Input {
                        labels: Arc::new(series.labels),
                        drop_name: false,
                        data: InputData::Stored(series.data),
                    }));
                }
                Ok(batch)
            }
        }
    }
}
