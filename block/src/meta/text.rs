//! A meta as the text of `meta.json`, both ways.

use std::collections::BTreeMap;

use super::{
    BlockFile, BlockId, BlockMeta, BlockStats, Compaction, FileHash, IndexStats, Parent, ThanosMeta,
    UploadTime,
};
use crate::error::Error;
use crate::json::{Fields, Json};

const OBJECT: &str = "meta.json";

impl BlockMeta {
    /// Reads the text of a `meta.json`.
    ///
    /// # Errors
    /// `Corrupt` if it is no JSON object, a field has another type, or the version is not 1.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let json = Json::parse(OBJECT, text)?;
        let fields = json.fields(OBJECT)?;
        let version = fields.i64("version")?;
        if version != 1 {
            return Err(Error::corrupt(OBJECT, 0, format!("unexpected meta file version {version}")));
        }
        let thanos = match fields.get("thanos") {
            None => None,
            Some(_) => Some(read_thanos(fields.object("thanos")?)?),
        };
        Ok(Self {
            id: read_id(&fields, "ulid")?,
            min_time: fields.i64("minTime")?,
            max_time: fields.i64("maxTime")?,
            stats: read_stats(fields.object("stats")?)?,
            compaction: read_compaction(fields.object("compaction")?)?,
            thanos,
        })
    }

    /// The text of the `meta.json`: Prometheus' form without a Thanos section, Thanos' form with one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut object = Object::default();
        object.put("ulid", id(self.id));
        object.put("minTime", Json::from(self.min_time));
        object.put("maxTime", Json::from(self.max_time));
        object.put("stats", stats(&self.stats));
        object.put("compaction", compaction(&self.compaction));
        object.put("version", Json::from(1u64));
        if let Some(section) = &self.thanos {
            object.put("thanos", thanos(section));
        }
        let mut text = object.done().tabbed();
        if self.thanos.is_some() {
            text.push('\n');
        }
        text.into_bytes()
    }
}

/// An object on its way to text: a field is put always, or only when it is not empty.
#[derive(Default)]
struct Object(Vec<(String, Json)>);

impl Object {
    fn put(&mut self, name: &str, value: Json) {
        self.0.push((name.to_owned(), value));
    }

    fn put_some(&mut self, name: &str, value: Json) {
        let empty = match &value {
            Json::Null | Json::Bool(false) => true,
            Json::Number(text) => text == "0",
            Json::Text(text) => text.is_empty(),
            Json::List(items) => items.is_empty(),
            Json::Bool(true) | Json::Object(_) => false,
        };
        if !empty {
            self.put(name, value);
        }
    }

    fn done(self) -> Json {
        Json::Object(self.0)
    }
}

fn id(id: BlockId) -> Json {
    Json::text(id.to_string())
}

fn texts(texts: &[String]) -> Json {
    Json::list(texts.iter().map(Json::text))
}

fn stats(stats: &BlockStats) -> Json {
    let mut object = Object::default();
    object.put_some("numSamples", Json::from(stats.num_samples));
    object.put_some("numFloatSamples", Json::from(stats.num_float_samples));
    object.put_some("numHistogramSamples", Json::from(stats.num_histogram_samples));
    object.put_some("numSeries", Json::from(stats.num_series));
    object.put_some("numChunks", Json::from(stats.num_chunks));
    object.put_some("numTombstones", Json::from(stats.num_tombstones));
    object.done()
}

fn compaction(compaction: &Compaction) -> Json {
    let parent = |parent: &Parent| {
        Json::object([
            ("ulid", id(parent.id)),
            ("minTime", Json::from(parent.min_time)),
            ("maxTime", Json::from(parent.max_time)),
        ])
    };
    let mut object = Object::default();
    object.put("level", Json::from(compaction.level));
    object.put_some("sources", Json::list(compaction.sources.iter().map(|&source| id(source))));
    object.put_some("deletable", Json::from(compaction.deletable));
    object.put_some("parents", Json::list(compaction.parents.iter().map(parent)));
    object.put_some("failed", Json::from(compaction.failed));
    object.put_some("hints", texts(&compaction.hints));
    object.done()
}

fn thanos(section: &ThanosMeta) -> Json {
    let labels = section.labels.iter().map(|(name, value)| (name, Json::text(value)));
    let mut object = Object::default();
    object.put_some("version", Json::from(section.version));
    object.put("labels", Json::object(labels));
    object.put("downsample", Json::object([("resolution", Json::from(section.resolution))]));
    object.put("source", Json::text(&section.source));
    object.put_some("segment_files", texts(&section.segment_files));
    object.put_some("files", Json::list(section.files.iter().map(file)));
    object.put_some("rewrites", Json::List(section.rewrites.clone()));
    let mut sizes = Object::default();
    sizes.put_some("series_max_size", Json::from(section.index_stats.series_max_size));
    sizes.put_some("chunk_max_size", Json::from(section.index_stats.chunk_max_size));
    object.put("index_stats", sizes.done());
    if let Some(extensions) = &section.extensions {
        object.put("extensions", extensions.clone());
    }
    object.put("upload_time", Json::text(section.upload_time.to_string()));
    object.done()
}

