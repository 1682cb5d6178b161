//! `objstore.yml`, as Thanos reads it: which store, with which keys, below which prefix.
//!
//! Keys are strict: an unknown one is refused, and so is a known one that asks for something that is not done here, because
//! ignoring it would be a lie. Faults name line and column, and never show the text, which holds secrets. The environment comes in as
//! a function; files that the settings name are read when the store is opened.

mod expand;
mod s3;
mod yaml;

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

pub use s3::{BucketLookup, Encryption, HttpSettings, Keys, S3Config, TlsFiles};

/// A configuration that has been read and is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjstoreConfig {
    /// The store.
    pub store: StoreConfig,
    /// Everything lies below this folder; without slashes at the ends, empty for none.
    pub prefix: String,
}

/// The kinds of stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// S3 or something that speaks its language.
    S3(Box<S3Config>),
    /// A directory.
    Filesystem {
        /// Where; made when it is not there.
        directory: PathBuf,
    },
}

impl ObjstoreConfig {
    /// Reads the text of an `objstore.yml`. `env` looks up a variable of the environment, for `$(VAR)` in the text and for
    /// the usual variables of S3 where the text has no keys.
    ///
    /// # Errors
    /// `Config`, with line and column where there is one.
    pub fn parse(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let text = expand::expand(text, &env)?;
        let (kind, prefix) = yaml::outer(&text)?;
        let store = match kind.to_ascii_uppercase().as_str() {
            "S3" => StoreConfig::S3(Box::new(s3::read(yaml::s3(&text)?, &env)?)),
            "FILESYSTEM" => StoreConfig::Filesystem { directory: yaml::directory(&text)? },
            "GCS" | "AZURE" | "SWIFT" | "COS" | "ALIYUNOSS" | "BOS" | "OCI" | "OBS" => {
                return Err(Error::config(format!(
                    "buckets of type {kind} are not supported; S3 and FILESYSTEM are"
                )));
            }
            _ => {
                return Err(Error::config(format!(
                    "buckets of type {kind:?} are unknown; use S3 or FILESYSTEM"
                )));
            }
        };
        Ok(Self { store, prefix: prefix.trim_matches('/').to_owned() })
    }

    /// A directory as a bucket, without a configuration file.
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        Self { store: StoreConfig::Filesystem { directory: directory.into() }, prefix: String::new() }
    }

    /// What metrics call the bucket.
    pub fn bucket_name(&self) -> String {
        match &self.store {
            StoreConfig::S3(s3) => s3.bucket.clone(),
            StoreConfig::Filesystem { directory } => format!("fs: {}", directory.display()),
        }
    }
}

/// A duration as Prometheus writes it.
fn duration(text: &str) -> Option<Duration> {
    let ms = sarsen_block::parse_duration(text).ok()?;
    u64::try_from(ms).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
