//! Months of a bucket in metas: nothing that a retention promises is ever missing, nothing stays for ever, and there is an end to
//! each round, whatever is uploaded late, twice or damaged.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod simulated;

use std::collections::BTreeMap;

use proptest::prelude::*;
use sarsen_block::BlockId;
use sarsen_compactor::{Job, Options, Retention};
use sarsen_downsample::Resolution;
use simulated::{Bucket, DAY, HOUR, START};

/// What happens to the two hours of one tenant.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Uploaded,
    Missing,
    /// Uploaded so many hours later.
    Late(i64),
    /// By two replicas.
    Twice,
    /// Nothing can be made of it.
    Damaged,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Uploaded),
        1 => Just(Fate::Missing),
        1 => (2i64..400).prop_map(Fate::Late),
        2 => Just(Fate::Twice),
        1 => Just(Fate::Damaged),
    ]
}

fn retentions() -> impl Strategy<Value = Retention> {
    let days = |least: i64| prop_oneof![1 => Just(0), 4 => (least..40).prop_map(|days| days * DAY)];
    (days(2), days(10), days(1)).prop_map(|(raw_ms, five_minutes_ms, one_hour_ms)| Retention {
        raw_ms,
        five_minutes_ms,
        one_hour_ms,
    })
}

/// What was uploaded: the block, and its first time.
type Uploads = Vec<(BlockId, i64)>;

/// Every upload is in a block that may answer for it, as fine as the retention promises.
fn nothing_is_missing(bucket: &Bucket, uploads: &Uploads, options: &Options) -> Result<(), TestCaseError> {
    for (id, min_time) in uploads {
        let over = |resolution: Resolution| {
            let kept = options.retention.of(resolution);
            // Blocks go as wholes: while a part of one is kept all of it is. So this is the earliest time.
            kept != 0 && bucket.now_ms > min_time + 2 * HOUR + kept
        };
        let wanted = Resolution::ALL.into_iter().find(|resolution| !over(*resolution));
        let Some(wanted) = wanted.filter(|wanted| options.downsampling || *wanted == Resolution::Raw) else {
            continue;
        };
        let found = bucket.unmarked().any(|meta| {
            let at = meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution);
            at <= wanted.ms()
                && meta.compaction.sources.contains(id)
                && meta.min_time <= *min_time
                && min_time + 2 * HOUR <= meta.max_time
        });
        prop_assert!(found, "{id} from {min_time} is in nothing that is {wanted:?} at {}", bucket.now_ms);
    }
    Ok(())
}

/// Whether a job fails this time: so many of ten do, others at other times.
fn is_unlucky(job: &Job, now_ms: i64, share: u64) -> bool {
    let names = job.ids().flat_map(|id| id.to_string().into_bytes());
    let mixed = names.fold(now_ms.unsigned_abs(), |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    });
    mixed % 10 < share
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_promised_is_missing_and_nothing_stays(
        fates in proptest::collection::vec(fates(), 12 * 25),
        retention in retentions(),
        downsampling in prop::bool::weighted(0.8),
        step in 1i64..60,
        share in prop_oneof![Just(0u64), 1u64..6],
    ) {
        let options = Options { retention, downsampling, replica_labels: vec!["replica".to_owned()], ..Options::default() };
        let mut bucket = Bucket { now_ms: START, ..Bucket::default() };
        let mut uploads: Uploads = Vec::new();
        let mut coming: Vec<(i64, i64, Fate)> = Vec::new();
        for (number, fate) in (0i64..).zip(&fates) {
            let min_time = START + number * 2 * HOUR;
            let late = if let Fate::Late(hours) = fate { *hours * HOUR } else { 0 };
            coming.push((min_time + 2 * HOUR + late, min_time, *fate));
        }
        coming.sort_by_key(|(at, ..)| *at);
        let mut coming = coming.into_iter().peekable();
        let end = START + 25 * DAY + 100 * DAY;
        while bucket.now_ms < end {
            // Slower when there is nothing new.
            bucket.now_ms += step * HOUR * if coming.peek().is_some() { 1 } else { 12 };
            while let Some((_, min_time, fate)) = coming.next_if(|(at, ..)| *at <= bucket.now_ms) {
                let replica = |number: &str| BTreeMap::from([("tenant_id".to_owned(), "a".to_owned()), ("replica".to_owned(), number.to_owned())]);
                let id = match fate {
                    Fate::Missing => continue,
                    _ => bucket.upload_with(replica("0"), min_time, 2 * HOUR),
                };
                match fate {
                    Fate::Damaged => drop(bucket.damaged.insert(id)),
                    Fate::Twice => {
                        let other = bucket.upload_with(replica("1"), min_time, 2 * HOUR);
                        uploads.push((other, min_time));
                    }
                    _ => {}
                }
                uploads.push((id, min_time));
            }
            let now_ms = bucket.now_ms;
            let last = bucket.settle_but(&options, |job| is_unlucky(job, now_ms, share));
            prop_assert!(share > 0 || last.later.is_empty());
            nothing_is_missing(&bucket, &uploads, &options)?;
            bucket.clean(&options);
        }
        // A store that fails for a while only slows the work down.
        let last = bucket.settle(&options);
        prop_assert!(last.later.is_empty());
        nothing_is_missing(&bucket, &uploads, &options)?;
        // What no retention keeps is gone, but for blocks that reach into what is kept.
        let coarsest = Resolution::ALL.into_iter().filter(|resolution| downsampling || *resolution == Resolution::Raw);
        let kept = |resolution: Resolution| if retention.of(resolution) == 0 { i64::MAX } else { retention.of(resolution) };
        let longest = coarsest.map(kept).max().unwrap_or(i64::MAX);
        for meta in bucket.unmarked() {
            prop_assert!(bucket.now_ms.saturating_sub(longest) <= meta.max_time, "{meta:?} is still there");
        }
    }
}
