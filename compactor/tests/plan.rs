//! What a plan holds, situation by situation: the order of work, the guard before retention, what waits and what stays.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod simulated;

use std::collections::BTreeSet;

use sarsen_block::TimeRange;
use sarsen_bucket::{Deletion, Excluded, MarkKind, Reason};
use sarsen_compactor::{Backlog, Job, Kept, Options, Outdated, Retention, Stage, Work};
use sarsen_downsample::Resolution::{FiveMinutes, OneHour};
use simulated::{Bucket, DAY, HOUR, START};

fn aging() -> Options {
    let retention = Retention { raw_ms: 7 * DAY, five_minutes_ms: 30 * DAY, one_hour_ms: 180 * DAY };
    Options { retention, ..Options::default() }
}

/// A bucket with four closed ranges of two hours and a fifth block after them.
fn five(bucket: &mut Bucket) {
    for number in 0..5 {
        bucket.upload("a", START + number * 2 * HOUR, 2 * HOUR);
    }
    bucket.now_ms = START + 11 * HOUR;
}

#[test]
fn four_blocks_of_two_hours_become_one() {
    let mut bucket = Bucket::default();
    five(&mut bucket);
    let plan = bucket.plan(&Options::default());
    let [job] = plan.jobs.as_slice() else { panic!("{plan:?}") };
    assert_eq!(job.work, Work::Merge { overlapping: false });
    assert_eq!((job.blocks.len(), job.span()), (4, (START, START + 8 * HOUR)));
    assert!(job.ids().is_sorted() && job.why.contains("8h"), "{job:?}");
    assert_eq!(plan.backlog(Stage::Merge), Backlog { jobs: 1, blocks: 4, bytes: job.bytes });
    assert_eq!(plan.backlog(Stage::Coarsen), Backlog::default());
}

#[test]
fn merges_of_a_group_that_need_not_wait_are_due_together() {
    let mut bucket = Bucket::default();
    for number in 0..25 {
        bucket.upload("a", START + number * 2 * HOUR, 2 * HOUR);
        bucket.upload("b", START + number * 2 * HOUR, 2 * HOUR);
    }
    bucket.now_ms = START + 51 * HOUR;
    let plan = bucket.plan(&Options::default());
    assert_eq!(plan.jobs.len(), 12, "six of eight hours in each of two groups");
    assert_eq!(plan.later.len(), 2, "then one of two days in each");
    assert!(plan.later.iter().all(|later| later.blocks == 6 && later.span == (START, START + 2 * DAY)));
    let mut seen = BTreeSet::new();
    assert!(plan.jobs.iter().flat_map(Job::ids).all(|id| seen.insert(id)), "a block is in one job");
    assert_eq!(plan, bucket.plan(&Options::default()), "the same situation gives the same plan");
}

#[test]
fn what_rests_or_is_damaged_stops_nobody_else() {
    let mut bucket = Bucket::default();
    five(&mut bucket);
    let ids: Vec<_> = bucket.ids().collect();
    bucket.resting.insert((Stage::Merge, ids[1]));
    let plan = bucket.plan(&Options::default());
    assert_eq!(plan.jobs[0].ids().collect::<Vec<_>>(), ids[2..4]);
    bucket.resting.clear();
    bucket.damaged.insert(ids[1]);
    let plan = bucket.plan(&Options::default());
    assert_eq!(plan.jobs[0].ids().collect::<Vec<_>>(), [ids[0], ids[2], ids[3]], "a hole does not matter");
}

#[test]
fn long_blocks_get_copies_and_short_ones_do_not() {
    let mut bucket = Bucket::default();
    let two_days = bucket.upload("a", START, 2 * DAY);
    let ten_days = bucket.upload("b", START, 10 * DAY);
    bucket.upload("c", START, 40 * HOUR - 1);
    bucket.now_ms = START + 20 * DAY;
    let plan = bucket.plan(&Options::default());
    let works: Vec<_> = plan.jobs.iter().map(|job| (job.ids().next().unwrap(), job.work.clone())).collect();
    let both = vec![FiveMinutes, OneHour];
    assert!(works.contains(&(two_days, Work::Coarsen { to: vec![FiveMinutes] })), "{works:?}");
    assert!(works.contains(&(ten_days, Work::Coarsen { to: both })), "{works:?}");
    assert_eq!(works.len(), 2);
    bucket.settle(&Options::default());
    assert!(bucket.plan(&Options::default()).jobs.is_empty());
    assert!(bucket.plan(&Options { downsampling: false, ..Options::default() }).jobs.is_empty());
}

