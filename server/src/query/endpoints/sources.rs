//! Where the list of endpoints comes from: flags, files, names that are looked up.
//!
//! Files and names are looked at again as often as was said; a file that cannot be read leaves what it said before. An address that stands in
//! several places counts once, with a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::{EndpointSpec, Listing};
use crate::config::query_endpoints::{ClientConfig, EndpointConfig, Named, targets_of};
use crate::metrics::{Counter, Registry};
use crate::net::ClientTls;
use crate::net::grpc::ChannelOptions;
use crate::query::resolve::{Names, Resolver, is_dynamic};

/// The endpoints of a configuration, as of now.
pub(crate) struct Sources {
    config: EndpointConfig,
    resolver: Resolver,
    duplicated: Vec<Arc<Counter>>,
    /// From the file of endpoints.
    filed: Mutex<Vec<Named>>,
    /// From files of targets, by file.
    targets: Mutex<BTreeMap<PathBuf, Vec<String>>>,
    /// How endpoints are reached, by what was said about it.
    channels: Mutex<Vec<(ClientConfig, Arc<ChannelOptions>)>>,
    current: RwLock<Vec<EndpointSpec>>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("current", &*self.current.read()).finish_non_exhaustive()
    }
}

impl Listing for Sources {
    fn endpoints(&self) -> Vec<EndpointSpec> {
        self.current.read().clone()
    }
}

impl Sources {
    /// Reads all files; names are looked up by [`run`](Self::run), or [`look_up`](Self::look_up).
    ///
    /// # Errors
    /// If a file of endpoints or of TLS makes no sense, with its name.
    pub(crate) fn new(
        config: EndpointConfig,
        names: Arc<dyn Names>,
        registry: &Registry,
    ) -> Result<Self, String> {
        let families = [
            "thanos_query_duplicated_endpoint_addresses_total",
            "thanos_query_duplicated_store_addresses_total",
        ];
        let help =
            "The number of times a duplicated endpoint addresses is detected from the different configs";
        let duplicated = families.map(|name| registry.family(name, help, &[]).with(&[])).into();
        let filed = config.file_now()?;
        let sources = Self {
            resolver: Resolver::new(names, registry),
            duplicated,
            filed: Mutex::new(filed),
            targets: Mutex::default(),
            channels: Mutex::default(),
            current: RwLock::default(),
            config,
        };
        sources.read_targets();
        for one in sources.named() {
            sources.channel(one.client.as_ref())?;
        }
        sources.channel(None)?;
        sources.list();
        Ok(sources)
    }

    /// How the endpoints of flags and files of targets are reached.
    pub(crate) fn channel_options(&self) -> ChannelOptions {
        // That it can be made was seen at the start.
        self.channel(None).map(|options| (*options).clone()).unwrap_or_default()
    }

    /// Looks at names and files again and again until it is told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let every = |duration: Duration| {
            let mut tick = tokio::time::interval(duration.max(Duration::from_secs(1)));
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            tick
        };
        let (mut names, mut targets, mut file) = (
            every(self.config.dns_interval),
            every(self.config.sd_interval),
            every(self.config.file_interval),
        );
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = targets.tick() => self.read_targets(),
                _ = file.tick() => self.read_file(),
                _ = names.tick() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.look_up() => continue,
                    }
                }
            }
            self.list();
        }
    }

    /// Looks all names up.
    pub(crate) async fn look_up(&self) {
        let addresses: Vec<String> = self.named().iter().map(address_of).collect();
        self.resolver.look_up(&addresses).await;
        self.list();
    }

    /// Everything that flags and files name.
    fn named(&self) -> Vec<Named> {
        let mut all = self.config.named.clone();
        all.extend(self.filed.lock().iter().cloned());
        let targets: BTreeSet<String> = self.targets.lock().values().flatten().cloned().collect();
        let one = |address| Named { address, strict: false, group: false, client: None };
        all.extend(targets.into_iter().map(one));
        all
    }

    /// Works the list out anew.
    fn list(&self) {
        let mut listed: BTreeMap<String, EndpointSpec> = BTreeMap::new();
        for one in self.named() {
            let channel = match self.channel(one.client.as_ref()) {
                Ok(channel) => channel,
                Err(why) => {
                    tracing::error!(err = why, addr = one.address, "endpoint cannot be reached");
                    continue;
                }
            };
            let named = address_of(&one);
            for address in self.resolver.now(&named) {
                let spec = EndpointSpec {
                    address: address.clone(),
                    strict: one.strict,
                    group: one.group.then(|| Arc::from(named.as_str())),
                    channel: one.client.is_some().then(|| Arc::clone(&channel)),
                };
                if listed.insert(address.clone(), spec).is_some() {
                    self.duplicated.iter().for_each(|counter| counter.add(1));
                    tracing::warn!(addr = address, "Duplicate endpoint address is provided");
                }
            }
        }
        *self.current.write() = listed.into_values().collect();
    }

    fn channel(&self, client: Option<&ClientConfig>) -> Result<Arc<ChannelOptions>, String> {
        let client = client.unwrap_or(&self.config.client);
        let mut channels = self.channels.lock();
        if let Some((_, known)) = channels.iter().find(|(known, _)| known == client) {
            return Ok(Arc::clone(known));
        }
        let tls = client.tls.as_ref().map(|files| ClientTls::load(files).map(Arc::new)).transpose()?;
        let options = Arc::new(ChannelOptions { tls, snappy: client.snappy });
        channels.push((client.clone(), Arc::clone(&options)));
        Ok(options)
    }

    fn read_file(&self) {
        match self.config.file_now() {
            Ok(named) => *self.filed.lock() = named,
            Err(why) => tracing::error!(err = why, "failed to reload endpoint config"),
        }
    }

    fn read_targets(&self) {
        let mut before = std::mem::take(&mut *self.targets.lock());
        let mut found = BTreeMap::new();
        for path in self.config.sd_files.iter().flat_map(|pattern| matching(Path::new(pattern))) {
            let shown = path.display().to_string();
            let read = std::fs::read_to_string(&path).map_err(|why| why.to_string());
            match read.and_then(|text| targets_of(&shown, &text)) {
                Ok(targets) => drop(found.insert(path, targets)),
                Err(why) => {
                    tracing::error!(err = why, path = shown, "Error reading file");
                    found.extend(before.remove_entry(&path));
                }
            }
        }
        *self.targets.lock() = found;
    }
}

