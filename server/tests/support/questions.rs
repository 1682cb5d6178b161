//! The same questions to two queriers over HTTP.

use serde_json::Value as Json;

/// From the first sample of the recordings to behind the last one, in seconds.
pub(crate) const START: i64 = 1_704_067_200;
pub(crate) const END: i64 = START + 50_400;

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

pub(crate) async fn get(http: &str, path: &str, parameters: &[(&str, &str)]) -> Json {
    let url = reqwest::Url::parse_with_params(&format!("http://{http}{path}"), parameters).unwrap();
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut answer: Json = serde_json::from_str(&text).unwrap();
    // How long it took is in there too.
    if let Some(data) = answer["data"].as_object_mut() {
        data.remove("analysis");
        data.remove("stats");
    }
    answer
}

/// With which care sums of histograms are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sums {
    /// Both the same.
    Same,
    /// Ours with compensation, as Prometheus 3.14; Thanos 0.42 computes with Prometheus 3.9, which has none.
    OursBetter,
}

/// The numbers of an answer with twelve digits.
fn rounded(answer: &mut Json) {
    match answer {
        Json::String(text) => {
            if let Ok(number) = text.parse::<f64>() {
                *text = format!("{number:.11e}");
            }
        }
        Json::Array(all) => all.iter_mut().for_each(rounded),
        Json::Object(all) => all.values_mut().for_each(rounded),
        _ => {}
    }
}

/// Asks both the same; what differs.
pub(crate) async fn differences(ours: &str, theirs: &str, sums: Sums) -> Vec<String> {
    let (start, end) = (START.to_string(), END.to_string());
    let (mut faults, mut filled) = (Vec::new(), 0);
    let mut compare = |what: String, mut ours: Json, mut theirs: Json| {
        if sums == Sums::OursBetter && what.starts_with("histogram_quantile") {
            rounded(&mut ours);
            rounded(&mut theirs);
        }
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
