//! Blocks from one bucket into another, as they are: backup and restore.
//!
//! A block is copied with all its objects and marks: marks first, so that nobody sees the block without them, then data, then
//! `meta.json`. What lies at the target already with the same size is not copied again, so a copy that was broken off goes on
//! where it stopped, and a copy that is repeated brings only what is new. Blocks do not change; marks may, and a mark that came
//! later is brought by the next copy. A compactor may be at work in the source: a block that goes away while it is copied is taken
//! back from the target, and the caller looks again until nothing new is seen.

use sarsen_block::BlockId;

use crate::bucket::{Bucket, Object};
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::MarkKind;
use crate::remove::remove;

/// What became of a block that was to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// It is complete at the target now.
    Complete {
        /// Objects written.
        objects: usize,
        /// Bytes written.
        bytes: u64,
    },
    /// It was complete at the target before. Marks that it lacked there have been brought.
    Present,
    /// It is no complete block in the source, or went away meanwhile; there is nothing of it at the target.
    Gone,
}

/// Copies the block `id` from one bucket into another one.
///
/// # Errors
/// `Corrupt` if an object has another size at its end than at its beginning; otherwise as the stores say. What has been copied
/// stays then: it is half a block, and the next copy goes on with it.
pub async fn copy_block(from: &Bucket, to: &Bucket, id: BlockId) -> Result<Copied, Error> {
    let meta_name = Layout::meta(id);
    let Some(meta) = from.get_if_exists(&meta_name).await? else { return Ok(Copied::Gone) };
    let source = from.list(&Layout::block(id)).await?;
    let target = to.list(&Layout::block(id)).await?;
    let is_there = |name: &str| target.iter().find(|object| object.name == name);
    let present = is_there(&meta_name).is_some();
    let is_mark = |object: &&Object| {
        Layout::split(&object.name).is_some_and(|(_, rel_path)| MarkKind::of_file_name(rel_path).is_some())
    };
    let marks = source.iter().filter(|object| is_mark(object) && is_there(&object.name).is_none());
    let data = source.iter().filter(|object| {
        let same = is_there(&object.name).is_some_and(|there| there.size == object.size);
        !present && !same && object.name != meta_name && !is_mark(object)
    });
    let (mut objects, mut bytes) = (0, 0);
    for object in marks.chain(data) {
        match to.put_object(&object.name, from, object).await {
            Ok(length) if length == object.size => {}
            Ok(length) => {
                let why = format!("{length} bytes arrived of {}", object.size);
                return Err(Error::corrupt(&object.name, why));
            }
            Err(Error::NotFound { .. }) if !from.exists(&meta_name).await? => {
                if !present {
                    remove(to, id).await?;
                }
                return Ok(Copied::Gone);
            }
            Err(error) => return Err(error),
        }
        objects += 1;
        bytes += object.size;
    }
    if present {
        return Ok(Copied::Present);
    }
    bytes += meta.len() as u64;
    to.put(&meta_name, meta).await?;
    Ok(Copied::Complete { objects: objects + 1, bytes })
}
