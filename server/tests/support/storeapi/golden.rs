//! Requests that were played against a real `thanos store` and `thanos receive`, with what came back.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use prost::Message as _;
use sarsen_benches::storeapi::{
    AggrChunk, Any, ChunkPart, Frame, HintedBlock, InfoResponse, Label, LabelNamesResponse, LabelSet,
    LabelValuesResponse, QueriedBlocks, SeriesBatch, SeriesResponse, StoreClient, StoreInfo, StoreSeries,
    TimeSpan, TsdbInfo,
};
use sarsen_block::TimeRange;
use serde_json::Value as Json;

use super::text::{self, Look};

/// A file or folder of the recordings.
pub(crate) fn recorded(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/storeapi").join(name)
}

fn lines(name: &str) -> Vec<Json> {
    let packed = std::fs::read(recorded(name)).unwrap();
    let text = zstd::decode_all(packed.as_slice()).unwrap();
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Recorded requests to one server.
pub(crate) struct Golden {
    pub(crate) cases: Vec<Json>,
    chunks: HashMap<u64, Vec<u8>>,
}

impl Golden {
    /// Of the `store` or the `receive`.
    pub(crate) fn of(server: &str) -> Self {
        let chunks = lines(&format!("{server}_chunks.jsonl.zst"));
        let numbered = |json: &Json| (json["chunk"].as_u64().unwrap(), hex(json["hex"].as_str().unwrap()));
        let chunks = chunks.iter().map(numbered).collect();
        Self { cases: lines(&format!("{server}.jsonl.zst")), chunks }
    }

    /// Plays every request; what is not as it was recorded. With `samples`, chunks may end elsewhere.
    pub(crate) async fn play(&self, client: &StoreClient, samples: bool) -> Vec<String> {
        assert!(!self.cases.is_empty());
        let mut faults = Vec::new();
        for case in &self.cases {
            let range =
                TimeRange::new(case["min_time"].as_i64().unwrap(), case["max_time"].as_i64().unwrap());
            let look = if samples { Look::Samples(range) } else { Look::Bytes };
            let expected = self.expected(case, look);
            let found = found(client, case, look).await;
            if let Some(difference) = text::difference(&expected, &found) {
                faults.push(format!("{} {} ({}): {difference}", case["id"], case["rpc"], case["note"]));
            }
        }
        faults
    }

    fn expected(&self, case: &Json, look: Look) -> Vec<String> {
        if let Some(code) = case["error_code"].as_str() {
            return vec![format!("error {code}")];
        }
        let (mut out, response) = (Vec::new(), &case["response"]);
        match case["rpc"].as_str().unwrap() {
            "Series" => {
                let frames = case["response_frames"].as_array();
                let frames: Vec<_> = frames.into_iter().flatten().map(|frame| self.frame(frame)).collect();
                text::frames(&frames, look, &mut out);
            }
            "LabelNames" => names(
                &LabelNamesResponse {
                    names: texts(&response["names"]),
                    warnings: warnings(response),
                    hints: hints(&response["hints"]),
                },
                &mut out,
            ),
            "LabelValues" => values(
                &LabelValuesResponse {
                    values: texts(&response["values"]),
                    warnings: warnings(response),
                    hints: hints(&response["hints"]),
                },
                &mut out,
            ),
            "Info" => info(&recorded_info(response), &mut out),
            other => unreachable!("recorded call {other}"),
        }
        out
    }

    fn frame(&self, json: &Json) -> SeriesResponse {
        let frame = if let Some(warning) = json["warning"].as_str() {
            Frame::Warning(warning.to_owned())
        } else if let Some(batch) = json["batch"].as_array() {
            Frame::Batch(SeriesBatch { series: batch.iter().map(|one| self.series(one)).collect() })
        } else if json["hints"].is_object() {
            Frame::Hints(hints(&json["hints"]).unwrap())
        } else {
            Frame::Series(self.series(&json["series"]))
        };
        SeriesResponse { frame: Some(frame) }
    }

    fn series(&self, json: &Json) -> StoreSeries {
        let chunks = json["chunks"].as_array().unwrap().iter().map(|one| self.chunk(one)).collect();
        StoreSeries { labels: pairs(&json["labels"]), chunks }
    }

    fn chunk(&self, json: &Json) -> AggrChunk {
        let part = |name: &str| {
            let part = json.get(name)?;
            let kinds = ["XOR", "HISTOGRAM", "FLOAT_HISTOGRAM"];
            let kind = kinds.iter().position(|kind| part["type"] == *kind).unwrap();
            let data = self.chunks[&part["chunk"].as_u64().unwrap()].clone();
            Some(ChunkPart { kind: kind as i32, data, hash: part["hash"].as_u64().unwrap_or(0) })
        };
        AggrChunk {
            min_time: json["min_time"].as_i64().unwrap(),
            max_time: json["max_time"].as_i64().unwrap(),
            raw: part("raw"),
            count: part("count"),
            sum: part("sum"),
            min: part("min"),
            max: part("max"),
            counter: part("counter"),
        }
    }
}

async fn found(client: &StoreClient, case: &Json, look: Look) -> Vec<String> {
    let request = Bytes::from(hex(case["request_protobuf_hex"].as_str().unwrap()));
    let mut out = Vec::new();
    let rpc = case["rpc"].as_str().unwrap();
    if rpc == "Series" {
        let answer = client.gather("/thanos.Store/Series", request).await;
        text::frames(&answer.series().unwrap(), look, &mut out);
        out.extend(answer.failure.map(|status| format!("error {:?}", status.code())));
        return out;
    }
    let path = match rpc {
        "LabelNames" => "/thanos.Store/LabelNames",
        "LabelValues" => "/thanos.Store/LabelValues",
        _ => "/thanos.info.Info/Info",
    };
    match client.unary(path, request).await {
        Err(status) => out.push(format!("error {:?}", status.code())),
        Ok(answer) if rpc == "LabelNames" => names(&LabelNamesResponse::decode(answer).unwrap(), &mut out),
        Ok(answer) if rpc == "LabelValues" => values(&LabelValuesResponse::decode(answer).unwrap(), &mut out),
        Ok(answer) => info(&InfoResponse::decode(answer).unwrap(), &mut out),
    }
    out
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn bytes(json: &Json) -> Vec<u8> {
    json.as_str().map_or_else(|| hex(json["hex"].as_str().unwrap()), |text| text.as_bytes().to_vec())
}

fn texts(json: &Json) -> Vec<Vec<u8>> {
    json.as_array().into_iter().flatten().map(bytes).collect()
}

fn pairs(json: &Json) -> Vec<Label> {
    let pairs = json.as_array().into_iter().flatten();
    pairs.map(|pair| Label { name: bytes(&pair[0]), value: bytes(&pair[1]) }).collect()
}

fn warnings(response: &Json) -> Vec<String> {
    let warnings = response["warnings"].as_array().into_iter().flatten();
    warnings.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn hints(json: &Json) -> Option<Any> {
    let type_url = json["type_url"].as_str()?.to_owned();
    let ids = json["queried_blocks_sorted"].as_array().into_iter().flatten();
    let block = |id: &Json| HintedBlock { id: id.as_str().unwrap().to_owned() };
    let value = QueriedBlocks { queried_blocks: ids.map(block).collect() }.encode_to_vec();
    Some(Any { type_url, value })
}

fn recorded_info(json: &Json) -> InfoResponse {
    let set = |json: &Json| LabelSet { labels: pairs(json) };
    let time = |json: &Json, name: &str| json[name].as_i64().unwrap();
    let store = |store: &Json| StoreInfo {
        min_time: time(store, "min_time"),
        max_time: time(store, "max_time"),
        supports_sharding: store["supports_sharding"] == true,
        supports_without_replica_labels: store["supports_without_replica_labels"] == true,
        supports_projections: store["supports_projections"] == true,
        tsdb_infos: store["tsdb_infos"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| TsdbInfo {
                labels: Some(set(&one["labels"])),
                min_time: time(one, "min_time"),
                max_time: time(one, "max_time"),
            })
            .collect(),
    };
    let has = |name: &str| (json["has"][name] == true).then(Default::default);
    let exemplars = json.get("exemplars").filter(|json| json.is_object());
    InfoResponse {
        label_sets: json["label_sets"].as_array().into_iter().flatten().map(set).collect(),
        component_type: json["component_type"].as_str().unwrap().to_owned(),
        store: json.get("store").filter(|json| json.is_object()).map(store),
        rules: (json["has"]["rules"] == true).then(TimeSpan::default),
        metric_metadata: has("metric_metadata"),
        targets: has("targets"),
        exemplars: exemplars
            .map(|json| TimeSpan { min_time: time(json, "min_time"), max_time: time(json, "max_time") }),
        query: has("query"),
        status: has("status"),
    }
}

fn names(answer: &LabelNamesResponse, out: &mut Vec<String>) {
    out.extend(answer.names.iter().map(|name| format!("name {:?}", String::from_utf8_lossy(name))));
    out.extend(answer.warnings.iter().map(|text| format!("warning: {text}")));
    out.push(text::queried_blocks(answer.hints.as_ref()));
}

fn values(answer: &LabelValuesResponse, out: &mut Vec<String>) {
    out.extend(answer.values.iter().map(|value| format!("value {:?}", String::from_utf8_lossy(value))));
    out.extend(answer.warnings.iter().map(|text| format!("warning: {text}")));
    out.push(text::queried_blocks(answer.hints.as_ref()));
}

/// Sets in no order are sorted.
fn info(answer: &InfoResponse, out: &mut Vec<String>) {
    let set = |set: &LabelSet| text::labels(&set.labels);
    let mut sets: Vec<String> = answer.label_sets.iter().map(set).collect();
    sets.sort();
    out.push(format!("component {}", answer.component_type));
    out.extend(sets);
    if let Some(store) = &answer.store {
        out.push(format!("store [{}, {}]", store.min_time, store.max_time));
        let can =
            (store.supports_sharding, store.supports_without_replica_labels, store.supports_projections);
        out.push(format!("sharding, without replica labels, projections: {can:?}"));
        let info = |info: &TsdbInfo| {
            let labels = set(&info.labels.clone().unwrap_or_default());
            format!("database {labels} [{}, {}]", info.min_time, info.max_time)
        };
        let mut infos: Vec<String> = store.tsdb_infos.iter().map(info).collect();
        infos.sort();
        out.extend(infos);
    }
    let has = [
        ("rules", answer.rules.is_some()),
        ("metadata", answer.metric_metadata.is_some()),
        ("targets", answer.targets.is_some()),
        ("exemplars", answer.exemplars.is_some()),
        ("query", answer.query.is_some()),
        ("status", answer.status.is_some()),
    ];
    out.extend(has.iter().filter(|(_, has)| *has).map(|(name, _)| format!("has {name}")));
    out.extend(
        answer.exemplars.iter().map(|span| format!("exemplars [{}, {}]", span.min_time, span.max_time)),
    );
}
