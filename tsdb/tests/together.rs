//! Writers, readers and a cut at the same time: what was acknowledged is read, in order, each time once.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_tsdb::Options;
use sarsen_wal::{Disk, SimDisk};
use support::{HOUR, START, builder, commit, labels, read};

const WRITERS: usize = 3;
const SERIES: usize = 40;
const STEPS: i64 = 400;

#[test]
fn nobody_sees_less_than_was_acknowledged() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(5));
    let db = builder(&disk, Options::default()).open().unwrap();
    let acknowledged: Vec<AtomicI64> = (0..WRITERS).map(|_| AtomicI64::new(0)).collect();
    let slowest = || acknowledged.iter().map(|steps| steps.load(Ordering::SeqCst)).min().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (db, acknowledged, slowest) = (&db, &acknowledged, &slowest);
                scope.spawn(move || {
                    let sets: Vec<Labels> = (0..SERIES)
                        .map(|i| labels(&[("writer", &writer.to_string()), ("i", &i.to_string())]))
                        .collect();
                    for step in 0..STEPS {
                        // Nobody runs away from the others by more than the head allows.
                        while step > slowest() + 40 {
                            std::thread::yield_now();
                        }
                        let t = START + step * 60_000;
                        let rows: Vec<_> = sets.iter().map(|set| (set.clone(), t, step as f64)).collect();
                        assert_eq!(commit(db, &rows).unwrap().accepted, SERIES as u64);
                        acknowledged[writer].store(step + 1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for writer in 0..WRITERS {
            let (db, acknowledged, done) = (&db, &acknowledged, &done);
            scope.spawn(move || {
                let matcher = [Matcher::equal("writer", writer.to_string())];
                while !done.load(Ordering::SeqCst) {
                    let least = acknowledged[writer].load(Ordering::SeqCst);
                    let content = read(db, &matcher, TimeRange::ALL).unwrap();
                    assert_eq!(content.len(), if least > 0 { SERIES } else { content.len() });
                    for samples in content.values() {
                        assert!(samples.len() as i64 >= least, "{} of {least}", samples.len());
                        for (step, (&t, &bits)) in samples.iter().enumerate() {
                            assert_eq!((t, bits), (START + step as i64 * 60_000, (step as f64).to_bits()));
                        }
                    }
                }
            });
        }
        let keeper = {
            let (db, done) = (&db, &done);
            scope.spawn(move || {
                let mut cuts = 0;
                while !done.load(Ordering::SeqCst) {
                    cuts += db.maintain(START).unwrap().cuts.len();
                }
                cuts + db.maintain(START).unwrap().cuts.len()
            })
        };
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        assert_eq!(keeper.join().unwrap() as i64, (STEPS * 60_000 - 3 * HOUR) / (2 * HOUR) + 1);
    });
}
