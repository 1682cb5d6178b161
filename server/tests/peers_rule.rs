//! Thanos' rulers and sidecars around our querier: a ruler that asks ours, over HTTP and over gRPC, and what rulers and sidecars know
//! as ours gives it on, beside what Thanos' own querier makes of the same endpoints.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(all(feature = "standalone", feature = "tools"))]

mod process;
mod support;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::built;
use serde_json::{Value as Json, json};
use support::questions::get;
use support::thanos::{self, Thanos};
use support::{Node, body, headers, target};

const REPLICAS: [&str; 3] = [
    "--query.replica-label=rule_replica",
    "--query.replica-label=receive_replica",
    "--query.replica-label=prometheus_replica",
];
const RULES: &str = "groups:
- name: requests
  interval: 1s
  rules:
  - record: owner:requests:sum
    expr: sum by (owner) (requests_total)
    labels: {kind: recorded}
  - alert: ManyRequests
    expr: sum by (owner) (requests_total) > 20
    labels: {severity: page}
    annotations: {summary: '{{ $labels.owner }} has {{ $value }}'}
  - alert: NoRequests
    expr: requests_total < 0
    for: 5m
";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Requests of two owners, as of now.
async fn write(node: &Node) {
    let series = [("one", 10.0), ("two", 20.5), ("three", 30.25)].map(|(owner, value): (&str, f64)| {
        let sample = (now() * 1000, value.to_bits());
        body::series(&[("__name__", "requests_total"), ("owner", owner)], &[sample])
    });
    let request = body::snappy(&body::request(&series));
    let answer = node.post("/api/v1/receive", headers(&[]), request).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

fn http(node: &Node) -> String {
    node.admin.strip_prefix("http://").unwrap().to_owned()
}

async fn ruler(program: &Path, dir: &Path, replica: &str, ask: &str) -> Thanos {
    let file = dir.join("rules.yml");
    std::fs::write(&file, RULES).unwrap();
    let arguments = [
        format!("--rule-file={}", file.display()),
        format!("--data-dir={}", dir.join(format!("rule-{replica}")).display()),
        format!("--label=rule_replica=\"{replica}\""),
        "--label=region=\"eu\"".to_owned(),
        "--alert.label-drop=rule_replica".to_owned(),
        "--eval-interval=1s".to_owned(),
        ask.to_owned(),
    ];
    thanos::start(program, dir, "rule", &arguments).await
}

/// A querier of Thanos over these endpoints.
async fn querier(program: &Path, dir: &Path, endpoints: &[&str]) -> Thanos {
    let endpoints = endpoints.iter().map(|endpoint| format!("--endpoint={endpoint}"));
    let arguments: Vec<String> = endpoints.chain(REPLICAS.map(str::to_owned)).collect();
    thanos::start(program, dir, "query", &arguments).await
}

/// Without times of evaluations and scrapes and how long they took, which are others every second; lists in one order.
fn settled(mut answer: Json) -> Json {
    fn settle(json: &mut Json) {
        const OF_A_MOMENT: [&str; 6] =
            ["evaluationTime", "lastEvaluation", "lastScrape", "lastScrapeDuration", "lastError", "activeAt"];
        match json {
            Json::Object(all) => {
                all.retain(|name, _| !OF_A_MOMENT.contains(&name.as_str()));
                all.values_mut().for_each(settle);
            }
            Json::Array(all) => {
                all.iter_mut().for_each(settle);
                all.sort_by_cached_key(Json::to_string);
            }
            _ => {}
        }
    }
    settle(&mut answer);
    answer
}

/// Asks both, as of now, until they say the same, which is `enough`; for what changes while they are asked one after the other.
async fn agree(
    node: &Node,
    theirs: &Thanos,
    asked: (&str, &[(&str, &str)]),
    enough: fn(&Json) -> bool,
) -> Json {
    let (path, fields) = asked;
    let ours = http(node);
    let mut last = (Json::Null, Json::Null);
    for _ in 0..300 {
        // The same moment for both; no other path knows this parameter.
        let at = now().to_string();
        let fields = [fields, &[("time", at.as_str())]].concat();
        last = (get(&ours, path, &fields).await, get(&theirs.http, path, &fields).await);
        if enough(&last.0) && settled(last.0.clone()) == settled(last.1.clone()) {
            return last.0;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} {fields:?}\n  ours   {}\n  theirs {}\n{}", settled(last.0), settled(last.1), node.log());
}

fn has_rows(answer: &Json) -> bool {
    answer["data"]["result"].as_array().is_some_and(|rows| !rows.is_empty())
}

#[tokio::test]
async fn rulers_ask_ours_and_ours_asks_rulers() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        std::fs::create_dir_all(dir.path().join(name)).unwrap();
        dir.path().join(name)
    };
    let receiver = Node::receive_with_store(&place("receiver"), &[]).await;
    write(&receiver).await;
    receiver.client().await;
    let inner = Node::query(&place("inner"), &[&receiver.grpc], &REPLICAS).await;
    let rulers = [
        ruler(&program, &place("a"), "a", &format!("--query={}", http(&inner))).await,
        ruler(&program, &place("b"), "b", &format!("--grpc-query-endpoint={}", inner.grpc)).await,
    ];
    let endpoints = [receiver.grpc.as_str(), &rulers[0].grpc, &rulers[1].grpc];
    let ours = Node::query(&place("ours"), &endpoints, &REPLICAS).await;
    let theirs = querier(&program, dir.path(), &endpoints).await;

    // What was recorded, by each of them and as one.
    let each = [("query", "owner:requests:sum"), ("dedup", "false")];
    let both = |answer: &Json| answer["data"]["result"].as_array().is_some_and(|rows| rows.len() == 6);
    agree(&ours, &theirs, ("/api/v1/query", &each), both).await;
    let one = [("query", "sort(owner:requests:sum{kind=\"recorded\"})")];
    let answer = agree(&ours, &theirs, ("/api/v1/query", &one), has_rows).await;
    let rows: Vec<_> =
        answer["data"]["result"].as_array().unwrap().iter().map(|row| &row["value"][1]).collect();
    assert_eq!(rows, [&json!("10"), &json!("20.5"), &json!("30.25")], "{answer}");
    let alerts = [("query", "ALERTS{alertname=\"ManyRequests\"}")];
    agree(&ours, &theirs, ("/api/v1/query", &alerts), has_rows).await;

    let fires = |answer: &Json| answer.to_string().contains("\"state\":\"firing\"");
    for fields in [
        &[][..],
        &[("type", "alert")],
        &[("type", "record")],
        &[("rule_name[]", "NoRequests")],
        &[("rule_group[]", "requests")],
        &[("rule_group[]", "nothing")],
        &[("match[]", "{severity=\"page\"}")],
        &[("exclude_alerts", "true")],
        &[("dedup", "false")],
    ] {
        let enough = if fields.is_empty() { fires } else { |_: &Json| true };
        let answer = agree(&ours, &theirs, ("/api/v1/rules", fields), enough).await;
        let groups = answer["data"]["groups"].as_array().unwrap().len();
        assert!(groups > 0 || fields == [("rule_group[]", "nothing")], "{fields:?}: {answer}");
    }
    // One of each ruler, because they did not begin at the same time.
    let alerts = agree(&ours, &theirs, ("/api/v1/alerts", &[]), fires).await;
    let alerts = alerts["data"]["alerts"].as_array().unwrap();
    assert!(alerts.iter().any(|alert| alert["annotations"]["summary"] == "three has 30.25"), "{alerts:?}");
}

