//! Flags of a gRPC listener, the same in every role that has one: address, TLS, grace, age of connections.

#![allow(dead_code, reason = "the roles take it up one after the other")]

use std::time::Duration;

use super::flags::{Fault, Flag, Given, Kind};
use super::process::{address, go_duration};
use super::tls::ServerTlsFiles;

/// The flags of a listener for gRPC.
pub(crate) const GRPC: &[Flag] = &[
    Flag::new("grpc-address", Kind::Text, "0.0.0.0:10901", "Address of the gRPC services."),
    Flag::new("grpc-server-tls-cert", Kind::Text, "", "Certificate of the gRPC server; empty: no TLS."),
    Flag::new("grpc-server-tls-key", Kind::Text, "", "Key of the gRPC server."),
    Flag::new("grpc-server-tls-client-ca", Kind::Text, "", "CA that clients must have a certificate of."),
    Flag::new(
        "grpc-server-tls-min-version",
        Kind::Choice(&["1.0", "1.1", "1.2", "1.3"]),
        "1.3",
        "Lowest TLS version; below 1.2 is read as 1.2.",
    ),
    Flag::new("grpc-server-tls-ciphers", Kind::Text, "", "Cipher suites of TLS 1.2, by their Go names.")
        .repeat(),
    Flag::new("grpc-server-tls-curves", Kind::Text, "", "Key exchanges, by their Go names.").repeat(),
    Flag::new(
        "grpc-server-max-connection-age",
        Kind::GoDuration,
        "60m",
        "After this long a client is asked to connect anew; 0s: never.",
    ),
    Flag::new("grpc-grace-period", Kind::Duration, "2m", "Time for open calls to end after a stop signal."),
];

/// A listener for gRPC.
#[derive(Debug, Clone)]
pub(crate) struct GrpcConfig {
    /// Where it listens.
    pub(crate) address: String,
    /// TLS; `None`: plain.
    pub(crate) tls: Option<ServerTlsFiles>,
    /// Time for open calls to end after a stop signal.
    pub(crate) grace: Duration,
    /// After this long a client is asked to connect anew; `None`: never.
    pub(crate) max_age: Option<Duration>,
}

impl GrpcConfig {
    /// From the flags of [`GRPC`].
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        Ok(Self {
            address: address(given, "grpc-address")?,
            tls: ServerTlsFiles::of(given, "grpc-server-tls")?,
            grace: given.duration("grpc-grace-period")?,
            max_age: Some(go_duration(given, "grpc-server-max-connection-age")?).filter(|age| !age.is_zero()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<GrpcConfig, Fault> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        GrpcConfig::read(&Given::read(GRPC.to_vec(), &args)?)
    }

    #[test]
    fn listeners_for_grpc() {
        let plain = read(&[]).unwrap();
        assert_eq!((plain.address.as_str(), plain.tls.is_none()), ("0.0.0.0:10901", true));
        assert_eq!((plain.grace.as_secs(), plain.max_age.unwrap().as_secs()), (120, 3600));
        assert_eq!(read(&["--grpc-server-max-connection-age=0s"]).unwrap().max_age, None);
        let secured = read(&["--grpc-server-tls-cert=c", "--grpc-server-tls-key=k"]).unwrap().tls.unwrap();
        assert_eq!((secured.cert.as_str(), secured.allow_tls12), ("c", false));
        assert!(read(&["--grpc-server-tls-cert=c"]).is_err());
        assert!(read(&["--grpc-address=nowhere"]).unwrap_err().contains("--grpc-address"));
        assert!(read(&["--grpc-server-tls-min-version=2"]).is_err());
    }
}
