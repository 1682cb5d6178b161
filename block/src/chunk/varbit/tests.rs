//! Numbers against the table of the format, bit by bit.

use proptest::prelude::*;

use super::*;
use crate::bits::tail;

/// The text of the bits that the format asks for.
fn slow(value: i64) -> String {
    if value == 0 {
        return "0".into();
    }
    for (class, bits) in CLASSES.into_iter().enumerate().skip(1) {
        let value = i128::from(value);
        let fits = bits == 64 || (value > -(1 << (bits - 1)) && value <= 1 << (bits - 1));
        if fits {
            let zero = if class < 8 { "0" } else { "" };
            let number = (0..bits).rev().map(|bit| if value >> bit & 1 == 1 { '1' } else { '0' });
            return "1".repeat(class) + zero + &number.collect::<String>();
        }
    }
    unreachable!("64 bits hold any")
}

fn written(put: impl FnOnce(&mut BitWriter<'_>)) -> (Vec<u8>, String) {
    let mut bytes = Vec::new();
    let mut writer = BitWriter { out: &mut bytes, word: 0, used: 0 };
    // Something to read before, as in every chunk.
    writer.put(0xA5A5_A5A5_A5A5_A5A5, 64);
    put(&mut writer);
    let (last, len) = tail(writer.word, writer.used);
    let used = writer.used as usize;
    let bits = (bytes.len() - 8) * 8 + used;
    bytes.extend_from_slice(&last[..len]);
    let text = bytes[8..].iter().map(|byte| format!("{byte:08b}")).collect::<String>();
    (bytes, text[..bits].to_owned())
}

fn numbers() -> impl Strategy<Value = i64> {
    // As many of every size, and those at the edges of the classes.
    let edges = (0..64u32, -2..=2i64).prop_map(|(bit, off)| (1i64 << bit).wrapping_add(off));
    prop_oneof![
        (any::<i64>(), 0..64u32).prop_map(|(n, shift)| n >> shift),
        edges.clone(),
        edges.prop_map(i64::wrapping_neg)
    ]
}

proptest! {
    #[test]
    fn numbers_are_written_as_the_format_asks_and_read_back(number in numbers()) {
        let (bytes, text) = written(|out| put_int(out, number));
        prop_assert_eq!(&text, &slow(number));
        let mut reader = BitReader::new(&bytes, 8);
        prop_assert_eq!(read_int(&mut reader), Some(number));
        prop_assert_eq!(reader.position(), 64 + text.len());
    }

    #[test]
    fn unsigned_numbers_are_written_in_the_smallest_class_and_read_back(number in numbers()) {
        let number = number.cast_unsigned();
        let (bytes, text) = written(|out| put_uint(out, number));
        let needed = 64 - number.leading_zeros();
        let class = CLASSES.iter().position(|&bits| bits >= needed).unwrap();
        let zero = if class < 8 { "0" } else { "" };
        let number_text = format!("{number:0width$b}", width = CLASSES[class] as usize);
        let digits = if class == 0 { String::new() } else { number_text };
        prop_assert_eq!(&text, &("1".repeat(class) + zero + &digits));
        let mut reader = BitReader::new(&bytes, 8);
        prop_assert_eq!(read_uint(&mut reader), Some(number));
        prop_assert_eq!(reader.position(), 64 + text.len());
    }

    #[test]
    fn a_number_that_is_cut_off_is_none(number in numbers(), cut in 1..9usize) {
        let (bytes, text) = written(|out| put_int(out, number));
        let cut = cut.min(bytes.len() - 8);
        let mut reader = BitReader::new(&bytes[..bytes.len() - cut], 8);
        prop_assert!(read_int(&mut reader).is_none(), "{}", text);
    }
}
