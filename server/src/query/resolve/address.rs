//! Addresses as people write them: `host:port`, or a way to look them up before it. Pure.
//!
//! ```text
//! dns+host:port               every address of host
//! dnssrv+_port._proto.name    every address of every host that the service has, at its port
//! dnssrvnoa+_port._proto.name every host that the service has, at its port
//! dnsdualstack+host:port      every address of host of either family
//! ```
//!
//! A scheme before the host (`http://`) is kept.

/// How an address is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The addresses of the host, of one family.
    Host,
    /// Those of both.
    HostBoth,
    /// The hosts of a service, and their addresses.
    Service,
    /// The hosts of a service.
    ServiceHosts,
}

/// What is to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    pub(crate) way: Way,
    /// What stands before the host: `http://`, or nothing.
    pub(crate) scheme: String,
    pub(crate) host: String,
    /// Of a service, in place of its own.
    pub(crate) port: Option<String>,
}

/// Whether an address is to be looked up.
pub(crate) fn is_dynamic(address: &str) -> bool {
    address.contains('+')
}

impl Lookup {
    /// `None` for an address that is one.
    ///
    /// # Errors
    /// If nobody knows that way, or a port is missing.
    pub(crate) fn read(address: &str) -> Result<Option<Self>, String> {
        let Some((way, name)) = address.split_once('+') else { return Ok(None) };
        let way = match way {
            "dns" => Way::Host,
            "dnsdualstack" => Way::HostBoth,
            "dnssrv" => Way::Service,
            "dnssrvnoa" => Way::ServiceHosts,
            other => return Err(format!("invalid lookup scheme {other:?}")),
        };
        let (scheme, rest) = match name.split_once("//") {
            Some((scheme, rest)) => (format!("{scheme}//"), rest),
            None => (String::new(), name),
        };
        let (host, port) = split(rest);
        if port.is_none() && matches!(way, Way::Host | Way::HostBoth) {
            let what = if way == Way::Host { "dns" } else { "dnsdualstack" };
            return Err(format!("missing port in address given for {what} lookup: {rest}"));
        }
        Ok(Some(Self { way, scheme, host: host.to_owned(), port: port.map(str::to_owned) }))
    }

    /// The address of this host.
    pub(crate) fn at(&self, host: &str, port: &str) -> String {
        let Self { scheme, .. } = self;
        if host.contains(':') { format!("{scheme}[{host}]:{port}") } else { format!("{scheme}{host}:{port}") }
    }
}

/// Host and port; the brackets of an address of six are taken off.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => {
            (host.trim_start_matches('[').trim_end_matches(']'), Some(port))
        }
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Lookup {
        Lookup::read(address).unwrap().unwrap()
    }

    #[test]
    fn ways_hosts_and_ports() {
        assert_eq!(Lookup::read("host:1"), Ok(None));
        let one = read("dns+thanos-store.monitoring.svc:10901");
        assert_eq!(
            (one.way, &*one.host, one.port.as_deref()),
            (Way::Host, "thanos-store.monitoring.svc", Some("10901"))
        );
        let service = read("dnssrv+_grpc._tcp.prometheus-operated");
        assert_eq!(
            (service.way, &*service.host, service.port),
            (Way::Service, "_grpc._tcp.prometheus-operated", None)
        );
        assert_eq!(read("dnssrvnoa+_grpc._tcp.x:9").port.as_deref(), Some("9"));
        let with_scheme = read("dnsdualstack+http://h:2");
        assert_eq!(
            (with_scheme.way, with_scheme.at("::1", "2")),
            (Way::HostBoth, "http://[::1]:2".to_owned())
        );
        assert_eq!(read("dns+[::1]:5").host, "::1");
        assert_eq!(one.at("10.0.0.1", "10901"), "10.0.0.1:10901");
    }

    #[test]
    fn what_is_no_address_to_look_up() {
        assert!(Lookup::read("dns+host").unwrap_err().contains("missing port"));
        assert!(Lookup::read("dnsdualstack+host").unwrap_err().contains("dnsdualstack"));
        assert!(Lookup::read("mdns+host:1").unwrap_err().contains("mdns"));
    }
}
