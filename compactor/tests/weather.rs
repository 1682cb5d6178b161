//! A store of which every twentieth call fails, and others come late or lose their answer, makes the work slower and nothing else: the
//! bucket comes to the same state, and nothing is taken for damage.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::{Bucket, BucketSettings, FailingStore, MarkKind, NoTime, Retry, View, Weather};
use sarsen_compactor::{Compactor, Options, Retention, Unobserved, Until};
use support::store::SimStore;
use support::{DAY, HOUR, MINUTE, Made, Recipe, START, bucket, content, live, readable};

const A: &[(&str, &str)] = &[("tenant_id", "a")];
const B: &[(&str, &str)] = &[("tenant_id", "b")];

fn blocks() -> Vec<Made> {
    let all = content(4, START, START + 48 * HOUR, 5 * MINUTE);
    let mut made = Vec::new();
    for (first, external) in [(1, A), (20, B)] {
        for k in 0..6 {
            let (from, to) = (START + k as i64 * 2 * HOUR, START + (k as i64 + 1) * 2 * HOUR);
            made.push(Recipe { segment_size: 2000, ..Recipe::new(first + k, from, to, external) }.of(&all));
        }
    }
    let long =
        Recipe { segment_size: 3000, ..Recipe::new(40, START, START + 48 * HOUR, &[("tenant_id", "c")]) };
    made.push(long.of(&all));
    made
}

fn options() -> Options {
    let retention = Retention { raw_ms: 30 * DAY, five_minutes_ms: 60 * DAY, one_hour_ms: 0 };
    Options { retention, concurrency: 2, ..Options::default() }
}

const TIMES: [i64; 4] = [4 * DAY, 7 * DAY, 35 * DAY, 38 * DAY];

/// Rounds at the times of the test; each is held again an hour later until nothing waits.
async fn play(bucket: &Bucket, store: &SimStore) -> u32 {
    let scratch = tempfile::tempdir().unwrap();
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), options(), Arc::new(Unobserved)).unwrap();
    let mut rounds = 0;
    for time in TIMES {
        for hour in 0.. {
            assert!(hour < 100, "there is no end");
            let now_ms = START + time + hour * 61 * MINUTE;
            store.set_clock(now_ms);
            rounds += 1;
            let Ok(report) = compactor.round(now_ms).await else { continue };
            for aside in &report.set_aside {
                assert!(matches!(aside.until, Until::Time(_)), "{aside:?}");
            }
            if report.set_aside.is_empty() && report.failed.is_empty() && report.cleaned.failed.is_empty() {
                break;
            }
        }
    }
    rounds
}

#[tokio::test]
async fn a_store_that_fails_only_slows_the_work_down() {
    let begun = || async {
        let store = SimStore::new(START);
        let plain = bucket(&store);
        for made in blocks() {
            made.put(&plain).await;
        }
        store
    };
    let calm = begun().await;
    play(&bucket(&calm), &calm).await;
    let view = View::fetch(&bucket(&calm)).await.unwrap();
    let wanted = live(&view);
    assert!(wanted.len() > 2 && wanted.iter().all(|portrait| portrait.resolution == 300_000), "{wanted:?}");

    for seed in 0..6 {
        let store = begun().await;
        let failing = Arc::new(FailingStore::new(store.clone()));
        failing.set_weather(Some(Weather {
            seed,
            failing: 50,
            unanswered: 10,
            late: 50,
            delay: Duration::from_millis(200),
            timer: Arc::new(NoTime),
        }));
        // With the retries of the bucket in half of the cases, and without: then much more reaches the compactor.
        let retry = if seed % 2 == 0 { Retry::default() } else { Retry::NEVER };
        let settings = BucketSettings { retry, ..BucketSettings::default() };
        let harried = Bucket::builder(failing, "failing").settings(settings).build();
        let rounds = play(&harried, &store).await;
        let plain = bucket(&store);
        let view = View::fetch(&plain).await.unwrap();
        assert_eq!(live(&view), wanted, "seed {seed}, {rounds} rounds");
        let marks = view.marks.values().flatten().filter(|mark| mark.kind != MarkKind::Deletion).count();
        assert_eq!(marks, 0, "seed {seed}: a call that fails is nobody's damage");
        assert!(readable(&plain, &view, |_| true).await.is_empty(), "raw data is gone by age");
    }
}
