//! The Status service of a querier: what the databases behind it say of their heads.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "query", feature = "receive", feature = "store"))]

mod storeapi_client;
mod support;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use storeapi_client::thanos::status_client::StatusClient;
use storeapi_client::thanos::{TsdbStatisticsRequest, tsdb_statistics_response};
use support::{Node, body, headers};

async fn write(node: &Node, tenant: &str, series: usize) {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let one = |number: usize| {
        let pod = number.to_string();
        body::series(&[("__name__", "requests_total"), ("pod", &pod)], &[(now, 1f64.to_bits())])
    };
    let request = body::snappy(&body::request(&(0..series).map(one).collect::<Vec<_>>()));
    let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), request).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// By tenant the series of its head, and warnings.
async fn asked(address: &str, tenant: &str) -> (BTreeMap<String, u64>, Vec<String>) {
    let channel = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = StatusClient::new(channel.connect().await.unwrap());
    let request = TsdbStatisticsRequest { tenant: tenant.to_owned(), limit: 5, ..Default::default() };
    let mut answers = client.tsdb_statistics(request).await.unwrap().into_inner();
    let (mut heads, mut warnings) = (BTreeMap::new(), Vec::new());
    while let Some(message) = answers.message().await.unwrap() {
        match message.result {
            Some(tsdb_statistics_response::Result::Statistics(found)) => {
                let head = |entry: storeapi_client::thanos::TsdbStatisticsEntry| {
                    assert_eq!(entry.series_count_by_metric_name[0].name, "requests_total");
                    entry.head_statistics.unwrap().num_series
                };
                heads.extend(found.statistics.into_iter().map(|(tenant, entry)| (tenant, head(entry))));
            }
            Some(tsdb_statistics_response::Result::Warning(text)) => warnings.push(text),
            None => {}
        }
    }
    (heads, warnings)
}

#[tokio::test]
async fn heads_of_all_receivers_are_told_through_queriers() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let first = Node::receive_with_store(&folder("first"), &[]).await;
    let second = Node::receive_with_store(&folder("second"), &["--label=side=\"b\""]).await;
    write(&first, "one", 2).await;
    write(&first, "two", 3).await;
    write(&second, "three", 4).await;
    first.client().await;
    second.client().await;
    let below = Node::query(&folder("below"), &[&first.grpc, &second.grpc], &[]).await;
    below.client().await;
    let above = Node::query(&folder("above"), &[&below.grpc], &[]).await;
    above.client().await;
    let all: BTreeMap<String, u64> =
        [("one", 2), ("two", 3), ("three", 4)].map(|(tenant, series)| (tenant.to_owned(), series)).into();
    for node in [&below, &above] {
        assert_eq!(asked(&node.grpc, "").await, (all.clone(), Vec::new()));
        let (own, _) = asked(&node.grpc, "two").await;
        assert_eq!(own, BTreeMap::from([("two".to_owned(), 3)]));
    }
    // One that has gone costs a warning.
    assert_eq!(second.stop(), Some(0));
    let (heads, warnings) = asked(&below.grpc, "").await;
    assert!(!heads.contains_key("three") && heads.len() == 2, "{heads:?}");
    assert!(warnings.is_empty() || warnings[0].contains("TSDB statistics"), "{warnings:?}");
}
