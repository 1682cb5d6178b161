//! The text of an `objstore.yml` as plain structures: which keys there are and what type each has, nothing more.
//!
//! The text is read once for the outside and once for the inside, because what `config` may hold depends on `type`, and
//! reading it through an untyped tree would lose lines and columns.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, Place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outer {
    r#type: Option<String>,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    prefix: Option<String>,
}

#[derive(Deserialize)]
struct Inner<T> {
    #[serde(default = "Option::default")]
    config: Option<T>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DirectoryYaml {
    directory: Option<String>,
}

/// `config` of a bucket in S3.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3Yaml {
    pub(super) bucket: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    #[serde(rename = "disable_dualstack")]
    pub(super) _disable_dualstack: Option<bool>,
    pub(super) aws_sdk_auth: Option<bool>,
    pub(super) access_key: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) insecure: Option<bool>,
    pub(super) signature_version2: Option<bool>,
    pub(super) put_user_metadata: Option<BTreeMap<String, String>>,
    pub(super) http_config: Option<HttpYaml>,
    pub(super) trace: Option<TraceYaml>,
    pub(super) list_objects_version: Option<String>,
    pub(super) bucket_lookup_type: Option<String>,
    pub(super) send_content_md5: Option<bool>,
    pub(super) disable_multipart: Option<bool>,
    pub(super) part_size: Option<u64>,
    pub(super) sse_config: Option<SseYaml>,
    pub(super) sts_endpoint: Option<String>,
    pub(super) max_retries: Option<u32>,
}

/// `http_config`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpYaml {
    pub(super) idle_conn_timeout: Option<String>,
    pub(super) response_header_timeout: Option<String>,
    pub(super) insecure_skip_verify: Option<bool>,
    pub(super) tls_handshake_timeout: Option<String>,
    pub(super) expect_continue_timeout: Option<String>,
    /// The pool here is bounded per host only, and a bucket has one host.
    #[serde(rename = "max_idle_conns")]
    pub(super) _max_idle_conns: Option<i64>,
    pub(super) max_idle_conns_per_host: Option<i64>,
    pub(super) max_conns_per_host: Option<i64>,
    pub(super) tls_config: Option<TlsYaml>,
    /// Nothing is compressed on the way here in any case.
    #[serde(rename = "disable_compression")]
    pub(super) _disable_compression: Option<bool>,
}

/// `tls_config`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsYaml {
    pub(super) ca_file: Option<String>,
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) insecure_skip_verify: Option<bool>,
}

/// `trace`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TraceYaml {
    pub(super) enable: Option<bool>,
}

/// `sse_config`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SseYaml {
    pub(super) r#type: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) kms_encryption_context: Option<BTreeMap<String, String>>,
    pub(super) encryption_key: Option<String>,
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    // A snippet of the text would show keys.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|at| Place { line: at.line(), column: at.column() });
        let why = error.to_string();
        Error::Config {
            place: place.unwrap_or_default(),
            why: why.lines().next().unwrap_or_default().to_owned(),
        }
    })
}

/// `type` and `prefix`.
pub(super) fn outer(text: &str) -> Result<(String, String), Error> {
    let outer: Outer = read(text)?;
    match outer.r#type {
        Some(kind) if !kind.is_empty() => Ok((kind, outer.prefix.unwrap_or_default())),
        _ => Err(Error::config("no type is given: S3 or FILESYSTEM")),
    }
}

/// `config` of a bucket in S3.
pub(super) fn s3(text: &str) -> Result<S3Yaml, Error> {
    Ok(read::<Inner<S3Yaml>>(text)?.config.unwrap_or_default())
}

/// `config` of a directory.
pub(super) fn directory(text: &str) -> Result<PathBuf, Error> {
    let config = read::<Inner<DirectoryYaml>>(text)?.config.unwrap_or_default();
    match config.directory {
        Some(directory) if !directory.is_empty() => Ok(directory.into()),
        _ => Err(Error::config("config.directory is missing")),
    }
}
