//! From the head of Prometheus to our log: which samples count, and in which order.
//!
//! As Prometheus opens it: chunks of the head first, then checkpoint and log, whose samples are passed over where the series
//! is further already; samples in order that blocks have are passed over; then late samples. Deleted samples do not come
//! along, and a series is born with its first sample that does. Start times, hints and stale markers stay what they are.

use std::sync::Arc;

use sarsen_block::{CUSTOM_BUCKETS, Timestamp, Value};
use sarsen_wal::Disk;
use sarsen_wal::foreign::{Exemplar, Files, Record, Sample};

use super::catalog::{Catalog, Known, each_chunk, each_record};
use super::report::ImportReport;
use super::sink::Sink;
use crate::error::Error;

/// Schemas that some version of Prometheus writes.
const SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;
/// The finest that is kept.
const FINEST: i32 = 8;

struct Translation<'a> {
    catalog: Catalog,
    sink: &'a mut Sink,
    report: &'a mut ImportReport,
}

/// Brings everything that counts of `files` into `sink`.
pub(super) fn translate(
    disk: &Arc<dyn Disk>,
    files: &Files,
    floor: Timestamp,
    sink: &mut Sink,
    report: &mut ImportReport,
) -> Result<(), Error> {
    let disk = disk.as_ref();
    let mut catalog = Catalog::read(disk, files, floor)?;
    report.faults = std::mem::take(&mut catalog.faults);
    let mut translation = Translation { catalog, sink, report };
    translation.chunks(disk, files)?;
    let mut place = 0;
    let parts = [(&files.checkpoint, false), (&files.segments, false), (&files.out_of_order, true)];
    for (path, late) in parts.into_iter().flat_map(|(paths, late)| paths.iter().map(move |path| (path, late)))
    {
        // What cannot be read has been reported by the first pass.
        each_record(disk, path, |record| {
            place += 1;
            translation.record(record, late.then_some(place))
        })?;
    }
    translation.metadata()
}

impl Translation<'_> {
    fn chunks(&mut self, disk: &dyn Disk, files: &Files) -> Result<(), Error> {
        let Some(last) = self.catalog.last_chunk else { return Ok(()) };
        each_chunk(disk, files, Some(last), |chunk, samples| {
            for sample in samples {
                let (t, start) = (sample.t, sample.start);
                let sample = Sample { series: chunk.series, t, start, value: sample.value };
                self.sample(sample, chunk.out_of_order)?;
            }
            Ok(true)
        })
    }

    /// `place`: which record of the log of late samples it is.
    fn record(&mut self, record: Record<'_>, place: Option<u64>) -> Result<(), Error> {
        match record {
            Record::Series(mut rows) => {
                while let Some((number, labels)) = rows.next()? {
                    self.catalog.enter(number, labels);
                }
            }
            Record::Samples(mut rows) => {
                while let Some(sample) = rows.next()? {
                    let series = self.catalog.find(sample.series);
                    if place.is_some_and(|place| series.is_some_and(|series| series.is_in_chunks(place))) {
                        continue;
                    }
                    self.sample(sample, place.is_some())?;
                }
            }
            Record::Exemplars(mut rows) => {
                while let Some(exemplar) = rows.next()? {
                    self.exemplar(&exemplar)?;
                }
            }
            Record::Tombstones(_) | Record::Metadata(_) | Record::Markers(_) | Record::MinValidTime(_) => {}
        }
        Ok(())
    }

    fn sample(&mut self, sample: Sample, late: bool) -> Result<(), Error> {
        let floor = self.catalog.floor;
        let Some(series) = self.catalog.find(sample.series) else {
            self.report.orphans += 1;
            return Ok(());
        };
        if !late {
            if sample.t < floor || series.newest.is_some_and(|newest| sample.t <= newest) {
                return Ok(());
            }
            series.newest = Some(sample.t);
        }
        if series.is_deleted(sample.t) {
            return Ok(());
        }
        let Some(value) = readable(sample.value) else {
            self.report.unknown_histograms += 1;
            return Ok(());
        };
        let id = born(series, self.sink)?;
        self.sink.sample(late, id, (sample.t, sample.start), &value)
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> Result<(), Error> {
        match self.catalog.find(exemplar.series) {
            // Only series with samples are in the head.
            Some(Known { id: 0, .. }) => Ok(()),
            Some(Known { id, .. }) => {
                self.sink.exemplar(*id, exemplar.t, exemplar.value, exemplar.labels.as_ref())
            }
            None => {
                self.report.orphans += 1;
                Ok(())
            }
        }
    }

    fn metadata(&mut self) -> Result<(), Error> {
        let meanings = self.catalog.meanings();
        for series in self.catalog.series.iter().filter(|series| series.id > 0) {
            let meaning = series.meaning().and_then(|number| meanings.get(number as usize));
            if let Some((kind, unit, help)) = meaning {
                self.sink.metadata(series.id, *kind, unit, help)?;
            }
        }
        Ok(())
    }
}

/// The number of a series in our log.
fn born(series: &mut Known, sink: &mut Sink) -> Result<u64, Error> {
    if let Some(labels) = series.labels.take() {
        series.id = sink.birth(labels.as_ref())?;
    }
    Ok(series.id)
}

/// A value as a database holds it; `None` if nobody knows its schema. Later versions of Prometheus may write resolutions
/// that this one, like today's Prometheus, keeps only in a coarser form.
fn readable(mut value: Value) -> Option<Value> {
    if let Value::Histogram(histogram) = &mut value
        && histogram.schema != CUSTOM_BUCKETS
    {
        if !SCHEMAS.contains(&histogram.schema) {
            return None;
        }
        if histogram.schema > FINEST {
            histogram.reduce_resolution(FINEST);
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Histogram;

    #[test]
    fn histograms_of_later_versions_are_made_coarser_or_passed_over() {
        let of = |schema| Value::Histogram(Box::new(Histogram { schema, ..Histogram::stale(false) }));
        for schema in [-9, -4, 8, CUSTOM_BUCKETS] {
            assert_eq!(readable(of(schema)), Some(of(schema)));
        }
        assert_eq!(readable(of(52)), Some(of(8)));
        assert_eq!((readable(of(53)), readable(of(-10))), (None, None));
    }
}
