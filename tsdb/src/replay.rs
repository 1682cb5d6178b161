//! From the log to the head.
//!
//! Replay applies and never judges: only accepted samples were logged, in the order in which they were applied. Samples of
//! ranges that have become blocks are passed over, and so are those that the checkpoint has already; late ones never are, for a
//! block of late samples covers no range. One that a block has already taken is then there twice, which reading brings
//! together. If the log is damaged, the setting decides: stop and change
//! nothing, or repair at exactly that place, say what was lost, and replay again.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, Scope};

use sarsen_block::{Sample, SeriesNo, Timestamp};
use sarsen_wal::{Disk, Part, Position, Record, Samples, SeriesId, Step};

use crate::error::Error;
use crate::exemplars::ExemplarRef;
use crate::head::{Head, Restoring};
use crate::options::OnDamage;
use crate::report::{Lost, OpenReport};

/// Samples that are taken up in one run.
const RUN: usize = 512;

/// How to recover.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovery {
    pub(crate) on_damage: OnDamage,
    /// The log counts up to here and no further: it was latched behind it.
    pub(crate) resume_at: Option<Position>,
    /// Samples before this moment lie in blocks.
    pub(crate) floor: Timestamp,
}

/// Fills a head that `make` gives from the log in `directory`. The head, and where the log goes on.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    recovery: Recovery,
    make: impl Fn() -> Result<Head, Error>,
    report: &mut OpenReport,
) -> Result<(Head, Position), Error> {
    loop {
        let mut head = make()?;
        head.times.floor = recovery.floor;
        let mut counts = OpenReport::default();
        match replay_once(disk, directory, recovery, &mut head, &mut counts)? {
            Ending::At(position) => {
                if recovery.on_damage == OnDamage::Stop
                    && let Some(lost) = counts.lost.pop()
                {
                    let Lost { in_checkpoint, segment, offset, why, .. } = lost;
                    return Err(Error::Damaged { in_checkpoint, segment, offset, why });
                }
                report.lost.append(&mut counts.lost);
                head.spill_files().remove_unnamed()?;
                head.begin_counting();
                report.series = head.num_series() as u64;
                (report.records, report.samples) = (counts.records, counts.samples);
                (report.skipped, report.orphans) = (counts.skipped, counts.orphans);
                return Ok((head, position));
            }
            Ending::Damaged(damage) if recovery.on_damage == OnDamage::CutOff => {
                let lost = sarsen_wal::repair(disk, directory, &damage)?;
                report.lost.push(Lost {
                    in_checkpoint: damage.part == Part::Checkpoint,
                    segment: damage.segment.0,
                    offset: damage.offset,
                    why: damage.why,
                    bytes: lost.bytes,
                    series: lost.births,
                    samples: lost.samples,
                });
            }
            Ending::Damaged(damage) => {
                return Err(Error::Damaged {
                    in_checkpoint: damage.part == Part::Checkpoint,
                    segment: damage.segment.0,
                    offset: damage.offset,
                    why: damage.why,
                });
            }
        }
    }
}

enum Ending {
    At(Position),
    Damaged(sarsen_wal::Damage),
}

fn replay_once(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    recovery: Recovery,
    head: &mut Head,
    report: &mut OpenReport,
) -> Result<Ending, Error> {
    let mut walk = sarsen_wal::replay(Arc::clone(disk), directory, None)?;
    let mut scratch = Vec::new();
    thread::scope(|scope| {
        let mut filling = Filling { head, report, restoring: None };
        let ending = loop {
            match walk.next()? {
                Step::Record(logged) => {
                    if logged.part == Part::Log
                        && let Some(end) = recovery.resume_at.filter(|end| logged.position >= *end)
                    {
                        break Ending::At(end);
                    }
                    filling.report.records += 1;
                    filling.apply(scope, logged.record(&mut scratch)?)?;
                    filling.head.spill_files().write_some()?;
                }
                Step::End(end) => {
                    let limit = recovery.resume_at.unwrap_or(end.position);
                    break Ending::At(end.position.min(limit));
                }
                Step::Damage(damage) => {
                    // Behind the place where a latched log counts, anything may lie.
                    let place = Position { segment: damage.segment, offset: damage.offset };
                    break match recovery.resume_at {
                        Some(end) if damage.part == Part::Log && place >= end => Ending::At(end),
                        _ => Ending::Damaged(damage),
                    };
                }
            }
        };
        filling.end_restoring()?;
        Ok(ending)
    })
}

