//! Where the rows of a foreign log go: our log, and a digest that reading it back must give again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use sarsen_block::{Counts, Histogram, LabelsRef, Timestamp, Value};
use sarsen_wal::{Batch, Disk, Options, Position, Record, Rows, SeriesId, Step, SyncPolicy, Wal, replay};

use crate::error::Error;

/// Rows of a batch.
const ROWS: u64 = 16 << 10;

/// What was said of each kind of thing, in the order in which it was said. Between kinds a log keeps no order.
#[derive(Debug, Default, Clone)]
pub(super) struct Digest {
    births: Said,
    samples: Said,
    late: Said,
    exemplars: Said,
    metadata: Said,
}

#[derive(Debug, Default, Clone)]
struct Said {
    count: u64,
    hash: DefaultHasher,
}

impl Said {
    fn row(&mut self, id: SeriesId, t: Timestamp) -> &mut DefaultHasher {
        self.count += 1;
        (id, t).hash(&mut self.hash);
        &mut self.hash
    }
}

impl Digest {
    fn birth(&mut self, id: SeriesId, labels: LabelsRef<'_>) {
        labels.as_bytes().hash(self.births.row(id, 0));
    }

    fn sample(&mut self, late: bool, id: SeriesId, (t, start): (Timestamp, Timestamp), value: &Value) {
        let said = if late { &mut self.late } else { &mut self.samples };
        let hash = said.row(id, t);
        start.hash(hash);
        match value {
            Value::Float(value) => value.to_bits().hash(hash),
            Value::Histogram(value) => hash_histogram(value, hash),
        }
    }

    fn exemplar(&mut self, id: SeriesId, t: Timestamp, bits: u64, labels: LabelsRef<'_>) {
        (bits, labels.as_bytes()).hash(self.exemplars.row(id, t));
    }

    fn metadata(&mut self, id: SeriesId, kind: u8, unit: &[u8], help: &[u8]) {
        (kind, unit, help).hash(self.metadata.row(id, 0));
    }

    fn value(&self) -> [(u64, u64); 5] {
        [&self.births, &self.samples, &self.late, &self.exemplars, &self.metadata]
            .map(|said| (said.count, said.hash.finish()))
    }

    /// How many births, samples, late samples and exemplars.
    pub(super) const fn counts(&self) -> (u64, u64, u64, u64) {
        (self.births.count, self.samples.count, self.late.count, self.exemplars.count)
    }

    fn read(&mut self, record: Record<'_>) -> Result<(), Error> {
        match record {
            Record::Births(mut rows) => {
                while let Some((id, labels)) = rows.next()? {
                    self.birth(id, labels);
                }
            }
            Record::Samples(mut rows) => {
                while let Some(row) = rows.next()? {
                    self.sample(false, row.id, (row.t, 0), &Value::Float(row.value()));
                }
            }
            Record::Rows(rows) => self.read_rows(rows, false)?,
            Record::Late(rows) => self.read_rows(rows, true)?,
            Record::Exemplars(mut rows) => {
                while let Some(row) = rows.next()? {
                    self.exemplar(row.id, row.t, row.bits, row.labels);
                }
            }
            Record::Metadata(mut rows) => {
                while let Some(row) = rows.next()? {
                    self.metadata(row.id, row.kind, row.unit, row.help);
                }
            }
            _ => return Err(Error::invalid("import", "a record that nobody wrote")),
        }
        Ok(())
    }

    fn read_rows(&mut self, mut rows: Rows<'_>, late: bool) -> Result<(), Error> {
        while let Some(row) = rows.next()? {
            self.sample(late, row.id, (row.t, row.start), &row.value.decode()?);
        }
        Ok(())
    }
}

