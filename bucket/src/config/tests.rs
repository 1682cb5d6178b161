//! Configuration texts, good and bad, with the place that an error names.

use super::*;
use crate::error::Place;

const S3: &str = "type: S3
config:
  bucket: thanos-bucket
  endpoint: s3.minio.example:80
  access_key: AKEY
  secret_key: SKEY
  insecure: true
  http_config:
    insecure_skip_verify: true
";

fn parse(text: &str) -> Result<ObjstoreConfig, Error> {
    ObjstoreConfig::parse(text, |_| None)
}

fn s3(text: &str) -> S3Config {
    match parse(text).unwrap().store {
        StoreConfig::S3(s3) => *s3,
        StoreConfig::Filesystem { .. } => panic!("not S3"),
    }
}

fn with(line: &str) -> String {
    S3.replace("  insecure: true\n", &format!("  insecure: true\n  {line}\n"))
}

fn fault(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_usual_file() {
    let config = s3(S3);
    assert_eq!((config.bucket.as_str(), config.endpoint.as_str()), ("thanos-bucket", "s3.minio.example:80"));
    assert!(config.insecure && config.http.skip_verify);
    assert_eq!(config.lookup, BucketLookup::Path);
    assert_eq!(config.region, "us-east-1");
    assert_eq!(config.part_size, Some(8 << 20));
    assert!(!format!("{config:?}").contains("SKEY"));
    assert_eq!(parse(S3).unwrap().bucket_name(), "thanos-bucket");
}

#[test]
fn a_directory_with_a_prefix() {
    let config = parse("type: filesystem\nconfig: {directory: /var/bucket}\nprefix: /a/b/\n").unwrap();
    assert_eq!(config.prefix, "a/b");
    assert_eq!(config.store, StoreConfig::Filesystem { directory: "/var/bucket".into() });
}

#[test]
fn unknown_keys_are_refused_at_their_place() {
    for text in [with("bukket: x"), S3.replace("prefix", "prefux") + "prefux: a\n", with("http_config2: {}")]
    {
        let Err(Error::Config { place, why }) = parse(&text) else { panic!("{text}") };
        assert!(place.line > 0 && place.column > 0, "{why}");
        assert!(why.contains("unknown field"), "{why}");
    }
    let Err(Error::Config { place, .. }) = parse(&with("bukket: x")) else { panic!() };
    assert_eq!(place, Place { line: 8, column: 3 });
    let nested = S3.replace("insecure_skip_verify", "insecure_skip_verfy");
    assert!(fault(&nested).contains("insecure_skip_verfy"));
    assert!(fault(&with("bucket: twice")).contains("bucket"));
}

#[test]
fn secrets_are_not_shown_in_faults() {
    for text in [with("part_size: many"), with("nonsense: [SKEY"), with("trace: SKEY2")] {
        let fault = fault(&text);
        assert!(!fault.contains("SKEY\n") && !fault.contains("AKEY"), "{fault}");
    }
}

#[test]
fn what_is_not_done_is_refused() {
    for (line, name) in [
        ("signature_version2: true", "signature_version2"),
        ("trace: {enable: true}", "trace.enable"),
        ("list_objects_version: v1", "list_objects_version"),
        ("bucket_lookup_type: dns", "bucket_lookup_type"),
        ("aws_sdk_auth: true", "aws_sdk_auth"),
        ("part_size: 1024", "part_size"),
        ("sse_config: {type: SSE-X}", "sse_config.type"),
        ("sse_config: {type: SSE-KMS}", "sse_config.kms_key_id"),
        (
            "sse_config: {type: SSE-KMS, kms_key_id: k, kms_encryption_context: {a: b}}",
            "kms_encryption_context",
        ),
    ] {
        let fault = fault(&with(line));
        assert!(fault.contains(name), "{line}: {fault}");
    }
    for (from, to, name) in [
        ("s3.minio.example:80", "http://s3.minio.example", "endpoint"),
        ("s3.minio.example:80", "host/path", "endpoint"),
        ("s3.minio.example:80", "host:port", "endpoint"),
        ("  bucket: thanos-bucket\n", "", "bucket"),
        ("  endpoint: s3.minio.example:80\n", "", "endpoint"),
        ("  secret_key: SKEY\n", "", "secret_key"),
        ("  access_key: AKEY\n", "", "access_key"),
        ("type: S3", "type: GCS", "GCS"),
        ("type: S3", "type: FTP", "FTP"),
        ("type: S3", "# none", "type"),
        ("insecure_skip_verify: true", "tls_config: {server_name: x}", "server_name"),
        ("insecure_skip_verify: true", "tls_config: {cert_file: x}", "key_file"),
        ("insecure_skip_verify: true", "idle_conn_timeout: 5", "idle_conn_timeout"),
        ("insecure_skip_verify: true", "max_conns_per_host: -1", "max_conns_per_host"),
    ] {
        let fault = fault(&S3.replace(from, to));
        assert!(fault.contains(name), "{to}: {fault}");
    }
}

#[test]
fn every_key_of_thanos_is_known() {
    let text = "type: S3
config:
  bucket: b
  endpoint: s3.eu-west-1.amazonaws.com
  region: ''
  disable_dualstack: true
  aws_sdk_auth: false
  access_key: 12345
  secret_key: 'yes'
  session_token: t
  insecure: false
  signature_version2: false
  put_user_metadata: {X-Amz-Storage-Class: STANDARD_IA, team: storage}
  http_config:
    idle_conn_timeout: 1m30s
    response_header_timeout: 2m
    insecure_skip_verify: false
    tls_handshake_timeout: 10s
    expect_continue_timeout: 1s
    max_idle_conns: 100
    max_idle_conns_per_host: 7
    max_conns_per_host: 9
    tls_config: {ca_file: ca, cert_file: c, key_file: k, server_name: '', insecure_skip_verify: true}
    disable_compression: false
  trace: {enable: false}
  list_objects_version: v2
  bucket_lookup_type: auto
  send_content_md5: true
  disable_multipart: true
  part_size: 134217728
  sse_config: {type: '', kms_key_id: '', kms_encryption_context: {}, encryption_key: ''}
  sts_endpoint: ''
  max_retries: 5
prefix: p
";
    let config = s3(text);
    assert_eq!(config.lookup, BucketLookup::VirtualHosted);
    assert_eq!(config.region, "eu-west-1");
    assert_eq!(config.part_size, None);
    assert_eq!(config.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(config.user_metadata, [("team".to_owned(), "storage".to_owned())]);
    assert_eq!(config.http.idle_timeout, Duration::from_secs(90));
    assert_eq!((config.http.idle_connections, config.http.max_requests), (7, Some(9)));
    assert!(!config.http.skip_verify, "the outer setting holds");
    assert_eq!(config.max_retries, 5);
    let Keys::Fixed { access_key, secret_key, session_token } = config.keys else { panic!("keys") };
    assert_eq!(
        (access_key.as_str(), secret_key.as_str(), session_token.as_deref()),
        ("12345", "yes", Some("t"))
    );
}

#[test]
fn variables_are_put_in() {
    let env = |name: &str| match name {
        "SECRET" => Some("s3cr3t".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let text = S3.replace("SKEY", "'$(SECRET)$(EMPTY)$(not one) $SECRET'");
    let StoreConfig::S3(config) = ObjstoreConfig::parse(&text, env).unwrap().store else { panic!() };
    let Keys::Fixed { secret_key, .. } = config.keys else { panic!() };
    assert_eq!(secret_key, "s3cr3t$(not one) $SECRET");
    let Err(Error::Config { place, why }) = ObjstoreConfig::parse(&S3.replace("SKEY", "$(NO_SUCH)"), env)
    else {
        panic!()
    };
    assert_eq!(place, Place { line: 6, column: 15 });
    assert!(why.contains("NO_SUCH"), "{why}");
}

#[test]
fn keys_from_around() {
    let text = S3.replace("  access_key: AKEY\n  secret_key: SKEY\n", "");
    let keys = |pairs: &'static [(&str, &str)]| {
        let env = move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        match ObjstoreConfig::parse(&text, env).unwrap().store {
            StoreConfig::S3(s3) => s3.keys,
            StoreConfig::Filesystem { .. } => panic!(),
        }
    };
    assert_eq!(keys(&[]), Keys::Machine);
    let fixed = keys(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    assert_eq!(fixed, Keys::Fixed { access_key: "a".into(), secret_key: "s".into(), session_token: None });
    let role = keys(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "f"), ("AWS_ROLE_ARN", "r")]);
    assert!(matches!(role, Keys::WebIdentity { .. }));
}

#[test]
fn durations() {
    for (text, ms) in [
        ("0", 0),
        ("90s", 90_000),
        ("1m30s", 90_000),
        ("1h", 3_600_000),
        ("5ms", 5),
        ("1d2h3m4s5ms", 93_784_005),
    ] {
        assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
    }
    for text in ["", "5", "s", "1.5h", "1s1m", "1s1s", "-1s", "1 s", "99999999999999999999s", "1x"] {
        assert_eq!(duration(text), None, "{text}");
    }
}