#[test]
fn a_mark_forbids_a_copy() {
    let mut bucket = Bucket::default();
    let id = bucket.upload("a", START, 2 * DAY);
    bucket.now_ms = START + 3 * DAY;
    bucket.mark(id, MarkKind::NoDownsample, Reason::Manual);
    assert!(bucket.plan(&Options::default()).jobs.is_empty());
}

#[test]
fn what_is_due_and_not_covered_is_downsampled_alone_and_then_goes() {
    let mut bucket = Bucket::default();
    let id = bucket.upload("a", START, 2 * HOUR);
    bucket.now_ms = START + 2 * HOUR + 7 * DAY;
    assert!(bucket.plan(&aging()).jobs.is_empty(), "the last moment");
    bucket.now_ms += 1;
    let plan = bucket.plan(&aging());
    assert_eq!(plan.jobs[0].work, Work::Coarsen { to: vec![FiveMinutes] });
    assert!(plan.jobs[0].why.contains("7d"), "{}", plan.jobs[0].why);
    bucket.carry_out(&plan);
    let plan = bucket.plan(&aging());
    let copy = bucket.ids().find(|other| *other != id).unwrap();
    assert_eq!(plan.jobs[0].work, Work::Delete { reason: Outdated::Age, covered_by: vec![copy] });
    bucket.carry_out(&plan);
    assert!(bucket.plan(&aging()).jobs.is_empty());
    // Where nothing coarser would be kept either, nothing has to be covered.
    let mut bucket = Bucket::default();
    bucket.upload("a", START, 2 * HOUR);
    bucket.now_ms = START + DAY + 180 * DAY;
    let delete = Work::Delete { reason: Outdated::Age, covered_by: Vec::new() };
    assert_eq!(bucket.plan(&aging()).jobs[0].work, delete);
    bucket.now_ms = START + 8 * DAY;
    assert_eq!(bucket.plan(&Options { downsampling: false, ..aging() }).jobs[0].work, delete);
}

#[test]
fn what_is_due_by_two_ages_goes_down_both_steps() {
    let mut bucket = Bucket::default();
    bucket.upload("a", START, 2 * HOUR);
    bucket.now_ms = START + 40 * DAY;
    let left = bucket.settle(&aging());
    let resolutions: Vec<i64> =
        bucket.unmarked().map(|meta| meta.thanos.as_ref().unwrap().resolution).collect();
    assert_eq!(resolutions, [3_600_000], "{left:?}");
}

#[test]
fn what_cannot_be_copied_is_kept_until_nothing_coarser_would_be_kept() {
    let mut bucket = Bucket::default();
    let marked = bucket.upload("a", START, 2 * HOUR);
    let damaged = bucket.upload("b", START, 2 * HOUR);
    let resting = bucket.upload("c", START, 2 * HOUR);
    bucket.mark(marked, MarkKind::NoDownsample, Reason::Manual);
    bucket.damaged.insert(damaged);
    bucket.resting.insert((Stage::Coarsen, resting));
    bucket.now_ms = START + 8 * DAY;
    let plan = bucket.plan(&aging());
    assert!(plan.jobs.is_empty(), "{plan:?}");
    let mut kept = vec![(marked, Kept::Marked), (damaged, Kept::Unreadable), (resting, Kept::Unreadable)];
    kept.sort();
    assert_eq!(plan.kept, kept);
    bucket.now_ms = START + 181 * DAY;
    assert_eq!(bucket.plan(&aging()).jobs.len(), 3);
}

#[test]
fn a_copy_that_is_marked_or_damaged_covers_nothing() {
    let mut bucket = Bucket::default();
    bucket.upload("a", START, 2 * DAY);
    bucket.now_ms = START + 3 * DAY;
    bucket.settle(&aging());
    bucket.now_ms = START + 20 * DAY;
    let delete = |bucket: &Bucket| bucket.plan(&aging()).jobs[0].stage() == Stage::Retain;
    assert!(delete(&bucket));
    let copy = bucket.unmarked().find(|meta| meta.thanos.as_ref().unwrap().resolution > 0).unwrap().id;
    let mut damaged = bucket.clone();
    damaged.damaged.insert(copy);
    assert!(!delete(&damaged));
    bucket.mark(copy, MarkKind::Deletion, Reason::Manual);
    assert!(!delete(&bucket));
}

