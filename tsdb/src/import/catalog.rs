//! What a foreign log speaks of, before any sample of it is used: series, deletions, metadata, and which parts count.
//!
//! One pass over all files. It has to come first because a deletion hides samples that stand before it as well as late ones
//! that stand behind, and because a marker in the log of late samples says that those before it are in chunks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sarsen_block::{Labels, Sample, SampleIter, SeriesHash, SeriesHasher, TimeRange, Timestamp};
use sarsen_wal::Disk;
use sarsen_wal::foreign::{Files, HeadChunk, HeadChunks, Record, Segment, Step};

use super::report::Fault;
use crate::error::Error;

/// A series of the foreign log. The same labels under another number are the same series.
#[derive(Debug)]
pub(super) struct Known {
    /// Until the series is born in our log.
    pub(super) labels: Option<Labels>,
    /// Its number in our log; 0 as long as no sample of it counts.
    pub(super) id: u64,
    /// The newest of its samples that came in order; `Timestamp::MIN` if there is none.
    pub(super) newest: Option<Timestamp>,
    /// What is deleted of it.
    deleted: Vec<TimeRange>,
    /// Place in the list of metadata.
    metadata: Option<u32>,
    /// Its samples in the log of late samples count from this record on.
    late_from: u64,
}

/// Type, unit and help.
pub(super) type Meaning = (u8, Box<[u8]>, Box<[u8]>);

/// What a foreign log speaks of.
#[derive(Debug)]
pub(super) struct Catalog {
    hasher: SeriesHasher,
    by_hash: HashMap<SeriesHash, u32>,
    by_number: HashMap<u64, u32>,
    pub(super) series: Vec<Known>,
    meanings: HashMap<Meaning, u32>,
    /// Samples in order before this moment do not count.
    pub(super) floor: Timestamp,
    /// The last chunk that can be believed; those behind it do not count, the log has their samples.
    pub(super) last_chunk: Option<u64>,
    pub(super) faults: Vec<Fault>,
}

impl Catalog {
    /// Reads all files once.
    pub(super) fn read(disk: &dyn Disk, files: &Files, floor: Timestamp) -> Result<Self, Error> {
        let mut catalog = Self {
            hasher: SeriesHasher::new([1, 2, 3, 4]),
            by_hash: HashMap::new(),
            by_number: HashMap::new(),
            series: Vec::new(),
            meanings: HashMap::new(),
            floor,
            last_chunk: None,
            faults: Vec::new(),
        };
        for path in &files.missing {
            catalog.faults.push(Fault {
                path: path.clone(),
                offset: 0,
                why: "the file is missing".to_owned(),
            });
        }
        catalog.check_chunks(disk, files)?;
        let mut place = 0;
        for path in files.checkpoint.iter().chain(&files.segments).chain(&files.out_of_order) {
            let found = each_record(disk, path, |record| {
                place += 1;
                catalog.note(&record, place)
            })?;
            // A torn end was never acknowledged. Elsewhere than at the end there is none.
            let is_last = files.segments.last() == Some(path) || files.out_of_order.last() == Some(path);
            let counts = found.into_iter().filter(|(_, is_torn)| !(is_last && *is_torn));
            catalog.faults.extend(counts.map(|(fault, _)| fault));
        }
        Ok(catalog)
    }

    /// Reads all chunks of the head, up to the first that cannot be believed.
    fn check_chunks(&mut self, disk: &dyn Disk, files: &Files) -> Result<(), Error> {
        let mut ends: HashMap<u64, Timestamp> = HashMap::new();
        let mut last = None;
        each_chunk(disk, files, None, |chunk, _| {
            if !chunk.out_of_order
                && let Some(end) = ends.insert(chunk.series, chunk.range.max)
                && chunk.range.min <= end
            {
                return Ok(false);
            }
            last = Some(chunk.reference);
            Ok(true)
        })?;
        self.last_chunk = last;
        Ok(())
    }

    fn note(&mut self, record: &Record<'_>, place: u64) -> Result<(), Error> {
        match record.clone() {
            Record::Series(mut rows) => {
                while let Some((number, labels)) = rows.next()? {
                    self.enter(number, labels);
                }
            }
            Record::Tombstones(mut rows) => {
                while let Some(row) = rows.next()? {
                    if let Some(series) = self.find(row.series) {
                        series.deleted.push(row.range);
                    }
                }
            }
            Record::Metadata(mut rows) => {
                while let Some(row) = rows.next()? {
                    let next = self.meanings.len() as u32;
                    let meaning = (row.kind, row.unit.into(), row.help.into());
                    let meaning = *self.meanings.entry(meaning).or_insert(next);
                    if let Some(series) = self.find(row.series) {
                        series.metadata = Some(meaning);
                    }
                }
            }
            Record::Markers(mut rows) => {
                while let Some(row) = rows.next()? {
                    let known = row.chunk == 0 || self.last_chunk.is_some_and(|last| row.chunk <= last);
                    if let Some(series) = self.find(row.series).filter(|_| known) {
                        series.late_from = place;
                    }
                }
            }
            Record::MinValidTime(t) => self.floor = self.floor.max(t),
            Record::Samples(_) | Record::Exemplars(_) => {}
        }
        Ok(())
    }

