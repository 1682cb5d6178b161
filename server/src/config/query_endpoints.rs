//! Flags and files that say which endpoints a querier asks: those of `thanos query` from v0.37 to main.
//!
//! `--store` and its sisters of old say no more than `--endpoint`: what an endpoint offers, it says itself. Files are read again while
//! the program runs; their text becomes lists here, and who reads them when is not known here.

use std::time::Duration;

use serde::Deserialize;

use super::content::{Content, yaml_fault};
use super::flags::{Fault, Flag, Given, Kind};
use super::process::go_duration;
use super::tls::ClientTlsFiles;

const OLD: &str = "The same as --endpoint, under its old name.";

/// The flags that name endpoints and say how they are reached.
pub(crate) const ENDPOINTS: &[Flag] = &[
    Flag::new(
        "endpoint",
        Kind::Text,
        "",
        "Address of an endpoint; dns+, dnssrv+, dnssrvnoa+ and dnsdualstack+ look it up.",
    )
    .repeat(),
    Flag::new("endpoint-strict", Kind::Text, "", "One that is asked whether it answers or not.").repeat(),
    Flag::new(
        "endpoint-group",
        Kind::Text,
        "",
        "Addresses of endpoints that have the same: one of them is asked.",
    )
    .repeat(),
    Flag::new("endpoint-group-strict", Kind::Text, "", "Both.").repeat(),
    Flag::new("endpoint.sd-config-file", Kind::Text, "", "File with endpoints."),
    Flag::new("endpoint.sd-config", Kind::Text, "", "The same as text."),
    Flag::new(
        "endpoint.sd-config-reload-interval",
        Kind::GoDuration,
        "5m",
        "Time between two looks at that file.",
    ),
    Flag::new("store", Kind::Text, "", OLD).repeat().hidden(),
    Flag::new("store-strict", Kind::Text, "", "The same as --endpoint-strict.").repeat().hidden(),
    Flag::new("rule", Kind::Text, "", OLD).repeat().hidden(),
    Flag::new("metadata", Kind::Text, "", OLD).repeat().hidden(),
    Flag::new("exemplar", Kind::Text, "", OLD).repeat().hidden(),
    Flag::new("target", Kind::Text, "", OLD).repeat().hidden(),
    Flag::new(
        "store.sd-files",
        Kind::Text,
        "",
        "Files with addresses of endpoints; a star stands for anything.",
    )
    .repeat(),
    Flag::new("store.sd-interval", Kind::Duration, "5m", "Time between two looks at these files."),
    Flag::new("store.sd-dns-interval", Kind::Duration, "30s", "Time between two look-ups of addresses."),
    Flag::new("store.sd-dns-resolver", Kind::Choice(&["golang", "miekgdns"]), "miekgdns", "Who looks up.")
        .inert("there is one resolver"),
    Flag::new("endpoint.info-timeout", Kind::GoDuration, "5s", "Time for an endpoint to say who it is.")
        .hidden(),
    Flag::new(
        "store.unhealthy-timeout",
        Kind::Duration,
        "5m",
        "How long an endpoint that does not answer is kept.",
    ),
    Flag::new(
        "store.response-timeout",
        Kind::Duration,
        "0ms",
        "How long the next message of an endpoint may take; 0: as long as it likes.",
    ),
    Flag::switch("grpc-client-tls-secure", "Speak TLS to endpoints."),
    Flag::switch("grpc-client-tls-skip-verify", "Take any server for the right one."),
    Flag::new("grpc-client-tls-cert", Kind::Text, "", "Certificate shown to endpoints."),
    Flag::new("grpc-client-tls-key", Kind::Text, "", "Its key."),
    Flag::new(
        "grpc-client-tls-ca",
        Kind::Text,
        "",
        "CA of the endpoints' certificates; empty: the system's.",
    ),
    Flag::new(
        "grpc-client-tls-min-version",
        Kind::Choice(&["1.0", "1.1", "1.2", "1.3"]),
        "1.3",
        "Lowest TLS version; below 1.2 is read as 1.2.",
    ),
    Flag::new("grpc-client-server-name", Kind::Text, "", "Name that endpoints' certificates must have."),
    Flag::new("grpc-compression", Kind::Choice(&["none", "snappy"]), "none", "How requests are packed."),
];

