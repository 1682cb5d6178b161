//! Records come back as they were, and no bytes are dangerous.

use proptest::prelude::*;
use sarsen_block::Labels;

use super::births::BirthsEncoder;
use super::samples::{LoggedSample, SamplesEncoder};
use super::*;

fn samples_of(record: &[u8]) -> Result<Vec<LoggedSample>, Error> {
    let Record::Samples(mut samples) = Record::decode(record)? else { panic!("not samples") };
    let mut out = Vec::new();
    while let Some(sample) = samples.next()? {
        out.push(sample);
    }
    Ok(out)
}

/// Reads everything that can be read; only a panic would be a fault.
fn read_all(bytes: &[u8]) {
    match Record::decode(bytes) {
        Ok(Record::Births(mut births)) => while let Ok(Some(_)) = births.next() {},
        Ok(Record::Samples(mut samples)) => while let Ok(Some(_)) = samples.next() {},
        Err(_) => {}
    }
}

fn encode_samples(samples: &[(u64, i64, u64)]) -> Vec<u8> {
    let mut encoder = SamplesEncoder::default();
    for (id, t, bits) in samples {
        encoder.push(SeriesId(*id), *t, *bits);
    }
    let mut out = Vec::new();
    encoder.finish(&mut out);
    out
}

proptest! {
    #[test]
    fn samples_come_back(samples: Vec<(u64, i64, u64)>) {
        let record = encode_samples(&samples);
        let wanted: Vec<_> =
            samples.iter().map(|(id, t, bits)| LoggedSample { id: SeriesId(*id), t: *t, bits: *bits }).collect();
        prop_assert_eq!(samples_of(&record).unwrap(), wanted);
    }

    #[test]
    fn births_come_back(births in prop::collection::vec((any::<u64>(), "[a-z]{1,5}", "[a-z]{0,20}"), 0..20)) {
        let births: Vec<_> = births
            .iter()
            .map(|(id, name, value)| (SeriesId(*id), Labels::from_pairs([(name, value)]).unwrap()))
            .collect();
        let mut encoder = BirthsEncoder::default();
        for (id, labels) in &births {
            encoder.push(*id, labels.as_ref());
        }
        let mut record = Vec::new();
        encoder.finish(&mut record);
        let Record::Births(mut reader) = Record::decode(&record).unwrap() else { panic!("not births") };
        for (id, labels) in &births {
            let (found, found_labels) = reader.next().unwrap().unwrap();
            prop_assert_eq!((found, found_labels), (*id, labels.as_ref()));
        }
        prop_assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn any_bytes_are_safe(kind in 0u8..4, rest: Vec<u8>) {
        let mut bytes = vec![kind];
        bytes.extend(rest);
        read_all(&bytes);
    }

    #[test]
    fn damaged_records_are_safe(samples: Vec<(u64, i64, u64)>, place: usize, change in 1u8..) {
        let mut record = encode_samples(&samples);
        let length = record.len();
        record[place % length] ^= change;
        read_all(&record);
        record.truncate(place % length);
        read_all(&record);
    }
}

#[test]
fn a_kind_of_a_later_version_is_named() {
    let error = Record::decode(&[9, 1, 2]).unwrap_err();
    assert!(matches!(error, Error::Unsupported { found: 9, .. }), "{error}");
    assert!(matches!(Record::decode(&[0]), Err(Error::Record(_))));
    assert!(matches!(Record::decode(&[]), Err(Error::Record(_))));
}

#[test]
fn bytes_left_over_are_refused() {
    let mut record = encode_samples(&[(1, 2, 3)]);
    record.push(0);
    assert!(samples_of(&record).is_err());
}
