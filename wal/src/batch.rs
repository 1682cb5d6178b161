//! What is collected for one append, and turned into frames.
//!
//! A batch is filled row by row and emptied by [`Wal::append`](crate::Wal::append); its buffers are kept for the next
//! one. In the log its records come in the order births, samples, late samples, deletions, exemplars, metadata; samples
//! keep their order, also between kinds. Large batches become several records, so that no frame grows without bound; a
//! reader may therefore see the first part of a batch without the rest.

use sarsen_block::{Histogram, LabelsRef, TimeRange, Timestamp, Value};

use crate::compress;
use crate::error::Error;
use crate::frame::{self, Codec};
use crate::observer::Appended;
use crate::record::births::BirthsEncoder;
use crate::record::notes::NotesEncoder;
use crate::record::rows::RowsEncoder;
use crate::record::samples::SamplesEncoder;
use crate::record::{LATE, ROWS, SeriesId};

/// A record of births, of histograms or of anything else whose rows have no bounded length is closed when it holds this
/// many bytes.
const RECORD_BYTES: usize = 1 << 20;
/// A record of samples is closed when it holds this many.
const SAMPLES_COUNT: usize = 1 << 16;
/// Records below this many bytes are not worth packing.
const WORTH_PACKING: usize = 256;
/// Buffers larger than this are given back when the batch is cleared.
const KEPT_BYTES: usize = 1 << 20;

/// One record, ready to be framed.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
    codec: Codec,
    checksum: u32,
    raw: usize,
}

/// What one append brings to the log.
#[derive(Debug)]
pub struct Batch {
    births: BirthsEncoder,
    samples: SamplesEncoder,
    /// Samples that `samples` cannot hold, and everything after the first of them.
    rows: RowsEncoder,
    late: RowsEncoder,
    deletions: NotesEncoder,
    exemplars: NotesEncoder,
    metadata: NotesEncoder,
    /// Stored payloads, one after the other, as `parts` says.
    stored: Vec<u8>,
    parts: Vec<Part>,
    scratch: Vec<u8>,
    packed: Vec<u8>,
    compress: bool,
    count: u64,
}

/// A record as it is stored, with what its frame's header says of it.
pub(crate) struct StoredRecord<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) codec: Codec,
    pub(crate) checksum: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self::uncompressed()
    }
}

impl Batch {
    /// An empty batch that packs large records with zstd.
    pub fn new() -> Self {
        Self { compress: true, ..Self::uncompressed() }
    }

    /// An empty batch that stores records as they are.
    pub fn uncompressed() -> Self {
        Self {
            births: BirthsEncoder::default(),
            samples: SamplesEncoder::default(),
            rows: RowsEncoder::default(),
            late: RowsEncoder::default(),
            deletions: NotesEncoder::deletions(),
            exemplars: NotesEncoder::exemplars(),
            metadata: NotesEncoder::metadata(),
            stored: Vec::new(),
            parts: Vec::new(),
            scratch: Vec::new(),
            packed: Vec::new(),
            compress: false,
            count: 0,
        }
    }

    /// Whether large records are packed with zstd from now on.
    pub const fn set_compression(&mut self, compress: bool) {
        self.compress = compress;
    }

    /// Adds a birth.
    pub fn birth(&mut self, id: SeriesId, labels: LabelsRef<'_>) {
        self.births.push(id, labels);
        self.count += 1;
        if self.births.bytes() >= RECORD_BYTES {
            self.close_births();
        }
    }

    /// Adds a sample of a series whose birth is in the log or in this batch. `bits` are those of the float.
    #[inline]
    pub fn sample(&mut self, id: SeriesId, t: Timestamp, bits: u64) {
        if self.rows.count() > 0 {
            return self.sample_with_start(id, t, 0, bits);
        }
        self.samples.push(id, t, bits);
        self.count += 1;
        if self.samples.count() >= SAMPLES_COUNT {
            self.close_samples();
        }
    }

    /// Adds a float sample whose counter began at `start`; 0 says that this is not known.
    pub fn sample_with_start(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, bits: u64) {
        self.rows.push_float(id, t, start, bits);
        self.added_row();
    }

    /// Adds a histogram sample whose counters began at `start`; 0 says that this is not known.
    pub fn histogram(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, value: &Histogram) {
        self.rows.push_histogram(id, t, start, value);
        self.added_row();
    }

    /// Adds a sample that is older than the newest of its series.
    pub fn late(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, value: &Value) {
        self.late.push(id, t, start, value);
        self.count += 1;
        if self.late.count() >= SAMPLES_COUNT || self.late.bytes() >= RECORD_BYTES {
            self.close();
        }
    }

    /// Adds a deletion. It does not touch samples of batches that come later.
    pub fn deletion(&mut self, id: SeriesId, range: TimeRange) {
        self.deletions.push_deletion(id, range);
        self.added_note(self.deletions.bytes());
    }

