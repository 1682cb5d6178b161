//! What was deleted from a whole bucket: which series, over which time, of which tenants.
//!
//! One object beside the blocks, `sarsen-deletions.json`, that Thanos does not know. Readers leave out at once what it names.
//! A block is freed of it when it is written anew, which its meta then says in `rewrites`, in Thanos' form, with the id of the
//! deletion as `request_id`. What is uploaded later falls under it too: what was deleted stays deleted until the entry is taken out.
//!
//! ```text
//! {"version":1,"deletions":[
//!   {"id":"2024-05-leak","created":1715000000000,"labels":{"tenant_id":"a"},
//!    "match":"{job=\"billing\",card!=\"\"}","min_time":1714000000000,"max_time":1714999999999}]}
//! ```
//!
//! `labels` are external labels that a block must have; none concerns every block. Both times are milliseconds and belong to the
//! range. Without `min_time` the range begins with all time; without `max_time` it ends when the deletion was made. Nothing here
//! removes a sample.

use std::collections::BTreeMap;

use sarsen_block::json::{Fields, Json, lossy};
use sarsen_block::{Block, BlockMeta, MatchOp, Matcher, TimeRange, Timestamp, Tombstones, parse_selector};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;

/// One deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its name, unique in the bucket.
    pub id: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// External labels that a block must have to be concerned.
    pub labels: BTreeMap<String, String>,
    /// Which series, as a selector: `{job="billing"}`.
    pub selector: String,
    /// Which samples of them.
    pub range: TimeRange,
    matchers: Vec<Matcher>,
}

/// Everything that was deleted from a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deletions {
    list: Vec<Deletion>,
}

impl Deletion {
    /// A deletion of what `selector` selects, over `range`, in all blocks until `labels` are set. No later sample than `created_ms`
    /// is deleted.
    ///
    /// # Errors
    /// `Refused` for an empty id, a selector that is none or that takes every series, or an empty range.
    pub fn new(id: &str, created_ms: i64, selector: &str, range: TimeRange) -> Result<Self, Error> {
        let refused = |why: String| Error::refused(format!("deletion {id:?}"), why);
        let range = range.intersect(TimeRange::new(Timestamp::MIN, created_ms));
        let matchers = parse_selector(selector).map_err(|error| refused(error.to_string()))?;
        if id.is_empty() {
            return Err(refused("has no id".to_owned()));
        }
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(refused(format!("{selector} selects every series")));
        }
        if range.is_empty() {
            return Err(refused("a range that ends before it begins".to_owned()));
        }
        let (id, selector) = (id.to_owned(), selector.to_owned());
        Ok(Self { id, created_ms, labels: BTreeMap::new(), selector, range, matchers })
    }

    /// What the selector says.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether there may be something in the block that it deletes: its labels and its range allow it.
    pub fn concerns(&self, meta: &BlockMeta) -> bool {
        let has = |(name, value): (&String, &String)| {
            meta.thanos.as_ref().and_then(|thanos| thanos.labels.get(name)) == Some(value)
        };
        self.range.overlaps(meta.range()) && self.labels.iter().all(has)
    }

    /// Whether the meta says that it is carried out in the block.
    fn is_done_in(&self, meta: &BlockMeta) -> bool {
        let rewrites = meta.thanos.iter().flat_map(|thanos| &thanos.rewrites);
        let applied = rewrites.filter_map(|rewrite| rewrite.fields(Layout::META).ok()?.objects(APPLIED).ok());
        applied.flatten().any(|applied| applied.text(REQUEST).is_ok_and(|id| id == self.id))
    }

    fn parse(fields: Fields<'_>) -> Result<Self, String> {
        let text = |error: sarsen_block::Error| error.to_string();
        let created_ms = fields.i64("created").map_err(text)?;
        let min =
            if fields.get("min_time").is_some() { fields.i64("min_time").map_err(text)? } else { i64::MIN };
        let max =
            if fields.get("max_time").is_some() { fields.i64("max_time").map_err(text)? } else { i64::MAX };
        let (id, selector) = (fields.text("id").map_err(text)?, fields.text("match").map_err(text)?);
        let mut read =
            Self::new(id, created_ms, selector, TimeRange::new(min, max)).map_err(|why| why.to_string())?;
        for (name, value) in fields.object("labels").map_err(text)?.all() {
            let Json::Text(value) = value else { return Err(format!("label {name}: expected a string")) };
            read.labels.insert(name.to_owned(), value.clone());
        }
        Ok(read)
    }

    fn to_json(&self) -> Json {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), Json::text(value)));
        let mut fields = vec![
            ("id", Json::text(&self.id)),
            ("created", Json::from(self.created_ms)),
            ("labels", Json::object(labels)),
            ("match", Json::text(&self.selector)),
        ];
        if self.range.min != Timestamp::MIN {
            fields.push(("min_time", Json::from(self.range.min)));
        }
        fields.push(("max_time", Json::from(self.range.max)));
        Json::object(fields)
    }

    /// As Thanos notes a deletion that was carried out.
    fn to_note(&self) -> Json {
        let matcher = |matcher: &Matcher| {
            let kind = match matcher.op() {
                MatchOp::Equal => 0u64,
                MatchOp::NotEqual => 1,
                MatchOp::Regex => 2,
                MatchOp::NotRegex => 3,
            };
            Json::object([
                ("Type", Json::from(kind)),
                ("Name", Json::text(lossy(matcher.name()))),
                ("Value", Json::text(lossy(matcher.value()))),
            ])
        };
        let interval =
            Json::object([("Mint", Json::from(self.range.min)), ("Maxt", Json::from(self.range.max))]);
        Json::object([
            ("matchers", Json::list(self.matchers.iter().map(matcher))),
            ("intervals", Json::list([interval])),
            (REQUEST, Json::text(&self.id)),
        ])
    }
}

