//! Any bytes as a record, a segment and a file of head chunks of Prometheus: read to the end or refused, never a panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sarsen_block::SampleIter;
use sarsen_wal::foreign::{HeadChunks, Record, Segment, Step};
use sarsen_wal::{Disk, SimDisk};

fn record(bytes: &[u8]) {
    match Record::decode(bytes) {
        Ok(Some(Record::Series(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::Samples(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::Tombstones(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::Exemplars(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::Markers(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::Metadata(mut rows))) => while let Ok(Some(_)) = rows.next() {},
        Ok(Some(Record::MinValidTime(_)) | None) | Err(_) => {}
    }
}

fuzz_target!(|data: &[u8]| {
    record(data);
    let disk = SimDisk::new(1);
    let path = Path::new("/file");
    disk.create(path).unwrap().append(data).unwrap();
    let mut segment = Segment::open(&disk, path).unwrap();
    while let Step::Record(bytes) = segment.next().unwrap() {
        record(bytes);
    }
    segment.is_torn().unwrap();
    if let Ok(mut chunks) = HeadChunks::open(&disk, 1, path) {
        while let Ok(Some(found)) = chunks.next() {
            if let Ok(mut samples) = found.chunk.samples() {
                while let Ok(Some(_)) = samples.next() {}
            }
        }
    }
});
