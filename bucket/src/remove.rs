//! Meta first, marks last: a block that is half removed is no block any more, and is still known to be on its way out.

use sarsen_block::BlockId;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::MarkKind;

/// Removes every object of a block: `meta.json`, then everything but the deletion mark, then the mark. Can be called again after a
/// failure. Returns how many objects there were.
///
/// # Errors
/// As the store says; what is left is then a half block.
pub async fn remove(bucket: &Bucket, id: BlockId) -> Result<usize, Error> {
    let meta = Layout::meta(id);
    let mark = Layout::mark(id, MarkKind::Deletion);
    let objects = bucket.list(&Layout::block(id)).await?;
    bucket.delete(&meta).await?;
    for object in &objects {
        if object.name != meta && object.name != mark {
            bucket.delete(&object.name).await?;
        }
    }
    if objects.iter().any(|object| object.name == mark) {
        bucket.delete(&mark).await?;
    }
    Ok(objects.len())
}