#[test]
fn what_is_in_another_block_goes() {
    let mut bucket = Bucket::default();
    five(&mut bucket);
    let plan = bucket.plan(&Options::default());
    let inputs: Vec<_> = plan.jobs[0].ids().collect();
    bucket.carry_out(&plan);
    // A crash between the new block and the marks of the old ones.
    for id in &inputs {
        bucket.view.marks.remove(id);
    }
    let plan = bucket.plan(&Options::default());
    let whole = bucket.ids().last().unwrap();
    assert_eq!(plan.jobs.len(), inputs.len());
    for (job, input) in plan.jobs.iter().zip(&inputs) {
        assert_eq!(job.work, Work::Delete { reason: Outdated::Duplicate, covered_by: vec![whole] });
        assert_eq!(job.ids().collect::<Vec<_>>(), [*input]);
    }
    assert!(plan.excluded.iter().all(|(id, why)| inputs.contains(id) && *why == Excluded::Duplicate));
    // The new block turns out to be damaged: its inputs are merged again, and it is what goes.
    bucket.damaged.insert(whole);
    bucket.settle(&Options::default());
    assert!(bucket.view.mark(whole, MarkKind::Deletion).is_some());
}

#[test]
fn overrides_count_for_their_labels() {
    let mut bucket = Bucket::default();
    let (short, long) = (bucket.upload("a", START, 2 * HOUR), bucket.upload("b", START, 2 * HOUR));
    bucket.now_ms = START + 4 * DAY;
    let matchers = sarsen_block::parse_selector("{tenant_id=\"a\"}").unwrap();
    let own = sarsen_compactor::RetentionOverride {
        matchers,
        raw_ms: Some(2 * DAY),
        five_minutes_ms: None,
        one_hour_ms: Some(0),
    };
    let options = Options { overrides: vec![own], ..aging() };
    let plan = bucket.plan(&options);
    assert_eq!(plan.jobs.iter().flat_map(Job::ids).collect::<Vec<_>>(), [short]);
    bucket.now_ms = START + 400 * DAY;
    bucket.settle(&options);
    assert!(bucket.view.mark(long, MarkKind::Deletion).is_some());
    assert_eq!(bucket.unmarked().count(), 1, "an hour's aggregates of the one are kept for ever");
}

#[test]
fn deletions_are_carried_out_once() {
    let mut bucket = Bucket::default();
    let (old, other) = (bucket.upload("a", START, 14 * DAY), bucket.upload("b", START, 14 * DAY));
    let fresh = bucket.upload("a", START + 28 * DAY, 2 * HOUR);
    bucket.now_ms = START + 28 * DAY + 3 * HOUR;
    bucket.settle(&Options::default());
    let mut deletion = Deletion::new("leak", bucket.now_ms, "{job=\"x\"}", TimeRange::ALL).unwrap();
    deletion.labels.insert("tenant_id".to_owned(), "a".to_owned());
    bucket.deletions.add(deletion).unwrap();
    let plan = bucket.plan(&Options::default());
    let rewritten: Vec<_> = plan.jobs.iter().flat_map(Job::ids).collect();
    assert!(plan.jobs.iter().all(|job| job.work == Work::Rewrite), "{plan:?}");
    assert!(rewritten.contains(&old) && !rewritten.contains(&other), "one tenant's only");
    assert!(!rewritten.contains(&fresh), "what will be merged soon waits for that");
    bucket.settle(&Options::default());
    assert!(bucket.plan(&Options::default()).jobs.is_empty());
    assert!(
        bucket
            .unmarked()
            .filter(|meta| meta.thanos.as_ref().unwrap().labels["tenant_id"] == "b")
            .all(|meta| { meta.thanos.as_ref().unwrap().rewrites.is_empty() })
    );
}

#[test]
fn settings_that_make_no_sense_are_named() {
    assert!(Options::default().check().is_ok() && aging().check().is_ok());
    let fault = |options: Options| options.check().unwrap_err().to_string();
    assert!(fault(Options { ranges: vec![2 * HOUR, HOUR], ..aging() }).contains("ranges"));
    assert!(fault(Options { penalty: true, ..aging() }).contains("penalty"));
    assert!(fault(Options { concurrency: 0, ..aging() }).contains("concurrency"));
    let short = Retention { raw_ms: 39 * HOUR, ..Retention::FOREVER };
    assert!(fault(Options { retention: short, ..aging() }).contains("40 h"));
    assert!(Options { retention: short, downsampling: false, ..aging() }.check().is_ok());
}
