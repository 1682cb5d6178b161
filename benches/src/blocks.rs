//! A fleet written down as blocks, as its receivers bring them into a bucket: no server and no log between.
//!
//! A [`Shipper`] stands for one receiver: it has external labels and is away now and then. Its blocks are those that a
//! receiver would have cut, with the meta of an uploaded block, in a folder that a bucket of type FILESYSTEM can have. What
//! is in them is computed again by whoever wants to compare: [`Shipper::series`] is the plain model of a block. Of a block,
//! the labels of its series and the samples of one series are in memory at a time.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

use sarsen_block::{
    BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Counts, EncodeOptions, Histogram, Labels, Sample,
    Span, ThanosMeta, TimeRange, Timestamp, UploadTime, encode_chunks,
};

use crate::block_folder::BlockFolder;
use crate::fleet::{Fleet, Life, hash};

/// What one receiver brings into a bucket.
#[derive(Clone, Debug)]
pub struct Shipper {
    /// What it is sent.
    pub fleet: Fleet,
    /// Its external labels; at least one, or no compactor takes its blocks.
    pub labels: BTreeMap<String, String>,
    /// Times at which it took nothing, the ends open.
    pub away: Vec<Range<Timestamp>>,
    /// Whether every tenth series, a counter, comes as native histograms of so many observations.
    pub histograms: bool,
    /// Chance for the ids of its blocks; receivers that write into one bucket have different ones.
    pub seed: u64,
}

impl Shipper {
    /// A receiver that is never away.
    pub fn new(fleet: Fleet, labels: &[(&str, &str)], seed: u64) -> Self {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { fleet, labels, away: Vec::new(), histograms: false, seed }
    }

    /// The series with samples within `range`, whose end is open, by their labels, rising.
    pub fn series(&self, range: Range<Timestamp>) -> impl Iterator<Item = (Labels, Vec<Sample>)> {
        let lives = self.fleet.lives(self.fleet.rounds_within(&range));
        lives.into_iter().filter_map(move |life| {
            let samples = self.samples(&life, &range);
            (!samples.is_empty()).then_some((life.labels, samples))
        })
    }

    /// What it took of a series within `range`.
    fn samples(&self, life: &Life, range: &Range<Timestamp>) -> Vec<Sample> {
        let within = |away: &&Range<Timestamp>| away.start < range.end && range.start < away.end;
        let away: Vec<_> = self.away.iter().filter(within).collect();
        let sent = life.rounds.clone().filter_map(|round| self.fleet.sample(life.series, round));
        let taken = sent.filter(|(t, _)| range.contains(t) && !away.iter().any(|away| away.contains(t)));
        let histogram = self.histograms && life.series.is_multiple_of(10);
        let sample = |(t, value): (Timestamp, f64)| match histogram {
            true => Sample::histogram(t, observed(value as u64)),
            false => Sample::float(t, value),
        };
        taken.map(sample).collect()
    }

    /// Writes the block of `range`, whose end is open, below `bucket`; nothing if there is no sample. The block's id is of half a
    /// block's length after its end, when a receiver cuts it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn ship(&self, bucket: &Path, range: Range<Timestamp>) -> anyhow::Result<Option<BlockMeta>> {
        let lives = self.fleet.lives(self.fleet.rounds_within(&range));
        let cut = range.end + (range.end - range.start) / 2;
        let chance = hash(self.seed, range.start.cast_unsigned(), range.end.cast_unsigned());
        let id = BlockId::from_parts(u64::try_from(cut).unwrap_or(0), u128::from(chance));
        let folder = bucket.join(id.to_string());
        let sink = BlockFolder::new(&folder)?;
        let mut writer = BlockWriter::new(sink, BlockWriterOptions::default(), symbols(&lives))?;
        for life in &lives {
            let samples = self.samples(life, &range);
            writer.add(life.labels.as_ref(), &encode_chunks(&samples, EncodeOptions::default())?)?;
        }
        let written = writer.finish()?;
        if written.stats.num_samples == 0 {
            fs::remove_dir_all(&folder)?;
            return Ok(None);
        }
        let meta = BlockMeta::fresh(id, TimeRange::new(range.start, range.end - 1), written.stats);
        let thanos = ThanosMeta {
            version: 1,
            labels: self.labels.clone(),
            source: "receive".to_owned(),
            index_stats: written.index_stats,
            upload_time: UploadTime::from_unix_ms(cut),
            ..ThanosMeta::default()
        };
        let meta = written.sink.complete(meta, thanos, written.segments)?;
        Ok(Some(meta))
    }

    /// Writes the blocks of `range` that are `length` long and begin at its multiples.
    ///
    /// # Errors
    /// What the disk says.
    pub fn ship_all(
        &self,
        bucket: &Path,
        range: Range<Timestamp>,
        length: Timestamp,
    ) -> anyhow::Result<Vec<BlockMeta>> {
        let mut metas = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = (start.div_euclid(length) + 1) * length;
            metas.extend(self.ship(bucket, start..end.min(range.end))?);
            start = end;
        }
        Ok(metas)
    }
}

/// A histogram of so many observations: a seventh of them zero, the others in two buckets.
fn observed(count: u64) -> Histogram {
    let whole = |part: u64| i64::try_from(part).unwrap_or(i64::MAX);
    let zero = count / 7;
    let (low, all) = (whole(count / 3), whole(count - zero));
    Histogram {
        sum: count as f64 * 0.5,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        counts: Counts::Integer {
            count,
            zero,
            // The second bucket holds what is left, and is noted as the difference to the first.
            positive: vec![low, all - 2 * low],
            negative: Vec::new(),
        },
        ..Histogram::default()
    }
}

/// All names and values, rising, each once.
fn symbols(lives: &[Life]) -> Vec<Vec<u8>> {
    let mut known: HashSet<&[u8]> = HashSet::new();
    for life in lives {
        known.extend(life.labels.iter().flat_map(|(name, value)| [name, value]));
    }
    let mut symbols: Vec<_> = known.into_iter().map(<[u8]>::to_vec).collect();
    symbols.sort_unstable();
    symbols
}

#[cfg(test)]
mod tests {
    use sarsen_block::{Decode, SampleSet, verify};

    use super::*;

    const HOUR: Timestamp = 3_600_000;

    #[test]
    fn blocks_hold_what_the_model_says() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet {
            churn_rounds: 50,
            gaps_per_mille: 20,
            interval: 60_000,
            ..Fleet::steady(100, 1_700_000_000_000)
        };
        let start = fleet.start / (2 * HOUR) * 2 * HOUR;
        let mut shipper = Shipper::new(fleet, &[("tenant_id", "a")], 7);
        shipper.away.push(start + 3 * HOUR..start + 3 * HOUR + 1_200_000);
        let metas = shipper.ship_all(folder.path(), start..start + 6 * HOUR, 2 * HOUR).unwrap();
        assert_eq!(metas.len(), 3);
        for meta in &metas {
            let block = BlockFolder::open(&folder.path().join(meta.id.to_string())).unwrap();
            assert_eq!(block.meta(), meta);
            assert!(verify(&block).is_sound());
            let mut found = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
            for (labels, samples) in shipper.series(meta.min_time..meta.max_time) {
                let series = found.next().unwrap().unwrap();
                assert_eq!((series.labels, series.samples), (labels, samples));
            }
            assert!(found.next().unwrap().is_none());
        }
        let missed = shipper.series(start + 3 * HOUR..start + 3 * HOUR + 1_200_000).count();
        assert_eq!(missed, 0);
    }
}
