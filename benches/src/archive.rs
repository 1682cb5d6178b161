//! A bucket as a store gateway finds it after half a year: raw blocks of the last days, aggregates of the weeks and months before.
//!
//! What a compactor would have made is made at once: older blocks begin as samples that are only as dense as their aggregates need, and
//! those samples are thrown away. [`small_blocks`] makes very many blocks with very little in each, for the time that a start takes.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::Context;
use sarsen_block::{BlockId, Timestamp};
use sarsen_downsample::{DownsampleOptions, Resolution, downsample_both};

use crate::block_folder::BlockFolder;
use crate::blocks::Shipper;
use crate::fleet::Fleet;
use crate::server::folder_bytes;

const MINUTE: Timestamp = 60_000;
const HOUR: Timestamp = 60 * MINUTE;
const DAY: Timestamp = 24 * HOUR;
/// How long a pod keeps its name.
const LIFE: Timestamp = 7 * DAY;

/// A bucket to be made. Everything in it lies before [`ArchivePlan::END`].
#[derive(Clone, Copy, Debug)]
pub struct ArchivePlan {
    /// Tenants; each has all blocks for itself.
    pub tenants: u64,
    /// Series of a tenant at a time.
    pub series: u64,
    /// Days of raw samples, in blocks of two hours.
    pub raw: i64,
    /// Days of five-minute aggregates, in blocks of two days.
    pub fine: i64,
    /// Days of one-hour aggregates, in blocks of fourteen days.
    pub coarse: i64,
    /// Whether targets have a classic histogram.
    pub buckets: bool,
}

/// What a bucket was made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Archive {
    /// Blocks.
    pub blocks: u64,
    /// Series of all blocks, each counted in every block that has it.
    pub series: u64,
    /// Bytes of all blocks.
    pub bytes: u64,
}

impl ArchivePlan {
    /// The millisecond after all samples, a multiple of every length of blocks.
    pub const END: Timestamp = 1_704_067_200_000 / (14 * DAY) * (14 * DAY);

    /// Where `fine` and `coarse` blocks begin, whole blocks counted back from the end.
    fn start(days: i64, length: Timestamp) -> Timestamp {
        Self::END - (days * DAY + length - 1) / length * length
    }

    /// Fills a folder, two tenants at a time.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make(&self, folder: &Path) -> anyhow::Result<Archive> {
        let sum = Mutex::new(Archive::default());
        let next = Mutex::new(0..self.tenants);
        let work = || -> anyhow::Result<()> {
            loop {
                let tenant = next.lock().ok().and_then(|mut next| next.next());
                let Some(tenant) = tenant else { return Ok(()) };
                let made = self.tenant(folder, tenant)?;
                if let Ok(mut sum) = sum.lock() {
                    sum.blocks += made.blocks;
                    sum.series += made.series;
                }
            }
        };
        thread::scope(|scope| {
            let other = scope.spawn(work);
            work()?;
            other.join().ok().context("a thread that fills the bucket has failed")?
        })?;
        let sum = sum.into_inner().ok().context("a thread that fills the bucket has failed")?;
        Ok(Archive { bytes: folder_bytes(folder), ..sum })
    }

    /// What a tenant is sent, at this interval.
    pub fn fleet(&self, tenant: u64, interval: Timestamp) -> Fleet {
        let start = Self::start(self.coarse.max(self.fine).max(self.raw), 14 * DAY);
        let churn_rounds = u64::try_from(LIFE / interval).unwrap_or(0);
        let steady = Fleet::steady(self.series, start);
        Fleet { interval, churn_rounds, seed: tenant + 1, buckets: self.buckets, ..steady }
    }

    fn shipper(&self, tenant: u64, interval: Timestamp) -> Shipper {
        let name = format!("tenant-{tenant}");
        let labels = [("replica", "r0"), ("tenant_id", name.as_str())];
        Shipper::new(self.fleet(tenant, interval), &labels, tenant)
    }

    fn tenant(&self, folder: &Path, tenant: u64) -> anyhow::Result<Archive> {
        let mut made = Archive::default();
        let raw = self.shipper(tenant, MINUTE);
        for meta in raw.ship_all(folder, Self::END - self.raw * DAY..Self::END, 2 * HOUR)? {
            made.blocks += 1;
            made.series += meta.stats.num_series;
        }
        let coarser = [
            (Resolution::FiveMinutes, self.shipper(tenant, 5 * MINUTE), self.fine, 2 * DAY),
            (Resolution::OneHour, self.shipper(tenant, 15 * MINUTE), self.coarse, 14 * DAY),
        ];
        for (resolution, shipper, days, length) in coarser {
            let mut start = Self::start(days, length);
            while start < Self::END {
                let series = coarse_block(folder, &shipper, start..start + length, resolution)?;
                made.blocks += 1;
                made.series += series;
                start += length;
            }
        }
        Ok(made)
    }
}

