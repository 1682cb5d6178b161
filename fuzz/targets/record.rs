//! Any bytes as a record: read to the end or refused, never a panic; what can be read, logged anew and replayed, says
//! the same.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sarsen_block::{LabelsRef, TimeRange, Value};
use sarsen_wal::{Batch, Disk, Error, Options, Position, Record, Rows, SeriesId, SimDisk, Step, Wal, replay};

/// One row of any record.
#[derive(Debug, Clone, PartialEq)]
enum Row {
    Birth(SeriesId, Vec<u8>),
    Sample(SeriesId, i64, i64, Value),
    Late(SeriesId, i64, i64, Value),
    Deletion(SeriesId, TimeRange),
    Exemplar(SeriesId, i64, u64, Vec<u8>),
    Metadata(SeriesId, u8, Vec<u8>, Vec<u8>),
}

/// All rows of a record, behind those that are there.
fn read(record: Record<'_>, out: &mut Vec<Row>) -> Result<(), Error> {
    match record {
        Record::Births(mut rows) => {
            while let Some((id, labels)) = rows.next()? {
                out.push(Row::Birth(id, labels.as_bytes().to_vec()));
            }
        }
        Record::Samples(mut rows) => {
            while let Some(row) = rows.next()? {
                out.push(Row::Sample(row.id, row.t, 0, Value::Float(row.value())));
            }
        }
        Record::Rows(rows) => read_rows(rows, out, Row::Sample)?,
        Record::Late(rows) => read_rows(rows, out, Row::Late)?,
        Record::Deletions(mut rows) => {
            while let Some(row) = rows.next()? {
                out.push(Row::Deletion(row.id, row.range));
            }
        }
        Record::Exemplars(mut rows) => {
            while let Some(row) = rows.next()? {
                out.push(Row::Exemplar(row.id, row.t, row.bits, row.labels.as_bytes().to_vec()));
            }
        }
        Record::Metadata(mut rows) => {
            while let Some(row) = rows.next()? {
                out.push(Row::Metadata(row.id, row.kind, row.unit.to_vec(), row.help.to_vec()));
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_rows(
    mut rows: Rows<'_>,
    out: &mut Vec<Row>,
    kind: impl Fn(SeriesId, i64, i64, Value) -> Row,
) -> Result<(), Error> {
    while let Some(row) = rows.next()? {
        out.push(kind(row.id, row.t, row.start, row.value.decode()?));
    }
    Ok(())
}

fn write(row: &Row, batch: &mut Batch) {
    match row {
        Row::Birth(id, labels) => batch.birth(*id, LabelsRef::decode(labels).unwrap()),
        Row::Sample(id, t, 0, Value::Float(value)) => batch.sample(*id, *t, value.to_bits()),
        Row::Sample(id, t, start, Value::Float(value)) => {
            batch.sample_with_start(*id, *t, *start, value.to_bits())
        }
        Row::Sample(id, t, start, Value::Histogram(value)) => batch.histogram(*id, *t, *start, value),
        Row::Late(id, t, start, value) => batch.late(*id, *t, *start, value),
        Row::Deletion(id, range) => batch.deletion(*id, *range),
        Row::Exemplar(id, t, bits, labels) => {
            batch.exemplar(*id, *t, *bits, LabelsRef::decode(labels).unwrap());
        }
        Row::Metadata(id, kind, unit, help) => batch.metadata(*id, *kind, unit, help),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rows = Vec::new();
    let Ok(record) = Record::decode(data) else { return };
    if read(record, &mut rows).is_err() {
        return;
    }
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let wal = Wal::open(Arc::clone(&disk), Path::new("/"), &Options::default(), Position::START).unwrap();
    let mut batch = Batch::new();
    for row in &rows {
        write(row, &mut batch);
    }
    wal.append(&mut batch).unwrap().wait().unwrap();
    let mut walk = replay(disk, Path::new("/"), None).unwrap();
    let (mut again, mut scratch) = (Vec::new(), Vec::new());
    loop {
        match walk.next().unwrap() {
            Step::Record(logged) => read(logged.record(&mut scratch).unwrap(), &mut again).unwrap(),
            Step::End(end) => {
                assert_eq!(end.torn_bytes, 0);
                break;
            }
            Step::Damage(damage) => panic!("{damage}"),
        }
    }
    assert_eq!(rows, again);
});
