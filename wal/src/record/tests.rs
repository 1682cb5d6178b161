//! Records come back as they were, and no bytes are dangerous.

use proptest::collection::vec;
use proptest::prelude::*;
use sarsen_block::{Counts, Histogram, Labels, ResetHint, Span, TimeRange, Value};

use super::births::BirthsEncoder;
use super::notes::NotesEncoder;
use super::rows::RowsEncoder;
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
        Ok(Record::Rows(mut rows) | Record::Late(mut rows)) => {
            while let Ok(Some(row)) = rows.next() {
                let _ = row.value.decode();
            }
        }
        Ok(Record::Deletions(mut rows)) => while let Ok(Some(_)) = rows.next() {},
        Ok(Record::Exemplars(mut rows)) => while let Ok(Some(_)) = rows.next() {},
        Ok(Record::Metadata(mut rows)) => while let Ok(Some(_)) = rows.next() {},
        Ok(Record::State(_)) | Err(_) => {}
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

type Row = (u64, i64, i64, Value);

fn encode_rows(rows: &[Row]) -> Vec<u8> {
    let mut encoder = RowsEncoder::default();
    for (id, t, start, value) in rows {
        encoder.push(SeriesId(*id), *t, *start, value);
    }
    let mut out = Vec::new();
    encoder.finish(ROWS, &mut out);
    out
}

fn rows_of(record: &[u8]) -> Result<Vec<Row>, Error> {
    let Record::Rows(mut rows) = Record::decode(record)? else { panic!("not rows") };
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push((row.id.0, row.t, row.start, row.value.decode()?));
    }
    Ok(out)
}

fn floats() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![any::<u64>().prop_map(f64::from_bits), (0u32..1000).prop_map(f64::from)], 0..6)
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    vec(any::<(i32, u32)>().prop_map(|(offset, length)| Span { offset, length }), 0..4)
}

