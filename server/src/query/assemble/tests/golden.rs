//! The whole way from chunks to one series, as a querier of Thanos goes it, bit for bit. The cases are described in
//! `testdata/dedup/README.md`.

use std::collections::HashMap;

use sarsen_downsample::AggrChunk;
use serde::Deserialize;

use super::*;

/// Time, bits, and a text for people.
type Point = (Timestamp, String, String);

#[derive(Deserialize)]
struct Input {
    input: String,
    chunks: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    min_time: Timestamp,
    max_time: Timestamp,
    raw: Option<String>,
    count: Option<String>,
    sum: Option<String>,
    min: Option<String>,
    max: Option<String>,
    counter: Option<String>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    input: String,
    func: String,
    algorithm: String,
    aggregates: Vec<String>,
    mint: Timestamp,
    maxt: Timestamp,
    out: Option<Vec<Point>>,
}

#[derive(Deserialize)]
struct Plain {
    labels: Vec<(String, String)>,
    samples: Vec<Point>,
}

#[derive(Deserialize)]
struct Grouping {
    r#in: Vec<Plain>,
    penalty: Vec<Plain>,
    chain: Vec<Plain>,
}

fn lines<T: for<'de> Deserialize<'de>>(packed: &[u8]) -> Vec<T> {
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn part(hex: Option<&String>) -> Option<Chunk> {
    let hex = hex?;
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Some(Chunk::xor((0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()))
}

/// The chunk as a store sends it to somebody who wants these aggregates.
fn sent(chunk: &Sent, wanted: &[Aggregate]) -> StoreChunk {
    let parts = if chunk.raw.is_some() {
        ChunkParts::Raw(part(chunk.raw.as_ref()).unwrap())
    } else {
        let all = [&chunk.count, &chunk.sum, &chunk.min, &chunk.max, &chunk.counter];
        let all = AggrChunk::new(all.map(|hex| part(hex.as_ref())));
        let part = |aggregate| wanted.contains(&aggregate).then(|| all.get(aggregate).cloned()).flatten();
        ChunkParts::Aggregates(Box::new(AggrChunk::new(Aggregate::ALL.map(part))))
    };
    StoreChunk { range: TimeRange::new(chunk.min_time, chunk.max_time), parts }
}

fn bits(samples: &[(Timestamp, f64)]) -> Vec<(Timestamp, u64)> {
    samples.iter().map(|&(t, value)| (t, value.to_bits())).collect()
}

fn of(points: &[Point]) -> Vec<(Timestamp, f64)> {
    points.iter().map(|p| (p.0, f64::from_bits(u64::from_str_radix(&p.1, 16).unwrap()))).collect()
}

fn gather(algorithm: &str) -> Gather {
    let replicas = if algorithm == "chain" { Replicas::Chain } else { Replicas::Penalty };
    let replica_labels = vec![Bytes::from_static(b"replica")];
    Gather { replica_labels, replicas, adjust_counters: true, ..Gather::default() }
}

#[tokio::test]
async fn the_whole_way_of_a_querier() {
    let inputs = lines::<Input>(include_bytes!("../../../../../testdata/dedup/pipeline_chunks.jsonl.zst"));
    let inputs: HashMap<_, _> = inputs.into_iter().map(|input| (input.input, input.chunks)).collect();
    for case in lines::<Case>(include_bytes!("../../../../../testdata/dedup/pipeline.jsonl.zst")) {
        let selection = selection(case.func.clone().leak(), TimeRange::new(case.mint, case.maxt));
        let gather = gather(&case.algorithm);
        let wanted = series_query(&selection, &gather).aggregates;
        let names: Vec<_> = wanted.iter().map(|aggregate| aggregate.name().to_uppercase()).collect();
        assert_eq!(names, case.aggregates, "{}", case.id);
        let chunks: Vec<_> = inputs[&case.input].iter().map(|chunk| sent(chunk, &wanted)).collect();
        // A replica that is the same to the last byte is dropped first, as the fan-out of Thanos does, which these cases leave out. What
        // is in the range does not change; but only two replicas look beyond its end.
        let dropped = (1..chunks.len()).any(|at| chunks[..at].contains(&chunks[at]));
        let store = Scripted { frames: vec![frame("a", chunks)], ..Scripted::default() };
        let series = ask(store, &selection, &gather, &Arc::default()).await.unwrap();
        let mut expected = of(&case.out.unwrap_or_default());
        if dropped {
            expected.retain(|sample| sample.0 <= case.maxt);
        }
        assert_eq!(bits(&series[0].1), bits(&expected), "{}", case.id);
    }
}

#[tokio::test]
async fn neighbours_with_equal_labels_are_replicas() {
    let packed = include_bytes!("../../../../../testdata/dedup/grouping.json.zst");
    let grouping: Grouping = serde_json::from_slice(&zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let labels = |plain: &Plain| Labels::from_pairs(plain.labels.clone()).unwrap();
    for (algorithm, expected) in [("penalty", &grouping.penalty), ("chain", &grouping.chain)] {
        let frames = grouping.r#in.iter().map(|plain| {
            let chunks = vec![chunk(&of(&plain.samples))];
            Frame::Series(StoreSeries { labels: labels(plain), chunks })
        });
        let store = Scripted { frames: frames.collect(), ..Scripted::default() };
        let selection = selection("", TimeRange::ALL);
        let series = ask(store, &selection, &gather(algorithm), &Arc::default()).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|plain| (labels(plain), of(&plain.samples))).collect();
        assert_eq!(series, expected, "{algorithm}");
    }
}
