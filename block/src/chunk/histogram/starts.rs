//! Start timestamps in histogram chunks: when the counter behind a sample began.
//!
//! The first start is written as its distance from its sample's time. As long as the starts stay the same nothing more is
//! written. From the sample at which they first change, and in any case from sample 127 on, each has its distance from
//! the time of the sample before: the first as it is, the others as difference to the distance before.

use crate::bits::{BitReader, BitWriter};
use crate::chunk::varbit;
use crate::time::Timestamp;

/// The last sample that can be the first with a start of its own: seven bits hold its number.
const LATEST_CHANGE: u16 = 127;

/// Says in the header that the first start is known.
const FIRST_KNOWN: u8 = 0x80;

/// The start of the last sample, and what is kept to write or read the next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Starts {
    start: Timestamp,
    distance: i64,
    /// The first sample with a start of its own, counted from 0; 0 if there is none.
    change: u8,
    first_known: bool,
}

impl Starts {
    /// As the byte in the header of the chunk says.
    pub(super) const fn from_byte(byte: u8) -> Self {
        Self { start: 0, distance: 0, change: byte & 0x7F, first_known: byte & FIRST_KNOWN != 0 }
    }

    /// The byte in the header of the chunk.
    pub(super) const fn byte(self) -> u8 {
        self.change | if self.first_known { FIRST_KNOWN } else { 0 }
    }

    /// The start of the last sample, 0 if it is not known.
    pub(super) const fn last(self) -> Timestamp {
        self.start
    }

    /// After reading a chunk of `count` samples that is written on: a change that none of them reached is none.
    pub(super) fn resumed(mut self, count: u16) -> Self {
        if u16::from(self.change) >= count {
            self.change = 0;
        }
        self
    }

    /// Whether sample `index` can have this start. It cannot if the first change would come too late, which only a foreign writer can
    /// have brought about.
    pub(super) const fn can_put(self, index: u16, start: Timestamp) -> bool {
        self.change != 0 || index <= LATEST_CHANGE || start == self.start
    }

    /// Writes the start of sample `index`, which [can have it](Self::can_put), at `t`, which follows one at `before`.
    pub(super) fn put(
        &mut self,
        out: &mut BitWriter<'_>,
        index: u16,
        [before, t]: [Timestamp; 2],
        start: Timestamp,
    ) {
        if index == 0 {
            if start != 0 {
                out.put_varint(t.wrapping_sub(start));
                self.first_known = true;
            }
        } else if self.change != 0 {
            let distance = before.wrapping_sub(start);
            varbit::put_int(out, distance.wrapping_sub(self.distance));
            self.distance = distance;
        } else if start != self.start || index == LATEST_CHANGE {
            self.change = index as u8;
            self.distance = before.wrapping_sub(start);
            varbit::put_int(out, self.distance);
        }
        self.start = start;
    }

    /// Reads the start of sample `index` at `t`, which follows one at `before`.
    pub(super) fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        index: u16,
        [before, t]: [Timestamp; 2],
    ) -> Option<()> {
        let change = u16::from(self.change);
        if index == 0 {
            if self.first_known {
                self.start = t.wrapping_sub(read_varint(bits)?);
            }
        } else if change != 0 && index >= change {
            let number = varbit::read_int(bits)?;
            self.distance = if index == change { number } else { self.distance.wrapping_add(number) };
            self.start = before.wrapping_sub(self.distance);
        }
        Some(())
    }
}

/// A zig-zag LEB128 number at the present bit.
fn read_varint(bits: &mut BitReader<'_>) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = bits.take(bits.peek(), 0, 56)?;
        number |= (byte & 0x7F) << shift;
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            let sound = shift < 63 || byte <= 1;
            return sound.then_some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}
