//! Remote write bodies, built field by field: what a sender sends, and what none should.

use sarsen_block::codec::put_uvarint;

/// A length-delimited field.
pub(crate) fn field(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_uvarint(out, (number << 3) | 2);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A label message.
pub(crate) fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !name.is_empty() {
        field(&mut out, 1, name);
    }
    if !value.is_empty() {
        field(&mut out, 2, value);
    }
    out
}

/// A sample message; zeros are left out, as Prometheus' encoder does.
pub(crate) fn sample(t: i64, bits: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if f64::from_bits(bits) != 0.0 {
        out.push(0x09);
        out.extend(bits.to_le_bytes());
    }
    if t != 0 {
        out.push(0x10);
        put_uvarint(&mut out, t as u64);
    }
    out
}

/// A series message of version 1.0.
pub(crate) fn series<N: AsRef<[u8]>, V: AsRef<[u8]>>(labels: &[(N, V)], samples: &[(i64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        field(&mut out, 1, &label(name.as_ref(), value.as_ref()));
    }
    for (t, bits) in samples {
        field(&mut out, 2, &sample(*t, *bits));
    }
    out
}

/// A whole request of such series, not compressed.
pub(crate) fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        field(&mut out, 1, one);
    }
    out
}

/// A snappy block.
pub(crate) fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

/// An S2 block with repeated offsets, which plain snappy does not have: runs that repeat what lies `distance` back.
pub(crate) fn s2(plain: &[u8], distance: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, plain.len() as u64);
    let mut at = 0;
    let mut last_offset = 0;
    while at < plain.len() {
        let same = if at < distance {
            0
        } else {
            plain[at..].iter().zip(&plain[at - distance..]).take_while(|(a, b)| a == b).count()
        };
        if same >= 4 {
            let length = same.min(60);
            if last_offset == distance && length >= 8 {
                // A repeat with one byte of length.
                out.extend([(5 << 2) | 1, 0, (length - 8) as u8]);
            } else {
                out.push((((length - 1) as u8) << 2) | 2);
                out.extend((distance as u16).to_le_bytes());
            }
            last_offset = distance;
            at += length;
        } else {
            out.extend([0, plain[at]]);
            at += 1;
        }
    }
    out
}
