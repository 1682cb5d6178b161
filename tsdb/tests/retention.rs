//! Old blocks go, and only those that may: by age, by size, by their own word.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sarsen_block::{BlockId, BlockMeta, Timestamp};
use sarsen_tsdb::{BlockInfo, Db, Options, Shipping};
use sarsen_wal::{Disk, SimDisk, replace_file};
use support::{HOUR, START, builder, commit, read_all, series};

/// A database with `count` blocks of two hours, and a head.
fn database(disk: &Arc<dyn Disk>, options: Options, count: i64) -> Db {
    let db = builder(disk, options).open().unwrap();
    for t in (START..START + count * 2 * HOUR + 60_000).step_by(10 * 60_000) {
        // Blocks grow, so that sizes differ.
        let rows: Vec<_> =
            (0..=((t - START) / HOUR) as usize).map(|i| (series(i), t, t as f64 / 3.0)).collect();
        commit(&db, &rows).unwrap();
    }
    let end = START + count * 2 * HOUR;
    db.flush(end).unwrap();
    // Only the last one is not a whole range.
    assert_eq!(db.blocks().len() as i64, count + 1);
    db
}

fn ids(db: &Db) -> Vec<BlockId> {
    db.blocks().into_iter().map(|info| info.id).collect()
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(SimDisk::new(1))
}

#[test]
fn nothing_goes_on_its_own_while_blocks_have_to_be_shipped() {
    let disk = disk();
    let mut options = Options::default();
    options.retention_time = 2 * HOUR;
    options.retention_bytes = 1;
    let db = database(&disk, options, 3);
    let all = ids(&db);
    assert!(db.maintain(START + 400 * HOUR).unwrap().blocks_removed.is_empty());
    assert_eq!(ids(&db), all);
    // The owner has shipped the second only.
    let report = db.retain(|info| info.id == all[1]).unwrap();
    assert_eq!((report.removed, report.held_back), (vec![all[1]], vec![all[3], all[2], all[0]]));
    assert_eq!(ids(&db), [all[0], all[2], all[3]]);
}

#[test]
fn an_embedded_database_forgets_by_age() {
    let disk = disk();
    let mut options = Options::default();
    options.retention_time = 4 * HOUR;
    options.shipping = Shipping::NotNeeded;
    let db = database(&disk, options.clone(), 5);
    let all = ids(&db);
    let content = read_all(&db);
    // Counted from the end of the newest block, one millisecond behind the fifth: the first three end too early.
    let removed = db.maintain(START + 10 * HOUR).unwrap().blocks_removed;
    assert_eq!(removed, [all[2], all[1], all[0]]);
    assert_eq!(ids(&db), all[3..]);
    drop(db);
    let db = builder(&disk, options).open().unwrap();
    let left = read_all(&db);
    for (set, samples) in content {
        let expected: Vec<_> = samples.range(START + 6 * HOUR..).collect();
        let found: Vec<_> = left.get(&set).into_iter().flatten().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_block_that_says_so_itself_goes() {
    let disk = disk();
    let mut options = Options::default();
    options.shipping = Shipping::NotNeeded;
    let db = database(&disk, options.clone(), 2);
    let all = ids(&db);
    drop(db);
    let path = Path::new("/db").join(all[1].to_string()).join("meta.json");
    let mut meta = BlockMeta::parse(&sarsen_wal::read_file(disk.as_ref(), &path).unwrap()).unwrap();
    meta.compaction.deletable = true;
    replace_file(disk.as_ref(), &path, &meta.to_bytes()).unwrap();
    let db = builder(&disk, options).open().unwrap();
    assert_eq!(db.maintain(START).unwrap().blocks_removed, [all[1]]);
    assert_eq!(ids(&db), [all[0], all[2]]);
}

/// What should stay, said in the plainest way: the newest blocks as long as they fit and are young.
fn stays(blocks: &[BlockInfo], time: Timestamp, bytes: u64, log: u64) -> Vec<BlockId> {
    let mut newest_first = blocks.to_vec();
    newest_first.sort_by_key(|info| std::cmp::Reverse(info.meta.max_time));
    let newest = newest_first[0].meta.max_time;
    let mut kept: Vec<BlockId> = Vec::new();
    let mut sum = log;
    for (at, info) in newest_first.iter().enumerate() {
        sum += info.bytes;
        let fits = bytes == 0 || sum <= bytes;
        let is_young = time == 0 || at == 0 || newest - info.meta.max_time < time;
        if !fits || !is_young {
            break;
        }
        kept.push(info.id);
    }
    kept.reverse();
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn by_age_and_size(count in 1i64..5, time in 0i64..12, share in 0u64..130) {
        let disk = disk();
        let sizes = database(&disk, Options::default(), count).stats();
        let mut options = Options::default();
        options.retention_time = time * HOUR;
        options.retention_bytes = (sizes.block_bytes + sizes.log_bytes) * share / 100;
        let db = builder(&disk, options.clone()).open().unwrap();
        let log = {
            let stats = db.stats();
            stats.log_bytes + stats.checkpoint_bytes + stats.spill_bytes
        };
        let expected = stays(&db.blocks(), options.retention_time, options.retention_bytes, log);
        db.retain(|_| true).unwrap();
        prop_assert_eq!(ids(&db), expected);
    }
}
