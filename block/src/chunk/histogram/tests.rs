//! Histogram chunks against the vectors of the format, against a slow twin that works on maps and text, and against any bytes.

mod twin;

use proptest::prelude::*;

use super::*;
use crate::histogram::{CUSTOM_BUCKETS, Counts, Span};
use crate::sample::{Sample, Value};
use twin::{Plain, Twin};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spans(list: &[(i32, u32)]) -> Vec<Span> {
    list.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

/// The histogram of the format's vectors.
fn vector(count: u64, zero: u64, sum: f64, positive: &[i64], negative: &[i64]) -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        sum,
        positive_spans: spans(&[(0, 2), (1, 2)]),
        negative_spans: spans(&[(-1, 1)]),
        counts: Counts::Integer { count, zero, positive: positive.into(), negative: negative.into() },
        ..Histogram::default()
    }
}

fn vectors() -> [Histogram; 4] {
    [
        vector(10, 2, 18.4, &[1, 1, -1, 0], &[3]),
        vector(16, 3, 20.0, &[2, 1, -1, 0], &[4]),
        vector(17, 4, 21.0, &[2, 1, -1, 0], &[4]),
        Histogram::stale(false),
    ]
}

#[test]
fn integer_chunks_have_the_bytes_of_prometheus() {
    let expected = [
        "000100ff3f50624dd2f1a9fc8ca494631bf8fa315240326666666666668c6e98",
        "000200ff3f50624dd2f1a9fc8ca494631bf8fa315240326666666666668c6e9f8fa30d1db96666666666667111",
        "000300ff3f50624dd2f1a9fc8ca494631bf8fa315240326666666666668c6e9f8fa30d1db966666666666671116ed1000000\
         0000017170",
        "000400ff3f50624dd2f1a9fc8ca494631bf8fa315240326666666666668c6e9f8fa30d1db966666666666671116ed1000000\
         00000171718bdff140000000000080",
    ];
    let mut chunk = HistogramChunk::begin(false, false);
    for (i, histogram) in vectors().iter().enumerate() {
        chunk.append(None, 1000 * (i as i64 + 1), 0, histogram).unwrap();
        assert_eq!(hex(&chunk.to_bytes()), expected[i].replace(' ', ""));
    }
}

#[test]
fn float_chunks_have_the_bytes_of_prometheus() {
    let mut histogram = vector(10, 2, 18.4, &[], &[]);
    histogram.counts =
        Counts::Float { count: 10.0, zero: 2.0, positive: vec![1.0, 2.0, 1.0, 1.0], negative: vec![3.0] };
    let mut chunk = HistogramChunk::begin(false, true);
    chunk.append(None, 1000, 0, &histogram).unwrap();
    let expected = "000100ff3f50624dd2f1a9fc8ca494631bf8fa10090000000000001000000000000000100c9999999999998ffc0000000000\
                    0010000000000000000ffc0000000000000ffc000000000000100200000000000000";
    assert_eq!(hex(&chunk.to_bytes()), expected);
}

#[test]
fn starts_and_custom_bounds_have_the_bytes_of_prometheus() {
    let mut chunk = HistogramChunk::begin(true, false);
    for (i, histogram) in vectors().iter().take(3).enumerate() {
        chunk.append(None, 1000 * (i as i64 + 1), 500, histogram).unwrap();
    }
    let expected = "000380ff3f50624dd2f1a9fc8ca494631bf8fa315240326666666666668c6e9f403f8fa30d1db966666666666671116ed100\
                    00000000017170";
    assert_eq!(hex(&chunk.to_bytes()), expected);

    let custom = Histogram {
        schema: CUSTOM_BUCKETS,
        sum: 7.5,
        positive_spans: spans(&[(0, 2)]),
        custom_values: vec![0.0001, 0.005, 1.0, 2.5, 40000.0],
        counts: Counts::Integer { count: 6, zero: 0, positive: vec![2, 2], negative: vec![] },
        ..Histogram::default()
    };
    let mut chunk = HistogramChunk::begin(false, false);
    chunk.append(None, 1000, 0, &custom).unwrap();
    let expected = "00010000ee5c64547e346dc5d638865b6f1f4fa71481c7100000000001e3e8b1007800000000000252";
    assert_eq!(hex(&chunk.to_bytes()), expected);
}