    /// Notes the labels of a number. In a second pass this repeats what the first did, number by number.
    pub(super) fn enter(&mut self, number: u64, labels: Labels) {
        let hash = self.hasher.hash(labels.as_ref());
        let next = self.series.len() as u32;
        let index = *self.by_hash.entry(hash).or_insert(next);
        if index == next {
            self.series.push(Known {
                labels: Some(labels),
                id: 0,
                newest: None,
                deleted: Vec::new(),
                metadata: None,
                late_from: 0,
            });
        }
        self.by_number.insert(number, index);
    }

    /// The series that the log means by a number.
    pub(super) fn find(&mut self, number: u64) -> Option<&mut Known> {
        let index = *self.by_number.get(&number)?;
        self.series.get_mut(index as usize)
    }

    /// All meanings, by their number in [`Known::meaning`].
    pub(super) fn meanings(&self) -> Vec<&Meaning> {
        let mut all: Vec<_> = self.meanings.iter().collect();
        all.sort_unstable_by_key(|(_, number)| **number);
        all.into_iter().map(|(meaning, _)| meaning).collect()
    }
}

impl Known {
    /// Whether a deletion hides what the series has at `t`.
    pub(super) fn is_deleted(&self, t: Timestamp) -> bool {
        self.deleted.iter().any(|range| range.contains(t))
    }

    /// Whether what a record of the log of late samples says of the series is in chunks.
    pub(super) const fn is_in_chunks(&self, place: u64) -> bool {
        place < self.late_from
    }

    /// Number of its meaning.
    pub(super) const fn meaning(&self) -> Option<u32> {
        self.metadata
    }
}

/// Gives every record of a file. What cannot be read comes back, each with whether it is a torn end: nothing follows.
pub(super) fn each_record(
    disk: &dyn Disk,
    path: &Path,
    mut each: impl FnMut(Record<'_>) -> Result<(), Error>,
) -> Result<Vec<(Fault, bool)>, Error> {
    let mut segment = Segment::open(disk, path)?;
    let mut faults = Vec::new();
    let fault = |offset, why| Fault { path: path.to_owned(), offset, why };
    loop {
        let begin = segment.offset();
        match segment.next()? {
            Step::End => return Ok(faults),
            Step::Bad { offset, why } => {
                faults.push((fault(offset, why), segment.is_torn()?));
                return Ok(faults);
            }
            Step::Record(bytes) => match read(bytes, &mut each) {
                Err(error) if is_content(&error) => faults.push((fault(begin, error.to_string()), false)),
                done => done?,
            },
        }
    }
}

fn read(bytes: &[u8], each: &mut impl FnMut(Record<'_>) -> Result<(), Error>) -> Result<(), Error> {
    match (Record::decode(bytes)?, bytes.first()) {
        (Some(record), _) => each(record),
        // An empty record is what a torn byte can look like.
        (None, None) => Ok(()),
        (None, Some(kind)) => Err(Error::invalid("record", format!("kind {kind} is not known"))),
    }
}

/// Whether an error is about what a file holds, and not about the disk or our own log.
fn is_content(error: &Error) -> bool {
    matches!(error, Error::Log(sarsen_wal::Error::Record(_)) | Error::Invalid { .. } | Error::Block(_))
}

/// Gives the chunks of the head up to the first that cannot be read, or up to `last`, or until `each` says `false`.
pub(super) fn each_chunk(
    disk: &dyn Disk,
    files: &Files,
    last: Option<u64>,
    mut each: impl FnMut(&HeadChunk, Vec<Sample>) -> Result<bool, Error>,
) -> Result<(), Error> {
    for (number, path) in &files.head_chunks {
        let mut chunks = match HeadChunks::open(disk, *number, path) {
            Ok(chunks) => chunks,
            Err(error @ sarsen_wal::Error::Io { .. }) => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        loop {
            let chunk = match chunks.next() {
                Ok(Some(chunk)) if last.is_none_or(|last| chunk.reference <= last) => chunk,
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => return Ok(()),
            };
            let Ok(samples) = decode(&chunk) else { return Ok(()) };
            if !each(&chunk, samples)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn decode(chunk: &HeadChunk) -> Result<Vec<Sample>, sarsen_block::Error> {
    let mut iter = chunk.chunk.samples()?;
    let mut samples = Vec::new();
    while let Some(sample) = iter.next()? {
        samples.push(sample);
    }
    Ok(samples)
}

/// The files of a foreign log that lie in `directory` and are not part of its list: snapshots of the head's memory, which
/// hold nothing that the log has not.
pub(super) fn extra(disk: &dyn Disk, directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = disk.read_dir(directory);
    let entries = entries.map_err(|e| Error::io(format!("listing {}", directory.display()), e))?;
    let snapshots =
        entries.into_iter().filter(|entry| entry.is_dir && entry.name.starts_with("chunk_snapshot."));
    Ok(snapshots.map(|entry| directory.join(entry.name)).collect())
}
