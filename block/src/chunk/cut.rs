//! When a head closes a chunk and opens the next.
//!
//! The rules are those of Prometheus' head, so that our blocks hold the same chunks as its blocks: a float chunk ends at 1005
//! bytes, at the end of a block range, and at a time foreseen after a quarter of the 120 samples aimed at so that the
//! chunks of a range come out equally long. A histogram chunk aims at 1024 bytes, with ten samples or more.
//! Pure arithmetic; who owns the chunk does the cutting.

use crate::chunk::{HistogramChunk, Xor2Appender, XorAppender};
use crate::time::Timestamp;

/// Samples that a chunk aims at; twice as many are the most it gets.
const TARGET_SAMPLES: u16 = 120;

/// A chunk of more bytes takes no further sample: one of at most 19 bytes might pass 1024.
const MAX_BYTES: usize = 1024 - 19;

/// When the open chunk of a series ends. One for every open chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCut {
    start: Timestamp,
    end: Timestamp,
}

const _: () = assert!(size_of::<ChunkCut>() == 16, "the head keeps one for every series");

impl ChunkCut {
    /// For a chunk whose first sample is at `t`, in blocks that begin at multiples of `block_range` milliseconds (which must
    /// be positive; anything else counts as 1).
    #[must_use]
    pub fn begin(t: Timestamp, block_range: i64) -> Self {
        Self { start: t, end: range_end(t, block_range) }
    }

    /// The state that [`start`](Self::start) and [`end`](Self::end) tell of.
    #[must_use]
    pub const fn resume(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// The chunk takes no sample from here on, as far as is known by now.
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Time of the first sample of the chunk.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// Whether a sample at `t` belongs into a new chunk. To be asked once before every append after the first: the answer after
    /// 30 samples moves the end. `written` is how many bytes `appender` has written so far.
    #[inline]
    pub fn is_due(&mut self, t: Timestamp, appender: &XorAppender, written: usize) -> bool {
        self.ends_before(t, appender.byte_len(written), appender.num_samples(), appender.last_time())
    }

    /// The same for a XOR2 chunk.
    pub fn is_due_xor2(&mut self, t: Timestamp, appender: &Xor2Appender, written: usize) -> bool {
        self.ends_before(t, appender.byte_len(written), appender.num_samples(), appender.last_time())
    }

    #[inline]
    fn ends_before(&mut self, t: Timestamp, bytes: usize, samples: u16, last: Timestamp) -> bool {
        if bytes > MAX_BYTES {
            return true;
        }
        if samples == TARGET_SAMPLES / 4 {
            self.end = self.foreseen_end(last);
        }
        t >= self.end || samples >= 2 * TARGET_SAMPLES
    }

    /// The end that lets chunks of equal length fill the time up to the present end, if the series goes on as it did
    /// for the quarter of a chunk up to `current`.
    fn foreseen_end(&self, current: Timestamp) -> Timestamp {
        foreseen_end(self.start, current, self.end, 4.0)
    }
}

/// Bytes that a histogram chunk aims at; at twice as many it ends whatever was foreseen.
const TARGET_BYTES: usize = 1024;

/// A histogram chunk gets so many samples within its block range, however long they are.
const LEAST_HISTOGRAMS: u16 = 10;

/// When the open histogram chunk of a series ends. One for every open chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramCut {
    start: Timestamp,
    end: Timestamp,
    range_end: Timestamp,
    foreseen: bool,
}

impl HistogramCut {
    /// For a chunk whose first sample is at `t`, in blocks that begin at multiples of `block_range` milliseconds (which must
    /// be positive; anything else counts as 1).
    #[must_use]
    pub fn begin(t: Timestamp, block_range: i64) -> Self {
        let range_end = range_end(t, block_range);
        Self { start: t, end: range_end, range_end, foreseen: false }
    }

    /// The state that [`start`](Self::start), [`end`](Self::end) and [`is_foreseen`](Self::is_foreseen) tell of.
    #[must_use]
    pub fn resume(start: Timestamp, end: Timestamp, foreseen: bool, block_range: i64) -> Self {
        Self { end, foreseen, ..Self::begin(start, block_range) }
    }

    /// The time from which on the chunk takes no more samples, as it is known now, if it has enough.
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Whether the end is the one that was foreseen from the first bytes of the chunk.
    pub const fn is_foreseen(&self) -> bool {
        self.foreseen
    }

    /// For a chunk that appending to the present one opened ([`Appended::NewChunk`](crate::Appended::NewChunk)). Prometheus does
    /// not foresee the end of such a chunk if it did that of the one before.
    #[must_use]
    pub fn begin_forced(&self, t: Timestamp, block_range: i64) -> Self {
        Self { foreseen: self.foreseen, ..Self::begin(t, block_range) }
    }

