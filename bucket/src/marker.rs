//! To be deleted, not to be compacted, not to be downsampled: as types and as objects.
//!
//! A mark is a small JSON object in the block's folder, on one line without spaces, as Thanos writes it. An existing mark is
//! never written over: the first one holds. A mark that cannot be read counts as absent, and is reported.

use sarsen_block::BlockId;
use sarsen_block::json::Json;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;

/// The three kinds of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkKind {
    /// The block will be removed after a delay.
    Deletion,
    /// The block must not be merged into another one.
    NoCompact,
    /// The block must not be downsampled.
    NoDownsample,
}

impl MarkKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Deletion, Self::NoCompact, Self::NoDownsample];

    /// Name of the object in the block's folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Deletion => "deletion-mark.json",
            Self::NoCompact => "no-compact-mark.json",
            Self::NoDownsample => "no-downsample-mark.json",
        }
    }

    /// The kind whose object has this name.
    pub fn of_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.file_name() == name)
    }

    const fn time_field(self) -> &'static str {
        match self {
            Self::Deletion => "deletion_time",
            Self::NoCompact => "no_compact_time",
            Self::NoDownsample => "no_downsample_time",
        }
    }
}

/// Why a block is left alone. Thanos knows these; others are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Somebody said so.
    Manual,
    /// The index of the merged block would be too large.
    IndexSizeExceeding,
    /// The index has chunks out of order.
    OutOfOrderChunk,
    /// A downsampled block would have to be merged vertically.
    DownsampleVerticalCompaction,
    /// Anything else.
    Other(String),
}

impl Reason {
    /// The text in the mark.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Manual => "manual",
            Self::IndexSizeExceeding => "index-size-exceeding",
            Self::OutOfOrderChunk => "block-index-out-of-order-chunk",
            Self::DownsampleVerticalCompaction => "downsample-vertical-compaction",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        let known = [
            Self::Manual,
            Self::IndexSizeExceeding,
            Self::OutOfOrderChunk,
            Self::DownsampleVerticalCompaction,
        ];
        known
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

/// A mark on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The block.
    pub id: BlockId,
    /// What is marked.
    pub kind: MarkKind,
    /// Free text for people; may be empty.
    pub details: String,
    /// When the mark was made, in seconds since the Unix epoch.
    pub time: i64,
    /// Why; a deletion mark has none.
    pub reason: Option<Reason>,
}

impl Marker {
    /// A deletion mark made at `time` (seconds since the Unix epoch).
    pub fn deletion(id: BlockId, time: i64, details: impl Into<String>) -> Self {
        Self { id, kind: MarkKind::Deletion, details: details.into(), time, reason: None }
    }

    /// Reads the text of a mark of the given kind.
    ///
    /// # Errors
    /// `Corrupt` if it is no JSON object of that form, or its version is not 1.
    pub fn parse(kind: MarkKind, text: &[u8]) -> Result<Self, Error> {
        let file = kind.file_name();
        let corrupt = |error: sarsen_block::Error| Error::corrupt(file, error.to_string());
        let json = Json::parse(file, text).map_err(corrupt)?;
        let fields = json.fields(file).map_err(corrupt)?;
        let version = fields.i64("version").map_err(corrupt)?;
        if version != 1 {
            return Err(Error::corrupt(file, format!("unexpected version {version}, expected 1")));
        }
        let id = fields.text("id").map_err(corrupt)?;
        let id = id.parse().map_err(|_| Error::corrupt(file, format!("{id:?} is no block id")))?;
        let reason = match kind {
            MarkKind::Deletion => None,
            _ => Some(Reason::from(fields.text("reason").map_err(corrupt)?)),
        };
        Ok(Self {
            id,
            kind,
            details: fields.text("details").map_err(corrupt)?.to_owned(),
            time: fields.i64(kind.time_field()).map_err(corrupt)?,
            reason,
        })
    }

    /// The text of the mark.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = vec![("id", Json::text(self.id.to_string())), ("version", Json::from(1u64))];
        if !self.details.is_empty() {
            fields.push(("details", Json::text(&self.details)));
        }
        fields.push((self.kind.time_field(), Json::from(self.time)));
        if self.kind != MarkKind::Deletion {
            fields.push(("reason", Json::text(self.reason.as_ref().map_or("", Reason::as_str))));
        }
        Json::object(fields).compact().into_bytes()
    }

    /// Puts the mark into the bucket; false if the block has a mark of this kind already, which then stays.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put(&self, bucket: &Bucket) -> Result<bool, Error> {
        bucket.put_new(&Layout::mark(self.id, self.kind), self.to_bytes().into()).await
    }

    /// The mark of this kind on a block, if there is one.
    ///
    /// # Errors
    /// `Corrupt` if there is one that cannot be read; otherwise as the store says.
    pub async fn get(bucket: &Bucket, id: BlockId, kind: MarkKind) -> Result<Option<Self>, Error> {
        match bucket.get_if_exists(&Layout::mark(id, kind)).await? {
            Some(text) => Self::parse(kind, &text).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a mark off a block; nothing happens if there is none.
    ///
    /// # Errors
    /// As the store says.
    pub async fn remove(bucket: &Bucket, id: BlockId, kind: MarkKind) -> Result<(), Error> {
        bucket.delete(&Layout::mark(id, kind)).await
    }
}
