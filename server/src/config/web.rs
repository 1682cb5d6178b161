//! The web configuration file of `--http.config`: TLS, headers and passwords of every HTTP endpoint.
//!
//! The form is that of Prometheus' exporters; unknown keys are faults. Paths in it are relative to the file. What we
//! cannot do (inline certificates, rate limits, checks of names in client certificates) is refused, not passed over.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::content::yaml_fault;
use super::flags::Fault;
use super::tls::ServerTlsFiles;

/// What the file says; the default is no file.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebConfig {
    pub(crate) tls: Option<ServerTlsFiles>,
    /// Offer HTTP/1 only.
    pub(crate) http1_only: bool,
    /// Headers of every answer.
    pub(crate) headers: BTreeMap<String, String>,
    /// bcrypt hashes by user; empty: nobody is asked.
    pub(crate) users: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Tls>,
    #[serde(default)]
    http_server_config: Http,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert_file: String,
    key_file: String,
    client_ca_file: Option<String>,
    client_auth_type: Option<String>,
    #[serde(default)]
    cipher_suites: Vec<String>,
    #[serde(default)]
    curve_preferences: Vec<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    #[expect(dead_code, reason = "accepted: the order is always the server's")]
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    #[serde(default = "yes")]
    http2: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Default for Http {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

const fn yes() -> bool {
    true
}

const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

impl WebConfig {
    /// Reads the file that `--http.config` names.
    pub(crate) fn read(path: Option<&str>) -> Result<Self, Fault> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|why| format!("--http.config: {path}: {why}"))?;
        Self::parse(&text, Path::new(path)).map_err(|why| format!("--http.config: {path}: {why}"))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: File = serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))?;
        if let Some(name) =
            file.http_server_config.headers.keys().find(|name| !HEADERS.contains(&name.as_str()))
        {
            return Err(format!("http_server_config.headers: {name} cannot be configured"));
        }
        let beside = |name: &str| match path.parent() {
            Some(folder) => folder.join(name).to_string_lossy().into_owned(),
            None => name.to_owned(),
        };
        Ok(Self {
            tls: file.tls_server_config.map(|tls| tls.checked(beside)).transpose()?,
            http1_only: !file.http_server_config.http2,
            headers: file.http_server_config.headers,
            users: file.basic_auth_users,
        })
    }
}

impl Tls {
    fn checked(self, beside: impl Fn(&str) -> String) -> Result<ServerTlsFiles, String> {
        let client_ca = self.client_ca_file.filter(|path| !path.is_empty());
        let client_optional = match self.client_auth_type.as_deref() {
            None | Some("" | "NoClientCert") if client_ca.is_none() => false,
            Some("RequireAndVerifyClientCert") if client_ca.is_some() => false,
            Some("VerifyClientCertIfGiven") if client_ca.is_some() => true,
            other => {
                return Err(format!(
                    "tls_server_config: client_auth_type {} does not go with {} client_ca_file; there are NoClientCert without one, VerifyClientCertIfGiven and RequireAndVerifyClientCert with one",
                    other.unwrap_or("NoClientCert"),
                    if client_ca.is_some() { "a" } else { "no" },
                ));
            }
        };
        let allow_tls12 = match self.min_version.as_deref() {
            None | Some("" | "TLS10" | "TLS11" | "TLS12") => true,
            Some("TLS13") => false,
            Some(other) => return Err(format!("tls_server_config.min_version: unknown version {other}")),
        };
        match self.max_version.as_deref() {
            None | Some("" | "TLS13") => {}
            Some(other) => {
                return Err(format!(
                    "tls_server_config.max_version: {other} is not supported, TLS 1.3 is always offered"
                ));
            }
        }
        Ok(ServerTlsFiles {
            origin: "--http.config".to_owned(),
            cert: beside(&self.cert_file),
            key: beside(&self.key_file),
            client_ca: client_ca.map(|path| beside(&path)),
            client_optional,
            allow_tls12,
            ciphers: self.cipher_suites,
            curves: self.curve_preferences,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebConfig, String> {
        WebConfig::parse(text, Path::new("/etc/web.yml"))
    }

    #[test]
    fn whole_file() {
        let config = parse(
            "tls_server_config:\n  cert_file: a.pem\n  key_file: /k.pem\n  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\nhttp_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  alice: $2y$10$x\n",
        )
        .unwrap();
        let tls = config.tls.unwrap();
        assert_eq!((tls.cert.as_str(), tls.key.as_str()), ("/etc/a.pem", "/k.pem"));
        assert_eq!(tls.client_ca.as_deref(), Some("/etc/ca.pem"));
        assert!(!tls.allow_tls12 && !tls.client_optional && config.http1_only);
        assert_eq!(config.users.len(), 1);
        assert!(parse("").unwrap().tls.is_none());
    }

    #[test]
    fn faults() {
        for (text, part) in [
            ("tls:\n  a: b\n", "tls"),
            ("tls_server_config:\n  cert_file: a\n", "key_file"),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
                "client_auth_type",
            ),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS9}", "TLS9"),
            ("http_server_config: {headers: {X-Other: a}}", "X-Other"),
            ("rate_limit: {interval: 1s}", "rate_limit"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(part) && !fault.contains('\n'), "{text}: {fault}");
        }
    }
}
