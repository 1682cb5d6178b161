//! The system's name servers, as `/etc/resolv.conf` and `/etc/hosts` name them.

use std::net::IpAddr;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;

use super::Names;

/// The system's name servers.
pub(crate) struct System {
    /// Of the first family that has some.
    one: TokioResolver,
    both: TokioResolver,
}

impl System {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn new() -> Result<Self, String> {
        let build = |strategy| {
            let mut builder = TokioResolver::builder_tokio()?;
            builder.options_mut().ip_strategy = strategy;
            // Whoever asks decides how often.
            builder.options_mut().cache_size = 0;
            builder.build()
        };
        let fault = |why: NetError| format!("name servers of the system: {why}");
        Ok(Self {
            one: build(LookupIpStrategy::Ipv6thenIpv4).map_err(fault)?,
            both: build(LookupIpStrategy::Ipv4AndIpv6).map_err(fault)?,
        })
    }
}

/// Nothing found is an answer.
fn or_nothing<T>(found: Result<Vec<T>, NetError>) -> Result<Vec<T>, String> {
    match found {
        Err(why) if why.is_no_records_found() => Ok(Vec::new()),
        found => found.map_err(|why| why.to_string()),
    }
}

#[async_trait]
impl Names for System {
    async fn addresses(&self, host: &str, both: bool) -> Result<Vec<IpAddr>, String> {
        let resolver = if both { &self.both } else { &self.one };
        or_nothing(resolver.lookup_ip(host).await.map(|found| found.iter().collect()))
    }

    async fn service(&self, name: &str) -> Result<Vec<(String, u16)>, String> {
        let found = self.one.srv_lookup(name).await;
        or_nothing(found.map(|found| {
            let services = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(service) => Some((service.target.to_string(), service.port)),
                _ => None,
            });
            services.collect()
        }))
    }
}