fn file(file: &BlockFile) -> Json {
    let mut object = Object::default();
    object.put("rel_path", Json::text(&file.rel_path));
    object.put_some("size_bytes", Json::from(file.size_bytes));
    if let Some(hash) = &file.hash {
        let fields = [("hashFunc", Json::text(&hash.function)), ("value", Json::text(&hash.value))];
        object.put("hash", Json::object(fields));
    }
    object.done()
}

/// A missing id is the one with all bits zero, as in Go.
fn read_id(fields: &Fields<'_>, name: &str) -> Result<BlockId, Error> {
    match fields.get(name) {
        None => Ok(BlockId::NONE),
        Some(value) => id_of(fields, name, value),
    }
}

fn id_of(fields: &Fields<'_>, name: &str, value: &Json) -> Result<BlockId, Error> {
    match value {
        Json::Text(text) => text.parse().map_err(|_| fields.fault(name, "26 characters of a ULID")),
        _ => Err(fields.fault(name, "a ULID")),
    }
}

fn read_stats(fields: Fields<'_>) -> Result<BlockStats, Error> {
    Ok(BlockStats {
        num_samples: fields.u64("numSamples")?,
        num_float_samples: fields.u64("numFloatSamples")?,
        num_histogram_samples: fields.u64("numHistogramSamples")?,
        num_series: fields.u64("numSeries")?,
        num_chunks: fields.u64("numChunks")?,
        num_tombstones: fields.u64("numTombstones")?,
    })
}

fn read_compaction(fields: Fields<'_>) -> Result<Compaction, Error> {
    let parent = |fields: Fields<'_>| {
        let (min_time, max_time) = (fields.i64("minTime")?, fields.i64("maxTime")?);
        Ok(Parent { id: read_id(&fields, "ulid")?, min_time, max_time })
    };
    let source = |value| id_of(&fields, "sources", value);
    Ok(Compaction {
        level: fields.i64("level")?,
        sources: fields.list("sources")?.iter().map(source).collect::<Result<_, Error>>()?,
        deletable: fields.bool("deletable")?,
        parents: fields.objects("parents")?.into_iter().map(parent).collect::<Result<_, Error>>()?,
        failed: fields.bool("failed")?,
        hints: fields.texts("hints")?,
    })
}

fn read_thanos(fields: Fields<'_>) -> Result<ThanosMeta, Error> {
    let version = fields.i64("version")?;
    if !(0..=1).contains(&version) {
        let what = format!("unexpected version {version} of the Thanos section");
        return Err(Error::corrupt(OBJECT, 0, what));
    }
    let mut labels = BTreeMap::new();
    for (name, value) in fields.object("labels")?.all() {
        let value = match value {
            Json::Text(text) => text.clone(),
            Json::Null => String::new(),
            _ => return Err(fields.fault("labels", "names and strings")),
        };
        labels.insert(name.to_owned(), value);
    }
    let file = |fields: Fields<'_>| {
        let hash = match fields.get("hash") {
            None => None,
            Some(_) => {
                let hash = fields.object("hash")?;
                let (function, value) = (hash.text("hashFunc")?.to_owned(), hash.text("value")?.to_owned());
                Some(FileHash { function, value })
            }
        };
        let rel_path = fields.text("rel_path")?.to_owned();
        Ok(BlockFile { rel_path, size_bytes: fields.u64("size_bytes")?, hash })
    };
    let sizes = fields.object("index_stats")?;
    let extensions = match fields.get("extensions") {
        None => None,
        Some(json) => {
            Some(json.as_untyped().ok_or_else(|| fields.fault("extensions", "numbers of 64 bits"))?)
        }
    };
    Ok(ThanosMeta {
        version,
        labels,
        resolution: fields.object("downsample")?.i64("resolution")?,
        source: fields.text("source")?.to_owned(),
        segment_files: fields.texts("segment_files")?,
        files: fields.objects("files")?.into_iter().map(file).collect::<Result<_, Error>>()?,
        rewrites: fields.list("rewrites")?.to_vec(),
        index_stats: IndexStats {
            series_max_size: sizes.i64("series_max_size")?,
            chunk_max_size: sizes.i64("chunk_max_size")?,
        },
        extensions,
        upload_time: read_upload_time(&fields)?,
    })
}

fn read_upload_time(fields: &Fields<'_>) -> Result<UploadTime, Error> {
    match fields.get("upload_time") {
        None => Ok(UploadTime::UNSET),
        Some(Json::Text(text)) => UploadTime::parse(text)
            .ok_or_else(|| fields.fault("upload_time", "a time in the form of RFC 3339")),
        Some(_) => Err(fields.fault("upload_time", "a time in the form of RFC 3339")),
    }
}
