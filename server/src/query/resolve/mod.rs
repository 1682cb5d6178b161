//! Addresses that change: looked up again and again.
//!
//! What a name stood for stays when a look-up fails, so that a name server that is away takes nobody away. A name that does not exist
//! stands for nobody.

mod address;
mod system;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;

pub(crate) use address::{Lookup, Way, is_dynamic};
pub(crate) use system::System;

use crate::metrics::{Counter, Registry, Type};

/// Somebody who knows names.
#[async_trait]
pub(crate) trait Names: Send + Sync + 'static {
    /// Addresses of a host, of the first family that has some or of both; none if there is no such host.
    ///
    /// # Errors
    /// Why it is not known.
    async fn addresses(&self, host: &str, both: bool) -> Result<Vec<IpAddr>, String>;

    /// Hosts and ports of a service; none if there is no such service.
    ///
    /// # Errors
    /// Why it is not known.
    async fn service(&self, name: &str) -> Result<Vec<(String, u16)>, String>;
}

/// Looks addresses up and remembers them.
pub(crate) struct Resolver {
    names: Arc<dyn Names>,
    known: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    lookups: Vec<Arc<Counter>>,
    failures: Vec<Arc<Counter>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("known", &*self.known.lock()).finish_non_exhaustive()
    }
}

/// The names of the families: those that alerts use, and those of newer versions.
const LOOKUPS: [&str; 2] =
    ["thanos_query_store_apis_dns_lookups_total", "thanos_query_endpoints_dns_lookups_total"];
const FAILURES: [&str; 2] =
    ["thanos_query_store_apis_dns_failures_total", "thanos_query_endpoints_dns_failures_total"];
const RESULTS: [&str; 2] =
    ["thanos_query_store_apis_dns_provider_results", "thanos_query_endpoints_dns_provider_results"];

impl Resolver {
    /// One that knows nothing yet.
    pub(crate) fn new(names: Arc<dyn Names>, registry: &Registry) -> Self {
        let counters = |families: [&'static str; 2], help| -> Vec<Arc<Counter>> {
            families.into_iter().map(|name| registry.family(name, help, &[]).with(&[])).collect()
        };
        let lookups = counters(LOOKUPS, "The number of DNS lookups resolutions attempts");
        let failures = counters(FAILURES, "The number of DNS lookup failures");
        let known: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
        let shown = Arc::clone(&known);
        registry.snapshot(move |page| {
            let known = shown.lock();
            for name in RESULTS.into_iter().filter(|_| !known.is_empty()) {
                page.family(
                    name,
                    Type::Gauge,
                    "The number of resolved endpoints for each configured address",
                );
                for (address, found) in &*known {
                    page.sample(name, "", &[("addr", address)], found.len() as f64);
                }
            }
        });
        Self { names, known, lookups, failures }
    }

    /// Looks all these addresses up at once; those that are not among them are forgotten. Plain ones are let be.
    pub(crate) async fn look_up(&self, addresses: &[String]) {
        let dynamic = addresses.iter().filter(|address| is_dynamic(address));
        let looked = join_all(dynamic.map(|address| async move {
            self.lookups.iter().for_each(|counter| counter.add(1));
            (address, self.look_one_up(address).await)
        }))
        .await;
        let mut known = self.known.lock();
        let mut before = std::mem::take(&mut *known);
        for (address, found) in looked {
            match found {
                Ok(found) => {
                    if found.is_empty() {
                        tracing::warn!(
                            host = address,
                            "IP address lookup yielded no results. No host found or no addresses found"
                        );
                    }
                    known.insert(address.clone(), found);
                }
                Err(why) => {
                    self.failures.iter().for_each(|counter| counter.add(1));
                    tracing::error!(err = why, addr = address, "failed to resolve addresses");
                    known.insert(address.clone(), before.remove(address).unwrap_or_default());
                }
            }
        }
    }

    /// What an address stands for now; a plain one stands for itself.
    pub(crate) fn now(&self, address: &str) -> Vec<String> {
        if !is_dynamic(address) {
            return vec![address.to_owned()];
        }
        self.known.lock().get(address).cloned().unwrap_or_default()
    }

