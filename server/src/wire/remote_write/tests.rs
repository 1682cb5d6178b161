//! The reader against a plain model that builds every value, and against bytes that are nothing.

use proptest::prelude::*;
use sarsen_block::Labels;
use sarsen_block::codec::put_uvarint;

use super::*;

/// A series as a sender thinks of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    labels: Vec<(Vec<u8>, Vec<u8>)>,
    samples: Vec<(i64, u64)>,
    histograms: u32,
    exemplars: u32,
}

fn field(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_uvarint(out, (number << 3) | 2);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn encode_label(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, name);
    field(&mut out, 2, value);
    out
}

fn encode(series: &[Model]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in series {
        let mut message = Vec::new();
        for (name, value) in &one.labels {
            field(&mut message, 1, &encode_label(name, value));
        }
        for (time, bits) in &one.samples {
            let mut sample = vec![0x09];
            sample.extend(bits.to_le_bytes());
            sample.push(0x10);
            put_uvarint(&mut sample, *time as u64);
            field(&mut message, 2, &sample);
        }
        for _ in 0..one.exemplars {
            field(&mut message, 3, &[0x0A, 4, 0x0A, 0, 0x12, 0, 0x18, 5]);
        }
        for _ in 0..one.histograms {
            // count 1, packed positive deltas, a span.
            field(&mut message, 4, &[0x08, 1, 0x62, 1, 2, 0x5A, 2, 0x10, 1, 0x78, 9]);
        }
        field(&mut out, 1, &message);
    }
    out
}

/// Reads with every value built and nothing assumed: the slow twin.
mod twin {
    use super::{Cursor, Model, ProtoError, WireType};

    pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Model>, ProtoError> {
        let mut all = Vec::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_done() {
            match cursor.tag()? {
                (1, WireType::Bytes) => all.push(series(cursor.message()?)?),
                (3, WireType::Bytes) => cursor.message()?.check(super::METADATA)?,
                (1 | 3, _) => return Err(cursor.fault("type")),
                (_, wire_type) => cursor.skip(wire_type)?,
            }
        }
        Ok(all)
    }

    fn series(mut cursor: Cursor<'_>) -> Result<Model, ProtoError> {
        let mut model = Model::default();
        while !cursor.is_done() {
            match cursor.tag()? {
                (1, WireType::Bytes) => {
                    let mut label = cursor.message()?;
                    let mut pair = (Vec::new(), Vec::new());
                    while !label.is_done() {
                        match label.tag()? {
                            (1, WireType::Bytes) => pair.0 = label.message()?.rest().to_vec(),
                            (2, WireType::Bytes) => pair.1 = label.message()?.rest().to_vec(),
                            (1 | 2, _) => return Err(label.fault("type")),
                            (_, wire_type) => label.skip(wire_type)?,
                        }
                    }
                    model.labels.push(pair);
                }
                (2, WireType::Bytes) => {
                    let (time, value) = super::read_any_sample(cursor.message()?)?;
                    model.samples.push((time, value.to_bits()));
                }
                (3, WireType::Bytes) => {
                    cursor.message()?.check(super::EXEMPLAR)?;
                    model.exemplars += 1;
                }
                (4, WireType::Bytes) => {
                    cursor.message()?.check(super::HISTOGRAM)?;
                    model.histograms += 1;
                }
                (1..=4, _) => return Err(cursor.fault("type")),
                (_, wire_type) => cursor.skip(wire_type)?,
            }
        }
        Ok(model)
    }
}

fn pairs(labels: WireLabels<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    match labels {
        WireLabels::Canonical(labels) => labels.iter().map(owned).collect(),
        WireLabels::Loose(pairs) => pairs.map(owned).collect(),
    }
}

fn models(request: WriteRequest<'_>) -> Vec<Model> {
    request
        .series()
        .map(|series| Model {
            labels: pairs(series.labels),
            samples: series.samples.iter().map(|(time, value)| (*time, value.to_bits())).collect(),
            histograms: series.num_histograms,
            exemplars: series.num_exemplars,
        })
        .collect()
}

fn assert_same_as_twin(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    match (decode(bytes, usize::MAX, &mut scratch), twin::decode(bytes)) {
        (Ok(request), Ok(expected)) => {
            for series in request.series() {
                if let WireLabels::Canonical(labels) = series.labels {
                    assert!(!labels.is_empty());
                    LabelsRef::decode(labels.as_bytes()).unwrap();
                }
            }
            assert_eq!(models(request), expected);
        }
        (Err(_), Err(_)) => {}
        (found, expected) => panic!("{found:?} is not {expected:?}"),
    }
}

