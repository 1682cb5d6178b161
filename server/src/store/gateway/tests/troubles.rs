//! Blocks that are damaged or gone, a store that fails or hangs, requests that ask for too much.

use sarsen_bucket::Weather;

use super::*;

/// Of the same data: raw, and of five minutes.
const RAW: &str = "01HK2N2AJ10001E5B0KXY78V39";
const FIVE_MINUTES: &str = "01HK2N2AJ1000BAK6TB3XVXT3Y";

/// One counter of a tenant's replica that has blocks of every resolution.
fn query(max_resolution_ms: i64) -> SeriesQuery {
    let matchers = [("__name__", "cpu_seconds_total"), ("tenant_id", "tenant-b"), ("receive_replica", "r0")];
    let matchers = matchers.map(|(name, value)| Matcher::equal(name, value)).to_vec();
    SeriesQuery { max_resolution_ms, ..SeriesQuery::new(TimeRange::ALL, matchers) }
}

fn damage(path: &Path) {
    let length = std::fs::metadata(path).unwrap().len();
    std::fs::write(path, vec![0xA5; usize::try_from(length).unwrap()]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_told_of_and_finer_data_stands_in() {
    let place = Place::new();
    damage(&place.file(FIVE_MINUTES, "index"));
    let served = place.serve(|_| {}).await;
    let (raw, warnings) = ask(&served.gateway, query(0)).await.unwrap();
    assert!(!raw.is_empty() && warnings.is_empty());
    let (got, warnings) = ask(&served.gateway, query(300_000)).await.unwrap();
    assert_eq!(got, raw);
    assert!(warnings.len() == 1 && warnings[0].contains(FIVE_MINUTES), "{warnings:?}");
    let all_or_nothing = SeriesQuery { abort: true, ..query(300_000) };
    let refused = ask(&served.gateway, all_or_nothing).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Aborted(why) if why.contains(FIVE_MINUTES)), "{refused:?}");
    let named =
        served.gateway.label_names(LabelsQuery::new(TimeRange::ALL, query(0).matchers)).await.unwrap();
    assert!(named.warnings.len() == 1 && named.values.contains(&Bytes::from("pod")), "{named:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_chunks_are_told_of_and_nothing_is_sent_twice() {
    let place = Place::new();
    damage(&place.file(FIVE_MINUTES, "chunks/000001"));
    let served = place.serve(|_| {}).await;
    let (raw, _) = ask(&served.gateway, query(0)).await.unwrap();
    let (got, warnings) = ask(&served.gateway, query(300_000)).await.unwrap();
    assert_eq!(got, raw);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_gone_is_looked_for_in_the_bucket() {
    let place = Place::new();
    let served = place.serve(|_| {}).await;
    let (raw, _) = ask(&served.gateway, query(0)).await.unwrap();
    std::fs::remove_dir_all(place.file(FIVE_MINUTES, "")).unwrap();
    let (got, warnings) = ask(&served.gateway, query(300_000)).await.unwrap();
    assert_eq!((got, warnings), (raw, vec![]));
    assert!(served.gateway.shelf().sources.keys().all(|id| id.to_string() != FIVE_MINUTES));
    // Chunks that go between their places and their bytes are looked for as well.
    std::fs::remove_file(place.file(RAW, "chunks/000001")).unwrap();
    let (got, warnings) = ask(&served.gateway, query(0)).await.unwrap();
    assert_eq!((got.len(), warnings.len()), (0, 1), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_store_answers_with_warnings_and_recovers() {
    let place = Place::new();
    let (answer, info) = {
        let served = place.serve(|_| {}).await;
        while !place.folder.path().join("data").join("sarsen-catalogue").exists() {
            tokio::task::yield_now().await;
        }
        (ask(&served.gateway, query(0)).await.unwrap(), served.gateway.info())
    };
    place.store.fail_at(1, true);
    let served = place.serve(|_| {}).await;
    assert_eq!(served.gateway.info(), info);
    let (nothing, warnings) = ask(&served.gateway, query(0)).await.unwrap();
    assert_eq!((nothing.len(), warnings.len()), (0, 1), "{warnings:?}");
    place.store.fail_at(0, false);
    assert_eq!(ask(&served.gateway, query(0)).await.unwrap(), answer);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_in_time() {
    let place = Place::new();
    let served = place.serve(|_| {}).await;
    let (delay, timer) = (Duration::from_secs(7200), Arc::new(Waits));
    let (failing, unanswered, late) = (0, 0, 1000);
    place.store.set_weather(Some(Weather { seed: 1, failing, unanswered, late, delay, timer }));
    let began = tokio::time::Instant::now();
    let (nothing, warnings) = ask(&served.gateway, query(0)).await.unwrap();
    assert_eq!(nothing.len(), 0);
    assert!(warnings.len() == 1 && warnings[0].contains("does not answer"), "{warnings:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    place.store.set_weather(None);
    let (answer, warnings) = ask(&served.gateway, query(0)).await.unwrap();
    assert!(!answer.is_empty() && warnings.is_empty(), "{warnings:?}");
}

/// The time of the test.
#[derive(Debug)]
struct Waits;

impl sarsen_bucket::Timer for Waits {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, duration: Duration) -> sarsen_bucket::Wait<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_too_much_is_refused_in_the_words_of_thanos() {
    let place = Place::new();
    for (own, text) in [
        (TenantLimits { series: 1, ..TenantLimits::default() }, "exceeded series limit: limit 1 violated"),
        (TenantLimits { samples: 120, ..TenantLimits::default() }, "exceeded chunks limit: limit 1 violated"),
        (TenantLimits { bytes: 100, ..TenantLimits::default() }, "exceeded bytes limit"),
    ] {
        let everybody = GatewayLimits { of_all: own, ..GatewayLimits::default() };
        let one = BTreeMap::from([("greedy".to_owned(), own)]);
        let one = GatewayLimits { of_tenants: one, ..GatewayLimits::default() };
        for (limits, others_too) in [(everybody, true), (one, false)] {
            let served = place.serve(|options| options.limits = limits).await;
            for (tenant, refused) in
                [(Some("greedy"), true), (Some("modest"), others_too), (None, others_too)]
            {
                let asked = SeriesQuery { tenant: tenant.map(str::to_owned), ..query(0) };
                match ask(&served.gateway, asked).await {
                    Err(StoreError::Exhausted(why)) => assert!(refused && why.contains(text), "{why}"),
                    other => assert!(!refused && other.is_ok(), "{tenant:?}: {other:?}"),
                }
            }
        }
    }
}
