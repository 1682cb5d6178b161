//! A remote write 1.0 body: consecutive rounds of consecutive series, snappy-compressed.

use std::ops::Range;

use sarsen_block::codec::{put_uvarint, uvarint_len};
use snap::raw::Encoder;

use crate::fleet::Fleet;

/// Builds bodies one after the other and keeps what it needs for that.
pub struct RequestWriter {
    snappy: Encoder,
    plain: Vec<u8>,
    labels: Vec<u8>,
    samples: Vec<u8>,
}

impl Default for RequestWriter {
    fn default() -> Self {
        Self { snappy: Encoder::new(), plain: Vec::new(), labels: Vec::new(), samples: Vec::new() }
    }
}

impl std::fmt::Debug for RequestWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestWriter").finish_non_exhaustive()
    }
}

impl RequestWriter {
    /// The compressed body, and how many samples it carries. A series without a sample in these rounds is left out; one
    /// whose target restarts within them stands under each of its names.
    ///
    /// # Errors
    /// If the body is beyond the 4 GiB that snappy can frame.
    pub fn body(
        &mut self,
        fleet: &Fleet,
        series: Range<u64>,
        rounds: Range<u64>,
    ) -> Result<(Vec<u8>, u64), snap::Error> {
        self.plain.clear();
        let mut count = 0;
        for number in series {
            let mut round = rounds.start;
            while round < rounds.end {
                let life = fleet.same_labels(number, round..rounds.end);
                count += self.put_series(fleet, number, life.clone());
                round = life.end;
            }
        }
        Ok((self.snappy.compress_vec(&self.plain)?, count))
    }

    fn put_series(&mut self, fleet: &Fleet, series: u64, rounds: Range<u64>) -> u64 {
        self.samples.clear();
        let mut count = 0;
        for (time, value) in rounds.clone().filter_map(|round| fleet.sample(series, round)) {
            let time = time.cast_unsigned();
            self.samples.push(0x12);
            put_uvarint(&mut self.samples, (10 + uvarint_len(time)) as u64);
            self.samples.push(0x09);
            self.samples.extend_from_slice(&value.to_le_bytes());
            self.samples.push(0x10);
            put_uvarint(&mut self.samples, time);
            count += 1;
        }
        if count > 0 {
            self.labels.clear();
            fleet.put_labels(series, rounds.start, &mut self.labels);
            self.plain.push(0x0A);
            put_uvarint(&mut self.plain, (self.labels.len() + self.samples.len()) as u64);
            self.plain.extend_from_slice(&self.labels);
            self.plain.extend_from_slice(&self.samples);
        }
        count
    }
}

/// One body, for a test or a bench that needs no more.
///
/// # Errors
/// If the body is beyond the 4 GiB that snappy can frame.
pub fn body(fleet: &Fleet, series: Range<u64>, rounds: Range<u64>) -> Result<Vec<u8>, snap::Error> {
    Ok(RequestWriter::default().body(fleet, series, rounds)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_every_series_with_its_samples() {
        let fleet = Fleet { churn_rounds: 4, ..Fleet::steady(100, 1_700_000_000_000) };
        let (body, count) = RequestWriter::default().body(&fleet, 10..60, 2..9).unwrap();
        assert_eq!(count, 50 * 7);
        let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let labels = fleet.labels(10, 2);
        let labels = labels.as_ref().as_bytes();
        assert!(plain.windows(labels.len()).any(|window| window == labels));
        assert_eq!(plain[0], 0x0A);
    }
}
