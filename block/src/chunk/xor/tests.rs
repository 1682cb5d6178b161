//! The coder of words against one that knows only bits, and bytes that were executed elsewhere.

use proptest::prelude::*;

use super::*;
use crate::sample::STALE_NAN_BITS;

/// Encodes and decodes bit by bit, straight from the description of the format.
pub(in crate::chunk) mod slow {
    /// Bits, first one first.
    #[derive(Default)]
    pub(in crate::chunk) struct Bits(Vec<bool>);

    impl Bits {
        pub(in crate::chunk) fn put(&mut self, value: u64, count: u32) {
            for bit in (0..count).rev() {
                self.0.push(value >> bit & 1 == 1);
            }
        }

        pub(in crate::chunk) fn put_uvarint(&mut self, mut value: u64) {
            while value >= 0x80 {
                self.put(value & 0x7F | 0x80, 8);
                value >>= 7;
            }
            self.put(value, 8);
        }

        pub(in crate::chunk) fn bytes(&self) -> Vec<u8> {
            let byte =
                |bits: &[bool]| bits.iter().enumerate().fold(0, |b, (i, &bit)| b | u8::from(bit) << (7 - i));
            self.0.chunks(8).map(byte).collect()
        }

        fn put_dod(&mut self, dod: i64) {
            if dod == 0 {
                return self.put(0, 1);
            }
            for (ones, bits) in [(1, 14), (2, 17), (3, 20)] {
                let half = 1i64 << (bits - 1);
                if dod > -half && dod <= half {
                    self.put((1 << (ones + 1)) - 2, ones + 1);
                    return self.put(dod as u64, bits);
                }
            }
            self.put(0b1111, 4);
            self.put(dod as u64, 64);
        }
    }

    pub(super) fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(samples.len() as u64, 16);
        let mut window = None;
        let (mut last_t, mut last_delta, mut last_v) = (0i64, 0i64, 0u64);
        for (i, &(t, v)) in samples.iter().enumerate() {
            let delta = t.wrapping_sub(last_t);
            match i {
                0 => bits.put_uvarint(((t << 1) ^ (t >> 63)) as u64),
                1 => bits.put_uvarint(delta as u64),
                _ => bits.put_dod(delta.wrapping_sub(last_delta)),
            }
            let xor = v ^ last_v;
            if i == 0 {
                bits.put(v, 64);
            } else if xor == 0 {
                bits.put(0, 1);
            } else {
                let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
                let (l, t) = match window {
                    Some((l, t)) if leading >= l && trailing >= t => {
                        bits.put(0b10, 2);
                        (l, t)
                    }
                    _ => {
                        bits.put(0b11, 2);
                        bits.put(leading.into(), 5);
                        bits.put((64 - leading - trailing).into(), 6);
                        (leading, trailing)
                    }
                };
                window = Some((l, t));
                bits.put(xor >> t, 64 - l - t);
            }
            (last_t, last_delta, last_v) = (t, delta, v);
        }
        bits.bytes()
    }

    pub(in crate::chunk) struct Source<'a>(pub(in crate::chunk) &'a [u8], pub(in crate::chunk) usize);

    impl Source<'_> {
        pub(in crate::chunk) fn take(&mut self, count: u32) -> Option<u64> {
            let mut value = 0;
            for _ in 0..count {
                let byte = self.0.get(self.1 / 8)?;
                value = value << 1 | u64::from(byte >> (7 - self.1 % 8) & 1);
                self.1 += 1;
            }
            Some(value)
        }

        pub(in crate::chunk) fn uvarint(&mut self) -> Option<u64> {
            let mut value = 0;
            for i in 0..10 {
                let byte = self.take(8)?;
                if i == 9 && byte > 1 {
                    return None;
                }
                value |= (byte & 0x7F) << (7 * i);
                if byte < 0x80 {
                    return Some(value);
                }
            }
            None
        }

        fn dod(&mut self) -> Option<i64> {
            if self.take(1)? == 0 {
                return Some(0);
            }
            for bits in [14, 17, 20] {
                if self.take(1)? == 0 {
                    let u = self.take(bits)? as i64;
                    return Some(if u > 1 << (bits - 1) { u - (1 << bits) } else { u });
                }
            }
            self.take(64).map(|u| u as i64)
        }
    }

    /// The samples that can be read, and whether that is all that the header promises.
    pub(super) fn decode(chunk: &[u8]) -> (Vec<(i64, u64)>, bool) {
        let mut samples = Vec::new();
        let mut source = Source(chunk, 0);
        let Some(total) = source.take(16) else { return (samples, false) };
        let (mut t, mut delta, mut v, mut leading, mut trailing) = (0i64, 0i64, 0u64, 0, 0);
        for i in 0..total {
            let step = (|| {
                match i {
                    0 => {
                        let u = source.uvarint()?;
                        t = (u >> 1) as i64 ^ -((u & 1) as i64);
                        v = source.take(64)?;
                        return Some(());
                    }
                    1 => delta = source.uvarint()? as i64,
                    _ => delta = delta.wrapping_add(source.dod()?),
                }
                t = t.wrapping_add(delta);
                if source.take(1)? == 1 {
                    if source.take(1)? == 1 {
                        leading = source.take(5)?;
                        let significant = match source.take(6)? {
                            0 => 64,
                            n => n,
                        };
                        trailing = 64u64.checked_sub(leading + significant)?;
                    }
                    v ^= source.take((64 - leading - trailing) as u32)? << trailing;
                }
                Some(())
            })();
            if step.is_none() {
                return (samples, false);
            }
            samples.push((t, v));
        }
        (samples, true)
    }
}

fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    let mut bytes = Vec::new();
    for &(t, v) in samples {
        assert!(appender.append(&mut bytes, t, f64::from_bits(v)));
        assert_eq!((appender.last_time(), appender.last_value_bits()), (t, v));
    }
    let chunk = appender.finish(&bytes);
    assert_eq!(chunk.len(), appender.byte_len(bytes.len()));
    chunk
}

fn decode(chunk: &[u8]) -> (Vec<(i64, u64)>, bool) {
    let mut samples = Vec::new();
    let Ok(mut iter) = XorIter::new(chunk) else { return (samples, false) };
    loop {
        match iter.next() {
            Ok(Some((t, v))) => samples.push((t, v.to_bits())),
            Ok(None) => return (samples, true),
            Err(Error::Corrupt(corrupt)) => {
                assert!(corrupt.offset <= chunk.len() as u64 + 10);
                assert!(matches!(iter.next(), Ok(None)), "ends after an error");
                return (samples, false);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

pub(in crate::chunk) fn values() -> impl Strategy<Value = u64> {
    let special = [0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324];
    prop_oneof![
        any::<u64>(),
        (0..1000u32).prop_map(|n| f64::from(n).to_bits()),
        (0..100_000u32).prop_map(|n| (f64::from(n) / 100.0).to_bits()),
        proptest::sample::select(special.map(f64::to_bits).to_vec()),
        (0..4u64).prop_map(|payload| STALE_NAN_BITS + payload),
        any::<(u8, u8)>().prop_map(|(a, b)| 1 << (a % 64) | 1 << (b % 64)),
    ]
}

/// Steps of time, so that every class of difference and its borders are met; wrapping.
pub(in crate::chunk) fn steps() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(15_000i64),
        2 => 14_990..15_010i64,
        2 => any::<(i8, u8)>().prop_map(|(near, bits)| (1i64 << (bits % 64)).wrapping_add(near.into())),
        2 => any::<(i8, u8)>().prop_map(|(near, bits)| (-1i64 << (bits % 64)).wrapping_add(near.into())),
        1 => any::<i64>(),
    ]
}

fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let steps = (steps(), values(), any::<bool>());
    (any::<i64>(), proptest::collection::vec(steps, 0..200)).prop_map(|(start, steps)| {
        let (mut t, mut last) = (start, 0);
        let step = |(step, value, keep)| {
            t = t.wrapping_add(step);
            last = if keep { last } else { value };
            (t, last)
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
        let (mut appender, mut bytes) = XorAppender::resume(&chunk).unwrap();
        prop_assert_eq!(usize::from(appender.num_samples()), at);
        for &(t, v) in &samples[at..] {
            appender.append(&mut bytes, t, f64::from_bits(v));
        }
        let chunk = appender.finish(&bytes);
        prop_assert_eq!(slow::decode(&chunk), (samples, true));
    }
}

/// The samples of facts 9.1, and the stream after the header for each number of them.
#[test]
fn bytes_that_prometheus_wrote() {
    let samples = [
        (1000, 1.0),
        (2000, 1.0),
        (3000, 2.0),
        (4010, 2.0),
        (5000, f64::from_bits(STALE_NAN_BITS)),
        (200_000, 3.5),
    ];
    let head: [u8; 10] = [0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
    let streams: [&[u8]; 6] = [
        &[],
        &[0xe8, 0x07, 0x00],
        &[0xe8, 0x07, 0x30, 0x97, 0xff, 0xc0],
        &[0xe8, 0x07, 0x30, 0x97, 0xff, 0xe0, 0x02, 0x80],
        &[0xe8, 0x07, 0x30, 0x97, 0xff, 0xe0, 0x02, 0x97, 0xfd, 0x98, 0xbd, 0xff, 0xc0, 0, 0, 0, 0, 0, 8],
        &[
            0xe8, 0x07, 0x30, 0x97, 0xff, 0xe0, 0x02, 0x97, 0xfd, 0x98, 0xbd, 0xff, 0xc0, 0, 0, 0, 0, 0,
            0x0f, 0x17, 0xae, 0xd5, 0xff, 0xe0, 0, 0, 0, 0, 0, 0x10,
        ],
    ];
    let samples: Vec<_> = samples.iter().map(|&(t, v): &(i64, f64)| (t, v.to_bits())).collect();
    for (n, stream) in (1u8..).zip(streams) {
        let expected = [&[0, n], &head[..], stream].concat();
        assert_eq!(encode(&samples[..n.into()]), expected, "{n} samples");
    }
}

#[test]
fn a_chunk_resumed_without_a_window_writes_all_64_bits() {
    let (mut appender, mut bytes) =
        XorAppender::resume(&encode(&[(1000, 1.0f64.to_bits()), (2000, 1.0f64.to_bits())])).unwrap();
    appender.append(&mut bytes, 3000, 2.0);
    let chunk = appender.finish(&bytes);
    assert_eq!(chunk[12..], [0xe8, 0x07, 0x27, 0xff, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_count_has_an_end() {
    let mut appender = XorAppender::new();
    let mut bytes = Vec::new();
    for t in 0..65_535 {
        assert!(appender.append(&mut bytes, t, 1.0));
    }
    let before = bytes.len();
    assert!(!appender.append(&mut bytes, 65_535, 1.0));
    assert_eq!((appender.num_samples(), bytes.len()), (65_535, before));
    assert_eq!(decode(&appender.finish(&bytes)).0.len(), 65_535);
}
