//! Any bytes as a record: read to the end or refused, never a panic; what can be read, logged anew and replayed, says
//! the same.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sarsen_wal::{Batch, Disk, Error, Options, Position, Record, SimDisk, Step, Wal, replay};

type Rows = (Vec<(u64, Vec<u8>)>, Vec<(u64, i64, u64)>);

/// All rows of a record, behind those that are there.
fn read(record: Record<'_>, rows: &mut Rows) -> Result<(), Error> {
    match record {
        Record::Births(mut births) => {
            while let Some((id, labels)) = births.next()? {
                rows.0.push((id.0, labels.as_bytes().to_vec()));
            }
        }
        Record::Samples(mut samples) => {
            while let Some(sample) = samples.next()? {
                rows.1.push((sample.id.0, sample.t, sample.bits));
            }
        }
        _ => {}
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut rows = Rows::default();
    let Ok(record) = Record::decode(data) else { return };
    if read(record, &mut rows).is_err() {
        return;
    }
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let wal = Wal::open(Arc::clone(&disk), Path::new("/"), &Options::default(), Position::START).unwrap();
    let mut batch = Batch::new();
    for (id, labels) in &rows.0 {
        batch.birth(sarsen_wal::SeriesId(*id), sarsen_block::LabelsRef::decode(labels).unwrap());
    }
    for (id, t, bits) in &rows.1 {
        batch.sample(sarsen_wal::SeriesId(*id), *t, *bits);
    }
    wal.append(&mut batch).unwrap().wait().unwrap();
    let mut walk = replay(disk, Path::new("/"), None).unwrap();
    let (mut again, mut scratch) = (Rows::default(), Vec::new());
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