/// One address that somebody named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// As it was written, perhaps to be looked up.
    pub(crate) address: String,
    /// Whether it is asked even if it does not answer.
    pub(crate) strict: bool,
    /// Whether what it stands for have the same.
    pub(crate) group: bool,
    /// How it is reached; `None`: as all others.
    pub(crate) client: Option<ClientConfig>,
}

/// How an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientConfig {
    /// TLS; none: plain.
    pub(crate) tls: Option<ClientTlsFiles>,
    /// Whether requests are packed.
    pub(crate) snappy: bool,
}

/// Which endpoints there are and how they are looked after.
#[derive(Debug, Clone)]
pub(crate) struct EndpointConfig {
    /// From flags.
    pub(crate) named: Vec<Named>,
    /// More of them.
    pub(crate) file: Option<Content>,
    /// Time between two looks at it.
    pub(crate) file_interval: Duration,
    /// Paths, with stars in the last part, of files with addresses.
    pub(crate) sd_files: Vec<String>,
    /// Time between two looks at them.
    pub(crate) sd_interval: Duration,
    /// Time between two look-ups.
    pub(crate) dns_interval: Duration,
    /// Time for an endpoint to say who it is.
    pub(crate) info_timeout: Duration,
    /// How long one that does not answer is kept.
    pub(crate) unhealthy: Duration,
    /// How long the next message may take; 0: any time.
    pub(crate) response_timeout: Duration,
    /// How endpoints are reached.
    pub(crate) client: ClientConfig,
}

impl EndpointConfig {
    /// From the flags of [`ENDPOINTS`].
    ///
    /// # Errors
    /// One sentence that names the flag, or the file and the line.
    pub(crate) fn read(given: &Given) -> Result<Self, Fault> {
        let mut named = Vec::new();
        for (flag, strict, group) in [
            ("endpoint", false, false),
            ("store", false, false),
            ("rule", false, false),
            ("metadata", false, false),
            ("exemplar", false, false),
            ("target", false, false),
            ("endpoint-group", false, true),
            ("endpoint-strict", true, false),
            ("store-strict", true, false),
            ("endpoint-group-strict", true, true),
        ] {
            for address in given.all(flag) {
                let one = Named { address: address.clone(), strict, group, client: None };
                named.push(checked(one).map_err(|why| format!("--{flag}: {why}"))?);
            }
        }
        // Each of them may be named by several of the old flags, which is no mistake.
        let mut seen = std::collections::BTreeSet::new();
        let old = ["rule", "metadata", "exemplar", "target"]
            .map(|flag| given.all(flag).len())
            .iter()
            .sum::<usize>();
        if old > 0 {
            named.retain(|one| seen.insert((one.address.clone(), one.strict, one.group)));
        }
        let config = Self {
            named,
            file: Content::of(given, "endpoint.sd-config")?,
            file_interval: go_duration(given, "endpoint.sd-config-reload-interval")?,
            sd_files: given.all("store.sd-files").to_vec(),
            sd_interval: given.duration("store.sd-interval")?,
            dns_interval: given.duration("store.sd-dns-interval")?,
            info_timeout: go_duration(given, "endpoint.info-timeout")?,
            unhealthy: given.duration("store.unhealthy-timeout")?,
            response_timeout: given.duration("store.response-timeout")?,
            client: ClientConfig { tls: tls(given)?, snappy: given.text("grpc-compression") == "snappy" },
        };
        config.file_now()?;
        Ok(config)
    }

    /// What the file of endpoints says now.
    ///
    /// # Errors
    /// If it cannot be read, with its place.
    pub(crate) fn file_now(&self) -> Result<Vec<Named>, Fault> {
        let Some(content) = &self.file else { return Ok(Vec::new()) };
        endpoints_of(&content.read()?, &self.client).map_err(|why| format!("{}: {why}", content.place()))
    }
}

