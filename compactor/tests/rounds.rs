//! What a round owes those who watch it: progress, an end when told to stop, a bound on disk, and turns for every stage.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sarsen_block::{BlockMeta, TimeRange, Tombstones};
use sarsen_bucket::{Deletion, Deletions, Layout, MarkKind, View};
use sarsen_compactor::{
    Compactor, CompactorObserver, Job, Options, Progress, Stage, Stop, Unobserved, Until, Work,
};
use support::store::SimStore;
use support::{DAY, HOUR, MINUTE, Made, Recipe, START, bucket, content, fetch, live, samples_of};

const A: &[(&str, &str)] = &[("tenant_id", "a")];
const B: &[(&str, &str)] = &[("tenant_id", "b")];
const NOW: i64 = START + 20 * DAY;

/// Four blocks that become one, and a newer one, for each tenant; a long one beside them.
fn blocks() -> Vec<Made> {
    let all = content(5, START, START + 96 * HOUR, MINUTE);
    let mut made = Vec::new();
    for (first, external) in [(1, A), (11, B)] {
        for k in 0..5 {
            let (from, to) = (START + k as i64 * 2 * HOUR, START + (k as i64 + 1) * 2 * HOUR);
            made.push(Recipe { segment_size: 3000, ..Recipe::new(first + k, from, to, external) }.of(&all));
        }
    }
    made.push(Recipe::new(21, START, START + 48 * HOUR, &[("tenant_id", "c")]).of(&all));
    made
}

async fn begun() -> Arc<SimStore> {
    let store = SimStore::new(NOW);
    for made in blocks() {
        made.put(&bucket(&store)).await;
    }
    store
}

#[derive(Default)]
struct Notes {
    events: Mutex<Vec<(Stage, &'static str, u64)>>,
    /// Pulled at the first progress.
    stop: Mutex<Option<Stop>>,
}

impl Notes {
    fn note(&self, job: &Job, what: &'static str, number: u64) {
        self.events.lock().unwrap().push((job.stage(), what, number));
    }

    fn of(&self, stage: Stage, what: &str) -> Vec<u64> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| event.0 == stage && event.1 == what).map(|event| event.2).collect()
    }
}

impl CompactorObserver for Notes {
    fn job_started(&self, job: &Job) {
        self.note(job, "started", 0);
    }

    fn job_progressed(&self, job: &Job, progress: Progress) {
        self.note(job, "percent", progress.percent().into());
        if let Some(stop) = self.stop.lock().unwrap().take() {
            stop.stop();
        }
    }

    fn job_done(&self, job: &Job, made: &[BlockMeta], _took: Duration) {
        self.note(job, "done", made.len() as u64);
    }
}

#[tokio::test]
async fn jobs_tell_how_far_they_have_come() {
    let store = begun().await;
    let scratch = tempfile::tempdir().unwrap();
    let notes = Arc::new(Notes::default());
    let options = Options::default();
    let mut compactor = Compactor::new(bucket(&store), scratch.path(), options, notes.clone()).unwrap();
    let plan = compactor.look(NOW).await.unwrap();
    assert_eq!(plan.backlog(Stage::Merge).jobs, 2);
    assert_eq!(plan.backlog(Stage::Coarsen).blocks, 1);
    let report = compactor.round(NOW).await.unwrap();
    assert_eq!(notes.of(Stage::Merge, "started").len(), 2);
    assert_eq!(notes.of(Stage::Merge, "done"), [1, 1]);
    assert_eq!(notes.of(Stage::Coarsen, "done"), [1]);
    for stage in [Stage::Merge, Stage::Coarsen] {
        let told = notes.of(stage, "percent");
        assert!(told.iter().any(|percent| *percent > 50), "{stage}: {told:?}");
        assert!(told.iter().all(|percent| *percent <= 100));
    }
    assert_eq!(report.made().count(), 3);
    assert_eq!(compactor.look(NOW).await.unwrap().jobs, []);
}

