//! The coder of words against one that knows only bits, and bytes that were executed elsewhere.

use proptest::prelude::*;

use super::*;
use crate::chunk::xor::tests::slow::{Bits, Source};
use crate::chunk::xor::tests::{steps, values};

/// Time, start timestamp, bits of the value.
type Point = (i64, i64, u64);

/// Encodes and decodes bit by bit, straight from the description of the format.
mod slow {
    use super::{Bits, Point, STALE_NAN_BITS, Source};

    const CLASSES: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

    fn put_varint(bits: &mut Bits, value: i64) {
        bits.put_uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn put_int(bits: &mut Bits, value: i64) {
        if value == 0 {
            return bits.put(0, 1);
        }
        for (ones, n) in (1..).zip(CLASSES) {
            if value > -(1i64 << (n - 1)) && value <= 1i64 << (n - 1) {
                bits.put((1 << (ones + 1)) - 2, ones + 1);
                return bits.put(value as u64, n);
            }
        }
        bits.put(0xFF, 8);
        bits.put(value as u64, 64);
    }

    /// Puts a value that changed: `again` or `anew` first.
    fn put_window(
        bits: &mut Bits,
        xor: u64,
        window: &mut Option<(u32, u32)>,
        [again, anew]: [(u64, u32); 2],
    ) {
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        let (l, t) = match *window {
            Some((l, t)) if leading >= l && trailing >= t => {
                bits.put(again.0, again.1);
                (l, t)
            }
            _ => {
                bits.put(anew.0, anew.1);
                bits.put(leading.into(), 5);
                bits.put((64 - leading - trailing).into(), 6);
                (leading, trailing)
            }
        };
        *window = Some((l, t));
        bits.put(xor >> t, 64 - l - t);
    }

    pub(super) fn encode(samples: &[Point]) -> Vec<u8> {
        let mut bits = Bits::default();
        // Where start timestamps begin, and whether the first sample has one.
        let differs = |i: usize| i == 127 || samples[i].1 != samples[i - 1].1;
        let begin = (1..samples.len().min(128)).find(|&i| differs(i)).unwrap_or(0);
        let known = samples.first().is_some_and(|first| first.1 != 0);
        bits.put(samples.len() as u64, 16);
        bits.put(u64::from(known) << 7 | begin as u64, 8);
        let (mut base, mut window) = (0u64, None);
        for (i, &(t, start, v)) in samples.iter().enumerate() {
            let before = |back: usize| samples[i - back].0;
            let stale = v == STALE_NAN_BITS;
            if i == 0 {
                put_varint(&mut bits, t);
                bits.put(v, 64);
                if known {
                    put_varint(&mut bits, t.wrapping_sub(start));
                }
            } else {
                let delta = t.wrapping_sub(before(1));
                let mut full = true;
                if i == 1 {
                    bits.put_uvarint(delta as u64);
                } else {
                    let dod = delta.wrapping_sub(before(1).wrapping_sub(before(2)));
                    if dod == 0 {
                        full = false;
                        match v {
                            STALE_NAN_BITS => bits.put(0b11111, 5),
                            v if v == base => bits.put(0, 1),
                            v => {
                                bits.put(0b10, 2);
                                put_window(&mut bits, v ^ base, &mut window, [(0, 1), (1, 1)]);
                            }
                        }
                    } else if (-4096..4096).contains(&dod) {
                        bits.put(0b110, 3);
                        bits.put(dod as u64, 13);
                    } else if (-524_288..524_288).contains(&dod) {
                        bits.put(0b1110, 4);
                        bits.put(dod as u64, 20);
                    } else {
                        bits.put(0b11110, 5);
                        bits.put(dod as u64, 64);
                    }
                }
                if full {
                    match v {
                        STALE_NAN_BITS => bits.put(0b111, 3),
                        v if v == base => bits.put(0, 1),
                        v => put_window(&mut bits, v ^ base, &mut window, [(0b10, 2), (0b110, 3)]),
                    }
                }
                if begin != 0 && i >= begin {
                    let diff = before(1).wrapping_sub(start);
                    let last = if i == begin { 0 } else { before(2).wrapping_sub(samples[i - 1].1) };
                    put_int(&mut bits, diff.wrapping_sub(last));
                }
            }
            if !stale {
                base = v;
            }
        }
        bits.bytes()
    }

    struct Decoder {
        t: i64,
        delta: i64,
        start: i64,
        diff: i64,
        base: u64,
        leading: u64,
        trailing: u64,
    }

    fn varint(source: &mut Source<'_>) -> Option<i64> {
        let u = source.uvarint()?;
        Some((u >> 1) as i64 ^ -((u & 1) as i64))
    }

    /// How many ones come, at most `most`; the zero behind fewer is taken too.
    fn ones(source: &mut Source<'_>, most: u32) -> Option<u32> {
        for n in 0..most {
            if source.take(1)? == 0 {
                return Some(n);
            }
        }
        Some(most)
    }

    fn int(source: &mut Source<'_>) -> Option<i64> {
        Some(match ones(source, 8)? {
            0 => 0,
            8 => source.take(64)? as i64,
            class => {
                let n = CLASSES[class as usize - 1];
                let u = source.take(n)? as i64;
                if u > 1 << (n - 1) { u - (1 << n) } else { u }
            }
        })
    }

    impl Decoder {
        fn again(&mut self, source: &mut Source<'_>) -> Option<u64> {
            self.base ^= source.take((64 - self.leading - self.trailing) as u32)? << self.trailing;
            Some(self.base)
        }

        fn anew(&mut self, source: &mut Source<'_>) -> Option<u64> {
            self.leading = source.take(5)?;
            let significant = match source.take(6)? {
                0 => 64,
                n => n,
            };
            self.trailing = 64u64.checked_sub(self.leading + significant)?;
            self.again(source)
        }

        fn full(&mut self, source: &mut Source<'_>) -> Option<u64> {
            match ones(source, 3)? {
                0 => Some(self.base),
                1 => self.again(source),
                2 => self.anew(source),
                _ => Some(STALE_NAN_BITS),
            }
        }

        fn sample(&mut self, source: &mut Source<'_>, i: u16, starts: u64) -> Option<Point> {
            let before = self.t;
            let v = if i == 0 {
                self.t = varint(source)?;
                let v = source.take(64)?;
                if v != STALE_NAN_BITS {
                    self.base = v;
                }
                if starts & 0x80 != 0 {
                    self.start = self.t.wrapping_sub(varint(source)?);
                }
                v
            } else {
                let mut short = None;
                if i == 1 {
                    self.delta = source.uvarint()? as i64;
                } else {
                    let class = ones(source, 5)?;
                    let dod = match class {
                        2 => (source.take(13)? << 51) as i64 >> 51,
                        3 => (source.take(20)? << 44) as i64 >> 44,
                        4 => source.take(64)? as i64,
                        _ => 0,
                    };
                    self.delta = self.delta.wrapping_add(dod);
                    short = match class {
                        0 => Some(self.base),
                        1 if source.take(1)? == 0 => Some(self.again(source)?),
                        1 => Some(self.anew(source)?),
                        5 => Some(STALE_NAN_BITS),
                        _ => None,
                    };
                }
                self.t = self.t.wrapping_add(self.delta);
                match short {
                    Some(v) => v,
                    None => self.full(source)?,
                }
            };
            let begin = starts & 0x7F;
            if begin != 0 && u64::from(i) >= begin {
                let number = int(source)?;
                self.diff = if u64::from(i) == begin { number } else { self.diff.wrapping_add(number) };
                self.start = before.wrapping_sub(self.diff);
            }
            Some((self.t, self.start, v))
        }
    }

    /// The samples that can be read, and whether that is all that the header promises.
    pub(super) fn decode(chunk: &[u8]) -> (Vec<Point>, bool) {
        let mut samples = Vec::new();
        let mut source = Source(chunk, 0);
        let (Some(total), Some(starts)) = (source.take(16), source.take(8)) else { return (samples, false) };
        let mut state = Decoder { t: 0, delta: 0, start: 0, diff: 0, base: 0, leading: 0, trailing: 0 };
        for i in 0..total as u16 {
            match state.sample(&mut source, i, starts) {
                Some(sample) => samples.push(sample),
                None => return (samples, false),
            }
        }
        (samples, true)
    }
}

fn encode(samples: &[Point]) -> Vec<u8> {
    let mut appender = Xor2Appender::new();
    let mut bytes = Vec::new();
    for &(t, start, v) in samples {
        assert!(appender.append(&mut bytes, t, start, f64::from_bits(v)));
        assert_eq!((appender.last_time(), appender.last_start(), appender.last_value_bits()), (t, start, v));
    }
    let chunk = appender.finish(&bytes);
    assert_eq!(chunk.len(), appender.byte_len(bytes.len()));
    chunk
}

fn decode(chunk: &[u8]) -> (Vec<Point>, bool) {
    let mut samples = Vec::new();
    let Ok(mut iter) = Xor2Iter::new(chunk) else { return (samples, false) };
    loop {
        let left = iter.remaining();
        match iter.next() {
            Ok(Some((t, start, v))) => samples.push((t, start, v.to_bits())),
            Ok(None) => {
                assert_eq!(left, 0);
                return (samples, true);
            }
            Err(Error::Corrupt(corrupt)) => {
                assert!(corrupt.offset <= chunk.len() as u64 + 10);
                assert!(iter.remaining() == 0 && matches!(iter.next(), Ok(None)), "ends after an error");
                return (samples, false);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Start timestamps as a step from the last one: most series have none, or one for long.
fn starts() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        40 => Just(None),
        1 => (0..100_000i64).prop_map(Some),
        1 => Just(Some(0)),
        1 => any::<i64>().prop_map(Some),
    ]
}

fn samples() -> impl Strategy<Value = Vec<Point>> {
    let steps = (steps(), starts(), values(), any::<bool>());
    let begin = (any::<i64>(), prop_oneof![Just(0i64), 1..9i64], any::<bool>());
    (begin, proptest::collection::vec(steps, 0..200)).prop_map(|((first, start, follow), steps)| {
        let (mut t, mut start, mut last) = (first, start, 0);
        let step = |(step, new_start, value, keep): (i64, Option<i64>, u64, bool)| {
            // Some counters begin anew at every sample, one interval before it.
            start = match new_start {
                Some(new) => new,
                None if follow => t,
                None => start,
            };
            t = t.wrapping_add(step);
            last = if keep { last } else { value };
            (t, start, last)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #[test]
    fn words_and_bits_write_the_same(samples in samples()) {
        let chunk = encode(&samples);
        prop_assert_eq!(&chunk, &slow::encode(&samples));
        prop_assert_eq!(decode(&chunk), (samples, true));
    }

    #[test]
    fn words_and_bits_read_the_same(samples in samples(), cut in any::<u16>(), flip in any::<Option<u16>>()) {
        let mut chunk = encode(&samples);
        chunk.truncate(chunk.len() - usize::from(cut) % chunk.len().min(12));
        if let (Some(bit), false) = (flip.map(usize::from), chunk.is_empty()) {
            let at = bit / 8 % chunk.len();
            chunk[at] ^= 1 << (bit % 8);
        }
        prop_assert_eq!(decode(&chunk), slow::decode(&chunk));
    }

    #[test]
    fn any_bytes_read_the_same(chunk in any::<Vec<u8>>()) {
        prop_assert_eq!(decode(&chunk), slow::decode(&chunk));
    }

    #[test]
    fn appending_goes_on_after_reading_back(samples in samples(), at in any::<u8>(), garbage in any::<u8>()) {
        let at = usize::from(at).min(samples.len());
        let mut chunk = encode(&samples[..at]);
        chunk.extend_from_slice(&vec![0xAA; usize::from(garbage % 3)]);
        let (mut appender, mut bytes) = Xor2Appender::resume(&chunk).unwrap();
        prop_assert_eq!(usize::from(appender.num_samples()), at);
        for &(t, start, v) in &samples[at..] {
            prop_assert!(appender.append(&mut bytes, t, start, f64::from_bits(v)));
        }
        let chunk = appender.finish(&bytes);
        prop_assert_eq!(slow::decode(&chunk), (samples, true));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|c| u8::from_str_radix(&c.iter().collect::<String>(), 16).unwrap()).collect()
}

#[test]
fn bytes_that_prometheus_wrote() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    let plain = [(1000, 1.0), (2000, 1.0), (3000, 2.0), (4010, 2.0), (5000, stale), (200_000, 3.5)];
    let plain: Vec<Point> = plain.iter().map(|&(t, v)| (t, 0, v.to_bits())).collect();
    let whole = "0006 00 d00f 3ff0000000000000 e807 5097fff0029bfd9f8bd76b302c";
    assert_eq!(encode(&plain), hex(whole));
    assert_eq!(encode(&plain[..5]), hex("0005 00 d00f 3ff0000000000000 e807 5097fff0029bfd9c"));

    let begun = [(1000, 500, 1.0f64), (2000, 500, 2.0), (3000, 2500, 3.0), (4000, 2500, 3.0)];
    let begun = begun.map(|(t, start, v)| (t, start, v.to_bits()));
    assert_eq!(encode(&begun), hex("0004 82 d00f 3ff0000000000000 e807 e807c12fffd603f7063c7d00"));

    let ended = [(1000, stale), (2000, 1.0), (3000, stale), (4000, 1.0)].map(|(t, v)| (t, 0, v.to_bits()));
    assert_eq!(encode(&ended), hex("0004 00 d00f 7ff0000000000002 e807 c22bfff8"));
}

#[test]
fn start_timestamps_begin_with_the_128th_sample_at_the_latest() {
    let samples: Vec<Point> = (0..130).map(|t| (t, 0, 0)).collect();
    for (n, starts) in [(127, 0), (128, 0x7F), (130, 0x7F)] {
        let chunk = encode(&samples[..n]);
        assert_eq!(chunk[2], starts, "{n} samples");
        assert_eq!(decode(&chunk), (samples[..n].to_vec(), true));
    }
}

/// No writer leaves such chunks, but they can be read.
#[test]
fn a_chunk_that_begun_start_timestamps_too_late_takes_none() {
    let samples: Vec<Point> = (0..200).map(|t| (t, 0, 0)).collect();
    // The same chunk without start timestamps: behind the 127th sample there is a bit less in each.
    let mut bits = Bits::default();
    bits.put(200, 16);
    bits.put(0, 8);
    bits.put(0, 8);
    bits.put(0, 64);
    bits.put_uvarint(1);
    (1..200).for_each(|_| bits.put(0, 1));
    assert_eq!(decode(&bits.bytes()), (samples, true));
    let (mut appender, mut bytes) = Xor2Appender::resume(&bits.bytes()).unwrap();
    assert!(!appender.append(&mut bytes, 200, 7, 0.0));
    assert!(appender.append(&mut bytes, 200, 0, 0.0));
    assert_eq!(decode(&appender.finish(&bytes)).0.len(), 201);

    // One that promises a beginning which no sample reaches.
    let mut early = encode(&[(0, 0, 0), (1, 0, 0)]);
    early[2] = 5;
    let (mut appender, mut bytes) = Xor2Appender::resume(&early).unwrap();
    for t in 2..9 {
        assert!(appender.append(&mut bytes, t, t - 1, 0.0));
    }
    let samples: Vec<Point> = (0..9).map(|t| (t, if t < 2 { 0 } else { t - 1 }, 0)).collect();
    assert_eq!(decode(&appender.finish(&bytes)), (samples, true));
}

#[test]
fn the_count_has_an_end() {
    let mut appender = Xor2Appender::new();
    let mut bytes = Vec::new();
    for t in 0..65_535 {
        assert!(appender.append(&mut bytes, t, 0, 1.0));
    }
    let before = bytes.len();
    assert!(!appender.append(&mut bytes, 65_535, 0, 1.0));
    assert_eq!((appender.num_samples(), bytes.len()), (65_535, before));
    assert_eq!(decode(&appender.finish(&bytes)).0.len(), 65_535);
}
