//! Buckets for compactors, and compactors as processes: started on a copy of a bucket, watched until nothing is left to do.
//!
//! Ours and Thanos' take the same flags, so what they use and what they leave can be compared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sarsen_block::{BlockMeta, Timestamp};

use crate::blocks::Shipper;
use crate::fleet::Fleet;
use crate::process::{Spent, watch};
use crate::server::{build, folder_bytes};

const HOUR: Timestamp = 3_600_000;
/// The longest blocks.
const FORTNIGHT: Timestamp = 14 * 24 * HOUR;
/// The external label that replicas of a made bucket differ in.
pub const REPLICA: &str = "replica";

/// A bucket to be made.
#[derive(Clone, Copy, Debug)]
pub struct BucketPlan {
    /// Series at a time.
    pub series: u64,
    /// Milliseconds between two samples.
    pub interval: i64,
    /// How long a pod lives, in milliseconds; 0 is for ever.
    pub life: Timestamp,
    /// Receivers that each have everything.
    pub replicas: u64,
    /// How many milliseconds of data there are.
    pub span: Timestamp,
    /// How long a block is, in milliseconds.
    pub block: Timestamp,
}

/// What a bucket was made of.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Samples of all replicas.
    pub samples: u64,
    /// Bytes of all blocks.
    pub bytes: u64,
}

impl BucketPlan {
    /// Fills a folder. What is there begins at a multiple of the longest range of blocks, at least the span and a day before now. A
    /// block of a few series comes last, because no compactor touches the newest one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make(&self, folder: &Path) -> anyhow::Result<Made> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let start = (now - self.span - 24 * HOUR).div_euclid(FORTNIGHT) * FORTNIGHT;
        let churn_rounds = u64::try_from(self.life / self.interval)?;
        let fleet = Fleet { interval: self.interval, churn_rounds, ..Fleet::steady(self.series, start) };
        let end = start + self.span;
        let mut made = Made { samples: 0, bytes: 0 };
        for replica in 0..self.replicas {
            let name = replica.to_string();
            let labels = [("tenant_id", "measured"), (REPLICA, name.as_str())];
            let mut shipper = Shipper::new(fleet.clone(), &labels, replica);
            if self.replicas > 1 {
                shipper.away = missed(start..end, self.block, replica);
            }
            for meta in shipper.ship_all(folder, start..end, self.block)? {
                made.samples += meta.stats.num_samples;
                made.bytes += folder_bytes(&folder.join(meta.id.to_string()));
            }
            let last = Shipper { fleet: Fleet { series: 50, ..fleet.clone() }, ..shipper };
            last.ship(folder, end..end + 2 * HOUR)?;
        }
        Ok(made)
    }
}

/// A minute of every block that only this replica missed: from there on its chunks end elsewhere than those of the others, so that
/// they have to be merged sample by sample.
fn missed(span: Range<Timestamp>, block: Timestamp, replica: u64) -> Vec<Range<Timestamp>> {
    let first = span.start + i64::try_from(replica % 100).unwrap_or(0) * 60_000;
    let starts = (0..).map(|number| first + number * block).take_while(|start| *start < span.end);
    starts.map(|start| start..start + 60_000).collect()
}

/// Copies a bucket. Objects are never changed, only added and removed, so links do.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::hard_link(entry.path(), &target).with_context(|| format!("linking {}", target.display()))?;
        }
    }
    Ok(())
}

/// A block that nothing has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// Milliseconds between two of its samples; 0 for raw ones.
    pub resolution: i64,
    /// First millisecond of its range.
    pub start: Timestamp,
    /// The millisecond after its range.
    pub end: Timestamp,
    /// Series in it.
    pub series: u64,
    /// Samples in it.
    pub samples: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// The blocks of a folder without a deletion mark, by resolution and time.
///
/// # Errors
/// If one cannot be read.
pub fn blocks_left(bucket: &Path) -> anyhow::Result<Vec<Left>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(bucket)? {
        let folder = entry?.path();
        if folder.join("deletion-mark.json").exists() || !folder.join("meta.json").is_file() {
            continue;
        }
        let meta = BlockMeta::parse(&fs::read(folder.join("meta.json"))?)?;
        left.push(Left {
            resolution: meta.thanos.map_or(0, |thanos| thanos.resolution),
            start: meta.min_time,
            end: meta.max_time,
            series: meta.stats.num_series,
            samples: meta.stats.num_samples,
            bytes: folder_bytes(&folder),
        });
    }
    left.sort_unstable();
    Ok(left)
}

/// A compactor that takes Thanos' flags.
#[derive(Clone, Debug)]
pub struct Compactor {
    /// What it is called in a table.
    pub name: &'static str,
    /// The program.
    pub path: PathBuf,
    /// What has to be said first, in a program of many roles.
    pub role: Option<&'static str>,
    /// Arguments of its own.
    pub further: Vec<String>,
}

/// What a run used, and what it left in the bucket.
#[derive(Debug)]
pub struct Outcome {
    /// CPU time, memory, and the scratch disk.
    pub spent: Spent,
    /// The blocks that count.
    pub left: Vec<Left>,
}

impl Outcome {
    /// User and system time.
    pub fn cpu_seconds(&self) -> f64 {
        self.spent.usage.cpu_ms as f64 / 1e3
    }

    /// Bytes of the blocks of each resolution.
    pub fn by_resolution(&self) -> BTreeMap<i64, u64> {
        let mut bytes = BTreeMap::new();
        for block in &self.left {
            *bytes.entry(block.resolution).or_default() += block.bytes;
        }
        bytes
    }
}

impl Compactor {
    /// Copies the bucket `made`, runs behind the words `under` until the program ends by itself, and looks at what is left.
    ///
    /// # Errors
    /// If the program cannot be started or does not end well.
    pub fn run(&self, made: &Path, under: &[String], arguments: &[&str]) -> anyhow::Result<Outcome> {
        let folder = made.with_extension(self.name);
        let (own, data) = (folder.join("bucket"), folder.join("data"));
        copy(made, &own)?;
        fs::create_dir_all(&data)?;
        let config = folder.join("objstore.yml");
        fs::write(&config, format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", own.display()))?;
        let words: Vec<&str> = under.iter().map(String::as_str).collect();
        let path = self.path.to_str().context("a path that is no text")?;
        let line = [&words[..], &[path], self.role.as_slice()].concat();
        let (first, rest) = line.split_first().context("no program")?;
        let log = folder.join("log");
        let mut command = Command::new(first);
        command.args(rest);
        command.arg(format!("--data-dir={}", data.display()));
        command.arg(format!("--objstore.config-file={}", config.display()));
        command.args(["--http-address=127.0.0.1:0", "--consistency-delay=0s", "--log.level=warn"]);
        command.args(arguments).args(&self.further).stdin(Stdio::null());
        command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let child = command.spawn().with_context(|| format!("starting {first}"))?;
        let spent = watch(child, &data)?;
        let said = fs::read_to_string(&log)?;
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        anyhow::ensure!(spent.status.success(), "{} ended with {}: {last:?}", self.name, spent.status);
        let left = blocks_left(&own)?;
        fs::remove_dir_all(&folder)?;
        Ok(Outcome { spent, left })
    }
}

/// Builds the compactor as it is shipped and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build_compactor() -> anyhow::Result<PathBuf> {
    build("compact", "sarsen-compact")
}
