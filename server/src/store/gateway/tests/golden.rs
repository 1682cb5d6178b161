//! The recorded requests to Thanos' store, asked in our own nouns over the same bucket.

use super::*;

fn recorded(file: &str) -> Vec<Value> {
    let packed = std::fs::read(testdata(file)).unwrap();
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(value: &Value) -> Vec<Bytes> {
    let list = value.as_array().cloned().unwrap_or_default();
    let mut texts: Vec<Bytes> =
        list.iter().map(|one| Bytes::from(one.as_str().unwrap().to_owned())).collect();
    texts.sort();
    texts
}

fn matchers(value: &Value) -> Vec<Matcher> {
    let one = |matcher: &Value| {
        let op = match matcher["type"].as_str().unwrap() {
            "EQ" => MatchOp::Equal,
            "NEQ" => MatchOp::NotEqual,
            "RE" => MatchOp::Regex,
            _ => MatchOp::NotRegex,
        };
        let text = |field: &str| matcher[field].as_str().unwrap_or_default().to_owned();
        Matcher::new(op, text("name"), text("value")).unwrap()
    };
    value.as_array().cloned().unwrap_or_default().iter().map(one).collect()
}

fn labels(value: &Value) -> Labels {
    let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    Labels::from_pairs(value.as_array().unwrap().iter().map(pair)).unwrap()
}

const PARTS: [&str; 6] = ["raw", "count", "sum", "min", "max", "counter"];

fn expected_chunk(value: &Value, bytes: &[Vec<u8>]) -> Parts {
    let part = |name: &&'static str| {
        let encoding = match value[*name]["type"].as_str()? {
            "XOR" => Encoding::Xor,
            "HISTOGRAM" => Encoding::Histogram,
            _ => Encoding::FloatHistogram,
        };
        let number = usize::try_from(value[*name]["chunk"].as_u64().unwrap()).unwrap();
        Some((*name, (encoding, bytes[number].clone())))
    };
    let time = |name: &str| value[name].as_i64().unwrap_or_default();
    (time("min_time"), time("max_time"), PARTS.iter().filter_map(part).collect())
}

fn expected_series(case: &Value, bytes: &[Vec<u8>]) -> Answer {
    let none = Vec::new();
    let frames = case["response_frames"].as_array().unwrap_or(&none);
    let series = frames.iter().flat_map(|frame| match frame["batch"].as_array() {
        Some(batch) => batch.clone(),
        None => vec![frame["series"].clone()],
    });
    let one = |series: Value| {
        let chunks = series["chunks"].as_array().unwrap().iter();
        let mut chunks: Vec<Parts> = chunks.map(|chunk| expected_chunk(chunk, bytes)).collect();
        sort(&mut chunks);
        (labels(&series["labels"]), chunks)
    };
    series.map(one).collect()
}

fn series_query(case: &Value) -> SeriesQuery {
    let range = TimeRange::new(case["min_time"].as_i64().unwrap(), case["max_time"].as_i64().unwrap());
    let mut query = SeriesQuery::new(range, matchers(&case["matchers"]));
    query.max_resolution_ms = case["max_resolution_window"].as_i64().unwrap_or_default();
    query.aggregates = texts(&case["aggregates"])
        .iter()
        .filter_map(|name| Aggregate::of_name(&String::from_utf8_lossy(name).to_lowercase()))
        .collect();
    query.skip_chunks = case["skip_chunks"] == true;
    query.limit = case["limit"].as_u64().unwrap_or_default();
    let shard = &case["shard_info"];
    if let Some(total) = shard["total_shards"].as_i64() {
        let (index, by) = (shard["shard_index"].as_i64().unwrap(), shard["by"] == true);
        query.shard = Shard::new(index, total, by, texts(&shard["labels"]));
    }
    query.without = texts(&case["without_replica_labels"]);
    query.block_matchers = matchers(&case["hints_block_matchers"]);
    query.abort = case["partial_response_strategy"] == "ABORT" || case["partial_response_disabled"] == true;
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_answer_is_given() {
    let place = Place::new();
    let served = place.serve(|_| {}).await;
    let bytes: Vec<Vec<u8>> =
        recorded("store_chunks.jsonl.zst").iter().map(|line| from_hex(&line["hex"])).collect();
    let (mut series, mut labels_calls) = (0, 0);
    for case in recorded("store.jsonl.zst").iter().filter(|case| case["error_code"].is_null()) {
        let name = format!("{} {}", case["id"], case["note"]);
        match case["rpc"].as_str().unwrap() {
            "Series" => {
                let (got, warnings) = ask(&served.gateway, series_query(case)).await.unwrap();
                assert_eq!(got, expected_series(case, &bytes), "{name}");
                assert_eq!(warnings, [""; 0], "{name}");
                series += 1;
            }
            "LabelNames" | "LabelValues" => {
                let asked = series_query(case);
                let query = LabelsQuery {
                    without: asked.without,
                    limit: asked.limit,
                    block_matchers: asked.block_matchers,
                    ..LabelsQuery::new(asked.range, asked.matchers)
                };
                let label = case["label"].as_str().unwrap_or_default().to_owned();
                let (answer, field) = match case["rpc"] == "LabelNames" {
                    true => (served.gateway.label_names(query).await.unwrap(), "names"),
                    false => (served.gateway.label_values(label.into(), query).await.unwrap(), "values"),
                };
                assert_eq!(answer.values, texts(&case["response"][field]), "{name}");
                let blocks = answer.blocks.map(|blocks| {
                    let mut blocks: Vec<Bytes> =
                        blocks.iter().map(|id| Bytes::from(id.to_string())).collect();
                    blocks.sort();
                    blocks
                });
                let hints = &case["response"]["hints"];
                let expected = (!hints.is_null()).then(|| texts(&hints["queried_blocks_sorted"]));
                assert_eq!(blocks, expected, "{name}");
                labels_calls += 1;
            }
            "Info" => {
                let (info, store) = (served.gateway.info(), &case["response"]["store"]);
                let range =
                    TimeRange::new(store["min_time"].as_i64().unwrap(), store["max_time"].as_i64().unwrap());
                assert_eq!((info.range, info.ready, info.component), (range, true, "store"), "{name}");
                let sets: Vec<Labels> =
                    case["response"]["label_sets"].as_array().unwrap().iter().map(labels).collect();
                assert_eq!(info.label_sets, sets, "{name}");
                let one = |info: &Value| {
                    let time = |name: &str| info[name].as_i64().unwrap();
                    (labels(&info["labels"]), TimeRange::new(time("min_time"), time("max_time")))
                };
                let infos: Vec<_> = store["tsdb_infos"].as_array().unwrap().iter().map(one).collect();
                assert_eq!(info.tsdb_infos, infos, "{name}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(series > 0 && labels_calls > 0);
}

fn from_hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
