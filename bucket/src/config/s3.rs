//! What a bucket in S3 needs to be opened, checked and with all defaults filled in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use super::yaml::{HttpYaml, S3Yaml, SseYaml};
use crate::error::Error;

/// A bucket in S3, or in something that speaks its language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// Name of the bucket.
    pub bucket: String,
    /// Host, with a port if it is not the usual one; without a scheme.
    pub endpoint: String,
    /// Plain HTTP.
    pub insecure: bool,
    /// Region that requests are signed for.
    pub region: String,
    /// Where keys come from.
    pub keys: Keys,
    /// Whether the bucket's name is part of the host.
    pub lookup: BucketLookup,
    /// Objects larger than this are written in parts of this size, in bytes; `None`: never in parts.
    pub part_size: Option<usize>,
    /// Whether every object is sent with a checksum of its own.
    pub send_checksum: bool,
    /// User metadata of every object.
    pub user_metadata: Vec<(String, String)>,
    /// Storage class of every object.
    pub storage_class: Option<String>,
    /// Encryption by the server.
    pub encryption: Option<Encryption>,
    /// How often the client repeats a single request.
    pub max_retries: usize,
    /// Connections.
    pub http: HttpSettings,
}

/// Where the keys of S3 come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Keys {
    /// They are these.
    Fixed {
        /// Name of the key.
        access_key: String,
        /// The secret.
        secret_key: String,
        /// Token of a session, if the keys belong to one.
        session_token: Option<String>,
    },
    /// A token of a Kubernetes service account is exchanged for keys.
    WebIdentity {
        /// File with the token; read anew for each exchange.
        token_file: String,
        /// The role that is taken.
        role_arn: String,
        /// Name of the session, if it matters.
        session_name: Option<String>,
        /// Who exchanges, if not the region's own.
        sts_endpoint: Option<String>,
    },
    /// The service of the machine or container that this runs on is asked.
    Machine,
}

impl fmt::Debug for Keys {
    /// The secret stays secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { access_key, .. } => write!(f, "Fixed({access_key})"),
            Self::WebIdentity { role_arn, .. } => write!(f, "WebIdentity({role_arn})"),
            Self::Machine => f.write_str("Machine"),
        }
    }
}

/// How the bucket's name gets into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketLookup {
    /// `host/bucket`.
    Path,
    /// `bucket.host`.
    VirtualHosted,
}

/// Encryption by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of the store.
    S3,
    /// With a key of the key service.
    Kms {
        /// The key.
        key_id: String,
    },
    /// With a key that is sent along.
    Customer {
        /// File of 32 bytes.
        key_file: PathBuf,
    },
}

/// Connections to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// A connection on which nothing is received for so long is given up.
    pub read_timeout: Duration,
    /// Time for a connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// Idle connections that are kept.
    pub idle_connections: usize,
    /// Requests at the same time; `None` for no bound.
    pub max_requests: Option<usize>,
    /// Whether any certificate is taken.
    pub skip_verify: bool,
    /// Certificates.
    pub tls: TlsFiles,
}

/// Files of certificates in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Only servers with a certificate from one of these are believed.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown to the server.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// Parts must have this size at least, but for the last one.
const MIN_PART_SIZE: u64 = 5 << 20;
const MAX_PART_SIZE: u64 = 5 << 30;
/// Thanos' default is 64 MiB; a smaller part needs less memory and looks the same in the bucket.
const DEFAULT_PART_SIZE: u64 = 8 << 20;
/// Connecting alone; the handshake has its own setting.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn fault(key: &str, why: impl fmt::Display) -> Error {
    Error::config(format!("config.{key}: {why}"))
}

