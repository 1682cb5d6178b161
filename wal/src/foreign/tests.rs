//! Records with start times (no golden data has them), and bytes that nobody wrote.

use std::path::Path;

use proptest::prelude::*;
use sarsen_block::codec::{put_u64, put_varint};
use sarsen_block::{Histogram, Value};

use super::*;
use crate::disk::{Disk, SimDisk};

/// The row heads of a record with start times, as Prometheus writes them; `value` writes what follows a head.
fn with_starts(kind: u8, rows: &[(u64, i64, i64)], mut value: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![kind];
    for (place, (series, t, start)) in rows.iter().enumerate() {
        let (_, first_t, first_start) = rows[0];
        match place.checked_sub(1).map(|before| rows[before]) {
            None => [*series as i64, *t, *start].iter().for_each(|number| put_varint(&mut out, *number)),
            Some((before, _, start_before)) => {
                put_varint(&mut out, series.wrapping_sub(before) as i64);
                put_varint(&mut out, t.wrapping_sub(first_t));
                if *start == 0 {
                    out.push(0);
                } else if *start == start_before {
                    out.push(1);
                } else {
                    out.push(2);
                    put_varint(&mut out, start.wrapping_sub(first_start));
                }
            }
        }
        value(place, &mut out);
    }
    out
}

fn samples_of(bytes: &[u8]) -> Vec<Sample> {
    let Some(Record::Samples(mut samples)) = Record::decode(bytes).unwrap() else { panic!("not samples") };
    let mut out = Vec::new();
    while let Some(sample) = samples.next().unwrap() {
        out.push(sample);
    }
    out
}

fn read_all(bytes: &[u8]) {
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

proptest! {
    #[test]
    fn start_times_come_with_their_samples(
        rows in prop::collection::vec((any::<u64>(), any::<i64>(), prop_oneof![Just(0), Just(7), any::<i64>()]), 1..9)
    ) {
        let bytes = with_starts(11, &rows, |place, out| put_u64(out, place as u64));
        let wanted = rows.iter().enumerate().map(|(place, (series, t, start))| Sample {
            series: *series, t: *t, start: *start, value: Value::Float(f64::from_bits(place as u64)),
        });
        prop_assert_eq!(samples_of(&bytes), wanted.collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_safe(kind in 0u8..16, rest: Vec<u8>) {
        let mut bytes = vec![kind];
        bytes.extend(rest);
        read_all(&bytes);
    }

    #[test]
    fn any_file_is_safe(bytes: Vec<u8>, kind in 0u8..32, padding in 0usize..9) {
        let disk = SimDisk::new(1);
        let write = |name: &str, head: &[u8]| {
            let file = disk.create(Path::new(name)).unwrap();
            file.append(head).unwrap();
            file.append(&bytes).unwrap();
            file.append(&vec![0; padding]).unwrap();
        };
        write("/segment", &[kind]);
        write("/chunks", &[0x01, 0x30, 0xBC, 0x91, 1, 0, 0, 0]);
        let mut segment = Segment::open(&disk, Path::new("/segment")).unwrap();
        while let Step::Record(bytes) = segment.next().unwrap() {
            read_all(bytes);
        }
        let mut chunks = HeadChunks::open(&disk, 1, Path::new("/chunks")).unwrap();
        while let Ok(Some(_)) = chunks.next() {}
    }
}

#[test]
fn histograms_have_start_times_too() {
    let bare = |out: &mut Vec<u8>, is_float: bool| {
        out.extend([0, 0]); // hint, schema
        put_u64(out, 0);
        out.extend(vec![0; if is_float { 16 } else { 2 }]);
        put_u64(out, sarsen_block::STALE_NAN_BITS);
        out.extend([0; 4]);
    };
    for (kind, is_float) in [(12, false), (13, true)] {
        let bytes = with_starts(kind, &[(3, 1000, 500), (2, 1001, 500)], |_, out| bare(out, is_float));
        let value = Value::Histogram(Box::new(Histogram::stale(is_float)));
        let sample = |series, t| Sample { series, t, start: 500, value: value.clone() };
        assert_eq!(samples_of(&bytes), [sample(3, 1000), sample(2, 1001)]);
    }
}

#[test]
fn what_a_later_version_writes_is_passed_over() {
    assert!(Record::decode(&[99, 1, 2, 3]).unwrap().is_none());
    assert!(Record::decode(&[]).unwrap().is_none());
}
