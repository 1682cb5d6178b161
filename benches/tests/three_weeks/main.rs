//! Three weeks of a bucket in a few dozen seconds: written, merged up to 14 d, downsampled twice, aged until almost nothing is left.
//!
//! Two tenants: one with two replicas that are away now and then, native histograms, and blocks of late samples; one whose samples go
//! through a database that cuts its own blocks, and whose retention is so short that 5 m blocks are due before they can be 1 h by
//! their length. After every step each new block is read to the last sample and window and held against a plain model, promtool
//! accepts each raw one, and what lies in the bucket is what retention allows: nothing lost, nothing twice, nothing left over.
//!
//! Beside that, three days of replicas of which the better one is taken (`replicas`), in a directory and in MinIO.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod check;
mod model;
mod replicas;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use check::Checker;
use sarsen_block::Timestamp;
use world::{EMBEDDED, TWICE, World};

const HOUR: Timestamp = 3_600_000;
const DAY: Timestamp = 24 * HOUR;
const FORTNIGHT: Timestamp = 14 * DAY;
/// A multiple of the longest range of blocks.
const START: Timestamp = 1_700_000_000_000 / FORTNIGHT * FORTNIGHT;
/// How much is written between two steps.
const STEP: Timestamp = 4 * HOUR;
/// A receiver cuts a block half its length after its end, and then the compactor waits until it believes it.
const SEEN_AFTER: Timestamp = HOUR + 31 * 60_000;

fn promtool() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/bin/promtool");
    if file.is_file() {
        return Some(file);
    }
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "promtool is not here; benches/peers/build.sh builds it");
    // Written to the stream itself, because the test runner would keep what `eprintln!` says.
    let mut screen = std::io::stderr();
    writeln!(screen, "promtool is not here and is not asked; benches/peers/build.sh builds it").unwrap();
    None
}

/// How many folders are in a folder.
fn folders(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count())
}

#[test]
fn three_weeks_and_what_is_left_of_them() {
    let mut world = World::new();
    let mut checker = Checker::new(&world.bucket_folder(), promtool());
    let mut start = START;
    while start < START + 21 * DAY {
        world.write(start, STEP);
        start += STEP;
        match (start - START) / HOUR {
            // Over what has been merged to 2 d, and over what has been merged to 14 d.
            72 => world.write_late(START + 25 * HOUR, START + 31 * HOUR),
            380 => world.write_late(START + 13 * DAY + 1, START + 13 * DAY + 5 * HOUR + 1),
            _ => {}
        }
        let now = start + SEEN_AFTER;
        world.compact(now);
        checker.step(&world.model, now);
    }
    let longest = |tenant: &str, resolution: i64| checker.longest[&(tenant.to_owned(), resolution)];
    for resolution in [0, 300_000, 3_600_000] {
        assert_eq!(longest(TWICE, resolution), FORTNIGHT, "at {resolution} ms");
    }
    // What is kept for a few days only grows as long as that; 5 m that were due became 1 h, whatever their length.
    assert!((2 * DAY..FORTNIGHT).contains(&longest(EMBEDDED, 0)));
    assert!((2 * DAY..FORTNIGHT).contains(&longest(EMBEDDED, 300_000)));
    assert!((40 * HOUR..10 * DAY).contains(&longest(EMBEDDED, 3_600_000)));
    // Nobody writes any more. What has been written grows old and goes, the finest first.
    world.stop(start + SEEN_AFTER);
    for day in 0..45 {
        let now = start + SEEN_AFTER + HOUR + day * DAY;
        world.compact(now);
        checker.step(&world.model, now);
    }
    assert!(checker.live().is_empty());
    assert_eq!(folders(&world.bucket_folder()), 0, "what is marked goes after its delay");
    assert!(checker.accepted == 0 || checker.accepted > 500, "{} raw blocks accepted", checker.accepted);
}
