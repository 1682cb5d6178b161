//! What the filters of a compactor leave of a bucket is what those of Thanos leave.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::sync::Arc;

use golden::{Told, lines};
use sarsen_block::{BlockMeta, TimeRange};
use sarsen_bucket::{Excluded, Filter, Marker, Selector, View, remove_labels};
use sarsen_compactor::{Options, Retention, retain};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    name: String,
    filter: String,
    params: Value,
    blocks: Vec<Told>,
    now_ms: i64,
    #[serde(default)]
    kept: Vec<String>,
    #[serde(default)]
    duplicate_ids: Vec<String>,
    #[serde(default)]
    deletion_mark_blocks: Vec<String>,
    #[serde(default)]
    labels_after: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    marked_for_deletion: Vec<String>,
}

impl Case {
    fn number(&self, name: &str) -> i64 {
        self.params[name].as_i64().unwrap()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.params[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    fn metas(&self) -> Vec<Arc<BlockMeta>> {
        self.blocks.iter().map(|block| Arc::new(block.meta(self.now_ms))).collect()
    }

    fn view(&self) -> View {
        let mut view = View::default();
        view.blocks.extend(self.metas().into_iter().map(|meta| (meta.id, meta)));
        for block in &self.blocks {
            if let Some(age_s) = block.deletion_mark_age_s {
                let mark = Marker::deletion(block.id(), self.now_ms / 1000 - age_s, "");
                view.marks.insert(block.id(), vec![mark]);
            }
        }
        view
    }
}

fn sorted<T: ToString>(ids: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn what_filters_leave() {
    for case in lines::<Case>("filters.jsonl") {
        if case.filter == "retention" {
            retention(&case);
            continue;
        }
        let mut view = case.view();
        let gone = match case.filter.as_str() {
            "consistency_delay" => {
                Filter::Age { now_ms: case.now_ms, delay_ms: case.number("delay_ms") }.apply(&mut view)
            }
            "ignore_deletion_mark" => {
                assert_eq!(sorted(view.marks.keys()), case.deletion_mark_blocks, "{}", case.name);
                let (now_s, delay_s) = (case.now_ms / 1000, case.number("delay_ms") / 1000);
                Filter::NotDeleted { now_s, delay_s }.apply(&mut view)
            }
            "deduplicate" => {
                let gone = Filter::NoDuplicates.apply(&mut view);
                assert_eq!(
                    sorted(gone.iter().map(|(id, _)| id)),
                    sorted(&case.duplicate_ids),
                    "{}",
                    case.name
                );
                gone
            }
            "replica_label_remover" => {
                remove_labels(&mut view, &case.texts("labels"));
                for (id, meta) in &view.blocks {
                    let labels = &meta.thanos.as_ref().unwrap().labels;
                    assert_eq!(*labels, case.labels_after[&id.to_string()], "{} {id}", case.name);
                }
                Vec::new()
            }
            "time_partition" => {
                let range = TimeRange::new(case.number("min_time_ms"), case.number("max_time_ms"));
                Filter::Time(range).apply(&mut view)
            }
            "label_sharded" => {
                let selector = Selector::parse(case.params["relabel_yaml"].as_str().unwrap()).unwrap();
                selector.apply(&mut view, &case.texts("dedup_replica_labels"))
            }
            other => panic!("{}: no filter {other}", case.name),
        };
        assert_eq!(sorted(view.blocks.keys()), sorted(&case.kept), "{}", case.name);
        assert_eq!(gone.len() + case.kept.len(), case.blocks.len(), "{}", case.name);
        let why: Vec<Excluded> = gone.iter().map(|(_, why)| *why).collect();
        assert!(why.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

fn retention(case: &Case) {
    let retention = Retention {
        raw_ms: case.number("raw_ms"),
        five_minutes_ms: case.number("5m_ms"),
        one_hour_ms: case.number("1h_ms"),
    };
    let options = Options { retention, ..Options::default() };
    let due = retain(&case.metas(), case.now_ms, &options);
    assert_eq!(sorted(due), sorted(&case.marked_for_deletion), "{}", case.name);
}

#[test]
fn selectors_that_are_none() {
    let fault = |text: &str| Selector::parse(text).unwrap_err().to_string();
    assert!(fault("- {action: keep, source_labels: [a], regex: '('}").contains("regex"));
    assert!(fault("- {action: replace, source_labels: [a]}").contains("replace"));
    assert!(fault("- {source_labels: [a]}").contains("replace"));
    assert!(fault("- {action: hashmod, source_labels: [a], target_label: x}").contains("modulus"));
    assert!(fault("- {action: hashmod, source_labels: [a], modulus: 2}").contains("target_label"));
    assert!(fault("- {action: keep, colour: red}").contains("colour"));
    assert!(fault("action: keep").contains("line"));
    assert!(Selector::parse("").unwrap().takes(sarsen_block::BlockId::NONE, &BTreeMap::new()));
}
