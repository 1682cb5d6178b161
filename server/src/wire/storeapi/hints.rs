//! `hintspb.SeriesResponseHints`, the last message of a stream for those who ask for it.
//!
//! A block has one field in Thanos, its id. Ours has three more, with numbers that no reader of Thanos looks at: 1001 is the resolution in
//! milliseconds plus 1, 1002 and 1003 are the first and the last time.

use bytes::Bytes;
use prost::Message;
use prost_types::Any;

#[cfg(feature = "query")]
use crate::store::BlockHint;
use crate::store::Hints;
use crate::wire::generated::hintspb::QueryStats;

const KIND: &str = "hintspb.SeriesResponseHints";

#[derive(Clone, PartialEq, Message)]
struct Block {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int64, tag = "1001")]
    resolution_plus_one: i64,
    #[prost(int64, tag = "1002")]
    min_time: i64,
    #[prost(int64, tag = "1003")]
    max_time: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SeriesHints {
    #[prost(message, repeated, tag = "1")]
    queried_blocks: Vec<Block>,
    #[prost(message, optional, tag = "2")]
    query_stats: Option<QueryStats>,
}

/// The message with its name.
pub(crate) fn hints_message(hints: &Hints) -> Bytes {
    let blocks = hints.blocks.as_deref().unwrap_or_default();
    let block = |hint: &crate::store::BlockHint| {
        let (min_time, max_time) = hint.range.unwrap_or_default();
        let resolution_plus_one = hint.resolution_ms.map_or(0, |ms| ms.saturating_add(1));
        Block { id: hint.id.clone(), resolution_plus_one, min_time, max_time }
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let duration = |took: std::time::Duration| prost_types::Duration::try_from(took).ok();
    let effort = &hints.effort;
    let query_stats = QueryStats {
        blocks_queried: number(blocks.len() as u64),
        series_touched: number(effort.series.0),
        merged_series_count: number(effort.series.1),
        chunks_touched: number(effort.chunks),
        merged_chunks_count: number(effort.chunks),
        get_all_duration: duration(effort.took.0),
        merge_duration: duration(effort.took.1),
        ..QueryStats::default()
    };
    let hints =
        SeriesHints { queried_blocks: blocks.iter().map(block).collect(), query_stats: Some(query_stats) };
    let any = Any { type_url: format!("type.googleapis.com/{KIND}"), value: hints.encode_to_vec() };
    any.encode_to_vec().into()
}

/// The blocks of such a message; `None` if it is something else, or broken.
#[cfg(feature = "query")]
pub(crate) fn read_hints(message: &Bytes) -> Option<Vec<BlockHint>> {
    let any = Any::decode(message.as_ref()).ok()?;
    if any.type_url.rsplit('/').next() != Some(KIND) {
        return None;
    }
    let hints = SeriesHints::decode(any.value.as_slice()).ok()?;
    let block = |block: Block| {
        let known = block.resolution_plus_one > 0;
        BlockHint {
            id: block.id,
            resolution_ms: known.then(|| block.resolution_plus_one - 1),
            range: known.then_some((block.min_time, block.max_time)),
        }
    };
    Some(hints.queried_blocks.into_iter().map(block).collect())
}

#[cfg(all(test, feature = "query"))]
mod tests {
    use super::*;
    use crate::wire::generated::hintspb::SeriesResponseHints;
    use sarsen_block::TimeRange;

    #[test]
    fn what_is_written_is_read_and_thanos_reads_the_ids() {
        let known = BlockHint::new("01HK3QESD1000DN9KD5HYXYX1Z".to_owned(), 300_000, TimeRange::new(-5, 9));
        let raw = BlockHint::new("head/a".to_owned(), 0, TimeRange::new(0, 0));
        let hints = Hints { blocks: Some(vec![known.clone(), raw.clone()]), ..Hints::default() };
        let message = hints_message(&hints);
        assert_eq!(read_hints(&message), Some(vec![known.clone(), raw]));
        let any = Any::decode(message.as_ref()).unwrap();
        let theirs = SeriesResponseHints::decode(any.value.as_slice()).unwrap();
        assert_eq!(theirs.queried_blocks[0].id, known.id);
        assert_eq!(theirs.query_stats.unwrap().blocks_queried, 2);
        // One of Thanos tells nothing but the id.
        let any = Any { type_url: format!("type.googleapis.com/{KIND}"), value: theirs.encode_to_vec() };
        let read = read_hints(&any.encode_to_vec().into()).unwrap();
        assert_eq!(read[0], BlockHint { id: known.id, resolution_ms: None, range: None });
        assert_eq!(read_hints(&Bytes::from_static(b"x")), None);
    }
}