/// Told to stop, a round ends soon; what was under way counts for nothing, and the next process does it.
#[tokio::test]
async fn a_round_that_is_stopped_leaves_nothing_half() {
    let calm = begun().await;
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket(&calm), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    compactor.round(NOW).await.unwrap();
    let wanted = live(&View::fetch(&bucket(&calm)).await.unwrap());

    let store = begun().await;
    let before = live(&View::fetch(&bucket(&store)).await.unwrap());
    let notes = Arc::new(Notes::default());
    let mut compactor =
        Compactor::new(bucket(&store), scratch.path(), Options::default(), notes.clone()).unwrap();
    *notes.stop.lock().unwrap() = Some(compactor.stopper());
    let report = compactor.round(NOW).await.unwrap();
    assert!(report.stopped && !report.left.jobs.is_empty());
    assert!(report.set_aside.is_empty(), "to be stopped is nobody's fault: {:?}", report.set_aside);
    assert_eq!(live(&View::fetch(&bucket(&store)).await.unwrap()), before);

    let mut next =
        Compactor::new(bucket(&store), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    next.round(NOW).await.unwrap();
    next.round(NOW + 3 * DAY).await.unwrap();
    let view = View::fetch(&bucket(&store)).await.unwrap();
    assert_eq!(live(&view), wanted);
    assert!(view.partial.is_empty());
}

/// Two processes that know nothing of each other, because somebody switched the lease off, do work twice and harm nothing.
#[tokio::test]
async fn two_compactors_at_once_lose_nothing() {
    let calm = begun().await;
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket(&calm), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    compactor.round(NOW).await.unwrap();
    let wanted = live(&View::fetch(&bucket(&calm)).await.unwrap());

    for first_begins in 0..6 {
        let store = begun().await;
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let compactor = |scratch: &tempfile::TempDir| {
            Compactor::new(bucket(&store.again()), scratch.path(), Options::default(), Arc::new(Unobserved))
        };
        let (mut a, mut b) = (compactor(&one).unwrap(), compactor(&two).unwrap());
        let late = async {
            for _ in 0..first_begins * 40 {
                tokio::task::yield_now().await;
            }
            // A millisecond apart: names of blocks are never the same.
            b.round(NOW + 1).await
        };
        let (first, second) = tokio::join!(a.round(NOW), late);
        for report in [first.unwrap(), second.unwrap()] {
            let marked = report.set_aside.iter().filter(|aside| matches!(aside.until, Until::Marked(_)));
            assert_eq!(marked.count(), 0, "{:?}", report.set_aside);
        }
        a.round(NOW + HOUR).await.unwrap();
        a.round(NOW + 3 * DAY).await.unwrap();
        let view = View::fetch(&bucket(&store)).await.unwrap();
        assert_eq!(live(&view), wanted, "begun after {first_begins}");
        assert!(view.partial.is_empty());
    }
}

/// A job that needs more disk than there may be does not run, is named, and keeps nothing else from being done.
#[tokio::test]
async fn a_job_beyond_the_disk_waits() {
    let store = begun().await;
    let scratch = tempfile::tempdir().unwrap();
    let bytes = |made: &Made| made.files.values().map(|file| file.len() as u64).sum::<u64>();
    let long = blocks().iter().map(bytes).max().unwrap();
    let options = Options { disk_bytes: long / 2, ..Options::default() };
    let mut compactor =
        Compactor::new(bucket(&store), scratch.path(), options, Arc::new(Unobserved)).unwrap();
    let report = compactor.round(NOW).await.unwrap();
    assert_eq!(report.done.len(), 2);
    assert!(report.done.iter().all(|done| matches!(done.job.work, Work::Merge { .. })));
    assert_eq!(report.set_aside.len(), 1);
    assert!(matches!(report.set_aside[0].until, Until::Time(_)));
    assert!(report.set_aside[0].why.contains("disk"), "{}", report.set_aside[0].why);
    compactor.set_options(Options::default()).unwrap();
    let report = compactor.round(NOW + HOUR).await.unwrap();
    assert!(report.set_aside.is_empty() && report.done.len() == 1);
}

/// However much there is to merge, downsampling and ageing are not kept waiting: jobs of every stage begin before one stage is
/// through.
#[tokio::test]
async fn stages_and_groups_take_turns() {
    let store = SimStore::new(NOW);
    let bucket = bucket(&store);
    let all = content(1, START, START + 96 * HOUR, 20 * MINUTE);
    let mut number = 0;
    for tenant in 0..6 {
        let name = tenant.to_string();
        let external: &[(&str, &str)] = &[("tenant_id", &name)];
        for k in 0..13 {
            number += 1;
            let (from, to) = (START + k * 2 * HOUR, START + (k + 1) * 2 * HOUR);
            Recipe::new(number, from, to, external).of(&all).put(&bucket).await;
        }
    }
    for long in 0..4 {
        let name = format!("long {long}");
        Recipe::new(900 + long, START, START + 48 * HOUR, &[("tenant_id", &name)])
            .of(&all)
            .put(&bucket)
            .await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let notes = Arc::new(Notes::default());
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), Options::default(), notes.clone()).unwrap();
    let report = compactor.round(NOW).await.unwrap();
    assert!(report.set_aside.is_empty());
    let events = notes.events.lock().unwrap().clone();
    let begun: Vec<Stage> = events.iter().filter(|event| event.1 == "started").map(|event| event.0).collect();
    let last_coarsen = begun.iter().rposition(|stage| *stage == Stage::Coarsen).unwrap();
    let merges_before = begun[..last_coarsen].iter().filter(|stage| **stage == Stage::Merge).count();
    let merges = begun.iter().filter(|stage| **stage == Stage::Merge).count();
    assert!(merges > 12 && merges_before < merges / 2 + 1, "{merges_before} of {merges}: {begun:?}");
    // The first merge of every group comes before the second of any.
    let groups: Vec<_> = report
        .done
        .iter()
        .filter(|done| done.job.stage() == Stage::Merge)
        .map(|done| done.job.group)
        .collect();
    let mut seen = BTreeMap::new();
    for group in groups.iter().take(6) {
        *seen.entry(*group).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 6, "{groups:?}");
}