/// One block of aggregates; how many series it has.
fn coarse_block(
    folder: &Path,
    shipper: &Shipper,
    range: std::ops::Range<Timestamp>,
    keep: Resolution,
) -> anyhow::Result<u64> {
    let scratch = folder.with_extension(format!("scratch-{}", shipper.seed));
    fs::create_dir_all(&scratch)?;
    let meta = shipper.ship(&scratch, range.clone())?.context("a block without a sample")?;
    let block = BlockFolder::open(&scratch.join(meta.id.to_string()))?;
    let number = u128::from(shipper.seed) << 64 | u128::from(range.start.cast_unsigned());
    let ids = [1, 2].map(|part| BlockId::from_parts(range.end.cast_unsigned(), number << 2 | part));
    let sink = |number: usize, to: &Path| -> anyhow::Result<BlockFolder> {
        BlockFolder::new(&to.join(ids.get(number).copied().unwrap_or_default().to_string()))
    };
    let place = |resolution| if keep == resolution { folder } else { &scratch };
    let [first, second] = ids;
    let fine =
        (sink(0, place(Resolution::FiveMinutes))?, DownsampleOptions::new(first, Resolution::FiveMinutes));
    let coarse = (sink(1, place(Resolution::OneHour))?, DownsampleOptions::new(second, Resolution::OneHour));
    let mut series = 0;
    for made in downsample_both(&block, fine, coarse)? {
        let thanos = made.meta.thanos.clone().unwrap_or_default();
        if thanos.resolution == keep.ms() {
            series = made.written.stats.num_series;
        }
        made.written.sink.complete(made.meta, thanos, made.written.segments)?;
    }
    fs::remove_dir_all(&scratch)?;
    Ok(series)
}

/// Fills a folder with `count` blocks of two hours, the series of one target in each.
///
/// # Errors
/// What the disk says.
pub fn small_blocks(folder: &Path, count: u64) -> anyhow::Result<()> {
    let per_tenant = 1000;
    for tenant in 0..count.div_ceil(per_tenant) {
        let blocks = i64::try_from(per_tenant.min(count - tenant * per_tenant))?;
        let start = ArchivePlan::END - blocks * 2 * HOUR;
        let fleet = Fleet { interval: 30 * MINUTE, seed: tenant, ..Fleet::steady(50, start) };
        let name = format!("tenant-{tenant}");
        let shipper = Shipper::new(fleet, &[("replica", "r0"), ("tenant_id", name.as_str())], tenant);
        shipper.ship_all(folder, start..ArchivePlan::END, 2 * HOUR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compaction::blocks_left;

    #[test]
    fn a_small_archive_has_every_resolution() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = folder.path().join("bucket");
        let plan = ArchivePlan { tenants: 2, series: 50, raw: 1, fine: 4, coarse: 28, buckets: true };
        let made = plan.make(&bucket).unwrap();
        let left = blocks_left(&bucket).unwrap();
        let of = |resolution| left.iter().filter(|block| block.resolution == resolution).count();
        assert_eq!((of(0), of(300_000), of(3_600_000)), (24, 4, 4));
        assert_eq!((made.blocks, made.series), (32, left.iter().map(|block| block.series).sum()));
        assert!(left.iter().all(|block| block.end <= ArchivePlan::END));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn small_blocks_are_as_many_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        small_blocks(folder.path(), 1003).unwrap();
        assert_eq!(blocks_left(folder.path()).unwrap().len(), 1003);
    }
}
