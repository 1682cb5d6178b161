//! Which blocks may ever meet: those with the same external labels and the same resolution.
//!
//! The key of a group is Thanos': the resolution in milliseconds, and xxHash64 (seed 0) over the labels in the order of their
//! names, each name and each value followed by the byte 0xff. It names folders of work and orders groups, as text; nothing
//! in a bucket holds it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sarsen_block::json::Json;
use sarsen_block::{BlockId, BlockMeta, ThanosMeta};
use twox_hash::XxHash64;

/// Follows each name and each value in what is hashed.
const SEPARATOR: u8 = 0xff;

/// The name of a group: `0@11731850294381067651`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// Milliseconds between samples; 0 for raw data.
    pub resolution: i64,
    /// The hash of the external labels.
    pub labels: u64,
}

impl GroupKey {
    /// The key of blocks with these external labels.
    pub fn new(labels: &BTreeMap<String, String>, resolution: i64) -> Self {
        let mut bytes = Vec::new();
        for (name, value) in labels {
            for text in [name, value] {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(SEPARATOR);
            }
        }
        Self { resolution, labels: XxHash64::oneshot(0, &bytes) }
    }

    /// The key of a block. One without a Thanos section is raw and has no labels.
    pub fn of(meta: &BlockMeta) -> Self {
        match &meta.thanos {
            Some(thanos) => Self::new(&thanos.labels, thanos.resolution),
            None => Self::new(&BTreeMap::new(), 0),
        }
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.resolution, self.labels)
    }
}

/// As their texts: this is the order in which groups take their turn.
impl Ord for GroupKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Blocks that may be merged with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub key: GroupKey,
    /// The external labels of its blocks.
    pub labels: BTreeMap<String, String>,
    /// Its blocks by first time, those that begin together by id. At least one.
    pub blocks: Vec<Arc<BlockMeta>>,
}

impl Group {
    /// Blocks by group, groups in the order of their keys.
    pub fn all<'a>(blocks: impl IntoIterator<Item = &'a Arc<BlockMeta>>) -> Vec<Self> {
        let mut groups: BTreeMap<GroupKey, Vec<Arc<BlockMeta>>> = BTreeMap::new();
        for meta in blocks {
            groups.entry(GroupKey::of(meta)).or_default().push(Arc::clone(meta));
        }
        let group = |(key, mut blocks): (GroupKey, Vec<Arc<BlockMeta>>)| {
            blocks.sort_by_key(|meta| (meta.min_time, meta.id));
            let labels =
                blocks.first().and_then(|meta| meta.thanos.as_ref()).map(|thanos| thanos.labels.clone());
            Self { key, labels: labels.unwrap_or_default(), blocks }
        };
        groups.into_iter().map(group).collect()
    }

    /// Ids of the blocks, rising.
    pub fn ids(&self) -> Vec<BlockId> {
        let mut ids: Vec<BlockId> = self.blocks.iter().map(|meta| meta.id).collect();
        ids.sort_unstable();
        ids
    }

    /// First millisecond, and the one after the last.
    pub fn span(&self) -> (i64, i64) {
        let min = self.blocks.iter().map(|meta| meta.min_time).min();
        let max = self.blocks.iter().map(|meta| meta.max_time).max();
        (min.unwrap_or_default(), max.unwrap_or_default())
    }

    /// The extensions that a block made of this group's blocks has ([`shared_extensions`]).
    pub fn extensions(&self) -> Option<Json> {
        shared_extensions(self.blocks.iter().filter_map(|meta| meta.thanos.as_ref()))
    }
}

/// The free-form additions that stay true of a whole: the keys that every section has which has an object of extensions at all,
/// with the values of the first such section. `None` if no section has one or no key is left.
pub fn shared_extensions<'a>(sections: impl IntoIterator<Item = &'a ThanosMeta>) -> Option<Json> {
    let mut objects = sections.into_iter().filter_map(|section| match &section.extensions {
        Some(Json::Object(fields)) => Some(fields),
        _ => None,
    });
    let mut shared = objects.next()?.clone();
    for fields in objects {
        shared.retain(|(name, _)| fields.iter().any(|(other, _)| other == name));
    }
    (!shared.is_empty()).then_some(Json::Object(shared))
}