    /// Time of the first sample of the chunk.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// Whether a sample at `t` belongs into a new chunk. To be asked once before every append after the first: the first
    /// answer after 256 bytes moves the end.
    pub fn is_due(&mut self, t: Timestamp, chunk: &HistogramChunk) -> bool {
        let bytes = chunk.len();
        if !self.foreseen && bytes >= TARGET_BYTES / 4 {
            let part = TARGET_BYTES as f64 / bytes as f64;
            self.end = foreseen_end(self.start, chunk.last_time(), self.end, part);
            self.foreseen = true;
        }
        (t >= self.end || bytes >= 2 * TARGET_BYTES)
            && (chunk.num_samples() >= LEAST_HISTOGRAMS || t >= self.range_end)
    }
}

/// The end of the block that a sample at `t` lies in. Division truncates, also before the epoch.
fn range_end(t: Timestamp, block_range: i64) -> Timestamp {
    let range = block_range.max(1);
    (t / range * range).saturating_add(range)
}

/// The end that lets chunks of equal length fill the time from `start` to `end`, if the series goes on as it did up to `current`,
/// when the chunk was one of `parts` full.
fn foreseen_end(start: Timestamp, current: Timestamp, end: Timestamp, parts: f64) -> Timestamp {
    let left = end.saturating_sub(start) as f64;
    let so_far = current.saturating_sub(start).saturating_add(1) as f64;
    let chunks = left / (so_far * parts);
    if chunks <= 1.0 { end } else { (start as f64 + left / chunks.floor()) as Timestamp }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_HOURS: i64 = 7_200_000;

    /// Sample counts of the chunks that a series of `values` every `step` milliseconds from `start` falls into.
    fn cut(start: i64, step: i64, values: impl IntoIterator<Item = f64>) -> Vec<u16> {
        let mut counts = Vec::new();
        let mut open: Option<(XorAppender, Vec<u8>, ChunkCut)> = None;
        for (t, value) in (start..).step_by(step as usize).zip(values) {
            if let Some((appender, bytes, cut)) = &mut open {
                if !cut.is_due(t, appender, bytes.len()) {
                    appender.append(bytes, t, value);
                    continue;
                }
                counts.push(appender.num_samples());
            }
            let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
            appender.append(&mut bytes, t, value);
            open = Some((appender, bytes, ChunkCut::begin(t, TWO_HOURS)));
        }
        counts.extend(open.map(|(appender, ..)| appender.num_samples()));
        counts
    }

    #[test]
    fn every_15_seconds_gives_four_chunks_of_120() {
        assert_eq!(cut(0, 15_000, vec![1.0; 481]), [120, 120, 120, 120, 1]);
    }

    #[test]
    fn every_7_seconds_gives_chunks_of_equal_length() {
        let counts = cut(0, 7_000, vec![1.0; 1029]);
        assert!(counts.len() == 8 && counts.iter().all(|n| (127..=129).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_chunk_ends_with_the_block_range() {
        assert_eq!(cut(TWO_HOURS - 30_000, 15_000, vec![1.0; 3]), [2, 1]);
        assert_eq!(cut(-15_000, 15_000, vec![1.0; 3]), [3], "division of negative times truncates");
    }

    #[test]
    fn hard_values_end_at_1005_bytes() {
        let mut state = 1u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            f64::from_bits(state)
        });
        let counts = cut(0, 15_000, random.take(480));
        assert!(counts.len() == 5 && counts[1..4].iter().all(|&n| n < 120), "{counts:?}");
    }

    #[test]
    fn a_series_that_speeds_up_ends_at_240() {
        let mut cut = ChunkCut::begin(0, TWO_HOURS);
        let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
        let mut t = 0;
        appender.append(&mut bytes, t, 1.0);
        while !cut.is_due(t + 1, &appender, bytes.len()) {
            t += if appender.num_samples() < 30 { 60_000 } else { 1 };
            appender.append(&mut bytes, t, 1.0);
        }
        assert_eq!(appender.num_samples(), 240);
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        assert_eq!(ChunkCut::begin(i64::MAX, TWO_HOURS).end, i64::MAX);
        let cut = ChunkCut { start: i64::MIN, end: i64::MAX };
        assert_eq!(cut.foreseen_end(i64::MAX), i64::MAX);
        let cut = ChunkCut::begin(i64::MIN, 0);
        assert!(cut.end > cut.start);
    }
}
