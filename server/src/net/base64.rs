//! Bytes from base 64 without padding, in whatever alphabet its writer uses.

/// The alphabet of RFC 4648.
pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes `text`; `None` at a character outside the alphabet. Bits that fill no byte are dropped.
pub(super) fn decode(text: &str, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for c in text.bytes() {
        let value = alphabet.iter().position(|known| *known == c)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_vectors_of_the_rfc() {
        for (text, plain) in [("", ""), ("Zg", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode(text, STANDARD).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(decode("Zg==", STANDARD), None);
    }
}