/// Any histogram that the type can hold, also such as no chunk takes.
fn histograms() -> impl Strategy<Value = Histogram> {
    let counts = prop_oneof![
        (any::<(u64, u64)>(), any::<Vec<i64>>(), any::<Vec<i64>>()).prop_map(
            |((count, zero), positive, negative)| Counts::Integer { count, zero, positive, negative }
        ),
        (any::<(u64, u64)>(), floats(), floats()).prop_map(|((count, zero), positive, negative)| {
            Counts::Float { count: f64::from_bits(count), zero: f64::from_bits(zero), positive, negative }
        }),
    ];
    let hint = prop_oneof![
        Just(ResetHint::Unknown),
        Just(ResetHint::Reset),
        Just(ResetHint::NotReset),
        Just(ResetHint::Gauge)
    ];
    (hint, any::<i32>(), any::<(u64, u64)>(), (spans(), spans()), floats(), counts).prop_map(
        |(hint, schema, (zero_threshold, sum), (positive_spans, negative_spans), custom_values, counts)| {
            Histogram {
                hint,
                schema,
                zero_threshold: f64::from_bits(zero_threshold),
                sum: f64::from_bits(sum),
                positive_spans,
                negative_spans,
                custom_values,
                counts,
            }
        },
    )
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        histograms().prop_map(|histogram| Value::Histogram(Box::new(histogram))),
    ];
    vec((any::<u64>(), any::<i64>(), prop_oneof![Just(0), any::<i64>()], value), 0..12)
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
    fn births_come_back(births in vec((any::<u64>(), "[a-z]{1,5}", "[a-z]{0,20}"), 0..20)) {
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
    fn rows_come_back(rows in rows()) {
        prop_assert_eq!(rows_of(&encode_rows(&rows)).unwrap(), rows);
    }

    #[test]
    fn notes_come_back(
        rows: Vec<(u64, i64, i64)>,
        (labels, kind) in ("[a-z]{0,20}", any::<u8>()),
        (unit, help) in any::<(Vec<u8>, Vec<u8>)>(),
    ) {
        let labels = Labels::from_pairs([("trace_id", labels)]).unwrap();
        let (mut deletions, mut exemplars, mut metadata) =
            (NotesEncoder::deletions(), NotesEncoder::exemplars(), NotesEncoder::metadata());
        for (id, a, b) in &rows {
            deletions.push_deletion(SeriesId(*id), TimeRange::new(*a, *b));
            exemplars.push_exemplar(SeriesId(*id), *a, *b as u64, labels.as_ref());
            metadata.push_metadata(SeriesId(*id), kind, &unit, &help);
        }
        let mut records = [const { Vec::new() }; 3];
        for (encoder, record) in [deletions, exemplars, metadata].iter_mut().zip(&mut records) {
            encoder.finish(record);
            prop_assert_eq!(encoder.count(), 0);
        }
        let Record::Deletions(mut deletions) = Record::decode(&records[0]).unwrap() else { panic!("kind") };
        let Record::Exemplars(mut exemplars) = Record::decode(&records[1]).unwrap() else { panic!("kind") };
        let Record::Metadata(mut metadata) = Record::decode(&records[2]).unwrap() else { panic!("kind") };
        prop_assert_eq!((deletions.len(), exemplars.len(), metadata.len()), (rows.len(), rows.len(), rows.len()));
        for (id, a, b) in &rows {
            let id = SeriesId(*id);
            let deletion = LoggedDeletion { id, range: TimeRange::new(*a, *b) };
            prop_assert_eq!(deletions.next().unwrap(), Some(deletion));
            let exemplar = LoggedExemplar { id, t: *a, bits: *b as u64, labels: labels.as_ref() };
            prop_assert_eq!(exemplars.next().unwrap(), Some(exemplar));
            let row = LoggedMetadata { id, kind, unit: &unit, help: &help };
            prop_assert_eq!(metadata.next().unwrap(), Some(row));
        }
        prop_assert!(deletions.next().unwrap().is_none());
        prop_assert!(exemplars.next().unwrap().is_none());
        prop_assert!(metadata.next().unwrap().is_none());
    }

    #[test]
    fn any_bytes_are_safe(kind in 0u8..9, rest: Vec<u8>) {
        let mut bytes = vec![kind];
        bytes.extend(rest);
        read_all(&bytes);
    }

    #[test]
    fn damaged_records_are_safe(samples: Vec<(u64, i64, u64)>, rows in rows(), place: usize, change in 1u8..) {
        for mut record in [encode_samples(&samples), encode_rows(&rows)] {
            let length = record.len();
            record[place % length] ^= change;
            read_all(&record);
            record.truncate(place % length);
            read_all(&record);
        }
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
    let mut record = encode_rows(&[(1, 2, 3, Value::Histogram(Box::new(Histogram::stale(true))))]);
    assert!(rows_of(&record).is_ok());
    record.push(0);
    assert!(rows_of(&record).is_err());
}

#[test]
fn a_histogram_takes_few_bytes() {
    let histogram = Histogram {
        hint: ResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.0,
        sum: 1_234.5,
        positive_spans: vec![Span { offset: -4, length: 8 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count: 1000,
            zero: 0,
            positive: vec![60, 3, -2, 10, 0, 1, -5, 2],
            negative: Vec::new(),
        },
    };
    let row = (1, 1, 0, Value::Histogram(Box::new(histogram)));
    let (one, two) =
        (encode_rows(std::slice::from_ref(&row)).len(), encode_rows(&[row.clone(), row.clone()]).len());
    assert!(two - one <= 32, "{} bytes", two - one);
}

/// What a fuzzer begins with is worth something only if it can be read.
#[test]
fn seeds_of_the_fuzz_target_are_records() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/record");
    for entry in std::fs::read_dir(seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        match Record::decode(&bytes).unwrap() {
            Record::Births(mut rows) => assert!(rows.next().unwrap().is_some()),
            Record::Samples(mut rows) => assert!(rows.next().unwrap().is_some()),
            Record::Rows(mut rows) | Record::Late(mut rows) => {
                rows.next().unwrap().unwrap().value.decode().unwrap();
            }
            Record::Deletions(mut rows) => assert!(rows.next().unwrap().is_some()),
            Record::Exemplars(mut rows) => assert!(rows.next().unwrap().is_some()),
            Record::Metadata(mut rows) => assert!(rows.next().unwrap().is_some()),
            other => panic!("{other:?}"),
        }
    }
}