#[tokio::test]
async fn what_a_sidecar_knows() {
    let (Some(program), Some(prometheus)) = (thanos::program(), built("prometheus")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (text, native) = (target::start(target::text), target::start(target::native));
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  scrape_native_histograms: true\n\
         \x20 external_labels: {{prometheus: test, prometheus_replica: p0}}\n\
         scrape_configs:\n  - job_name: app\n    static_configs: [{{targets: ['{text}']}}]\n\
         \x20 - job_name: native\n    static_configs: [{{targets: ['{native}']}}]\n\
         \x20 - job_name: gone\n    static_configs: [{{targets: ['127.0.0.1:1']}}]\n\
         \x20   relabel_configs: [{{action: drop, source_labels: [nowhere], regex: never}}]\n\
         \x20 - job_name: dropped\n    static_configs: [{{targets: ['127.0.0.1:1']}}]\n\
         \x20   relabel_configs: [{{action: drop}}]\n"
    );
    let further = [
        "--enable-feature=exemplar-storage",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration=2h",
    ];
    let (_scraping, address) = process::prometheus(&prometheus, dir.path(), "prometheus", &config, &further);
    let arguments = [
        format!("--prometheus.url=http://{address}"),
        format!("--tsdb.path={}", dir.path().join("prometheus").display()),
    ];
    let sidecar = thanos::start(&program, dir.path(), "sidecar", &arguments).await;
    let ours = Node::query(dir.path(), &[&sidecar.grpc], &REPLICAS).await;
    let theirs = querier(&program, dir.path(), &[&sidecar.grpc]).await;

    // Scrapes of ten seconds, and a time behind which nothing is asked for.
    let scraped = |answer: &Json| {
        answer["data"]["result"].as_array().is_some_and(|rows| {
            let enough = |row: &Json| row["value"][1].as_str().unwrap().parse::<f64>().unwrap() > 10.0;
            rows.len() == 3 && rows.iter().all(enough)
        })
    };
    agree(&ours, &theirs, ("/api/v1/query", &[("query", "count_over_time(up[1m])")]), scraped).await;
    let end = now() - 1;
    let (from, to) = ((end - 10).to_string(), end.to_string());
    for expression in [
        "up",
        "rate(app_requests_total[5s])",
        "histogram_quantile(0.9, rate(app_native_seconds[5s]))",
        "app_odd",
        "sum by (job, prometheus) (scrape_samples_scraped)",
    ] {
        for dedup in ["true", "false"] {
            let fields =
                [("query", expression), ("start", &from), ("end", &to), ("step", "1"), ("dedup", dedup)];
            agree(&ours, &theirs, ("/api/v1/query_range", &fields), has_rows).await;
        }
    }
    for fields in [&[][..], &[("state", "active")], &[("state", "dropped")], &[("dedup", "false")]] {
        let answer = agree(&ours, &theirs, ("/api/v1/targets", fields), |answer| {
            // Its last scrape, of which there is an end for all.
            !answer.to_string().contains("\"unknown\"")
        })
        .await;
        let active = answer["data"]["activeTargets"].as_array().map_or(0, Vec::len);
        assert_eq!(active, if fields == [("state", "dropped")] { 0 } else { 3 }, "{answer}");
    }
    let known = |answer: &Json| !answer["data"].as_object().unwrap().is_empty();
    agree(&ours, &theirs, ("/api/v1/metadata", &[]), known).await;
    agree(&ours, &theirs, ("/api/v1/metadata", &[("metric", "app_odd")]), known).await;
    let exemplars = [("query", "app_traced_total"), ("start", from.as_str()), ("end", to.as_str())];
    let any = |answer: &Json| answer["data"].as_array().is_some_and(|rows| !rows.is_empty());
    agree(&ours, &theirs, ("/api/v1/query_exemplars", &exemplars), any).await;
    for path in ["/api/v1/labels", "/api/v1/label/job/values"] {
        let fields = [("start", from.as_str()), ("end", to.as_str())];
        agree(&ours, &theirs, (path, &fields), any).await;
    }
    let series = [("match[]", "{job=\"app\"}"), ("start", from.as_str()), ("end", to.as_str())];
    agree(&ours, &theirs, ("/api/v1/series", &series), any).await;
}