#[test]
fn what_no_chunk_can_hold_is_refused_and_changes_nothing() {
    let [first, second, ..] = vectors();
    let wrong = [
        Histogram { schema: 9, ..second.clone() },
        Histogram { schema: -10, ..second.clone() },
        Histogram { negative_spans: spans(&[(0, 2)]), ..second.clone() },
        Histogram { positive_spans: spans(&[(0, u32::MAX), (0, u32::MAX)]), ..second.clone() },
        Histogram { hint: ResetHint::Gauge, counts: Histogram::stale(true).counts, ..second },
        Histogram::stale(true),
    ];
    for wrong in wrong {
        let mut empty = HistogramChunk::begin(false, false);
        assert!(matches!(empty.append(None, 1, 0, &wrong), Err(Error::Invalid { .. })), "{wrong:?}");
        assert!(empty.is_empty());
        let mut chunk = HistogramChunk::begin(false, false);
        chunk.append(None, 1, 0, &first).unwrap();
        let before = chunk.to_bytes();
        assert!(matches!(chunk.append(None, 2, 0, &wrong), Err(Error::Invalid { .. })), "{wrong:?}");
        assert!(matches!(chunk.append_only(None, 2, 0, &wrong), Err(Error::Invalid { .. })), "{wrong:?}");
        assert_eq!(chunk.to_bytes(), before);
    }
}

#[test]
fn a_chunk_that_cannot_count_further_is_followed_by_another() {
    for (with_starts, most) in [(false, u16::MAX), (true, 0x3FFF)] {
        let mut chunk = HistogramChunk::begin(with_starts, false);
        for t in 0..i64::from(most) {
            assert!(matches!(chunk.append(None, t, 0, &Histogram::default()).unwrap(), Appended::Appended));
        }
        assert!(!chunk.append_only(None, 70_000, 0, &Histogram::default()).unwrap());
        let next = chunk.append(None, 70_000, 0, &Histogram::default()).unwrap();
        let Appended::NewChunk(next) = next else { panic!("{next:?}") };
        assert_eq!((chunk.num_samples(), next.num_samples()), (most, 1));
        assert_eq!((chunk.header(), next.header()), (ResetHeader::Unknown, ResetHeader::NotReset));
        assert_eq!(read(&chunk.to_chunk()).0.len(), usize::from(most));
    }
}

