//! From a configuration to a store.
//!
//! The client of S3 is built here and not by `object_store`, which knows no client certificates. Certificates and keys are read
//! from their files when the store is opened; [`Reloading`](crate::Reloading) opens it again when they change.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::client::{HttpClient, HttpConnector};
use object_store::limit::LimitStore;
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::bucket::BucketSettings;
use crate::config::{BucketLookup, Encryption, HttpSettings, Keys, ObjstoreConfig, S3Config, StoreConfig};
use crate::error::Error;

/// A request with its repetitions takes no longer than this, so that keys do not grow old meanwhile.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens the store that the configuration names.
pub(crate) fn open(config: &ObjstoreConfig) -> Result<Arc<dyn ObjectStore>, Error> {
    match &config.store {
        StoreConfig::S3(s3) => open_s3(s3),
        StoreConfig::Filesystem { directory } => {
            std::fs::create_dir_all(directory).map_err(|e| Error::local(directory, e))?;
            let store = LocalFileSystem::new_with_prefix(directory)
                .map_err(|error| Error::config(format!("config.directory: {error}")))?;
            Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
        }
    }
}

/// How objects are written, as the configuration says.
pub(crate) fn settings(config: &ObjstoreConfig) -> BucketSettings {
    match &config.store {
        StoreConfig::S3(s3) => BucketSettings {
            part_size: s3.part_size,
            user_metadata: s3.user_metadata.clone(),
            storage_class: s3.storage_class.clone(),
            ..BucketSettings::default()
        },
        // A file that is copied needs no parts, but must not be held in memory whole either.
        StoreConfig::Filesystem { .. } => {
            BucketSettings { part_size: Some(8 << 20), ..BucketSettings::default() }
        }
    }
}

/// The endpoint with its scheme. The usual port is left out, because the client leaves it out of the `Host` header, and the
/// signature covers that header.
fn endpoint_url(s3: &S3Config) -> String {
    let (scheme, usual) = if s3.insecure { ("http", ":80") } else { ("https", ":443") };
    let host = s3.endpoint.strip_suffix(usual).unwrap_or(&s3.endpoint);
    // The one host of AWS that stands for all regions answers others with a redirect.
    let regional = format!("s3.{}.amazonaws.com", s3.region);
    let host = if host == "s3.amazonaws.com" && s3.region != "us-east-1" { &regional } else { host };
    match s3.lookup {
        BucketLookup::Path => format!("{scheme}://{host}"),
        BucketLookup::VirtualHosted => format!("{scheme}://{}.{host}", s3.bucket),
    }
}

fn open_s3(s3: &S3Config) -> Result<Arc<dyn ObjectStore>, Error> {
    let retry =
        RetryConfig { max_retries: s3.max_retries, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_endpoint(endpoint_url(s3))
        .with_allow_http(s3.insecure)
        .with_virtual_hosted_style_request(s3.lookup == BucketLookup::VirtualHosted)
        .with_retry(retry)
        // TLS guards the body already; without it the signature has to.
        .with_unsigned_payload(!s3.insecure)
        .with_http_connector(Client::new(&s3.http)?);
    if s3.send_checksum {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    builder = match &s3.keys {
        Keys::Fixed { access_key, secret_key, session_token } => {
            let builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
            match session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        Keys::WebIdentity { token_file, role_arn, session_name, sts_endpoint } => {
            let mut builder = builder
                .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file)
                .with_config(AmazonS3ConfigKey::RoleArn, role_arn);
            if let Some(name) = session_name {
                builder = builder.with_config(AmazonS3ConfigKey::RoleSessionName, name);
            }
            match sts_endpoint {
                Some(endpoint) => builder.with_config(AmazonS3ConfigKey::StsEndpoint, endpoint),
                None => builder,
            }
        }
        Keys::Machine => builder,
    };
    builder = match &s3.encryption {
        None => builder,
        Some(Encryption::S3) => with_text(builder, "aws_server_side_encryption", "AES256")?,
        Some(Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
        Some(Encryption::Customer { key_file }) => {
            let key = std::fs::read(key_file).map_err(|e| Error::local(key_file, e))?;
            if key.len() != 32 {
                let why = format!("config.sse_config.encryption_key: {} bytes, not 32", key.len());
                return Err(Error::config(why));
            }
            builder.with_ssec_encryption(base64(&key))
        }
    };
    let store = builder.build().map_err(|error| Error::config(error.to_string()))?;
    Ok(match s3.http.max_requests {
        Some(bound) => Arc::new(LimitStore::new(store, bound)),
        None => Arc::new(store),
    })
}

fn with_text(builder: AmazonS3Builder, key: &str, value: &str) -> Result<AmazonS3Builder, Error> {
    let key: AmazonS3ConfigKey =
        key.parse().map_err(|error: object_store::Error| Error::config(error.to_string()))?;
    Ok(builder.with_config(key, value))
}

/// One HTTP client for everything that goes to this store: it is the pool of connections.
#[derive(Debug)]
struct Client(reqwest::Client);

impl Client {
    fn new(http: &HttpSettings) -> Result<Self, Error> {
        let read = |file: &std::path::Path| std::fs::read(file).map_err(|e| Error::local(file, e));
        let bad = |error: reqwest::Error| Error::config(format!("config.http_config.tls_config: {error}"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sarsen/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .connect_timeout(http.connect_timeout)
            .read_timeout(http.read_timeout)
            .pool_idle_timeout(http.idle_timeout)
            .pool_max_idle_per_host(http.idle_connections)
            .tls_danger_accept_invalid_certs(http.skip_verify);
        if let Some(file) = &http.tls.ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(&read(file)?).map_err(bad)?;
            if certificates.is_empty() {
                return Err(Error::config(format!("{}: no certificate", file.display())));
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let (Some(certificate), Some(key)) = (&http.tls.cert_file, &http.tls.key_file) {
            let mut pem = read(certificate)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(bad)?);
        }
        builder.build().map(Self).map_err(bad)
    }
}

impl HttpConnector for Client {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0u32, |value, i| value << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for place in 0..4usize {
            let sextet = (value >> (18 - 6 * place)) & 63;
            let letter = LETTERS.get(sextet as usize).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_usual_port_is_left_out() {
        let url = |endpoint: &str, more: &str| {
            let text = format!(
                "type: S3\nconfig: {{bucket: b, endpoint: '{endpoint}', access_key: a, secret_key: s{more}}}"
            );
            let StoreConfig::S3(s3) = ObjstoreConfig::parse(&text, |_| None).unwrap().store else {
                panic!("S3")
            };
            endpoint_url(&s3)
        };
        assert_eq!(url("s3.minio.example:80", ", insecure: true"), "http://s3.minio.example");
        assert_eq!(url("s3.minio.example:80", ""), "https://s3.minio.example:80");
        assert_eq!(url("s3.minio.example:443", ""), "https://s3.minio.example");
        assert_eq!(url("10.0.0.1:30001", ", insecure: true"), "http://10.0.0.1:30001");
        assert_eq!(url("s3.amazonaws.com", ""), "https://b.s3.amazonaws.com");
        assert_eq!(url("s3.amazonaws.com", ", region: eu-west-1"), "https://b.s3.eu-west-1.amazonaws.com");
        assert_eq!(
            url("s3.eu-west-1.amazonaws.com", ", bucket_lookup_type: path"),
            "https://s3.eu-west-1.amazonaws.com"
        );
    }
}