fn hash_histogram(histogram: &Histogram, hash: &mut DefaultHasher) {
    let floats = |values: &[f64], hash: &mut DefaultHasher| {
        values.len().hash(hash);
        values.iter().for_each(|value| value.to_bits().hash(hash));
    };
    (histogram.hint, histogram.schema, &histogram.positive_spans, &histogram.negative_spans).hash(hash);
    floats(&[histogram.zero_threshold, histogram.sum], hash);
    floats(&histogram.custom_values, hash);
    match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => (count, zero, positive, negative).hash(hash),
        Counts::Float { count, zero, positive, negative } => {
            floats(&[*count, *zero], hash);
            floats(positive, hash);
            floats(negative, hash);
        }
    }
}

/// A new log, filled row by row.
#[derive(Debug)]
pub(super) struct Sink {
    wal: Wal,
    batch: Batch,
    digest: Digest,
    born: u64,
}

impl Sink {
    /// A log in `directory`, which has none.
    pub(super) fn create(disk: &Arc<dyn Disk>, directory: &Path) -> Result<Self, Error> {
        // Nothing counts before the whole is closed, which syncs.
        let options = Options { sync: SyncPolicy::Os, ..Options::default() };
        let wal = Wal::open(Arc::clone(disk), directory, &options, Position::START)?;
        Ok(Self { wal, batch: Batch::new(), digest: Digest::default(), born: 0 })
    }

    /// Gives a series its number.
    pub(super) fn birth(&mut self, labels: LabelsRef<'_>) -> Result<u64, Error> {
        self.born += 1;
        self.digest.birth(SeriesId(self.born), labels);
        self.batch.birth(SeriesId(self.born), labels);
        self.added()?;
        Ok(self.born)
    }

    pub(super) fn sample(
        &mut self,
        late: bool,
        id: u64,
        (t, start): (Timestamp, Timestamp),
        value: &Value,
    ) -> Result<(), Error> {
        let id = SeriesId(id);
        self.digest.sample(late, id, (t, start), value);
        match value {
            _ if late => self.batch.late(id, t, start, value),
            Value::Float(value) if start == 0 => self.batch.sample(id, t, value.to_bits()),
            Value::Float(value) => self.batch.sample_with_start(id, t, start, value.to_bits()),
            Value::Histogram(value) => self.batch.histogram(id, t, start, value),
        }
        self.added()
    }

    pub(super) fn exemplar(
        &mut self,
        id: u64,
        t: Timestamp,
        value: f64,
        labels: LabelsRef<'_>,
    ) -> Result<(), Error> {
        self.digest.exemplar(SeriesId(id), t, value.to_bits(), labels);
        self.batch.exemplar(SeriesId(id), t, value.to_bits(), labels);
        self.added()
    }

    pub(super) fn metadata(&mut self, id: u64, kind: u8, unit: &[u8], help: &[u8]) -> Result<(), Error> {
        self.digest.metadata(SeriesId(id), kind, unit, help);
        self.batch.metadata(SeriesId(id), kind, unit, help);
        self.added()
    }

    fn added(&mut self) -> Result<(), Error> {
        if self.batch.len() >= ROWS {
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), Error> {
        Ok(self.wal.append(&mut self.batch)?.wait()?)
    }

    /// Closes the log, durable, and says what is in it.
    pub(super) fn finish(mut self) -> Result<Digest, Error> {
        self.put()?;
        self.wal.close()?;
        Ok(self.digest)
    }
}

/// Reads the log in `directory` and holds it against what was written.
pub(super) fn verify(disk: &Arc<dyn Disk>, directory: &Path, written: &Digest) -> Result<(), Error> {
    let mut walk = replay(Arc::clone(disk), directory, None)?;
    let (mut found, mut scratch) = (Digest::default(), Vec::new());
    loop {
        match walk.next()? {
            Step::Record(logged) => found.read(logged.record(&mut scratch)?)?,
            Step::End(end) if end.torn_bytes == 0 && found.value() == written.value() => return Ok(()),
            Step::End(_) => {
                return Err(Error::invalid(
                    "import",
                    "the log reads differently from what was written to it",
                ));
            }
            Step::Damage(damage) => return Err(Error::invalid("import", format!("the new {damage}"))),
        }
    }
}
