//! A column of whole numbers whose differences repeat: series ids, timestamps.
//!
//! The column is the run-length coded list of its differences (the first against 0, all wrapping). A token is
//! `uvarint(zigzag(difference) << 1)` for one, `uvarint(zigzag(difference) << 1 | 1) uvarint(n)` for a run of n >= 2,
//! and `01 00 u64le` for one difference that needs more than 62 bits. One scrape has one timestamp: a token for all.

use sarsen_block::codec::{Reader, put_uvarint};

use crate::error::Error;

const LARGEST: u64 = (1 << 62) - 1;

/// Collects a column.
#[derive(Debug, Default)]
pub(super) struct RunsEncoder {
    last: i64,
    difference: i64,
    run: u64,
    out: Vec<u8>,
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

impl RunsEncoder {
    #[inline]
    pub(super) fn push(&mut self, value: i64) {
        let difference = value.wrapping_sub(self.last);
        self.last = value;
        if difference == self.difference {
            self.run += 1;
        } else {
            self.put_run();
            self.difference = difference;
            self.run = 1;
        }
    }

    #[inline]
    fn put_run(&mut self) {
        let coded = zigzag(self.difference);
        match self.run {
            0 => {}
            1 if coded < 64 => self.out.push((coded << 1) as u8),
            1 if coded <= LARGEST => put_uvarint(&mut self.out, coded << 1),
            run if coded <= LARGEST => {
                put_uvarint(&mut self.out, (coded << 1) | 1);
                put_uvarint(&mut self.out, run);
            }
            run => self.put_large(run),
        }
    }

    /// Differences of this size come from nonsense input only; they are spelled out one by one.
    #[cold]
    fn put_large(&mut self, run: u64) {
        for _ in 0..run {
            self.out.extend_from_slice(&[1, 0]);
            self.out.extend_from_slice(&self.difference.to_le_bytes());
        }
    }

    /// The column's bytes. Nothing may be pushed after this before [`clear`](Self::clear).
    pub(super) fn finish(&mut self) -> &[u8] {
        self.put_run();
        self.run = 0;
        &self.out
    }

    pub(super) fn clear(&mut self) {
        self.last = 0;
        self.difference = 0;
        self.run = 0;
        self.out.clear();
    }

    pub(super) fn capacity(&self) -> usize {
        self.out.capacity()
    }
}

/// Reads a column.
#[derive(Debug, Clone)]
pub(super) struct Runs<'a> {
    reader: Reader<'a>,
    last: i64,
    difference: i64,
    left: u64,
}

impl<'a> Runs<'a> {
    pub(super) const fn new(reader: Reader<'a>) -> Self {
        Self { reader, last: 0, difference: 0, left: 0 }
    }

    /// The next number. The caller knows how many there are.
    #[inline]
    pub(super) fn next(&mut self) -> Result<i64, Error> {
        if self.left == 0 {
            self.read_token()?;
        }
        self.left -= 1;
        self.last = self.last.wrapping_add(self.difference);
        Ok(self.last)
    }

    fn read_token(&mut self) -> Result<(), Error> {
        let token = self.reader.uvarint("difference")?;
        self.difference = unzigzag(token >> 1);
        self.left = 1;
        if token & 1 == 1 {
            self.left = self.reader.uvarint("length of a run")?;
            if self.left == 0 {
                let bytes = self.reader.take(8, "large difference")?;
                self.difference = bytes.try_into().map_or(0, i64::from_le_bytes);
                self.left = 1;
            }
        }
        Ok(())
    }

    /// Refuses a run that reaches behind the last number, and bytes left over.
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.left > 0 {
            return Err(self.reader.corrupt(format!("a run reaches {} numbers too far", self.left)).into());
        }
        Ok(self.reader.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut encoder = RunsEncoder::default();
        for value in values {
            encoder.push(*value);
        }
        let bytes = encoder.finish().to_vec();
        let mut runs = Runs::new(Reader::new("runs", &bytes));
        for value in values {
            assert_eq!(runs.next().unwrap(), *value);
        }
        runs.finish().unwrap();
        bytes.len()
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(values: Vec<i64>) {
            round_trip(&values);
        }

        #[test]
        fn runs_come_back(parts in prop::collection::vec((any::<i64>(), 1usize..5), 0..20)) {
            let values: Vec<i64> = parts
                .iter()
                .flat_map(|(step, count)| std::iter::repeat_n(*step, *count))
                .scan(0i64, |sum, step| { *sum = sum.wrapping_add(step); Some(*sum) })
                .collect();
            round_trip(&values);
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let mut runs = Runs::new(Reader::new("runs", &bytes));
            for _ in 0..100 {
                if runs.next().is_err() { break; }
            }
        }
    }

    #[test]
    fn a_scrape_is_one_time_and_rising_ids() {
        assert_eq!(round_trip(&[1_700_000_000_000; 2000]), 7 + 1 + 2);
        assert_eq!(round_trip(&(5..2005).collect::<Vec<_>>()), 1 + 1 + 2);
    }
}
