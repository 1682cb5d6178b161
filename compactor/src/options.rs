//! Settings as plain data, with Thanos' defaults, and a check.
//!
//! Times are in milliseconds, sizes in bytes. Nothing here is read from a file or the environment; who reads files gives
//! [`Options`] whole, and may give others from round to round.

use std::collections::BTreeMap;

use sarsen_block::{Matcher, TimeRange};
use sarsen_bucket::Selector;
use sarsen_downsample::Resolution;

use crate::error::Error;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How the compactor works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ranges of time into which blocks grow, rising. The first is never a target: blocks of its size are what comes in.
    pub ranges: Vec<i64>,
    /// Only blocks with room in this closed range are looked at.
    pub time: TimeRange,
    /// Which blocks are looked at, by their external labels; all if there is none.
    pub selector: Option<Selector>,
    /// Whether blocks without external labels are worked on, as those of a local database are. Otherwise they are left out: in a
    /// bucket of many nobody knows whose they are.
    pub unlabelled: bool,
    /// External labels that tell replicas apart. They are taken off, so that replicas meet in one group and become one.
    pub replica_labels: Vec<String>,
    /// Whether replicas are merged as such: of samples that are close together only one replica's are kept. Otherwise samples with
    /// equal times are merged and all others stay.
    pub penalty: bool,
    /// How long an upload has to rest before it is looked at. What compactors made is exempt.
    pub consistency_delay_ms: i64,
    /// How long after its mark a block is removed.
    pub delete_delay_ms: i64,
    /// For how long a half block must not have changed to be removed.
    pub partial_delay_ms: i64,
    /// An index larger than this can not be written: what would exceed 85 % of it is not merged.
    pub max_index_bytes: u64,
    /// Whether downsampled blocks that overlap are merged. If not, they are marked as not to be compacted, as Thanos does.
    pub merge_coarse: bool,
    /// Whether blocks are downsampled, and kept until they are.
    pub downsampling: bool,
    /// How long blocks are kept.
    pub retention: Retention,
    /// Other retentions for some external labels; the first that applies counts.
    pub overrides: Vec<RetentionOverride>,
    /// Merges under way at the same time.
    pub concurrency: usize,
    /// Downsamplings under way at the same time.
    pub downsample_concurrency: usize,
    /// Memory that all work together may take, in bytes.
    pub memory_bytes: u64,
    /// Room in the scratch folder that all work together may take, in bytes.
    pub disk_bytes: u64,
    /// Whether `meta.json` gets a SHA256 of each file.
    pub hashes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ranges: vec![HOUR, 2 * HOUR, 8 * HOUR, 2 * DAY, 14 * DAY],
            time: TimeRange::ALL,
            selector: None,
            unlabelled: false,
            replica_labels: Vec::new(),
            penalty: false,
            consistency_delay_ms: 30 * MINUTE,
            delete_delay_ms: 2 * DAY,
            partial_delay_ms: 2 * DAY,
            max_index_bytes: 64 << 30,
            merge_coarse: true,
            downsampling: true,
            retention: Retention::FOREVER,
            overrides: Vec::new(),
            concurrency: 1,
            downsample_concurrency: 1,
            memory_bytes: 512 << 20,
            disk_bytes: 8 << 30,
            hashes: false,
        }
    }
}

/// How long blocks of each resolution are kept after the last of their range, in milliseconds; 0 keeps them for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Raw data.
    pub raw_ms: i64,
    /// Aggregates over five minutes.
    pub five_minutes_ms: i64,
    /// Aggregates over an hour.
    pub one_hour_ms: i64,
}

impl Retention {
    /// Nothing is ever too old.
    pub const FOREVER: Self = Self { raw_ms: 0, five_minutes_ms: 0, one_hour_ms: 0 };

    /// Of one resolution.
    pub const fn of(&self, resolution: Resolution) -> i64 {
        match resolution {
            Resolution::Raw => self.raw_ms,
            Resolution::FiveMinutes => self.five_minutes_ms,
            Resolution::OneHour => self.one_hour_ms,
        }
    }
}