#[test]
fn layouts_too_far_apart_do_not_share_a_chunk() {
    let at = |offset, hint| Histogram {
        hint,
        positive_spans: spans(&[(offset, 1)]),
        counts: Counts::Integer { count: 0, zero: 0, positive: vec![0], negative: vec![] },
        ..Histogram::default()
    };
    for (hint, header) in [(ResetHint::Unknown, ResetHeader::Unknown), (ResetHint::Gauge, ResetHeader::Gauge)]
    {
        let mut chunk = HistogramChunk::begin(false, false);
        chunk.append(None, 1, 0, &at(i32::MIN, hint)).unwrap();
        match chunk.append(None, 2, 0, &at(i32::MAX, hint)).unwrap() {
            Appended::NewChunk(next) => assert_eq!(next.header(), header),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn starts_that_a_foreign_writer_promised_or_left_out() {
    // The header says that starts change at sample 9, the chunk has two samples.
    let mut chunk = HistogramChunk::begin(true, false);
    (0..2).for_each(|t| assert!(chunk.append_only(None, t, 0, &Histogram::default()).unwrap()));
    let mut bytes = chunk.to_bytes();
    bytes[2] = 9;
    let mut chunk = resumed(Encoding::HistogramSt, bytes);
    chunk.append(None, 2, -5, &Histogram::default()).unwrap();
    let starts: Vec<_> = read(&chunk.to_chunk()).0.iter().map(|sample| sample.start).collect();
    assert_eq!(starts, [0, 0, -5]);

    // 200 samples that all say nothing: no reader would look for a start any more.
    let mut plain = HistogramChunk::begin(false, false);
    (0..200).for_each(|t| assert!(plain.append_only(None, t, 0, &Histogram::default()).unwrap()));
    let mut chunk = resumed(Encoding::HistogramSt, plain.to_bytes());
    assert!(matches!(chunk.append(None, 200, 0, &Histogram::default()).unwrap(), Appended::Appended));
    assert!(!chunk.append_only(None, 201, 7, &Histogram::default()).unwrap());
    let next = chunk.append(None, 201, 7, &Histogram::default()).unwrap();
    let Appended::NewChunk(next) = next else { panic!("{next:?}") };
    assert_eq!(read(&next.to_chunk()).0[0].start, 7);
}

fn resumed(encoding: Encoding, bytes: Vec<u8>) -> HistogramChunk {
    HistogramChunk::resume(&Chunk { encoding, data: bytes.into() }).unwrap()
}

/// The samples that can be read, and whether the chunk ended as it promised. Stops within the header's count.
fn read(chunk: &Chunk) -> (Vec<Sample>, bool) {
    let mut samples = Vec::new();
    let Ok(mut iter) = HistogramIter::new(&chunk.data, chunk.encoding) else { return (samples, false) };
    loop {
        match iter.next() {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => return (samples, true),
            Err(_) => {
                assert!(matches!(iter.next(), Ok(None)), "an iterator ends after its error");
                return (samples, false);
            }
        }
        assert!(samples.len() <= usize::from(u16::MAX));
    }
}

const ENCODINGS: [Encoding; 4] =
    [Encoding::Histogram, Encoding::FloatHistogram, Encoding::HistogramSt, Encoding::FloatHistogramSt];

/// What can be told of a sample that was in another chunk: not the hint, and no zero with a sign in the layout.
fn plain(samples: Vec<Sample>) -> Vec<Sample> {
    let bare = |mut sample: Sample| {
        if let Value::Histogram(histogram) = &mut sample.value {
            if histogram.hint != ResetHint::Gauge {
                histogram.hint = ResetHint::Unknown;
            }
            histogram.zero_threshold += 0.0;
            histogram.custom_values.iter_mut().for_each(|bound| *bound += 0.0);
        }
        sample
    };
    samples.into_iter().map(bare).collect()
}

/// What is read from any bytes, written and read again, is the same.
fn goes_round(chunk: &Chunk) -> Result<(), TestCaseError> {
    let (samples, sound) = read(chunk);
    prop_assert_eq!(HistogramChunk::resume(chunk).is_ok(), sound);
    let (is_float, starts) = kind_of(chunk.encoding).unwrap();
    let mut open = HistogramChunk::begin(starts, is_float);
    let mut written = Vec::new();
    for sample in &samples {
        let Value::Histogram(histogram) = &sample.value else { panic!("a float in a histogram chunk") };
        match open.append(None, sample.t, sample.start, histogram).unwrap() {
            Appended::Appended => {}
            Appended::Recoded => prop_assert!(false, "one layout needs no other"),
            Appended::NewChunk(next) => {
                written.push(std::mem::replace(&mut open, *next));
            }
        }
    }
    written.push(open);
    let mut again = Vec::new();
    for chunk in written {
        prop_assert_eq!(chunk.len(), chunk.to_bytes().len());
        let (samples, sound) = read(&chunk.to_chunk());
        prop_assert!(sound);
        again.extend(samples);
    }
    prop_assert_eq!(plain(again), plain(samples));
    Ok(())
}

proptest! {
    #[test]
    fn a_slow_twin_does_the_same(
        is_float in any::<bool>(),
        starts in any::<bool>(),
        steps in twin::steps(),
    ) {
        let mut open = HistogramChunk::begin(starts, is_float);
        let mut previous: Option<HistogramChunk> = None;
        let mut twin = Twin::begin(starts, is_float);
        let mut plain = Plain::default();
        let mut t = 1_000;
        for step in steps {
            if step.cut {
                let empty = HistogramChunk::begin(starts, is_float);
                previous = Some(std::mem::replace(&mut open, empty));
                twin.cut();
            }
            t += step.later;
            plain.step(&step);
            let histogram = plain.histogram(&step, is_float);
            let start = if step.start { t - step.later } else { 0 };
            let before = open.to_bytes();
            let alone = open.clone().append_only(previous.as_ref(), t, start, &histogram).unwrap();
            let appended = open.append(previous.as_ref(), t, start, &histogram).unwrap();
            let wanted = twin.append(t, start, &plain, &histogram);
            let found = match appended {
                Appended::Appended => 'a',
                Appended::Recoded => 'r',
                Appended::NewChunk(next) => {
                    prop_assert_eq!(open.to_bytes(), before, "a finished chunk stays");
                    open = *next;
                    'n'
                }
            };
            prop_assert_eq!(found, wanted.went);
            prop_assert_eq!(alone, wanted.alone);
            prop_assert_eq!(hex(&open.to_bytes()), hex(&twin.bytes()));
            prop_assert_eq!(open.last_time(), t);
            let (samples, sound) = read(&open.to_chunk());
            prop_assert!(sound);
            prop_assert_eq!(samples, twin.samples());
        }
    }

    #[test]
    fn a_chunk_that_is_taken_up_again_goes_on_where_it_was(
        is_float in any::<bool>(),
        starts in any::<bool>(),
        steps in twin::steps(),
    ) {
        let mut open = HistogramChunk::begin(starts, is_float);
        let (mut other, mut same) = (open.clone(), open.clone());
        let (mut plain, mut t) = (Plain::default(), 1_000);
        for step in steps {
            t += step.later;
            plain.step(&step);
            let histogram = plain.histogram(&step, is_float);
            for chunk in [&mut open, &mut other, &mut same] {
                if let Appended::NewChunk(next) = chunk.append(None, t, t - 1, &histogram).unwrap() {
                    *chunk = *next;
                }
            }
            other = HistogramChunk::resume(&other.to_chunk()).unwrap();
            same = HistogramChunk::restore(&same.to_chunk()).unwrap();
            prop_assert_eq!(hex(&open.to_bytes()), hex(&same.to_bytes()));
            prop_assert_eq!(read(&open.to_chunk()), read(&other.to_chunk()));
            prop_assert_eq!(open.header(), other.header());
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0..9u8) {
        for encoding in ENCODINGS {
            goes_round(&Chunk { encoding, data: bytes.clone().into() })?;
            let mut bytes = bytes.clone();
            bytes.iter_mut().zip([0, count]).for_each(|(byte, count)| *byte = count);
            goes_round(&Chunk { encoding, data: bytes.into() })?;
        }
    }

    #[test]
    fn damaged_chunks_are_read_without_harm(
        kind in 0..4usize,
        steps in twin::steps(),
        flips in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        cut in 0..9usize,
    ) {
        let (is_float, starts) = kind_of(ENCODINGS[kind]).unwrap();
        let (mut open, mut plain) = (HistogramChunk::begin(starts, is_float), Plain::default());
        for (i, step) in steps.iter().enumerate() {
            plain.step(step);
            let t = i as i64 * 15_000;
            if let Appended::NewChunk(next) = open.append(None, t, 0, &plain.histogram(step, is_float)).unwrap() {
                open = *next;
            }
        }
        let mut bytes = open.to_bytes();
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        goes_round(&Chunk { encoding: ENCODINGS[kind], data: bytes.into() })?;
    }
}