fn tls(given: &Given) -> Result<Option<ClientTlsFiles>, Fault> {
    let flag = |end: &str| given.text_if_any(&format!("grpc-client-{end}"));
    let files = ClientTlsFiles {
        origin: "--grpc-client-tls-*".to_owned(),
        skip_verify: given.is_on("grpc-client-tls-skip-verify"),
        ca: flag("tls-ca"),
        cert: flag("tls-cert"),
        key: flag("tls-key"),
        server_name: flag("server-name"),
        allow_tls12: given.text("grpc-client-tls-min-version") != "1.3",
    };
    if files.cert.is_some() != files.key.is_some() {
        return Err("--grpc-client-tls-cert and --grpc-client-tls-key must be given together".to_owned());
    }
    Ok(given.is_on("grpc-client-tls-secure").then_some(files))
}

fn checked(one: Named) -> Result<Named, String> {
    if one.strict && one.address.contains('+') {
        return Err(format!(
            "{} is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode. Use --endpoint for this",
            one.address
        ));
    }
    Ok(one)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    default_client_config: Option<ClientFile>,
    endpoints: Vec<EndpointFile>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct EndpointFile {
    address: String,
    strict: bool,
    group: bool,
    /// Go's way to balance calls; one of a group is asked here, each in its turn.
    service_config: String,
    client_config: Option<ClientFile>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
struct ClientFile {
    tls_config: TlsFile,
    server_name: String,
    compression: String,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
struct TlsFile {
    enabled: Option<bool>,
    insecure_skip_verify: Option<bool>,
    cert_file: Option<String>,
    key_file: Option<String>,
    ca_file: Option<String>,
    min_version: Option<String>,
}

impl ClientFile {
    /// What it says, on top of what holds for all.
    fn over(&self, base: &ClientConfig) -> Result<ClientConfig, String> {
        let text = |given: &Option<String>, base: Option<&String>| {
            given.as_ref().or(base).filter(|text| !text.is_empty()).cloned()
        };
        let snappy = match self.compression.as_str() {
            "" => base.snappy,
            "none" => false,
            "snappy" => true,
            other => return Err(format!("invalid compression: {other}, must be 'none' or 'snappy'")),
        };
        let (own, below) = (&self.tls_config, base.tls.clone().unwrap_or_default());
        let says_something = own.cert_file.is_some()
            || own.key_file.is_some()
            || own.ca_file.is_some()
            || own.insecure_skip_verify.is_some();
        let files = ClientTlsFiles {
            origin: "endpoint.sd-config tls_config".to_owned(),
            skip_verify: own.insecure_skip_verify.unwrap_or(below.skip_verify),
            ca: text(&own.ca_file, below.ca.as_ref()),
            cert: text(&own.cert_file, below.cert.as_ref()),
            key: text(&own.key_file, below.key.as_ref()),
            server_name: text(
                &Some(self.server_name.clone()).filter(|name| !name.is_empty()),
                below.server_name.as_ref(),
            ),
            allow_tls12: own.min_version.as_ref().map_or(below.allow_tls12, |version| version != "1.3"),
        };
        if files.cert.is_some() != files.key.is_some() {
            return Err("cert_file and key_file must be given together".to_owned());
        }
        let enabled = own.enabled.unwrap_or(says_something || base.tls.is_some());
        Ok(ClientConfig { tls: enabled.then_some(files), snappy })
    }
}

/// The endpoints of a file of `--endpoint.sd-config-file`.
fn endpoints_of(text: &str, base: &ClientConfig) -> Result<Vec<Named>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))?;
    let base = file.default_client_config.unwrap_or_default().over(base)?;
    let one = |endpoint: EndpointFile| {
        let fault = |why| format!("endpoint {}: {why}", endpoint.address);
        if !endpoint.group && !endpoint.service_config.is_empty() {
            return Err(fault("service_config is only valid for endpoint groups".to_owned()));
        }
        if endpoint.address.is_empty() {
            return Err("an endpoint without an address".to_owned());
        }
        let client = endpoint.client_config.clone().unwrap_or_default().over(&base).map_err(fault)?;
        let EndpointFile { address, strict, group, .. } = endpoint;
        checked(Named { address, strict, group, client: Some(client) })
    };
    file.endpoints.into_iter().map(one).collect()
}

#[derive(Deserialize)]
struct TargetGroup {
    #[serde(default)]
    targets: Vec<String>,
}