/// The address to look up: a group of one name is all that this name stands for.
fn address_of(named: &Named) -> String {
    if named.group && !is_dynamic(&named.address) && !named.strict {
        return format!("dns+{}", named.address);
    }
    named.address.clone()
}

/// Files whose name fits the pattern in the last part of a path.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|text| fits(name.as_bytes(), text.as_bytes())))
        .map(|entry| entry.path())
        .collect();
    found.sort_unstable();
    found
}

/// Whether a text fits a pattern, in which `*` stands for any bytes and `?` for one.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star, mut from) = (0, None, 0);
    let mut place = 0;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some(at);
                from = place;
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || text.get(place) == Some(wanted) => {
                at += 1;
                place += 1;
            }
            _ => match star {
                // The star takes one more.
                Some(star) => {
                    at = star + 1;
                    from += 1;
                    place = from;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::net::IpAddr;

    /// Every host has two addresses.
    struct Two;

    #[async_trait]
    impl Names for Two {
        async fn addresses(&self, _: &str, _: bool) -> Result<Vec<IpAddr>, String> {
            Ok(vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()])
        }

        async fn service(&self, _: &str) -> Result<Vec<(String, u16)>, String> {
            Ok(Vec::new())
        }
    }

    fn config(named: &[(&str, bool, bool)], sd_files: &[String]) -> EndpointConfig {
        let one = |&(address, strict, group): &(&str, bool, bool)| Named {
            address: address.to_owned(),
            strict,
            group,
            client: None,
        };
        EndpointConfig {
            named: named.iter().map(one).collect(),
            file: None,
            file_interval: Duration::from_secs(300),
            sd_files: sd_files.to_vec(),
            sd_interval: Duration::from_secs(300),
            dns_interval: Duration::from_secs(30),
            info_timeout: Duration::from_secs(5),
            unhealthy: Duration::from_secs(300),
            response_timeout: Duration::ZERO,
            client: ClientConfig::default(),
        }
    }

    fn addresses(sources: &Sources) -> Vec<String> {
        sources.endpoints().into_iter().map(|spec| spec.address).collect()
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b?c", "axxbbyc", true),
            ("a*b?c", "axxbc", false),
            ("*", "", true),
            ("??", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[tokio::test]
    async fn flags_names_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("one.yaml");
        std::fs::write(&file, "- targets: ['a:1', 'f:6']\n").unwrap();
        let pattern = dir.path().join("*.yaml").to_str().unwrap().to_owned();
        let registry = Registry::new();
        let named =
            [("a:1", false, false), ("dns+h:5", false, false), ("s:2", true, false), ("g:7", false, true)];
        let sources = Sources::new(config(&named, &[pattern]), Arc::new(Two), &registry).unwrap();
        assert_eq!(addresses(&sources), ["a:1", "f:6", "s:2"]);
        sources.look_up().await;
        let all = ["10.0.0.1:5", "10.0.0.1:7", "10.0.0.2:5", "10.0.0.2:7", "a:1", "f:6", "s:2"];
        assert_eq!(addresses(&sources), all);
        let groups: Vec<_> = sources.endpoints().into_iter().filter_map(|spec| spec.group).collect();
        assert_eq!(groups, [Arc::from("dns+g:7"), Arc::<str>::from("dns+g:7")]);
        let (_, page) = registry.page(false);
        // Once at the start and once when names were known.
        assert!(page.contains("thanos_query_duplicated_endpoint_addresses_total 2"), "{page}");
        // A file that makes no sense changes nothing, one that has gone does.
        std::fs::write(&file, "- targets: 5\n").unwrap();
        sources.read_targets();
        sources.list();
        assert_eq!(addresses(&sources), all);
        std::fs::remove_file(&file).unwrap();
        sources.read_targets();
        sources.list();
        assert_eq!(addresses(&sources).len(), 6);
    }
}
