//! The requests that were recorded against `thanos receive`, on what was written to it, against its answers.
//!
//! Requests are read from their readable fields; messages, batches and codes are the affair of the service. The same samples in other
//! chunks would do, but the head cuts chunks where Prometheus' does, so bytes are compared.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use sarsen_block::{Chunk, Encoding, Labels, MatchOp, Matcher, TimeRange};
use sarsen_downsample::Aggregate;
use serde_json::Value;

use super::{Node, ask};
use crate::store::{
    ChunkParts, Frame, LabelsAnswer, LabelsQuery, SeriesQuery, Shard, Store as _, StoreChunk, StoreError,
    StoreSeries,
};

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/storeapi")
}

fn lines(name: &str) -> Vec<Value> {
    let packed = std::fs::File::open(testdata().join(name)).unwrap();
    let text = zstd::decode_all(packed).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn labels(list: &Value) -> Labels {
    let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    Labels::from_pairs(list.as_array().unwrap().iter().map(pair)).unwrap()
}

fn texts(list: &Value) -> Vec<Bytes> {
    let text = |text: &Value| Bytes::from(text.as_str().unwrap().to_owned());
    let mut texts: Vec<Bytes> = list.as_array().into_iter().flatten().map(text).collect();
    texts.sort();
    texts
}

/// The matchers of a request, or what is wrong with them.
fn matchers(request: &Value) -> Result<Vec<Matcher>, StoreError> {
    let matcher = |matcher: &Value| {
        let op = match matcher["type"].as_str().unwrap() {
            "EQ" => MatchOp::Equal,
            "NEQ" => MatchOp::NotEqual,
            "RE" => MatchOp::Regex,
            "NRE" => MatchOp::NotRegex,
            other => panic!("{other}"),
        };
        let (name, value) = (matcher["name"].as_str().unwrap(), matcher["value"].as_str().unwrap());
        Ok(Matcher::new(op, name, value)?)
    };
    request["matchers"].as_array().unwrap().iter().map(matcher).collect()
}

fn number(request: &Value, field: &str) -> i64 {
    request[field].as_i64().unwrap_or_default()
}

fn range(request: &Value) -> TimeRange {
    TimeRange::new(number(request, "min_time"), number(request, "max_time"))
}

fn is_abort(request: &Value) -> bool {
    request["partial_response_strategy"] == "ABORT" || request["partial_response_disabled"] == true
}

fn series_query(request: &Value) -> Result<SeriesQuery, StoreError> {
    let mut query = SeriesQuery::new(range(request), matchers(request)?);
    query.max_resolution_ms = number(request, "max_resolution_window");
    let aggregates = request["aggregates"].as_array().into_iter().flatten();
    query.aggregates = aggregates
        .filter_map(|name| match name.as_str().unwrap() {
            "RAW" => None,
            "COUNT" => Some(Aggregate::Count),
            "SUM" => Some(Aggregate::Sum),
            "MIN" => Some(Aggregate::Min),
            "MAX" => Some(Aggregate::Max),
            "COUNTER" => Some(Aggregate::Counter),
            other => panic!("{other}"),
        })
        .collect();
    query.skip_chunks = request["skip_chunks"] == true;
    query.limit = number(request, "limit").cast_unsigned();
    let shard = &request["shard_info"];
    if shard.is_object() {
        let by = shard["by"].as_bool().unwrap();
        let (index, total) = (number(shard, "shard_index"), number(shard, "total_shards"));
        query.shard = Shard::new(index, total, by, texts(&shard["labels"]));
    }
    query.without = texts(&request["without_replica_labels"]);
    query.abort = is_abort(request);
    Ok(query)
}

fn labels_query(request: &Value) -> Result<LabelsQuery, StoreError> {
    let mut query = LabelsQuery::new(range(request), matchers(request)?);
    query.without = texts(&request["without_replica_labels"]);
    query.limit = number(request, "limit").cast_unsigned();
    query.abort = is_abort(request);
    Ok(query)
}

/// The recorded frames, batches taken apart.
fn recorded(request: &Value, chunks: &BTreeMap<i64, Bytes>) -> Vec<Frame> {
    let chunk = |chunk: &Value| {
        let raw = &chunk["raw"];
        let encoding = match raw["type"].as_str().unwrap() {
            "XOR" => Encoding::Xor,
            "HISTOGRAM" => Encoding::Histogram,
            "FLOAT_HISTOGRAM" => Encoding::FloatHistogram,
            other => panic!("{other}"),
        };
        let parts = ChunkParts::Raw(Chunk { encoding, data: chunks[&number(raw, "chunk")].clone() });
        StoreChunk { range: range(chunk), parts }
    };
    let series = |series: &Value| {
        let chunks = series["chunks"].as_array().unwrap().iter().map(chunk).collect();
        Frame::Series(StoreSeries { labels: labels(&series["labels"]), chunks })
    };
    let mut frames = Vec::new();
    for frame in request["response_frames"].as_array().into_iter().flatten() {
        match (frame["warning"].as_str(), frame["batch"].as_array()) {
            (Some(text), _) => frames.push(Frame::Warning(text.to_owned())),
            (_, Some(batch)) => frames.extend(batch.iter().map(series)),
            _ => frames.push(series(&frame["series"])),
        }
    }
    frames
}

/// Checks an error against the recorded one; whether there is none.
fn went_well<T>(request: &Value, result: &Result<T, StoreError>) -> bool {
    let what = &request["id"];
    match (result, request["error_code"].as_str()) {
        (Ok(_), None) => true,
        (Err(StoreError::Invalid(why)), Some("InvalidArgument")) => {
            assert_eq!(Some(why.as_str()), request["error_message"].as_str(), "{what}");
            false
        }
        (Err(why), code) => panic!("{what}: {why}, recorded {code:?}"),
        (Ok(_), Some(code)) => panic!("{what}: recorded {code}"),
    }
}

async fn check_series(node: &Node, request: &Value, chunks: &BTreeMap<i64, Bytes>) {
    let (found, end) = match series_query(request) {
        Ok(query) => ask(&node.store, query).await,
        Err(why) => (Vec::new(), Err(why)),
    };
    went_well(request, &end);
    assert_eq!(found, recorded(request, chunks), "{} {}", request["id"], request["note"]);
}

async fn check_labels(node: &Node, request: &Value) {
    let values = match (labels_query(request), request["rpc"].as_str().unwrap()) {
        (Err(why), _) => Err(why),
        (Ok(query), "LabelNames") => node.store.label_names(query).await,
        (Ok(query), _) => {
            let name = Bytes::from(request["label"].as_str().unwrap().to_owned());
            node.store.label_values(name, query).await
        }
    };
    if went_well(request, &values) {
        let response = &request["response"];
        let list = if response["names"].is_array() { &response["names"] } else { &response["values"] };
        let expected = LabelsAnswer { values: texts(list), ..LabelsAnswer::default() };
        assert_eq!(values.unwrap(), expected, "{} {}", request["id"], request["note"]);
    }
}

fn check_info(node: &Node, request: &Value) {
    let (info, response) = (node.store.info(), &request["response"]);
    assert!(info.ready);
    assert_eq!(info.component, response["component_type"]);
    assert_eq!(info.range, range(&response["store"]));
    assert_eq!(info.exemplars, Some(range(&response["exemplars"])));
    let sets: Vec<Labels> = response["label_sets"].as_array().unwrap().iter().map(labels).collect();
    assert_eq!(info.label_sets, sets);
    let tenants = response["store"]["tsdb_infos"].as_array().unwrap().iter();
    let tenants: Vec<_> = tenants.map(|tenant| (labels(&tenant["labels"]), range(tenant))).collect();
    assert_eq!(info.tsdb_infos, tenants);
}

#[tokio::test]
async fn answers_as_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    let input = testdata().join("receive_input");
    let sequence = std::fs::read_to_string(input.join("sequence.json")).unwrap();
    for step in serde_json::from_str::<Vec<Value>>(&sequence).unwrap() {
        let body = std::fs::read(input.join(step["file"].as_str().unwrap())).unwrap();
        let status = node.write(step["tenant"].as_str().unwrap(), body).await;
        assert_eq!(u64::from(status.as_u16()), step["status"], "{step}");
    }
    let chunks = lines("receive_chunks.jsonl.zst");
    let chunks: BTreeMap<i64, Bytes> =
        chunks.iter().map(|line| (number(line, "chunk"), hex(line["hex"].as_str().unwrap()))).collect();
    for request in lines("receive.jsonl.zst") {
        match request["rpc"].as_str().unwrap() {
            "Info" => check_info(&node, &request),
            "Series" => check_series(&node, &request, &chunks).await,
            // An empty name is refused before a store is asked.
            "LabelValues" if !request["label"].is_string() => {}
            _ => check_labels(&node, &request).await,
        }
    }
    node.receiver.stop().await.unwrap();
}
