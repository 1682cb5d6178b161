//! Thanos' own Query in front of ours and in front of Thanos' store and receiver: the same answers to the same questions.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use serde_json::Value as Json;
use support::storeapi::copy_folder;
use support::storeapi::golden::recorded;
use support::thanos::{self, Thanos};
use support::{Node, blocks, headers};

/// From the first sample of the recordings to behind the last one, in seconds.
const START: i64 = 1_704_067_200;
const END: i64 = START + 50_400;

const EXPRESSIONS: [&str; 11] = [
    "up",
    "sum by (pod) (rate(cpu_seconds_total[10m]))",
    "max_over_time(mem_bytes[1h])",
    "count by (tenant_id, receive_replica) (up)",
    "mem_bytes{pod!=\"\", namespace=~\"shop|infra\"}",
    "{__name__=~\"cpu.*|up\", tenant_id!=\"nobody\"}",
    "histogram_quantile(0.9, sum(rate(lat_seconds[15m])))",
    "histogram_count(share_hist)",
    "info{text!=\"\"} or info",
    "increase(cpu_seconds_total{namespace=\"shop\"}[30m]) / on (pod) group_left avg by (pod) (mem_bytes)",
    "absent(nosuch)",
];

async fn get(query: &Thanos, path: &str, parameters: &[(&str, &str)]) -> Json {
    let url = reqwest::Url::parse_with_params(&format!("http://{}{path}", query.http), parameters).unwrap();
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut answer: Json = serde_json::from_str(&text).unwrap();
    // How long it took is in there too.
    if let Some(data) = answer["data"].as_object_mut() {
        data.remove("analysis");
        data.remove("stats");
    }
    answer
}

/// Asks both the same; what differs.
async fn differences(ours: &Thanos, theirs: &Thanos) -> Vec<String> {
    let (start, end) = (START.to_string(), END.to_string());
    let (mut faults, mut filled) = (Vec::new(), 0);
    let mut compare = |what: String, ours: Json, theirs: Json| {
        filled += usize::from(theirs["data"]["result"].as_array().is_some_and(|rows| !rows.is_empty()));
        if ours != theirs {
            let show = |json: &Json| json.to_string().chars().take(600).collect::<String>();
            faults.push(format!("{what}\n  ours   {}\n  theirs {}", show(&ours), show(&theirs)));
        }
    };
    for expression in EXPRESSIONS {
        for (dedup, resolution) in [("true", "0s"), ("false", "0s"), ("true", "5m"), ("true", "1h")] {
            let parameters = [
                ("query", expression),
                ("start", &start),
                ("end", &end),
                ("step", "300"),
                ("dedup", dedup),
                ("max_source_resolution", resolution),
                ("partial_response", "false"),
            ];
            let both = (
                get(ours, "/api/v1/query_range", &parameters).await,
                get(theirs, "/api/v1/query_range", &parameters).await,
            );
            compare(format!("{expression}, dedup {dedup}, {resolution}"), both.0, both.1);
        }
    }
    let times = [("start", start.as_str()), ("end", end.as_str())];
    for path in [
        "/api/v1/labels",
        "/api/v1/label/pod/values",
        "/api/v1/label/tenant_id/values",
        "/api/v1/label/__name__/values",
    ] {
        compare(path.to_owned(), get(ours, path, &times).await, get(theirs, path, &times).await);
    }
    let series = [times[0], times[1], ("match[]", "{pod=~\".+-0\"}")];
    let path = "/api/v1/series";
    compare(path.to_owned(), get(ours, path, &series).await, get(theirs, path, &series).await);
    assert!(filled > 20, "only {filled} questions have answers");
    faults
}

#[tokio::test]
async fn in_front_of_a_store() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    copy_folder(&recorded("bucket"), &bucket);
    let config = blocks::directory(&bucket);
    let store = thanos::store(&program, dir.path(), &config).await;
    let node = Node::store(dir.path(), &config, &[]).await;
    node.client().await;
    let theirs = thanos::query(&program, dir.path(), &store.grpc).await;
    let ours = thanos::query(&program, dir.path(), &node.grpc).await;
    let faults = differences(&ours, &theirs).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn in_front_of_a_receiver() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let receiver = thanos::receive(&program, dir.path()).await;
    let node = Node::receive_with_store(dir.path(), &[]).await;
    let input = recorded("receive_input");
    let steps: Json = serde_json::from_slice(&std::fs::read(input.join("sequence.json")).unwrap()).unwrap();
    for step in steps.as_array().unwrap() {
        let body = std::fs::read(input.join(step["file"].as_str().unwrap())).unwrap();
        let tenant = step["tenant"].as_str().unwrap();
        thanos::write(&receiver, tenant, body.clone()).await;
        let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body).await;
        assert!(answer.status().is_success());
    }
    node.client().await;
    let theirs = thanos::query(&program, dir.path(), &receiver.grpc).await;
    let ours = thanos::query(&program, dir.path(), &node.grpc).await;
    let faults = differences(&ours, &theirs).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
