//! What a call is said to have read.

use super::*;

fn query() -> SeriesQuery {
    SeriesQuery::new(TimeRange::ALL, vec![Matcher::equal("__name__", "cpu_seconds_total")])
}

/// What was touched, its bytes, what was fetched, its bytes: of all calls together.
fn read(served: &Served, what: &str) -> [f64; 4] {
    ["touched", "size_touched_bytes", "fetched", "size_fetched_bytes"].map(|kind| {
        let labels = format!("{{data_type=\"{what}\",tenant=\"default-tenant\"}}");
        served.metric(&format!("thanos_bucket_store_series_data_{kind}_sum{labels}"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_counted_and_what_was_kept_is_not_fetched_again() {
    let place = Place::new();
    let served = place.serve(|_| {}).await;
    let (answer, _) = ask(&served.gateway, query()).await.unwrap();
    let chunks: usize = answer.iter().map(|(_, chunks)| chunks.len()).sum();
    let cold = ["postings", "series", "chunks"].map(|what| read(&served, what));
    let [postings, series, of_chunks] = cold;
    assert!(postings[0] > 0.0 && postings[0] == postings[2] && postings[1] <= postings[3], "{postings:?}");
    assert!(series[0] >= answer.len() as f64 && series[0] == series[2] && series[1] > 0.0, "{series:?}");
    assert!(of_chunks[0] >= chunks as f64 && of_chunks[1] > 0.0, "{of_chunks:?} for {chunks}");
    assert!(of_chunks[1] <= of_chunks[3], "{of_chunks:?}");

    ask(&served.gateway, query()).await.unwrap();
    let warm = ["postings", "series", "chunks"].map(|what| read(&served, what));
    for (cold, warm) in cold[..2].iter().zip(&warm) {
        assert!(warm[0] > cold[0] && warm[1] > cold[1], "touched again: {warm:?} after {cold:?}");
        assert_eq!((warm[2], warm[3]), (cold[2], cold[3]), "but not fetched again");
    }
    assert_eq!(warm[2].map(|sum| sum / 2.0), of_chunks, "chunks are not kept");

    let of_tenant =
        |name: &str| served.metric(&format!("thanos_bucket_store_{name}{{tenant=\"default-tenant\"}}"));
    assert_eq!(of_tenant("series_result_series_sum"), 2.0 * answer.len() as f64);
    for name in ["postings_fetch", "series_fetch", "chunks_fetch", "series_get_all", "series_merge"] {
        assert_eq!(of_tenant(&format!("{name}_duration_seconds_count")), 2.0, "{name}");
    }
    assert_eq!(of_tenant("postings_size_bytes_sum"), warm[0][1]);
    assert_eq!(of_tenant("empty_postings_total"), 0.0);
    let nothing = SeriesQuery { matchers: vec![Matcher::equal("__name__", "none")], ..query() };
    let (answer, _) = ask(&served.gateway, nothing).await.unwrap();
    assert!(answer.is_empty());
    assert!(of_tenant("empty_postings_total") > 0.0);
}
