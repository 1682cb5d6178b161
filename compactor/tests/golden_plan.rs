//! Plans, groups and merged metas are those of Prometheus and Thanos, case by case.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::sync::Arc;

use golden::{Told, lines, text};
use sarsen_block::json::Json;
use sarsen_block::{BlockMeta, Compaction, Parent, ThanosMeta};
use sarsen_compactor::{Candidate, Choice, Group, GroupKey, Limits, Rules, choose, select};
use serde::Deserialize;
use serde_json::{Value, json};

/// Blocks by first time; those that begin together stay in the order in which `by` has them.
fn candidates<K: Ord>(blocks: &[Told], by: impl Fn(&Told) -> K, marks: bool) -> Vec<Candidate> {
    let mut told: Vec<&Told> = blocks.iter().collect();
    told.sort_by_key(|block| by(block));
    let candidate = |block: &&Told| Candidate::new(&block.meta(0), marks && block.no_compact);
    let mut candidates: Vec<Candidate> = told.iter().map(candidate).collect();
    candidates.sort_by_key(|block| block.min_time);
    candidates
}

fn named(blocks: &[Candidate], places: &[usize]) -> Vec<String> {
    places.iter().map(|place| blocks[*place].id.to_string()).collect()
}

#[derive(Deserialize)]
struct Case {
    name: String,
    ranges: Vec<i64>,
    blocks: Vec<Told>,
    thanos: Vec<String>,
    prometheus: Vec<String>,
}

#[test]
fn what_is_merged_next() {
    for case in lines::<Case>("plan.jsonl") {
        let selected = |blocks: Vec<Candidate>, small_deletions| {
            let rules = Rules { ranges: &case.ranges, small_deletions };
            select(&blocks, rules).map(|selected| named(&blocks, &selected.places)).unwrap_or_default()
        };
        let thanos = selected(candidates(&case.blocks, |_| 0, true), false);
        assert_eq!(thanos, case.thanos, "{} as Thanos", case.name);
        let prometheus = selected(candidates(&case.blocks, Told::id, false), true);
        assert_eq!(prometheus, case.prometheus, "{} as Prometheus", case.name);
    }
}

#[derive(Deserialize)]
struct Limited {
    name: String,
    ranges: Vec<i64>,
    max_index_bytes: u64,
    vertical: bool,
    blocks: Vec<Told>,
    selected: Vec<String>,
    marked_no_compact: Vec<Marked>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Marked {
    id: String,
    reason: String,
}

#[test]
fn what_stands_in_the_way_of_a_merge() {
    for case in lines::<Limited>("plan_filters.jsonl") {
        let mut blocks = candidates(&case.blocks, |_| 0, true);
        let rules = Rules { ranges: &case.ranges, small_deletions: false };
        let limits = Limits { max_index_bytes: case.max_index_bytes, merge_coarse: !case.vertical };
        let Choice { selected, marks } = choose(&mut blocks, rules, limits);
        let selected = selected.map(|selected| named(&blocks, &selected.places)).unwrap_or_default();
        assert_eq!(selected, case.selected, "{}", case.name);
        let mark = |(id, reason): (sarsen_block::BlockId, sarsen_bucket::Reason)| Marked {
            id: id.to_string(),
            reason: reason.as_str().to_owned(),
        };
        let marks: Vec<Marked> = marks.into_iter().map(mark).collect();
        assert_eq!(marks, case.marked_no_compact, "{}", case.name);
        for mark in marks {
            assert!(blocks.iter().any(|block| block.barred && block.id.to_string() == mark.id));
        }
    }
}

#[derive(Deserialize)]
struct Groups {
    keys: Vec<Key>,
    grouping: Grouping,
}

#[derive(Deserialize)]
struct Key {
    labels: BTreeMap<String, String>,
    resolution: i64,
    key: String,
}

#[derive(Deserialize)]
struct Grouping {
    blocks: Vec<Told>,
    groups: Vec<ToldGroup>,
}

#[derive(Deserialize)]
struct ToldGroup {
    key: String,
    labels: BTreeMap<String, String>,
    resolution: i64,
    ids: Vec<String>,
    mint: i64,
    maxt: i64,
    has_extensions: bool,
    extension_keys: Vec<String>,
}

#[test]
fn keys_and_groups() {
    let Groups { keys, grouping } = serde_json::from_str(&text("groups.json")).unwrap();
    assert!(!keys.is_empty());
    for case in keys {
        let key = GroupKey::new(&case.labels, case.resolution);
        assert_eq!(key.to_string(), case.key, "{:?}", case.labels);
        let thanos = ThanosMeta { labels: case.labels, resolution: case.resolution, ..ThanosMeta::default() };
        assert_eq!(GroupKey::of(&BlockMeta { thanos: Some(thanos), ..BlockMeta::default() }), key);
    }
    let metas: Vec<Arc<BlockMeta>> = grouping.blocks.iter().map(|block| Arc::new(block.meta(0))).collect();
    let groups = Group::all(&metas);
    assert_eq!(groups.len(), grouping.groups.len());
    for (group, told) in groups.iter().zip(grouping.groups) {
        assert_eq!(group.key.to_string(), told.key);
        assert_eq!((&group.labels, group.key.resolution), (&told.labels, told.resolution));
        assert_eq!(group.ids().iter().map(ToString::to_string).collect::<Vec<_>>(), told.ids);
        assert_eq!(group.span(), (told.mint, told.maxt));
        let extensions = group.extensions();
        assert_eq!(extensions.is_some(), told.has_extensions);
        let mut names: Vec<String> = match extensions {
            Some(Json::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        };
        names.sort();
        assert_eq!(names, told.extension_keys);
    }
}

#[derive(Deserialize)]
struct Merged {
    name: String,
    blocks: Vec<Told>,
    result: Value,
}

#[test]
fn where_a_merged_block_comes_from() {
    for case in lines::<Merged>("compact_metas.jsonl") {
        let metas: Vec<BlockMeta> = case.blocks.iter().map(|block| block.meta(0)).collect();
        let made = Compaction::of(&metas);
        let told = &case.result["compaction"];
        assert_eq!(Value::from(made.level), told["level"], "{}", case.name);
        let sources: Value = made.sources.iter().map(ToString::to_string).collect();
        assert_eq!(sources, told["sources"], "{}", case.name);
        let parent = |parent: &Parent| json!({ "ulid": parent.id.to_string(), "minTime": parent.min_time, "maxTime": parent.max_time });
        let parents: Value = made.parents.iter().map(parent).collect();
        assert_eq!(parents, told["parents"], "{}", case.name);
        let span = Group::all(&metas.into_iter().map(Arc::new).collect::<Vec<_>>())[0].span();
        assert_eq!(
            (Value::from(span.0), Value::from(span.1)),
            (case.result["minTime"].clone(), case.result["maxTime"].clone())
        );
    }
}