/// A head that is being filled.
struct Filling<'a, 'scope> {
    head: &'a mut Head,
    report: &'a mut OpenReport,
    /// While a checkpoint brings series: the thread that makes them findable.
    restoring: Option<Restoring<'scope>>,
}

impl<'scope> Filling<'_, 'scope> {
    fn apply(&mut self, scope: &'scope Scope<'scope, '_>, record: Record<'_>) -> Result<(), Error> {
        let Record::State(state) = record else {
            self.end_restoring()?;
            return apply(record, self.head, self.report);
        };
        let restoring = self.restoring.get_or_insert_with(|| self.head.begin_restoring(scope));
        let restored = self.head.restore_state(state, restoring)?;
        self.report.orphans += restored.lost_series;
        self.report.lost.extend(restored.missing_files.into_iter().map(|number| Lost {
            in_checkpoint: true,
            segment: u64::from(number),
            offset: 0,
            why: format!("spill file {number} is missing, or shorter than the checkpoint says"),
            bytes: 0,
            series: 0,
            samples: 0,
        }));
        Ok(())
    }

    fn end_restoring(&mut self) -> Result<(), Error> {
        if let Some(restoring) = self.restoring.take() {
            self.report.orphans += self.head.end_restoring(restoring)?;
        }
        Ok(())
    }
}

fn apply(record: Record<'_>, head: &mut Head, report: &mut OpenReport) -> Result<(), Error> {
    let floor = head.times.floor;
    match record {
        Record::Births(mut births) => {
            while let Some((id, labels)) = births.next()? {
                head.restore_series(number(id)?, labels)?;
            }
        }
        Record::Samples(samples) => apply_samples(samples, head, report)?,
        Record::Rows(mut rows) => {
            while let Some(row) = rows.next()? {
                if row.t < floor {
                    report.skipped += 1;
                } else if head.restore_row(number(row.id)?, row.t, row.start, &row.value.decode()?)? {
                    report.samples += 1;
                } else {
                    report.orphans += 1;
                }
            }
        }
        Record::Late(mut rows) => {
            while let Some(row) = rows.next()? {
                let sample = Sample { t: row.t, start: row.start, value: row.value.decode()? };
                if head.restore_late(number(row.id)?, sample)? {
                    report.samples += 1;
                } else {
                    report.orphans += 1;
                }
            }
        }
        Record::Deletions(mut deletions) => {
            while let Some(logged) = deletions.next()? {
                report.orphans += u64::from(!head.restore_deletion(number(logged.id)?, logged.range)?);
            }
        }
        Record::Exemplars(mut exemplars) => {
            while let Some(logged) = exemplars.next()? {
                let value = f64::from_bits(logged.bits);
                let exemplar = ExemplarRef { labels: logged.labels, t: logged.t, value };
                report.orphans += u64::from(!head.restore_exemplar(number(logged.id)?, exemplar));
            }
        }
        Record::Metadata(mut metadata) => {
            while let Some(logged) = metadata.next()? {
                let no = number(logged.id)?;
                head.restore_metadata(no, logged.kind, logged.unit, logged.help);
            }
        }
        _ => return Err(Error::invalid("log", "a kind of record that this version cannot replay")),
    }
    Ok(())
}

/// Takes up samples in runs: first all their series are looked at, so that the processor waits for many at once, then they are
/// appended.
fn apply_samples(mut samples: Samples<'_>, head: &mut Head, report: &mut OpenReport) -> Result<(), Error> {
    let floor = head.times.floor;
    let mut rows = Vec::with_capacity(RUN);
    loop {
        rows.clear();
        while rows.len() < RUN
            && let Some(sample) = samples.next()?
        {
            if sample.t < floor {
                report.skipped += 1;
            } else {
                rows.push((number(sample.id)?, sample.t, sample.value()));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len();
        rows.retain(|&(no, t, _)| !head.is_passed(no, t));
        report.samples += (count - rows.len()) as u64;
        for &(no, t, v) in &rows {
            match head.restore_sample(no, t, v)? {
                true => report.samples += 1,
                false => report.orphans += 1,
            }
        }
    }
}

fn number(id: SeriesId) -> Result<SeriesNo, Error> {
    match u32::try_from(id.0) {
        Ok(number) => Ok(SeriesNo(number)),
        Err(_) => Err(Error::invalid("log", format!("series {id} has a number of more than 32 bits"))),
    }
}
