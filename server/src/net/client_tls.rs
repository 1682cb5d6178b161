//! TLS towards the servers of others: authorities, a certificate of our own, the name that is expected.
//!
//! Files are read once, at the start.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::certificates;
use crate::config::tls::ClientTlsFiles;

/// The TLS of connections that are made from here.
pub(crate) struct ClientTls {
    connector: TlsConnector,
    /// The name that a certificate must have, where it is not that of the address.
    name: Option<String>,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `host` of `host:port`.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that is missing or makes no sense.
    pub(crate) fn load(files: &ClientTlsFiles) -> Result<Self, String> {
        let build = || {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let versions: &[&rustls::SupportedProtocolVersion] = if files.allow_tls12 {
                &[&rustls::version::TLS13, &rustls::version::TLS12]
            } else {
                &[&rustls::version::TLS13]
            };
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)
                .map_err(|why| format!("TLS versions: {why}"))?;
            let builder = if files.skip_verify {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            } else {
                builder.with_root_certificates(roots(files.ca.as_deref())?)
            };
            let mut config = match (&files.cert, &files.key) {
                (Some(cert), Some(key)) => {
                    let read = PrivateKeyDer::from_pem_file(key).map_err(|why| format!("{key}: {why}"))?;
                    builder
                        .with_client_auth_cert(certificates(cert)?, read)
                        .map_err(|why| format!("{cert} with {key}: {why}"))?
                }
                _ => builder.with_no_client_auth(),
            };
            config.alpn_protocols = vec![b"h2".to_vec()];
            Ok(config)
        };
        let config = build().map_err(|why: String| format!("{}: {why}", files.origin))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name: files.server_name.clone() })
    }

    /// What calls over such a connection are addressed to.
    pub(crate) fn authority(&self, address: &str) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => address.to_owned(),
        }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// If the server is not who it should be, or does not know us.
    pub(crate) async fn connect(&self, address: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.as_deref().unwrap_or_else(|| host_of(address)).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let fault =
            |why: io::Error| io::Error::new(why.kind(), format!("authentication handshake failed: {why}"));
        self.connector.connect(name, stream).await.map_err(fault)
    }
}

/// The authorities in a file, or those that the system trusts.
fn roots(file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for authority in certificates(path)? {
                roots.add(authority).map_err(|why| format!("{path}: {why}"))?;
            }
        }
        None => {
            // One that nobody can read does not make the others worse.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// Takes any server for the right one, because somebody said so; what it signs must still be signed.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        assert_eq!(host_of("a.b:1"), "a.b");
        assert_eq!(host_of("[::1]:10901"), "::1");
        assert_eq!(host_of("a"), "a");
    }

    #[test]
    fn a_missing_file_is_named() {
        let files = ClientTlsFiles {
            origin: "--grpc-client-tls-*".to_owned(),
            ca: Some("/no/ca.pem".to_owned()),
            ..Default::default()
        };
        let fault = ClientTls::load(&files).unwrap_err();
        assert!(fault.contains("/no/ca.pem") && fault.contains("--grpc-client-tls-*"), "{fault}");
    }
}