    async fn look_one_up(&self, address: &str) -> Result<Vec<String>, String> {
        let Some(lookup) = Lookup::read(address)? else { return Ok(vec![address.to_owned()]) };
        let mut found = match lookup.way {
            Way::Host | Way::HostBoth => {
                let addresses = self.addresses(&lookup.host, lookup.way == Way::HostBoth).await?;
                let port = lookup.port.as_deref().unwrap_or_default();
                addresses.iter().map(|ip| lookup.at(&ip.to_string(), port)).collect()
            }
            Way::Service | Way::ServiceHosts => self.service(&lookup).await?,
        };
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    async fn addresses(&self, host: &str, both: bool) -> Result<Vec<IpAddr>, String> {
        let found = self.names.addresses(host, both).await;
        found.map_err(|why| format!("lookup IP addresses {host:?}: {why}"))
    }

    async fn service(&self, lookup: &Lookup) -> Result<Vec<String>, String> {
        let services = self.names.service(&lookup.host).await;
        let services = services.map_err(|why| format!("lookup SRV records {:?}: {why}", lookup.host))?;
        let mut found = Vec::new();
        for (target, port) in services {
            let port = lookup.port.clone().unwrap_or_else(|| port.to_string());
            if lookup.way == Way::ServiceHosts {
                found.push(lookup.at(target.trim_end_matches('.'), &port));
                continue;
            }
            let addresses = self.addresses(&target, false).await?;
            found.extend(addresses.iter().map(|ip| lookup.at(&ip.to_string(), &port)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that a test sets.
    #[derive(Default)]
    struct Fixed(Mutex<BTreeMap<&'static str, Result<Vec<&'static str>, &'static str>>>);

    #[async_trait]
    impl Names for Fixed {
        async fn addresses(&self, host: &str, both: bool) -> Result<Vec<IpAddr>, String> {
            let known = self.0.lock().get(host).cloned().unwrap_or(Ok(Vec::new()))?;
            let known = known.into_iter().map(|ip| ip.parse().unwrap());
            Ok(known.filter(|ip: &IpAddr| both || ip.is_ipv4()).collect())
        }

        async fn service(&self, name: &str) -> Result<Vec<(String, u16)>, String> {
            let known = self.0.lock().get(name).cloned().unwrap_or(Ok(Vec::new()))?;
            Ok(known.into_iter().zip(9000..).map(|(host, port)| (host.to_owned(), port)).collect())
        }
    }

    fn addresses(list: &[&str]) -> Vec<String> {
        list.iter().map(|address| (*address).to_owned()).collect()
    }

    #[tokio::test]
    async fn names_stand_for_addresses() {
        let names = Arc::new(Fixed::default());
        names.0.lock().extend([
            ("h", Ok(vec!["10.0.0.2", "10.0.0.1", "::1"])),
            ("_grpc._tcp.s", Ok(vec!["h.", "g."])),
            ("h.", Ok(vec!["10.0.0.9"])),
            ("g.", Ok(vec!["10.0.0.8"])),
        ]);
        let registry = Registry::new();
        let resolver = Resolver::new(Arc::clone(&names) as Arc<dyn Names>, &registry);
        let all = addresses(&[
            "plain:1",
            "dns+h:5",
            "dnsdualstack+h:5",
            "dnssrv+_grpc._tcp.s",
            "dnssrvnoa+_grpc._tcp.s",
            "dns+nobody:1",
        ]);
        resolver.look_up(&all).await;
        assert_eq!(resolver.now("plain:1"), ["plain:1"]);
        assert_eq!(resolver.now("dns+h:5"), ["10.0.0.1:5", "10.0.0.2:5"]);
        assert_eq!(resolver.now("dnsdualstack+h:5"), ["10.0.0.1:5", "10.0.0.2:5", "[::1]:5"]);
        assert_eq!(resolver.now("dnssrv+_grpc._tcp.s"), ["10.0.0.8:9001", "10.0.0.9:9000"]);
        assert_eq!(resolver.now("dnssrvnoa+_grpc._tcp.s"), ["g:9001", "h:9000"]);
        assert!(resolver.now("dns+nobody:1").is_empty() && resolver.now("dns+never:1").is_empty());

        // The name server is away, then has less to say.
        names.0.lock().insert("h", Err("timeout"));
        resolver.look_up(&all).await;
        assert_eq!(resolver.now("dns+h:5").len(), 2);
        let (_, page) = registry.page(false);
        for line in [
            "thanos_query_store_apis_dns_lookups_total 10",
            "thanos_query_endpoints_dns_lookups_total 10",
            "thanos_query_store_apis_dns_failures_total 2",
            "thanos_query_endpoints_dns_provider_results{addr=\"dns+h:5\"} 2",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        names.0.lock().insert("h", Ok(Vec::new()));
        resolver.look_up(&all[..2]).await;
        assert!(resolver.now("dns+h:5").is_empty());
        assert!(resolver.now("dnssrv+_grpc._tcp.s").is_empty(), "it is not asked for any more");
    }
}