/// What was deleted from the whole bucket is left out where blocks are merged, downsampled and rewritten, and is noted; a block in
/// which there is nothing of it is looked at once.
#[tokio::test]
async fn deletions_are_carried_out() {
    let store = begun().await;
    let bucket = bucket(&store);
    let range = TimeRange::new(START + HOUR, START + 30 * HOUR);
    let mut deletions = Deletions::default();
    deletions.add(Deletion::new("leak", NOW - HOUR, "{job=\"web\"}", range).unwrap()).unwrap();
    deletions.add(Deletion::new("none", NOW - HOUR, "{job=\"nobody\"}", TimeRange::ALL).unwrap()).unwrap();
    bucket.put(Layout::DELETIONS, deletions.to_bytes().into()).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    let report = compactor.round(NOW).await.unwrap();
    assert!(report.failed.is_empty() && report.set_aside.is_empty(), "{report:?}");
    let view = View::fetch(&bucket).await.unwrap();
    for meta in view.blocks.values().filter(|meta| view.mark(meta.id, MarkKind::Deletion).is_none()) {
        if meta.thanos.as_ref().unwrap().resolution != 0 {
            continue;
        }
        for (set, samples) in samples_of(&fetch(&bucket, meta).await.open()) {
            let web = set.get(b"job") == Some(b"web");
            assert!(!web || samples.keys().all(|t| !range.contains(*t)), "{set:?} in {}", meta.id);
        }
    }
    let again = compactor.round(NOW + HOUR).await.unwrap();
    assert!(again.done.is_empty(), "{again:?}");
}

/// Tombstones that lie beside a block in the bucket are honoured.
#[tokio::test]
async fn tombstones_are_carried_out() {
    let store = begun().await;
    let bucket = bucket(&store);
    let made = &blocks()[1];
    let mut stones = Tombstones::default();
    let first = made.open().postings(&[]).unwrap()[0];
    stones.add(first, TimeRange::ALL);
    bucket.put(&Layout::file(made.id(), "tombstones"), stones.to_bytes().into()).await.unwrap();
    let gone = made.open().series(first).unwrap().labels;
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), Options::default(), Arc::new(Unobserved)).unwrap();
    let report = compactor.round(NOW).await.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let merged = report.made().find(|meta| meta.compaction.sources.contains(&made.id())).unwrap();
    let content = samples_of(&fetch(&bucket, merged).await.open());
    let hidden = |t: &i64| (made.meta.min_time..made.meta.max_time).contains(t);
    assert!(content[&gone].keys().all(|t| !hidden(t)));
    assert!(content.iter().any(|(set, samples)| *set != gone && samples.keys().any(hidden)));
}
