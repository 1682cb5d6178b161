//! Natural order of texts: numbers within them by their value. It is the order of the library that Prometheus uses (facette/natsort), with its
//! habit of saying that either of `01` and `1` precedes the other.

/// Whether `a` comes before `b`.
pub(crate) fn precedes(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (a, b);
    while let Some((left, a_rest)) = chunk(a) {
        let Some((right, b_rest)) = chunk(b) else { return false };
        let decided = match (number(left), number(right)) {
            (Some(x), Some(y)) if x != y => Some(x < y),
            (Some(_), Some(_)) => None,
            _ if left != right => Some(left < right),
            _ => None,
        };
        match decided {
            Some(before) => return before,
            None if a_rest.is_empty() => return true,
            None if b_rest.is_empty() => return false,
            None => (a, b) = (a_rest, b_rest),
        }
    }
    false
}

/// A run of digits, or of other bytes, and the rest.
fn chunk(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.first()?.is_ascii_digit();
    let length = text.iter().take_while(|byte| byte.is_ascii_digit() == digits).count();
    text.split_at_checked(length)
}

/// The value of digits, unless it is too large for 64 bits.
fn number(chunk: &[u8]) -> Option<i64> {
    std::str::from_utf8(chunk).ok().filter(|text| !text.starts_with(['+', '-']))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::precedes;

    #[test]
    fn numbers_count_by_value() {
        let rising = [
            ("a2", "a10"),
            ("1", "1a"),
            ("a", "a1"),
            ("1.2.3", "1.10.0"),
            ("9", "10"),
            ("9a9", "10"),
            ("a", "b"),
            ("1", "a"),
            // Too large for a number: compared as text.
            ("99999999999999999998", "99999999999999999999"),
            ("10", "99999999999999999999"),
            ("100000000000000000000", "9"),
        ];
        for (a, b) in rising {
            assert!(precedes(a.as_bytes(), b.as_bytes()), "{a} {b}");
            assert!(!precedes(b.as_bytes(), a.as_bytes()), "{b} {a}");
        }
        assert!(precedes(b"01", b"1") && precedes(b"1", b"01"));
        assert!(!precedes(b"", b"a") && !precedes(b"a", b"") && precedes(b"a", b"a"));
        assert!(!precedes(b"+5", b"+4") && precedes(b"+4", b"+5"));
    }
}
