//! TLS of a server: certificate, key, client authorities, versions, suites and key exchanges.
//!
//! Files are looked at again with each connection and read again when one has changed, so a renewed certificate needs no
//! restart; a new one that cannot be read leaves the old in force, with a line in the log.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use crate::config::tls::ServerTlsFiles;

/// The TLS of one listener, kept in step with its files.
#[derive(Debug)]
pub(crate) struct ServerTls {
    files: ServerTlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    seen: Vec<Option<SystemTime>>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files; the fault names the file.
    pub(crate) fn load(files: ServerTlsFiles) -> Result<Self, String> {
        let current = Current {
            seen: changed_at(&files),
            config: Arc::new(build(&files).map_err(|why| format!("{}: {why}", files.origin))?),
        };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// What the next connection shakes hands with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock();
        let seen = changed_at(&self.files);
        if seen != current.seen {
            match build(&self.files) {
                Ok(config) => {
                    current.config = Arc::new(config);
                    tracing::info!(cert = %self.files.cert, "read the TLS files again");
                }
                Err(err) => {
                    tracing::error!(err = %err, "cannot read the changed TLS files, the old ones stay in force");
                }
            }
            current.seen = seen;
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }
}

fn changed_at(files: &ServerTlsFiles) -> Vec<Option<SystemTime>> {
    let paths = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    paths.into_iter().flatten().map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok()).collect()
}

fn build(files: &ServerTlsFiles) -> Result<ServerConfig, String> {
    let provider = Arc::new(provider(&files.ciphers, &files.curves)?);
    let versions: &[&rustls::SupportedProtocolVersion] = if files.allow_tls12 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|why| format!("TLS versions: {why}"))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|why| format!("{path}: {why}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.client_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|why| format!("{path}: {why}"))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|why| format!("{}: {why}", files.key))?;
    let mut config = builder
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(|why| format!("{} with {}: {why}", files.cert, files.key))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

pub(super) fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|why| format!("{path}: {why}"))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|why| format!("{path}: {why}"))?;
    if found.is_empty() { Err(format!("{path}: no certificate in it")) } else { Ok(found) }
}

/// The cryptography, narrowed to the named suites of TLS 1.2 and key exchanges. Suites of TLS 1.3 cannot be chosen, as
/// in Go.
fn provider(ciphers: &[String], curves: &[String]) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    if !ciphers.is_empty() {
        let known: Vec<String> = provider.cipher_suites.iter().map(|suite| go_name(*suite)).collect();
        if let Some(unknown) = ciphers.iter().find(|name| !known.contains(name)) {
            return Err(format!("unknown cipher suite {unknown}; known are {}", known.join(", ")));
        }
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || ciphers.contains(&go_name(*suite)));
    }
    if !curves.is_empty() {
        let wanted = curves.iter().map(|name| curve(name)).collect::<Result<Vec<_>, _>>()?;
        provider.kx_groups.retain(|group| wanted.contains(&group.name()));
    }
    Ok(provider)
}

fn go_name(suite: rustls::SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.replacen("TLS13_", "TLS_", 1)
}

fn curve(name: &str) -> Result<rustls::NamedGroup, String> {
    use rustls::NamedGroup;
    match name {
        "CurveP256" | "P256" => Ok(NamedGroup::secp256r1),
        "CurveP384" | "P384" => Ok(NamedGroup::secp384r1),
        "CurveP521" | "P521" => Ok(NamedGroup::secp521r1),
        "X25519" => Ok(NamedGroup::X25519),
        "X25519MLKEM768" => Ok(NamedGroup::X25519MLKEM768),
        _ => Err(format!(
            "unknown curve {name}; known are CurveP256, CurveP384, CurveP521, X25519, X25519MLKEM768"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_curves_by_their_go_names() {
        let narrow =
            provider(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()], &["X25519".to_owned()]).unwrap();
        assert_eq!(narrow.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).count(), 1);
        assert_eq!(narrow.kx_groups.len(), 1);
        assert!(provider(&["TLS_NULL".to_owned()], &[]).unwrap_err().contains("TLS_NULL"));
        assert!(provider(&[], &["P1".to_owned()]).unwrap_err().contains("P1"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let files = ServerTlsFiles {
            cert: "/no/cert.pem".to_owned(),
            key: "/no/key.pem".to_owned(),
            ..Default::default()
        };
        assert!(ServerTls::load(files).unwrap_err().contains("/no/"));
    }
}
