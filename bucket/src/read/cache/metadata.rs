//! What the bucket holds, through the cache: the content of small objects, whether they are there, and listings.
//!
//! Content and presence of `meta.json` and of marks hardly change, so they are believed for hours; absence for minutes, listings for
//! less. Several processes that share a Memcached ask the bucket once. What the store says when it cannot be read is never
//! kept. Without a cache for the bucket everything is asked of it.

use std::time::Duration;

use bytes::Bytes;
use sarsen_block::BlockId;
use sarsen_block::codec::{Reader, put_str, put_u64, put_uvarint};

use super::key::KeyRef;
use super::{BucketCacheOptions, Cache, Item, Store};
use crate::bucket::{Bucket, Object};
use crate::error::Error;

impl Cache {
    /// The content of a small object, or `None` if there is none.
    ///
    /// # Errors
    /// As the store says.
    pub async fn content(&self, bucket: &Bucket, name: &str) -> Result<Option<Bytes>, Error> {
        let Some((store, options)) = &self.0.bucket else {
            return bucket.get_if_exists(name).await;
        };
        let whole = bucket.whole_name(name);
        if let Some(kept) = self.look_for(store, Item::Content, &whole).await {
            return Ok(Some(kept));
        }
        if self.look_for(store, Item::Exists, &whole).await.as_deref() == Some(ABSENT) {
            return Ok(None);
        }
        let content = bucket.get_if_exists(name).await?;
        match &content {
            Some(bytes) if bytes.len() as u64 <= options.metafile_max_size => {
                self.put_in(store, key(Item::Content, &whole), bytes, options.metafile_content_ttl);
            }
            _ => {}
        }
        self.put_presence((store, options), &whole, content.is_some());
        Ok(content)
    }

    /// The content of a small object that a listing shows like this, or `None` if it is gone. Another one that is written over it is
    /// never taken for it.
    ///
    /// # Errors
    /// As the store says.
    pub async fn content_of(&self, bucket: &Bucket, object: &Object) -> Result<Option<Bytes>, Error> {
        let Some((store, options)) = &self.0.bucket else {
            return bucket.get_if_exists(&object.name).await;
        };
        let Object { name, size, modified_ms } = object;
        let whole = format!("{}@{modified_ms}+{size}", bucket.whole_name(name));
        let kept = self.look_for(store, Item::Content, &whole).await;
        if let Some(kept) = kept.filter(|kept| kept.len() as u64 == *size) {
            return Ok(Some(kept));
        }
        let content = bucket.get_if_exists(name).await?;
        // It may have been written over since it was listed.
        let same = |bytes: &&Bytes| bytes.len() as u64 == *size && *size <= options.metafile_max_size;
        if let Some(bytes) = content.as_ref().filter(same) {
            self.put_in(store, key(Item::Content, &whole), bytes, options.metafile_content_ttl);
        }
        Ok(content)
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// As the store says.
    pub async fn exists(&self, bucket: &Bucket, name: &str) -> Result<bool, Error> {
        let Some((store, options)) = &self.0.bucket else { return bucket.exists(name).await };
        let whole = bucket.whole_name(name);
        match self.look_for(store, Item::Exists, &whole).await.as_deref() {
            Some(PRESENT) => return Ok(true),
            Some(ABSENT) => return Ok(false),
            _ => {}
        }
        let exists = bucket.exists(name).await?;
        self.put_presence((store, options), &whole, exists);
        Ok(exists)
    }

    /// Every object below a folder (`""` for all), by name; as it was at most `blocks_iter_ttl` ago.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, bucket: &Bucket, folder: &str) -> Result<Vec<Object>, Error> {
        let Some((store, options)) = &self.0.bucket else { return bucket.list(folder).await };
        let whole = bucket.whole_name(folder);
        let kept = self.look_for(store, Item::Listing, &whole).await;
        // A listing that cannot be read is as good as none.
        if let Some(objects) = kept.and_then(|kept| read_listing(&kept).ok()) {
            return Ok(objects);
        }
        let objects = bucket.list(folder).await?;
        let text = write_listing(&objects);
        self.put_in(store, key(Item::Listing, &whole), &text, options.blocks_iter_ttl);
        Ok(objects)
    }

    async fn look_for(&self, store: &Store, item: Item, name: &str) -> Option<Bytes> {
        self.look_in(store, item, &[key(item, name)]).await.pop().flatten()
    }

    fn put_presence(&self, (store, options): (&Store, &BucketCacheOptions), name: &str, exists: bool) {
        let (text, ttl): (&[u8], Duration) = if exists {
            (PRESENT, options.metafile_exists_ttl)
        } else {
            (ABSENT, options.metafile_doesnt_exist_ttl)
        };
        self.put_in(store, key(Item::Exists, name), text, ttl);
    }
}

const PRESENT: &[u8] = b"true";
const ABSENT: &[u8] = b"false";

fn key(item: Item, name: &str) -> KeyRef<'_> {
    KeyRef { item, block: BlockId::NONE, number: 0, text: name.as_bytes() }
}

/// Name, size and time of each object, one behind the other.
fn write_listing(objects: &[Object]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, objects.len() as u64);
    for object in objects {
        put_str(&mut out, object.name.as_bytes());
        put_u64(&mut out, object.size);
        put_u64(&mut out, object.modified_ms.cast_unsigned());
    }
    out
}

fn read_listing(bytes: &[u8]) -> Result<Vec<Object>, sarsen_block::Error> {
    let mut reader = Reader::new("listing", bytes);
    let count = reader.length(bytes.len(), "count")?;
    let mut objects = Vec::with_capacity(count.min(bytes.len() / 17));
    for _ in 0..count {
        let name = reader.str("name")?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| reader.corrupt("a name that is no UTF-8"))?;
        let (size, modified_ms) = (reader.u64("size")?, reader.u64("time")?.cast_signed());
        objects.push(Object { name, size, modified_ms });
    }
    reader.finish()?;
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn listings_come_back(objects in prop::collection::vec((".{0,40}", any::<u64>(), any::<i64>()), 0..30)) {
            let objects: Vec<Object> =
                objects.into_iter().map(|(name, size, modified_ms)| Object { name, size, modified_ms }).collect();
            let text = write_listing(&objects);
            prop_assert_eq!(read_listing(&text).unwrap(), objects);
            for length in 0..text.len() {
                prop_assert!(read_listing(&text[..length]).is_err());
            }
        }

        #[test]
        fn bytes_that_are_no_listing_are_an_error_or_a_listing(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_listing(&bytes);
        }
    }
}