#[test]
fn labels_of_an_honest_sender_are_used_as_they_lie() {
    let labels = vec![(b"__name__".to_vec(), b"up".to_vec()), (b"job".to_vec(), vec![b'x'; 200])];
    let body =
        encode(&[Model { labels: labels.clone(), samples: vec![(7, 1), (-1, 2)], ..Model::default() }]);
    let mut scratch = Scratch::default();
    let request = decode(&body, 1 << 20, &mut scratch).unwrap();
    let series = request.series().next().unwrap();
    let WireLabels::Canonical(found) = series.labels else { panic!("not canonical") };
    assert_eq!(found.to_owned(), Labels::from_pairs(labels).unwrap());
    assert_eq!(series.samples.iter().map(|s| s.0).collect::<Vec<_>>(), [7, -1]);
    assert_eq!(request.counts(), Counts { series: 1, samples: 2, ..Counts::default() });
}

#[test]
fn labels_apart_unsorted_empty_or_padded_are_not_trusted() {
    let label = |name: &[u8], value: &[u8]| {
        let mut out = Vec::new();
        field(&mut out, 1, &encode_label(name, value));
        out
    };
    let sample: &[u8] = &[0x12, 2, 0x10, 5];
    let loose: [Vec<u8>; 7] = [
        [label(b"a", b"1"), sample.to_vec(), label(b"b", b"2")].concat(),
        [label(b"b", b"1"), label(b"a", b"2")].concat(),
        [label(b"a", b"1"), label(b"a", b"2")].concat(),
        label(b"a", b""),
        label(b"", b"1"),
        // The length of the name in two bytes.
        vec![0x0A, 7, 0x0A, 0x81, 0, b'a', 0x12, 1, b'1'],
        // Value before name.
        vec![0x0A, 6, 0x12, 1, b'1', 0x0A, 1, b'a'],
    ];
    for series in loose {
        let mut body = Vec::new();
        field(&mut body, 1, &series);
        let mut scratch = Scratch::default();
        let request = decode(&body, 1 << 20, &mut scratch).unwrap();
        assert!(matches!(request.series().next().unwrap().labels, WireLabels::Loose(_)), "{series:?}");
        assert_same_as_twin(&body);
    }
}

#[test]
fn memory_is_bounded() {
    let body = [0x0A, 0].repeat(1000);
    assert_eq!(decode(&body, 1000, &mut Scratch::default()).unwrap_err(), DecodeError::TooLarge);
    assert!(decode(&body, 100_000, &mut Scratch::default()).is_ok());
}

fn any_model() -> impl Strategy<Value = Model> {
    let text = || prop::collection::vec(prop::sample::select(&b"abc\xFF"[..]), 0..3);
    let pair = (text(), prop_oneof![text(), prop::collection::vec(any::<u8>(), 120..140)]);
    let time = prop_oneof![any::<i64>(), 1_500_000_000_000i64..2_000_000_000_000];
    let sample = (time, any::<u64>());
    (prop::collection::vec(pair, 0..4), any::<bool>(), prop::collection::vec(sample, 0..4), 0u32..2, 0u32..2)
        .prop_map(|(mut labels, sorted, samples, histograms, exemplars)| {
            if sorted {
                labels.sort();
                labels.dedup_by(|a, b| a.0 == b.0);
            }
            Model { labels, samples, histograms, exemplars }
        })
}

proptest! {
    #[test]
    fn what_is_sent_is_read(series in prop::collection::vec(any_model(), 0..5)) {
        let body = encode(&series);
        let mut scratch = Scratch::default();
        let request = decode(&body, usize::MAX, &mut scratch).unwrap();
        prop_assert_eq!(models(request), series);
        assert_same_as_twin(&body);
    }

    #[test]
    fn damaged_messages_are_judged_as_the_twin_does(
        series in prop::collection::vec(any_model(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = encode(&series);
        for (place, byte) in damage {
            let at = place.index(body.len());
            body[at] = byte;
        }
        assert_same_as_twin(&body);
        assert_same_as_twin(&body[..cut.index(body.len())]);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        assert_same_as_twin(&body);
    }
}