pub(super) fn read(yaml: S3Yaml, env: &impl Fn(&str) -> Option<String>) -> Result<S3Config, Error> {
    refuse_what_is_not_done(&yaml)?;
    let bucket = filled(yaml.bucket.clone()).ok_or_else(|| fault("bucket", "is missing"))?;
    let endpoint = filled(yaml.endpoint.clone()).ok_or_else(|| fault("endpoint", "is missing"))?;
    check_endpoint(&endpoint)?;
    let insecure = yaml.insecure.unwrap_or(false);
    let keys = read_keys(&yaml, env)?;
    let host = endpoint.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let lookup = lookup(yaml.bucket_lookup_type.as_deref().unwrap_or_default(), &host, &bucket, insecure)?;
    let region = filled(yaml.region).or_else(|| region_of(&host)).unwrap_or_else(|| "us-east-1".to_owned());
    let part_size = yaml.part_size.filter(|size| *size != 0).unwrap_or(DEFAULT_PART_SIZE);
    if !(MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part_size) {
        return Err(fault("part_size", format!("{part_size} bytes; it must be from 5 MiB to 5 GiB")));
    }
    let part_size = usize::try_from(part_size).map_err(|error| fault("part_size", error))?;
    let (classes, user_metadata): (Vec<_>, Vec<_>) = yaml
        .put_user_metadata
        .unwrap_or_default()
        .into_iter()
        .partition(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Storage-Class"));
    Ok(S3Config {
        bucket,
        endpoint,
        insecure,
        region,
        keys,
        lookup,
        part_size: (!yaml.disable_multipart.unwrap_or(false)).then_some(part_size),
        send_checksum: yaml.send_content_md5.unwrap_or(true),
        user_metadata,
        storage_class: classes.into_iter().next().map(|(_, class)| class),
        encryption: yaml.sse_config.map(encryption).transpose()?.flatten(),
        max_retries: yaml.max_retries.filter(|n| *n != 0).map_or(3, |n| n as usize),
        http: http(yaml.http_config.unwrap_or_default())?,
    })
}

/// Settings that Thanos knows and that ask for something else than what happens here.
fn refuse_what_is_not_done(yaml: &S3Yaml) -> Result<(), Error> {
    let refuse = |key: &str, why: &str| Err(fault(key, why));
    if yaml.signature_version2 == Some(true) {
        return refuse("signature_version2", "requests are signed by version 4 only");
    }
    if yaml.trace.as_ref().is_some_and(|trace| trace.enable == Some(true)) {
        return refuse("trace.enable", "requests are not traced");
    }
    match yaml.list_objects_version.as_deref().unwrap_or_default() {
        "" | "v2" => {}
        "v1" => return refuse("list_objects_version", "objects are listed by version 2 only"),
        other => return refuse("list_objects_version", &format!("{other:?} is neither v1 nor v2")),
    }
    if let Some(http) = &yaml.http_config
        && http
            .tls_config
            .as_ref()
            .is_some_and(|tls| tls.server_name.as_ref().is_some_and(|name| !name.is_empty()))
    {
        return refuse(
            "http_config.tls_config.server_name",
            "the name in the certificate must be that of the endpoint",
        );
    }
    Ok(())
}

fn check_endpoint(endpoint: &str) -> Result<(), Error> {
    if endpoint.contains("://") {
        return Err(fault(
            "endpoint",
            format!("{endpoint:?} has a scheme; write host:port and set insecure"),
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let port = endpoint.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let bad_port = port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0));
    if endpoint.is_empty() || !endpoint.chars().all(plain) || bad_port {
        return Err(fault("endpoint", format!("{endpoint:?} is not host or host:port")));
    }
    Ok(())
}

fn read_keys(yaml: &S3Yaml, env: &impl Fn(&str) -> Option<String>) -> Result<Keys, Error> {
    let access_key = filled(yaml.access_key.clone());
    let secret_key = filled(yaml.secret_key.clone());
    let sdk = yaml.aws_sdk_auth.unwrap_or(false);
    match (access_key, secret_key) {
        (Some(_), _) if sdk => Err(fault("aws_sdk_auth", "cannot be set together with access_key")),
        (Some(access_key), Some(secret_key)) => {
            Ok(Keys::Fixed { access_key, secret_key, session_token: filled(yaml.session_token.clone()) })
        }
        (Some(_), None) => Err(fault("secret_key", "is missing, access_key is given")),
        (None, Some(_)) => Err(fault("access_key", "is missing, secret_key is given")),
        (None, None) => Ok(keys_around(env, filled(yaml.sts_endpoint.clone()))),
    }
}

/// Keys when the text has none: the environment, then a service account, then the machine.
fn keys_around(env: &impl Fn(&str) -> Option<String>, sts_endpoint: Option<String>) -> Keys {
    let any = |names: &[&str]| names.iter().find_map(|name| filled(env(name)));
    let fixed = (
        any(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "MINIO_ROOT_USER", "MINIO_ACCESS_KEY"]),
        any(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "MINIO_ROOT_PASSWORD", "MINIO_SECRET_KEY"]),
    );
    if let (Some(access_key), Some(secret_key)) = fixed {
        return Keys::Fixed { access_key, secret_key, session_token: any(&["AWS_SESSION_TOKEN"]) };
    }
    match (any(&["AWS_WEB_IDENTITY_TOKEN_FILE"]), any(&["AWS_ROLE_ARN"])) {
        (Some(token_file), Some(role_arn)) => Keys::WebIdentity {
            token_file,
            role_arn,
            session_name: any(&["AWS_ROLE_SESSION_NAME"]),
            sts_endpoint,
        },
        _ => Keys::Machine,
    }
}

