//! A local directory of blocks, as a database leaves it, is kept in order by one call that blocks.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sarsen_block::{SeriesNo, TimeRange, Tombstones};
use sarsen_compactor::{Options, Retention, maintain_directory};
use support::{Content, DAY, HOUR, MINUTE, Made, Recipe, START, blocks_below, content, samples_of};

/// Writes a block as Prometheus does: without a Thanos section, with a tombstones file.
fn write(dir: &Path, mut made: Made, stones: &Tombstones) {
    made.meta.thanos = None;
    made.meta.stats.num_tombstones = stones.count() as u64;
    let dir = dir.join(made.id().to_string());
    fs::create_dir_all(dir.join("chunks")).unwrap();
    for (path, bytes) in &made.files {
        fs::write(dir.join(path), bytes).unwrap();
    }
    fs::write(dir.join("tombstones"), stones.to_bytes()).unwrap();
    fs::write(dir.join("meta.json"), made.meta.to_bytes()).unwrap();
}

fn raw(dir: &Path) -> Content {
    let mut all = Content::new();
    for made in blocks_below(dir) {
        if made.meta.thanos.as_ref().is_none_or(|thanos| thanos.resolution == 0) {
            for (set, samples) in samples_of(&made.open()) {
                all.entry(set).or_default().extend(samples);
            }
        }
    }
    all
}

fn resolutions(dir: &Path) -> Vec<(i64, i64, i64)> {
    let resolution = |made: &Made| made.meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution);
    let range = |t: i64| (t - START) / HOUR;
    let mut all: Vec<_> = blocks_below(dir)
        .iter()
        .map(|made| (resolution(made), range(made.meta.min_time), range(made.meta.max_time)))
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_directory_is_merged_downsampled_and_aged() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    fs::create_dir_all(dir.join("log")).unwrap();
    fs::write(dir.join("log/00000001"), b"not ours").unwrap();
    fs::write(dir.join("lock"), b"").unwrap();
    let mut model = content(4, START, START + 50 * HOUR, 5 * MINUTE);
    for number in 0..25 {
        let (from, to) = (START + number * 2 * HOUR, START + (number + 1) * 2 * HOUR);
        let made = Recipe::new(1 + number as u64, from, to, &[]).of(&model);
        let mut stones = Tombstones::default();
        if number == 3 {
            let gone = TimeRange::new(from, from + HOUR);
            let first: SeriesNo = made.open().postings(&[]).unwrap()[0];
            stones.add(first, gone);
            let set = made.open().series(first).unwrap().labels;
            model.get_mut(&set).unwrap().retain(|t, _| !gone.contains(*t));
        }
        write(dir, made, &stones);
        // What has tombstones is not the plain content of its chunks: the model is built from what may be seen.
    }
    let retention = Retention { raw_ms: 3 * DAY, five_minutes_ms: 10 * DAY, one_hour_ms: 0 };
    let options = Options { retention, ..Options::default() };
    let report = maintain_directory(dir, START + 51 * HOUR, &options).unwrap();
    assert!(report.failed.is_empty() && report.set_aside.is_empty(), "{report:?}");
    assert_eq!(resolutions(dir), [(0, 0, 48), (0, 48, 50), (300_000, 0, 48)]);
    assert_eq!(raw(dir), model);

    // Nothing is due a second time.
    let report = maintain_directory(dir, START + 52 * HOUR, &options).unwrap();
    assert!(report.done.is_empty(), "{report:?}");

    maintain_directory(dir, START + 48 * HOUR + 3 * DAY + HOUR, &options).unwrap();
    assert_eq!(resolutions(dir), [(0, 48, 50), (300_000, 0, 48)]);
    maintain_directory(dir, START + 20 * DAY, &options).unwrap();
    assert_eq!(resolutions(dir), [(3_600_000, 0, 48), (3_600_000, 48, 50)]);

    let left: BTreeSet<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names: BTreeSet<String> = blocks_below(dir).iter().map(|made| made.id().to_string()).collect();
    let others: Vec<&String> = left.difference(&names).collect();
    assert_eq!(others, ["lock", "log"], "nothing is left over");
    assert_eq!(fs::read(dir.join("log/00000001")).unwrap(), b"not ours");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { concurrency: 0, ..Options::default() };
    assert!(maintain_directory(directory.path(), START, &options).is_err());
}
