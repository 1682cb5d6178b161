//! What a batch brings beside samples: exemplars and metadata.
//!
//! Both belong to a series that the head has, if need be since a sample of the same batch. An exemplar goes the way of the
//! sample staged just before it for the same series: if that was refused, the exemplar is left out without a word, as
//! Thanos does. Exemplars are judged as samples are: against the ring as it was before the batch, and that verdict is
//! reported; and when they are added. What is taken is logged behind the samples of the batch.

use sarsen_block::{LabelsRef, SeriesHash, SeriesNo, Timestamp};
use sarsen_wal::SeriesId;

use super::{Applied, Batch, Head};
use crate::error::Error;
use crate::exemplars::{ExemplarRef, ExemplarRefusal, ExemplarVerdict};
use crate::metadata::{MetadataRef, MetricType};
use crate::outcome::Committed;

/// Exemplars and metadata that wait to be committed.
#[derive(Debug, Default)]
pub(crate) struct Notes<'a> {
    exemplars: Vec<StagedExemplar<'a>>,
    metadata: Vec<(SeriesHash, MetadataRef<'a>)>,
}

#[derive(Debug)]
struct StagedExemplar<'a> {
    series: SeriesHash,
    exemplar: ExemplarRef<'a>,
    /// The sample of the same series staged last, if nothing else came between.
    sample: Option<u32>,
}

impl<'a> Notes<'a> {
    pub(crate) fn push_exemplar(
        &mut self,
        series: SeriesHash,
        exemplar: ExemplarRef<'a>,
        sample: Option<u32>,
    ) {
        self.exemplars.push(StagedExemplar { series, exemplar, sample });
    }

    pub(crate) fn push_metadata(&mut self, series: SeriesHash, metadata: MetadataRef<'a>) {
        self.metadata.push((series, metadata));
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.exemplars.is_empty() && self.metadata.is_empty()
    }
}

impl Head {
    /// Judges a batch and applies what is good. `applied` is filled anew; samples after `max_time` are refused.
    pub(crate) fn apply(
        &mut self,
        batch: &Batch<'_>,
        max_time: Timestamp,
        applied: &mut Applied,
    ) -> Result<Committed, Error> {
        let mut outcome = self.apply_samples(batch, max_time, applied)?;
        if !batch.notes.is_empty() {
            self.apply_exemplars(&batch.notes, applied, &mut outcome);
            self.apply_metadata(&batch.notes, applied, &mut outcome);
        }
        Ok(outcome)
    }

    fn apply_exemplars(&mut self, notes: &Notes<'_>, applied: &mut Applied, outcome: &mut Committed) {
        if !self.exemplars.is_on() {
            outcome.exemplars.unattached += notes.exemplars.len() as u64;
            return;
        }
        let is_refused = |sample: u32| outcome.refused.binary_search_by_key(&sample, |r| r.sample).is_ok();
        let judged: Vec<Option<(SeriesNo, ExemplarVerdict)>> = notes
            .exemplars
            .iter()
            .map(|staged| {
                let no = self.find(staged.series).filter(|_| !staged.sample.is_some_and(is_refused))?;
                Some((no, self.exemplars.judge(staged.series, staged.exemplar)))
            })
            .collect();
        let counts = &mut outcome.exemplars;
        for (index, (staged, judged)) in notes.exemplars.iter().zip(judged).enumerate() {
            match judged {
                None => counts.unattached += 1,
                Some((_, ExemplarVerdict::Duplicate)) => counts.duplicates += 1,
                Some((_, ExemplarVerdict::Refused(reason))) => {
                    counts.refused.push(ExemplarRefusal { exemplar: index as u32, reason });
                }
                Some((no, ExemplarVerdict::Good)) => match self.add_exemplar(no, staged.exemplar) {
                    ExemplarVerdict::Good => {
                        let ExemplarRef { labels, t, value } = staged.exemplar;
                        applied.log.exemplar(SeriesId(u64::from(no.0)), t, value.to_bits(), labels);
                        counts.accepted += 1;
                    }
                    ExemplarVerdict::Duplicate => counts.duplicates += 1,
                    ExemplarVerdict::Refused(_) => counts.overtaken += 1,
                },
            }
        }
    }

    /// Puts an exemplar of a series that the head has into the ring.
    fn add_exemplar(&mut self, no: SeriesNo, exemplar: ExemplarRef<'_>) -> ExemplarVerdict {
        let Some(hash) = self.series.get(no).map(super::MemSeries::hash) else {
            return ExemplarVerdict::Duplicate;
        };
        let mut bytes = Vec::new();
        if !self.exemplars.knows(hash) {
            self.labels_of(no, &mut bytes);
        }
        self.exemplars.add(hash, || LabelsRef::trusted(&bytes).to_owned(), exemplar)
    }

    fn apply_metadata(&mut self, notes: &Notes<'_>, applied: &mut Applied, outcome: &mut Committed) {
        for &(series, metadata) in &notes.metadata {
            let Some(no) = self.find(series) else { continue };
            if self.metadata.set(no, metadata) {
                let MetadataRef { kind, unit, help } = metadata;
                applied.log.metadata(SeriesId(u64::from(no.0)), kind.number(), unit, help);
                outcome.metadata += 1;
            }
        }
    }

    /// An exemplar comes back from the log. Whether its series is there.
    pub(crate) fn restore_exemplar(&mut self, no: SeriesNo, exemplar: ExemplarRef<'_>) -> bool {
        let is_there = self.series.get(no).is_some();
        if is_there && self.exemplars.is_on() {
            self.add_exemplar(no, exemplar);
        }
        is_there
    }

    /// Metadata comes back from the log. Whether its series is there.
    pub(crate) fn restore_metadata(&mut self, no: SeriesNo, kind: u8, unit: &[u8], help: &[u8]) -> bool {
        let is_there = self.series.get(no).is_some();
        if is_there {
            self.metadata.set(no, MetadataRef { kind: MetricType::from_number(kind), unit, help });
        }
        is_there
    }

    /// Writes the label set of a series.
    fn labels_of(&self, no: SeriesNo, out: &mut Vec<u8>) {
        if let Some(series) = self.series.get(no) {
            for label in self.label_numbers(series) {
                out.extend_from_slice(self.symbols.text(label));
            }
        }
    }
}