/// `auto` puts the bucket into the host only where the host is known to want it. A name with dots has no certificate there.
fn lookup(text: &str, host: &str, bucket: &str, insecure: bool) -> Result<BucketLookup, Error> {
    match text {
        "path" => Ok(BucketLookup::Path),
        "virtual-hosted" => Ok(BucketLookup::VirtualHosted),
        "" | "auto" => {
            let known = ["amazonaws.com", "amazonaws.com.cn", "storage.googleapis.com", "aliyuncs.com"];
            let wants = known.iter().any(|name| host == *name || host.ends_with(&format!(".{name}")));
            let certified = insecure || !bucket.contains('.');
            Ok(if wants && certified { BucketLookup::VirtualHosted } else { BucketLookup::Path })
        }
        other => Err(fault("bucket_lookup_type", format!("{other:?} is none of auto, virtual-hosted, path"))),
    }
}

/// `eu-west-1` of `s3.eu-west-1.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let rest = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let rest = rest
        .strip_prefix("s3.dualstack.")
        .or_else(|| rest.strip_prefix("s3."))
        .or_else(|| rest.strip_prefix("s3-"))?;
    (!rest.is_empty() && !rest.contains('.')).then(|| rest.to_owned())
}

fn encryption(yaml: SseYaml) -> Result<Option<Encryption>, Error> {
    if yaml.kms_encryption_context.is_some_and(|context| !context.is_empty()) {
        return Err(fault("sse_config.kms_encryption_context", "a context is not sent"));
    }
    match yaml.r#type.as_deref().unwrap_or_default() {
        "" => Ok(None),
        "SSE-S3" => Ok(Some(Encryption::S3)),
        "SSE-KMS" => match filled(yaml.kms_key_id) {
            Some(key_id) => Ok(Some(Encryption::Kms { key_id })),
            None => Err(fault("sse_config.kms_key_id", "is missing")),
        },
        "SSE-C" => match filled(yaml.encryption_key) {
            Some(file) => Ok(Some(Encryption::Customer { key_file: file.into() })),
            None => Err(fault("sse_config.encryption_key", "is missing")),
        },
        other => Err(fault("sse_config.type", format!("{other:?} is none of SSE-S3, SSE-KMS, SSE-C"))),
    }
}

fn http(yaml: HttpYaml) -> Result<HttpSettings, Error> {
    let time = |key: &str, text: Option<String>, seconds: u64| match filled(text) {
        None => Ok(Duration::from_secs(seconds)),
        Some(text) => duration(&text).ok_or_else(|| {
            fault(&format!("http_config.{key}"), format!("{text:?} is no duration such as 90s or 2m"))
        }),
    };
    let bound = |key: &str, number: Option<i64>| match number {
        None | Some(0) => Ok(None),
        Some(number) => {
            usize::try_from(number).map(Some).map_err(|_| fault(&format!("http_config.{key}"), "is negative"))
        }
    };
    let tls = yaml.tls_config.unwrap_or_default();
    let files = TlsFiles {
        ca_file: filled(tls.ca_file).map(PathBuf::from),
        cert_file: filled(tls.cert_file).map(PathBuf::from),
        key_file: filled(tls.key_file).map(PathBuf::from),
    };
    if files.cert_file.is_some() != files.key_file.is_some() {
        return Err(fault("http_config.tls_config", "cert_file and key_file go together"));
    }
    time("expect_continue_timeout", yaml.expect_continue_timeout, 1)?;
    Ok(HttpSettings {
        idle_timeout: time("idle_conn_timeout", yaml.idle_conn_timeout, 90)?,
        read_timeout: time("response_header_timeout", yaml.response_header_timeout, 120)?,
        connect_timeout: DIAL_TIMEOUT + time("tls_handshake_timeout", yaml.tls_handshake_timeout, 10)?,
        idle_connections: bound("max_idle_conns_per_host", yaml.max_idle_conns_per_host)?.unwrap_or(100),
        max_requests: bound("max_conns_per_host", yaml.max_conns_per_host)?,
        skip_verify: yaml.insecure_skip_verify.or(tls.insecure_skip_verify).unwrap_or(false),
        tls: files,
    })
}
