//! The bucket as last seen: complete blocks, half blocks, marks.
//!
//! A folder named by a block id is a complete block if it has a `meta.json` that can be read and that names the same id. Without
//! one it is a half block: an upload on its way, one that was broken off, or a block being removed. A meta that cannot be read
//! sets the block aside with the reason. Metas never change once written, so a [`Fetcher`] reads each only once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::{BlockId, BlockMeta};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::{MarkKind, Marker};

/// Folders that are read at the same time.
const READS_IN_FLIGHT: usize = 20;

/// What a bucket holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Complete blocks by id.
    pub blocks: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// Folders of blocks without a usable meta.
    pub partial: BTreeMap<BlockId, Partial>,
    /// Marks by block, at most one of a kind.
    pub marks: BTreeMap<BlockId, Vec<Marker>>,
    /// Marks that could not be read: object and reason. They count as absent.
    pub bad_marks: Vec<(String, String)>,
}

/// Why a folder is no complete block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// There is no meta.
    NoMeta {
        /// When the newest object in the folder was written, in milliseconds since the Unix epoch; `None` if there is none.
        newest_ms: Option<i64>,
    },
    /// There is a meta, but it is not usable.
    BadMeta {
        /// Why not.
        why: String,
        /// As above.
        newest_ms: Option<i64>,
    },
}

impl Partial {
    /// When something last happened in the folder, in milliseconds since the Unix epoch: the newest object, else the id's time.
    pub fn touched_ms(&self, id: BlockId) -> i64 {
        let (Self::NoMeta { newest_ms } | Self::BadMeta { newest_ms, .. }) = self;
        newest_ms.unwrap_or_else(|| i64::try_from(id.ms()).unwrap_or(i64::MAX))
    }
}

impl View {
    /// The mark of this kind on a block.
    pub fn mark(&self, id: BlockId, kind: MarkKind) -> Option<&Marker> {
        self.marks.get(&id)?.iter().find(|mark| mark.kind == kind)
    }

    /// Looks at a bucket once. To look again and again, keep a [`Fetcher`].
    ///
    /// # Errors
    /// As the store says.
    pub async fn fetch(bucket: &Bucket) -> Result<Self, Error> {
        Fetcher::default().fetch(bucket).await
    }
}

/// Looks at a bucket again and again, and remembers the metas.
#[derive(Debug, Default)]
pub struct Fetcher {
    known: BTreeMap<BlockId, Arc<BlockMeta>>,
}

/// What the listing says of a folder.
#[derive(Debug, Default)]
struct Folder {
    has_meta: bool,
    marks: Vec<MarkKind>,
    newest_ms: Option<i64>,
}

/// What a folder turned out to be.
enum Found {
    Block(Arc<BlockMeta>),
    Partial(Partial),
}

#[derive(Debug, Default)]
struct Marks {
    good: Vec<Marker>,
    bad: Vec<(String, String)>,
}

impl Fetcher {
    /// The bucket as it is now. One listing of everything, then the metas that are new and all marks.
    ///
    /// # Errors
    /// As the store says: a view is whole or there is none. Damage to single blocks is part of the view.
    pub async fn fetch(&mut self, bucket: &Bucket) -> Result<View, Error> {
        let mut folders: BTreeMap<BlockId, Folder> = BTreeMap::new();
        for object in bucket.list("").await? {
            let Some((id, file)) = Layout::split(&object.name) else { continue };
            let folder = folders.entry(id).or_default();
            folder.has_meta |= file == Layout::META;
            folder.marks.extend(MarkKind::of_file_name(file));
            folder.newest_ms = folder.newest_ms.max(Some(object.modified_ms));
        }
        let known = &self.known;
        let looked: Vec<(BlockId, Found, Marks)> = futures_util::stream::iter(folders)
            .map(async |(id, folder)| {
                let marks = read_marks(bucket, id, &folder.marks).await?;
                let found = match known.get(&id) {
                    Some(meta) if folder.has_meta => Found::Block(Arc::clone(meta)),
                    _ => look_at(bucket, id, &folder).await?,
                };
                Ok::<_, Error>((id, found, marks))
            })
            .buffer_unordered(READS_IN_FLIGHT)
            .try_collect()
            .await?;
        let mut view = View::default();
        for (id, found, marks) in looked {
            match found {
                Found::Block(meta) => drop(view.blocks.insert(id, meta)),
                Found::Partial(partial) => drop(view.partial.insert(id, partial)),
            }
            if !marks.good.is_empty() {
                view.marks.insert(id, marks.good);
            }
            view.bad_marks.extend(marks.bad);
        }
        view.bad_marks.sort_unstable();
        self.known.clone_from(&view.blocks);
        Ok(view)
    }
}

async fn look_at(bucket: &Bucket, id: BlockId, folder: &Folder) -> Result<Found, Error> {
    let newest_ms = folder.newest_ms;
    let text = if folder.has_meta { bucket.get_if_exists(&Layout::meta(id)).await? } else { None };
    let why = match text.as_deref().map(BlockMeta::parse) {
        None => return Ok(Found::Partial(Partial::NoMeta { newest_ms })),
        Some(Ok(meta)) if meta.id == id => return Ok(Found::Block(Arc::new(meta))),
        Some(Ok(meta)) => format!("the meta names the block {}", meta.id),
        Some(Err(error)) => error.to_string(),
    };
    Ok(Found::Partial(Partial::BadMeta { why, newest_ms }))
}

async fn read_marks(bucket: &Bucket, id: BlockId, kinds: &[MarkKind]) -> Result<Marks, Error> {
    let mut marks = Marks::default();
    for kind in kinds {
        let name = Layout::mark(id, *kind);
        match Marker::get(bucket, id, *kind).await {
            Ok(Some(mark)) if mark.id == id => marks.good.push(mark),
            Ok(Some(mark)) => marks.bad.push((name, format!("names the block {}", mark.id))),
            Ok(None) => {}
            Err(Error::Corrupt { why, .. }) => marks.bad.push((name, why)),
            Err(error) => return Err(error),
        }
    }
    Ok(marks)
}
