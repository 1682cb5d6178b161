//! A store that is opened again when its configuration changes: new keys, new certificates.
//!
//! [`Reloading`] stands before the store and passes every call on to the one that is current; calls that have begun end on the
//! one they began with. The timer of the server calls [`Reloading::reload_if_changed`].

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult,
};

use crate::bucket::{Bucket, BucketBuilder};
use crate::config::{ObjstoreConfig, StoreConfig};
use crate::error::Error;
use crate::open::{open, settings};

/// What a look at the configuration brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// Nothing has changed.
    Unchanged,
    /// The store has been opened with the new settings.
    Reopened,
    /// The new settings name another bucket, folder or directory, or other settings of writing: that needs a restart.
    NeedsRestart,
}

/// A configuration and the store that was opened with it.
#[derive(Clone)]
pub struct Reloading {
    state: Arc<RwLock<State>>,
}

struct State {
    config: ObjstoreConfig,
    /// Content of the certificate files.
    files: Vec<Vec<u8>>,
    store: Arc<dyn ObjectStore>,
}

impl Reloading {
    /// Opens the store.
    ///
    /// # Errors
    /// `Config` or `Local` if the settings or the files they name cannot be used. The store itself is not asked.
    pub fn open(config: ObjstoreConfig) -> Result<Self, Error> {
        let files = read_files(&config)?;
        let store = open(&config)?;
        Ok(Self { state: Arc::new(RwLock::new(State { config, files, store })) })
    }

    /// The bucket in this store, with name, prefix and settings from the configuration.
    pub fn bucket(&self) -> BucketBuilder {
        let config = self.config();
        let builder = Bucket::builder(Arc::new(self.clone()), config.bucket_name())
            .prefix(&config.prefix)
            .settings(settings(&config));
        match config.store {
            StoreConfig::Filesystem { directory } => builder.directory(directory),
            StoreConfig::S3(_) => builder,
        }
    }

    /// The configuration in use.
    pub fn config(&self) -> ObjstoreConfig {
        self.state.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Takes over `config` if it, or a certificate it names, differs from what is in use. Reads files.
    ///
    /// # Errors
    /// `Config` or `Local` if the new settings cannot be used; the old ones stay.
    pub fn reload(&self, config: ObjstoreConfig) -> Result<Reload, Error> {
        let files = read_files(&config)?;
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.config == config && state.files == files {
                return Ok(Reload::Unchanged);
            }
            if !same_place(&state.config, &config) {
                return Ok(Reload::NeedsRestart);
            }
        }
        let store = open(&config)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { config, files, store };
        Ok(Reload::Reopened)
    }

    /// Reads the configuration file again and takes it over if something has changed.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and `Local` if the file cannot be read.
    pub fn reload_if_changed(
        &self,
        file: &FilePath,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Reload, Error> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::local(file, e))?;
        self.reload(ObjstoreConfig::parse(&text, env)?)
    }

    fn current(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).store)
    }
}

/// Whether both write the same objects to the same place.
fn same_place(old: &ObjstoreConfig, new: &ObjstoreConfig) -> bool {
    if old.prefix != new.prefix {
        return false;
    }
    match (&old.store, &new.store) {
        (StoreConfig::S3(old), StoreConfig::S3(new)) => {
            old.bucket == new.bucket
                && old.endpoint == new.endpoint
                && old.part_size == new.part_size
                && old.user_metadata == new.user_metadata
                && old.storage_class == new.storage_class
        }
        (old, new) => old == new,
    }
}

fn read_files(config: &ObjstoreConfig) -> Result<Vec<Vec<u8>>, Error> {
    let StoreConfig::S3(s3) = &config.store else {
        return Ok(Vec::new());
    };
    let tls = &s3.http.tls;
    let named = [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().flatten();
    named.map(|file: &PathBuf| std::fs::read(file).map_err(|e| Error::local(file, e))).collect()
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reloading({})", self.current())
    }
}

impl fmt::Display for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method not passed on would fall back to a slow default")]
#[async_trait]
impl ObjectStore for Reloading {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> StoreResult<PutResult> {
        self.current().put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.current().put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.current().get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.current().get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.current().delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.current().list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.current().list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.current().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.current().copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.current().rename_opts(from, to, options).await
    }
}
