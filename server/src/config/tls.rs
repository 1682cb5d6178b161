//! Flags that describe the TLS of a server: `--<prefix>-cert`, `-key`, `-client-ca`, `-min-version`, `-ciphers`, `-curves`.

#[cfg(feature = "grpc")]
use super::flags::{Fault, Given};

/// Which files and rules the TLS of a server uses. Paths are read by `net/tls`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerTlsFiles {
    /// What named these files, for messages: `--remote-write.server-tls-*`.
    pub(crate) origin: String,
    /// PEM file with the certificate chain.
    pub(crate) cert: String,
    /// PEM file with the private key.
    pub(crate) key: String,
    /// PEM file with the authorities of client certificates; none: clients need no certificate.
    pub(crate) client_ca: Option<String>,
    /// Whether a client may come without a certificate although authorities are named.
    pub(crate) client_optional: bool,
    /// Whether TLS 1.2 is offered beside 1.3.
    pub(crate) allow_tls12: bool,
    /// Cipher suites of TLS 1.2 by their Go names; empty: all.
    pub(crate) ciphers: Vec<String>,
    /// Key exchanges by their Go names; empty: all.
    pub(crate) curves: Vec<String>,
}

impl ServerTlsFiles {
    /// What the flags with this prefix say; `None` without a certificate.
    #[cfg(feature = "grpc")]
    pub(crate) fn of(given: &Given, prefix: &str) -> Result<Option<Self>, Fault> {
        let flag = |end: &str| given.text_if_any(&format!("{prefix}-{end}"));
        match (flag("cert"), flag("key")) {
            (None, None) if flag("client-ca").is_some() => {
                Err(format!("--{prefix}-client-ca needs --{prefix}-cert and --{prefix}-key"))
            }
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Self {
                origin: format!("--{prefix}-*"),
                cert,
                key,
                client_ca: flag("client-ca"),
                client_optional: false,
                allow_tls12: given.text(&format!("{prefix}-min-version")) != "1.3",
                ciphers: given.all(&format!("{prefix}-ciphers")).to_vec(),
                curves: given.all(&format!("{prefix}-curves")).to_vec(),
            })),
            _ => Err(format!("--{prefix}-cert and --{prefix}-key must be given together")),
        }
    }
}

/// Which files and rules the TLS of connections to others uses. Paths are read by `net/client_tls`.
#[cfg(feature = "query")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientTlsFiles {
    /// What named these files, for messages: `--grpc-client-tls-*`.
    pub(crate) origin: String,
    /// Whether any server will do.
    pub(crate) skip_verify: bool,
    /// PEM file with the authorities of servers; none: those of the system.
    pub(crate) ca: Option<String>,
    /// PEM file with our certificate chain.
    pub(crate) cert: Option<String>,
    /// PEM file with our private key.
    pub(crate) key: Option<String>,
    /// The name that the server's certificate must have; none: that of its address.
    pub(crate) server_name: Option<String>,
    /// Whether TLS 1.2 will do.
    pub(crate) allow_tls12: bool,
}