    /// Adds an exemplar of a series. `bits` are those of its value.
    pub fn exemplar(&mut self, id: SeriesId, t: Timestamp, bits: u64, labels: LabelsRef<'_>) {
        self.exemplars.push_exemplar(id, t, bits, labels);
        self.added_note(self.exemplars.bytes());
    }

    /// Adds what a series means: `kind` numbers its type, as the caller does.
    pub fn metadata(&mut self, id: SeriesId, kind: u8, unit: &[u8], help: &[u8]) {
        self.metadata.push_metadata(id, kind, unit, help);
        self.added_note(self.metadata.bytes());
    }

    fn added_row(&mut self) {
        self.count += 1;
        if self.rows.count() >= SAMPLES_COUNT || self.rows.bytes() >= RECORD_BYTES {
            self.close_samples();
        }
    }

    fn added_note(&mut self, bytes: usize) {
        self.count += 1;
        if bytes >= RECORD_BYTES {
            self.close();
        }
    }

    /// How many rows of all kinds have been added.
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing has been added.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets what was added and keeps the buffers, unless they have grown out of proportion.
    pub fn clear(&mut self) {
        let held = self.stored.capacity()
            + self.scratch.capacity()
            + self.packed.capacity()
            + self.births.capacity()
            + self.samples.capacity()
            + self.rows.capacity()
            + self.late.capacity()
            + self.deletions.capacity()
            + self.exemplars.capacity()
            + self.metadata.capacity();
        if held > KEPT_BYTES {
            *self = Self { compress: self.compress, ..Self::uncompressed() };
        }
        self.births.clear();
        self.samples.clear();
        self.rows.clear();
        self.late.clear();
        self.deletions.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.stored.clear();
        self.parts.clear();
        self.count = 0;
    }

    fn close_births(&mut self) {
        if self.births.count() > 0 {
            self.scratch.clear();
            self.births.finish(&mut self.scratch);
            self.store();
        }
    }

    /// Births and samples as records, in this order.
    fn close_samples(&mut self) {
        self.close_births();
        if self.samples.count() > 0 {
            self.scratch.clear();
            self.samples.finish(&mut self.scratch);
            self.store();
        }
        if self.rows.count() > 0 {
            self.scratch.clear();
            self.rows.finish(ROWS, &mut self.scratch);
            self.store();
        }
    }

    /// Turns what was added since the last close into records, each before what may refer to it.
    pub(crate) fn close(&mut self) {
        self.close_samples();
        if self.late.count() > 0 {
            self.scratch.clear();
            self.late.finish(LATE, &mut self.scratch);
            self.store();
        }
        self.close_notes();
    }

    fn close_notes(&mut self) {
        for kind in 0..3 {
            let notes = match kind {
                0 => &mut self.deletions,
                1 => &mut self.exemplars,
                _ => &mut self.metadata,
            };
            if notes.count() > 0 {
                self.scratch.clear();
                notes.finish(&mut self.scratch);
                self.store();
            }
        }
    }

    /// Moves the record in `scratch` to `stored`, packed if that pays.
    fn store(&mut self) {
        let Self { scratch, packed, stored, parts, compress, .. } = self;
        let start = stored.len();
        let pays = *compress && scratch.len() >= WORTH_PACKING && compress::pack(scratch, packed);
        stored.extend_from_slice(if pays { packed } else { scratch });
        let bytes = stored.get(start..).unwrap_or_default();
        parts.push(Part {
            start,
            end: stored.len(),
            codec: if pays { Codec::Zstd } else { Codec::Plain },
            checksum: frame::checksum(bytes),
            raw: scratch.len(),
        });
    }

    /// The records of a closed batch, each refused if no frame could hold it.
    pub(crate) fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> {
        self.parts.iter().map(|part| StoredRecord {
            bytes: self.stored.get(part.start..part.end).unwrap_or_default(),
            codec: part.codec,
            checksum: part.checksum,
        })
    }

    /// What the observer is told of a closed batch.
    pub(crate) fn summary(&self) -> Appended {
        Appended {
            frames: self.parts.len() as u64,
            raw_bytes: self.parts.iter().map(|part| part.raw as u64).sum(),
            stored_bytes: (self.stored.len() + self.parts.len() * frame::HEADER_LEN) as u64,
        }
    }

    /// Refuses a closed batch with a record that no frame may hold.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.parts.iter().map(|part| part.raw.max(part.end - part.start)).max() {
            Some(largest) if largest > frame::MAX_STORED => Err(Error::Invalid {
                what: "batch",
                why: format!("a record of {largest} bytes, at most {} are possible", frame::MAX_STORED),
            }),
            _ => Ok(()),
        }
    }
}