/// Another retention for the blocks of some external labels.
#[derive(Debug, Clone)]
pub struct RetentionOverride {
    /// All of these must hold for the external labels of a block, as they are after replica labels were taken off.
    pub matchers: Vec<Matcher>,
    /// For each resolution the retention in milliseconds, 0 for ever; `None` leaves the common one.
    pub raw_ms: Option<i64>,
    /// As above.
    pub five_minutes_ms: Option<i64>,
    /// As above.
    pub one_hour_ms: Option<i64>,
}

impl RetentionOverride {
    fn applies(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |matcher: &Matcher| {
            let name = std::str::from_utf8(matcher.name()).ok();
            name.and_then(|name| labels.get(name)).map_or(&[][..], |value| value.as_bytes())
        };
        self.matchers.iter().all(|matcher| matcher.matches(value(matcher)))
    }

    fn over(&self, common: Retention) -> Retention {
        Retention {
            raw_ms: self.raw_ms.unwrap_or(common.raw_ms),
            five_minutes_ms: self.five_minutes_ms.unwrap_or(common.five_minutes_ms),
            one_hour_ms: self.one_hour_ms.unwrap_or(common.one_hour_ms),
        }
    }
}

impl Options {
    /// How long blocks with these external labels are kept.
    pub fn retention_of(&self, labels: &BTreeMap<String, String>) -> Retention {
        let own = self.overrides.iter().find(|other| other.applies(labels));
        own.map_or(self.retention, |other| other.over(self.retention))
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    /// `Options` with the setting at fault. As with Thanos, a retention under which a block of the usual length is gone before it
    /// is old enough to be downsampled is refused.
    pub fn check(&self) -> Result<(), Error> {
        let rising = self.ranges.windows(2).all(|pair| pair[0] < pair[1]);
        if self.ranges.first().is_none_or(|first| *first <= 0) || !rising {
            return Err(Error::options("ranges", "must be above 0 and rise"));
        }
        let delays = [
            ("consistency_delay_ms", self.consistency_delay_ms),
            ("delete_delay_ms", self.delete_delay_ms),
            ("partial_delay_ms", self.partial_delay_ms),
        ];
        if let Some((name, delay)) = delays.into_iter().find(|(_, delay)| *delay < 0) {
            return Err(Error::options(name, format!("{delay} is below 0")));
        }
        if self.time.is_empty() {
            return Err(Error::options("time", "the range ends before it begins"));
        }
        if self.penalty && self.replica_labels.is_empty() {
            return Err(Error::options("penalty", "needs at least one replica label"));
        }
        if self.concurrency == 0 || self.downsample_concurrency == 0 {
            return Err(Error::options("concurrency", "must be at least 1"));
        }
        self.check_retention("retention", self.retention)?;
        for other in &self.overrides {
            self.check_retention("overrides", other.over(self.retention))?;
        }
        Ok(())
    }

    fn check_retention(&self, setting: &'static str, retention: Retention) -> Result<(), Error> {
        for resolution in Resolution::ALL {
            let kept = retention.of(resolution);
            if kept < 0 {
                return Err(Error::options(setting, format!("{kept} ms is below 0")));
            }
            let least = length_to_coarsen(resolution).filter(|_| self.downsampling).unwrap_or_default();
            if kept != 0 && kept < least {
                let (kept, least) = (kept / HOUR, least / HOUR);
                let why = format!("{kept} h is less than the {least} h after which blocks are downsampled");
                return Err(Error::options(setting, why));
            }
        }
        Ok(())
    }
}

/// How long a block of this resolution has to be to be downsampled in the usual course of things, in milliseconds; `None` for the
/// coarsest.
pub(crate) const fn length_to_coarsen(from: Resolution) -> Option<i64> {
    match from {
        Resolution::Raw => Some(40 * HOUR),
        Resolution::FiveMinutes => Some(10 * DAY),
        Resolution::OneHour => None,
    }
}
