//! Any bytes as a chunk of floats, of histograms, and as a chunk file: nothing panics, and what decodes encodes back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_block::{
    Appended, Chunk, ChunkFileWalk, ChunkRef, Encoding, HistogramChunk, HistogramIter, ResetHint, Sample,
    TimeRange, TimedChunk, Value, Xor2Appender, Xor2Iter, XorAppender, XorIter, decode_chunks, read_chunk,
    record_len,
};

fuzz_target!(|data: &[u8]| {
    xor(data);
    xor2(data);
    histograms(data);
    file(data);
});

fn read(chunk: &[u8]) -> (Vec<(i64, u64)>, bool) {
    let mut samples = Vec::new();
    let Ok(mut iter) = XorIter::new(chunk) else { return (samples, false) };
    loop {
        match iter.next() {
            Ok(Some((t, v))) => samples.push((t, v.to_bits())),
            Ok(None) => return (samples, true),
            Err(_) => {
                assert!(matches!(iter.next(), Ok(None)), "an iterator ends after its error");
                return (samples, false);
            }
        }
    }
}

fn xor(data: &[u8]) {
    let (samples, sound) = read(data);
    let mut appender = XorAppender::new();
    let mut bytes = Vec::new();
    for &(t, v) in &samples {
        assert!(appender.append(&mut bytes, t, f64::from_bits(v)));
    }
    let again = appender.finish(&bytes);
    assert_eq!(again.len(), appender.byte_len(bytes.len()));
    assert_eq!(read(&again), (samples.clone(), true));

    match XorAppender::resume(data) {
        Ok((resumed, bytes)) => {
            assert!(sound);
            assert_eq!(read(&resumed.finish(&bytes)), (samples, true));
        }
        Err(_) => assert!(!sound),
    }

    let timed = TimedChunk { range: TimeRange::ALL, chunk: Chunk::xor(data.to_vec()) };
    if let Ok(decoded) = decode_chunks(&[timed.clone(), timed], TimeRange::new(-1_000_000, i64::MAX)) {
        assert!(decoded.windows(2).all(|pair| pair[0].t < pair[1].t));
    }
}

fn read2(chunk: &[u8]) -> (Vec<(i64, i64, u64)>, bool) {
    let mut samples = Vec::new();
    let Ok(mut iter) = Xor2Iter::new(chunk) else { return (samples, false) };
    loop {
        match iter.next() {
            Ok(Some((t, start, v))) => samples.push((t, start, v.to_bits())),
            Ok(None) => return (samples, true),
            Err(_) => {
                assert!(matches!(iter.next(), Ok(None)), "an iterator ends after its error");
                return (samples, false);
            }
        }
    }
}

fn xor2(data: &[u8]) {
    let (samples, sound) = read2(data);
    let mut appender = Xor2Appender::new();
    let mut bytes = Vec::new();
    for &(t, start, v) in &samples {
        assert!(appender.append(&mut bytes, t, start, f64::from_bits(v)));
    }
    let again = appender.finish(&bytes);
    assert_eq!(again.len(), appender.byte_len(bytes.len()));
    assert_eq!(read2(&again), (samples.clone(), true));

    match Xor2Appender::resume(data) {
        Ok((resumed, bytes)) => {
            assert!(sound);
            assert_eq!(read2(&resumed.finish(&bytes)), (samples, true));
        }
        Err(_) => assert!(!sound),
    }
}

/// The first samples of a chunk of histograms, without what depends on the chunk: the hint, and the sign of a zero in the layout.
fn read_histograms(chunk: &Chunk) -> Vec<Sample> {
    let mut samples = Vec::new();
    let Ok(mut iter) = HistogramIter::new(&chunk.data, chunk.encoding) else { return samples };
    // A few bytes can stand for very many histograms.
    while samples.len() < 300 {
        match iter.next() {
            Ok(Some(mut sample)) => {
                let Value::Histogram(histogram) = &mut sample.value else { panic!("a float") };
                if histogram.hint != ResetHint::Gauge {
                    histogram.hint = ResetHint::Unknown;
                }
                histogram.zero_threshold += 0.0;
                histogram.custom_values.iter_mut().for_each(|bound| *bound += 0.0);
                samples.push(sample);
            }
            Ok(None) => break,
            Err(_) => {
                assert!(matches!(iter.next(), Ok(None)), "an iterator ends after its error");
                break;
            }
        }
    }
    samples
}

fn histograms(data: &[u8]) {
    use Encoding::{FloatHistogram, FloatHistogramSt, Histogram, HistogramSt};
    for encoding in [Histogram, FloatHistogram, HistogramSt, FloatHistogramSt] {
        let chunk = Chunk { encoding, data: data.to_vec().into() };
        let samples = read_histograms(&chunk);
        let with_starts = matches!(encoding, HistogramSt | FloatHistogramSt);
        let is_float = matches!(encoding, FloatHistogram | FloatHistogramSt);
        let mut open = HistogramChunk::begin(with_starts, is_float);
        let mut again = Vec::new();
        for sample in &samples {
            let Value::Histogram(histogram) = &sample.value else { panic!("a float") };
            match open.append(None, sample.t, sample.start, histogram).unwrap() {
                Appended::Appended => {}
                Appended::Recoded => panic!("one layout needs no other"),
                Appended::NewChunk(next) => {
                    again.extend(read_histograms(&std::mem::replace(&mut open, *next).to_chunk()));
                }
            }
        }
        again.extend(read_histograms(&open.to_chunk()));
        assert_eq!(open.len(), open.to_bytes().len());
        assert_eq!(again, samples);
        if let Ok(mut resumed) = HistogramChunk::resume(&chunk) {
            assert_eq!(resumed.num_samples(), chunk.num_samples().unwrap());
            let _ = resumed.append(None, 1, 2, &sarsen_block::Histogram::stale(is_float)).unwrap();
        }
    }
}

fn file(data: &[u8]) {
    let all = bytes::Bytes::copy_from_slice(data);
    let Ok(mut walk) = ChunkFileWalk::new(data, 3) else { return };
    loop {
        let offset = walk.offset();
        match walk.next() {
            Ok(Some((at, chunk))) => {
                assert_eq!(u64::from(at.offset()), offset);
                let rest = all.slice(offset as usize..);
                assert_eq!(read_chunk(&rest, at).unwrap(), chunk);
                assert_eq!(record_len(&rest, at).unwrap(), walk.offset() - offset);
                let _ = chunk.num_samples();
            }
            Ok(None) => return,
            Err(_) if walk.offset() == offset => assert!(matches!(walk.next(), Ok(None))),
            Err(_) => {
                assert!(read_chunk(&all.slice(offset as usize..), ChunkRef::new(3, offset as u32)).is_err())
            }
        }
    }
}