/// Fields of a rewrite in `meta.json`.
const APPLIED: &str = "deletions_applied";
const REQUEST: &str = "request_id";

impl Deletions {
    /// Reads the content of the object.
    ///
    /// # Errors
    /// `Corrupt` if it is not of the form above, of another version, or names a deletion twice.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let corrupt = |why: String| Error::corrupt(Layout::DELETIONS, why);
        let json = Json::parse(Layout::DELETIONS, text).map_err(|error| corrupt(error.to_string()))?;
        let read = || -> Result<(i64, Vec<Fields<'_>>), sarsen_block::Error> {
            let fields = json.fields(Layout::DELETIONS)?;
            Ok((fields.i64("version")?, fields.objects("deletions")?))
        };
        let (version, list) = read().map_err(|error| corrupt(error.to_string()))?;
        if version != 1 {
            return Err(corrupt(format!("unexpected version {version}, expected 1")));
        }
        let mut deletions = Self::default();
        for fields in list {
            let deletion = Deletion::parse(fields).map_err(corrupt)?;
            deletions.add(deletion).map_err(|error| corrupt(error.to_string()))?;
        }
        Ok(deletions)
    }

    /// The content of the object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let list = Json::list(self.list.iter().map(Deletion::to_json));
        Json::object([("version", Json::from(1u64)), ("deletions", list)]).tabbed().into_bytes()
    }

    /// What the bucket has; nothing if it has no such object.
    ///
    /// # Errors
    /// `Corrupt` as [`parse`](Self::parse) says; otherwise as the store says.
    pub async fn fetch(bucket: &Bucket) -> Result<Self, Error> {
        bucket.get_if_exists(Layout::DELETIONS).await?.map_or(Ok(Self::default()), |text| Self::parse(&text))
    }

    /// Puts the object into the bucket, in the place of the one that is there. Whoever changes it has fetched it before; of two who do
    /// so at the same time, the later one wins.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put(&self, bucket: &Bucket) -> Result<(), Error> {
        bucket.put(Layout::DELETIONS, self.to_bytes().into()).await
    }

    /// Adds a deletion.
    ///
    /// # Errors
    /// `Refused` if there is one with its id.
    pub fn add(&mut self, deletion: Deletion) -> Result<(), Error> {
        if self.list.iter().any(|other| other.id == deletion.id) {
            return Err(Error::refused(format!("deletion {:?}", deletion.id), "the id is taken"));
        }
        self.list.push(deletion);
        Ok(())
    }

    /// Takes out the deletion of this id; false if there is none.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|deletion| deletion.id != id);
        self.list.len() < before
    }

    /// All deletions, in the order of the object.
    pub fn iter(&self) -> impl Iterator<Item = &Deletion> {
        self.list.iter()
    }

    /// Those that concern a block and that its meta does not call carried out.
    pub fn pending<'a>(&'a self, meta: &'a BlockMeta) -> impl Iterator<Item = &'a Deletion> {
        self.list.iter().filter(|deletion| deletion.concerns(meta) && !deletion.is_done_in(meta))
    }

    /// What must not be seen of a block: its own tombstones and what is pending for it. Finds the series by the index and reads no
    /// chunk.
    ///
    /// # Errors
    /// As [`Block::postings`].
    pub fn tombstones(&self, block: &Block) -> Result<Tombstones, sarsen_block::Error> {
        let mut tombstones = block.tombstones().clone();
        for deletion in self.pending(block.meta()) {
            for series in block.postings(&deletion.matchers)? {
                tombstones.add(series, deletion.range);
            }
        }
        Ok(tombstones)
    }

    /// Notes in the meta of a block that was just written that everything which concerns it is carried out in it.
    pub fn note(&self, meta: &mut BlockMeta) {
        let done: Vec<Json> = self.pending(meta).map(Deletion::to_note).collect();
        if done.is_empty() {
            return;
        }
        let sources = Json::list(meta.compaction.sources.iter().map(|id| Json::text(id.to_string())));
        let note = Json::object([("sources", sources), (APPLIED, Json::list(done))]);
        meta.thanos.get_or_insert_default().rewrites.push(note);
    }
}
