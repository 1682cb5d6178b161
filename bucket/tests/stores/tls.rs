//! TLS with a private authority and with client certificates, against a server in this process.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sarsen_bucket::{Bucket, BucketSettings, ObjstoreConfig, Reloading, Retry};

use crate::s3;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

fn server(wants_client: bool) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions();
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server-key.pem")).unwrap();
    let builder = builder.unwrap();
    let builder = if wants_client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(vec![certificate], key).unwrap()
}

fn open(endpoint: &str, http: &str) -> Result<Bucket, sarsen_bucket::Error> {
    let text = s3::config(endpoint, s3::SECRET_KEY, &format!("  http_config:\n{http}"));
    let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap())?;
    Ok(store.bucket().settings(BucketSettings { retry: Retry::NEVER, ..BucketSettings::default() }).build())
}

fn tls(names: &[(&str, &str)]) -> String {
    let lines = names.iter().map(|(key, name)| format!("      {key}: '{}'\n", file(name).display()));
    format!("    tls_config:\n{}", lines.collect::<String>())
}

#[tokio::test]
async fn only_the_authority_in_the_file_is_believed() {
    let root = tempfile::tempdir().unwrap();
    let address = s3::serve_tls(root.path(), server(false)).await;
    let endpoint = format!("localhost:{}", address.port());
    let trusted = open(&endpoint, &tls(&[("ca_file", "ca.pem")])).unwrap();
    trusted.put("a", "x".into()).await.unwrap();
    assert_eq!(trusted.get("a").await.unwrap(), "x");
    let by_address = open(&address.to_string(), &tls(&[("ca_file", "ca.pem")])).unwrap();
    assert_eq!(by_address.get("a").await.unwrap(), "x");
    let stranger = open(&endpoint, &tls(&[("ca_file", "client.pem")])).unwrap();
    assert!(stranger.get("a").await.is_err());
    let anyone = open(&endpoint, "    insecure_skip_verify: true\n").unwrap();
    assert_eq!(anyone.get("a").await.unwrap(), "x");
    assert!(open(&endpoint, &tls(&[("ca_file", "README.md")])).is_err());
    assert!(open(&endpoint, &tls(&[("ca_file", "no such file")])).is_err());
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    let root = tempfile::tempdir().unwrap();
    let address = s3::serve_tls(root.path(), server(true)).await;
    let endpoint = format!("localhost:{}", address.port());
    let all = [("ca_file", "ca.pem"), ("cert_file", "client.pem"), ("key_file", "client-key.pem")];
    let known = open(&endpoint, &tls(&all)).unwrap();
    known.put("a", "x".into()).await.unwrap();
    assert_eq!(known.get("a").await.unwrap(), "x");
    let unknown = open(&endpoint, &tls(&all[..1])).unwrap();
    assert!(unknown.get("a").await.is_err());
}
