//! Messages written by hand read as generated code reads and writes them.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use sarsen_block::{Chunk, Encoding, Labels, TimeRange};
use sarsen_downsample::AggrChunk;

use super::*;
use crate::wire::storeapi::read::read;

#[path = "../../../tests/storeapi_client/mod.rs"]
mod client;

use client::thanos;

fn chunk() -> impl Strategy<Value = Chunk> {
    let encodings = [
        Encoding::Xor,
        Encoding::Histogram,
        Encoding::FloatHistogram,
        Encoding::Xor2,
        Encoding::HistogramSt,
        Encoding::FloatHistogramSt,
    ];
    (prop::sample::select(encodings.to_vec()), vec(any::<u8>(), 0..200))
        .prop_map(|(encoding, data)| Chunk { encoding, data: Bytes::from(data) })
}

fn store_chunk() -> impl Strategy<Value = StoreChunk> {
    let parts = prop_oneof![
        chunk().prop_map(ChunkParts::Raw),
        [
            option::of(chunk()),
            option::of(chunk()),
            option::of(chunk()),
            option::of(chunk()),
            option::of(chunk())
        ]
        .prop_map(|parts| ChunkParts::Aggregates(Box::new(AggrChunk::new(parts)))),
    ];
    let time = prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    (time.clone(), time, parts)
        .prop_map(|(min, max, parts)| StoreChunk { range: TimeRange::new(min, max), parts })
}

fn series() -> impl Strategy<Value = StoreSeries> {
    (btree_map("[a-z_]{1,9}", "\\PC{1,200}", 0..6), vec(store_chunk(), 0..5))
        .prop_map(|(labels, chunks)| StoreSeries { labels: Labels::from_pairs(labels).unwrap(), chunks })
}

fn message() -> impl Strategy<Value = SeriesMessage> {
    prop_oneof![
        series().prop_map(SeriesMessage::Series),
        vec(series(), 0..5).prop_map(SeriesMessage::Batch),
        "\\PC{0,300}".prop_map(SeriesMessage::Warning),
        ("[a-z./]{0,20}", vec(any::<u8>(), 0..50)).prop_map(|(type_url, value)| {
            SeriesMessage::Hints(prost_types::Any { type_url, value }.encode_to_vec().into())
        }),
    ]
}

fn expected_chunk(chunk: &Chunk) -> thanos::Chunk {
    thanos::Chunk {
        r#type: i32::from(chunk.encoding.byte()) - 1,
        data: chunk.data.to_vec(),
        hash: xxh64(&chunk.data),
    }
}

fn expected_series(series: &StoreSeries) -> thanos::Series {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let label = |(name, value): (&[u8], &[u8])| thanos::Label { name: text(name), value: text(value) };
    let chunk = |chunk: &StoreChunk| {
        let (min_time, max_time) = (chunk.range.min, chunk.range.max);
        let times = thanos::AggrChunk { min_time, max_time, ..Default::default() };
        match &chunk.parts {
            ChunkParts::Raw(raw) => thanos::AggrChunk { raw: Some(expected_chunk(raw)), ..times },
            ChunkParts::Aggregates(parts) => {
                let part = |aggregate| parts.get(aggregate).map(expected_chunk);
                thanos::AggrChunk {
                    count: part(Aggregate::Count),
                    sum: part(Aggregate::Sum),
                    min: part(Aggregate::Min),
                    max: part(Aggregate::Max),
                    counter: part(Aggregate::Counter),
                    ..times
                }
            }
        }
    };
    thanos::Series {
        labels: series.labels.iter().map(label).collect(),
        chunks: series.chunks.iter().map(chunk).collect(),
    }
}

fn expected(message: &SeriesMessage) -> thanos::SeriesResponse {
    use thanos::series_response::Result;
    let result = match message {
        SeriesMessage::Series(series) => Result::Series(expected_series(series)),
        SeriesMessage::Warning(text) => Result::Warning(text.clone()),
        SeriesMessage::Hints(any) => Result::Hints(prost_types::Any::decode(any.clone()).unwrap()),
        SeriesMessage::Batch(series) => {
            Result::Batch(thanos::SeriesBatch { series: series.iter().map(expected_series).collect() })
        }
    };
    thanos::SeriesResponse { result: Some(result) }
}

proptest! {
    #[test]
    fn written_as_generated_code_writes(message in message()) {
        let plan = message.plan();
        let mut bytes = Vec::new();
        message.write(&plan, &mut bytes);
        let expected = expected(&message);
        prop_assert_eq!(plan.len(), bytes.len());
        prop_assert_eq!(thanos::SeriesResponse::decode(bytes.as_slice()).unwrap(), expected.clone());
        prop_assert_eq!(&bytes, &expected.encode_to_vec());
        prop_assert_eq!(read(&Bytes::from(bytes)), Ok(message));
    }

    #[test]
    fn broken_messages_are_refused_or_read_otherwise(
        message in message(),
        cut in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = expected(&message).encode_to_vec();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        // Nothing in here panics, and labels keep their promises.
        if let Ok(SeriesMessage::Series(series)) = read(&Bytes::from(bytes)) {
            prop_assert!(Labels::decode(series.labels.as_ref().as_bytes()).is_ok());
        }
    }
}

#[test]
fn labels_in_any_order_are_sorted_and_a_chunk_shares_the_message() {
    let label = |name: &str, value: &str| thanos::Label { name: name.into(), value: value.into() };
    let series = |labels| thanos::SeriesResponse {
        result: Some(thanos::series_response::Result::Series(thanos::Series {
            labels,
            chunks: vec![thanos::AggrChunk {
                min_time: -1,
                max_time: 5,
                raw: Some(thanos::Chunk { r#type: 0, data: b"some bytes".to_vec(), hash: 0 }),
                ..Default::default()
            }],
        })),
    };
    let sent = series(vec![label("b", "2"), label("empty", ""), label("a", "1")]);
    let bytes = Bytes::from(sent.encode_to_vec());
    let Ok(SeriesMessage::Series(found)) = read(&bytes) else { unreachable!() };
    assert_eq!(found.labels, Labels::from_pairs([("a", "1"), ("b", "2")]).unwrap());
    let ChunkParts::Raw(chunk) = &found.chunks[0].parts else { unreachable!() };
    let inside = bytes.as_ptr_range();
    assert!(inside.contains(&chunk.data.as_ptr()) && chunk.data == "some bytes");
    let twice = series(vec![label("a", "1"), label("a", "2")]).encode_to_vec();
    assert!(read(&Bytes::from(twice)).is_err());
}