/// The addresses in a file of `--store.sd-files`: groups of targets as Prometheus reads them; JSON if its name says so.
///
/// # Errors
/// What is wrong and where.
pub(crate) fn targets_of(path: &str, text: &str) -> Result<Vec<String>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let groups: Vec<TargetGroup> = match path.ends_with(".json") {
        true => serde_json::from_str(text).map_err(|why| why.to_string())?,
        false => serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))?,
    };
    Ok(groups.into_iter().flat_map(|group| group.targets).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<EndpointConfig, Fault> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        EndpointConfig::read(&Given::read(ENDPOINTS.to_vec(), &args)?)
    }

    #[test]
    fn old_and_new_names() {
        let config = read(&[
            "--store=dnssrv+_grpc._tcp.prometheus-operated",
            "--endpoint=a:1",
            "--rule=a:1",
            "--target=a:1",
            "--store-strict=b:2",
            "--endpoint-group=dns+c:3",
            "--store.response-timeout=30s",
        ])
        .unwrap();
        let named: Vec<_> =
            config.named.iter().map(|one| (one.address.as_str(), one.strict, one.group)).collect();
        let expected = [
            ("a:1", false, false),
            ("dnssrv+_grpc._tcp.prometheus-operated", false, false),
            ("dns+c:3", false, true),
            ("b:2", true, false),
        ];
        assert_eq!(named, expected);
        assert_eq!(config.response_timeout, Duration::from_secs(30));
        assert_eq!((config.client.tls, config.unhealthy.as_secs()), (None, 300));
        let fault = read(&["--endpoint-strict=dns+a:1"]).unwrap_err();
        assert!(fault.contains("--endpoint-strict") && fault.contains("dns+a:1"), "{fault}");
        assert!(read(&["--grpc-client-tls-secure", "--grpc-client-tls-cert=c"]).is_err());
        let secure =
            read(&["--grpc-client-tls-secure", "--grpc-client-tls-ca=ca", "--grpc-client-server-name=n"]);
        let tls = secure.unwrap().client.tls.unwrap();
        assert_eq!((tls.ca.as_deref(), tls.server_name.as_deref()), (Some("ca"), Some("n")));
    }

    #[test]
    fn a_file_of_endpoints() {
        let text = "default_client_config:\n  tls_config: {enabled: true, ca_file: ca.pem}\n  compression: snappy\n\
                    endpoints:\n- address: a:1\n  strict: true\n- address: dns+b:2\n  group: true\n  \
                    client_config: {tls_config: {enabled: false}, compression: none}\n";
        let named = endpoints_of(text, &ClientConfig::default()).unwrap();
        assert_eq!((named[0].strict, named[1].group), (true, true));
        let client = named[0].client.clone().unwrap();
        assert_eq!((client.tls.unwrap().ca.as_deref(), client.snappy), (Some("ca.pem"), true));
        assert_eq!(named[1].client, Some(ClientConfig::default()));
        for (text, word) in [
            ("endpoints:\n- address: dns+a:1\n  strict: true\n", "strict"),
            ("endpoints:\n- adress: a:1\n", "adress"),
            ("endpoints:\n- {strict: true}\n", "address"),
            ("endpoints:\n- {address: 'a:1', service_config: x}\n", "service_config"),
            ("endpoints:\n- {address: 'a:1', client_config: {compression: lzw}}\n", "lzw"),
        ] {
            let fault = endpoints_of(text, &ClientConfig::default()).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
        let fault = read(&["--endpoint.sd-config=endpoints: 5"]).unwrap_err();
        assert!(fault.contains("--endpoint.sd-config"), "{fault}");
        assert!(read(&["--endpoint.sd-config-file=/no/such"]).unwrap_err().contains("/no/such"));
    }

    #[test]
    fn files_of_targets() {
        let yaml = "- targets: ['a:1', 'dns+b:2']\n  labels: {x: y}\n- targets: [c:3]\n";
        assert_eq!(targets_of("x.yaml", yaml).unwrap(), ["a:1", "dns+b:2", "c:3"]);
        assert_eq!(targets_of("x.json", "[{\"targets\": [\"a:1\"]}]").unwrap(), ["a:1"]);
        assert!(targets_of("x.json", "- targets: []").is_err());
        assert!(targets_of("x.yml", "").unwrap().is_empty());
    }
}
