//! Which servers there are, and which of them keeps a key.
//!
//! Addresses are `host:port`, or `dns+host:port` for every address that the name has. The list is sorted, and a key goes to one of it
//! by jump hash, so that all processes which see the same servers agree, and few keys move when one comes or goes at the end. The
//! list is looked up again after a while by the runtime, while the old one stays in use.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sarsen_block::codec::xxh64;

use super::breaker::{Breaker, BreakerOptions};
use super::wire::Connection;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    /// `host:port`.
    pub(super) address: String,
    /// Connections on which nothing is under way.
    idle: Mutex<Vec<Connection>>,
    breaker: Mutex<Breaker>,
}

impl Server {
    fn new(address: String, options: BreakerOptions) -> Self {
        Self { address, idle: Mutex::default(), breaker: Mutex::new(Breaker::new(options)) }
    }

    /// Whether it may be called now; then the end of the call must be told.
    pub(super) fn allows(&self, now: Duration) -> bool {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).allows(now)
    }

    /// A call that was allowed has ended.
    pub(super) fn ended(&self, well: bool, now: Duration) {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).ended(well, now);
    }

    /// A connection that is open already.
    pub(super) fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection for the next call, unless there are `most` already.
    pub(super) fn put_idle(&self, connection: Connection, most: usize) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < most {
            idle.push(connection);
        }
    }
}

/// The servers as they were last looked up.
#[derive(Debug, Default)]
pub(super) struct Servers {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    servers: Arc<[Arc<Server>]>,
    /// When it was last looked up, whatever came of it.
    looked: Option<Duration>,
}

impl Servers {
    /// The servers, and whether it is time to look them up (which is then the caller's).
    pub(super) fn now(&self, now: Duration, every: Duration) -> (Arc<[Arc<Server>]>, bool) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let due = list.looked.is_none_or(|looked| now.saturating_sub(looked) >= every);
        if due {
            list.looked = Some(now);
        }
        (Arc::clone(&list.servers), due)
    }

    /// Puts in what was looked up. A server that was there before stays as it is. Nothing found changes nothing.
    pub(super) fn set(&self, addresses: BTreeSet<String>, options: BreakerOptions) {
        if addresses.is_empty() {
            return;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |address: &String| list.servers.iter().find(|server| server.address == *address).cloned();
        let server =
            |address: String| known(&address).unwrap_or_else(|| Arc::new(Server::new(address, options)));
        list.servers = addresses.into_iter().map(server).collect();
    }
}

/// Looks up every address; a name that cannot be looked up is left out.
pub(super) async fn look_up(addresses: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for address in addresses {
        let Some(name) = address.strip_prefix("dns+") else {
            found.insert(address.clone());
            continue;
        };
        if let Ok(addresses) = tokio::net::lookup_host(name).await {
            found.extend(addresses.map(|address| address.to_string()));
        }
    }
    found
}

/// Which of `servers` keeps `word`.
pub(super) fn server_of(word: &str, servers: usize) -> usize {
    jump(xxh64(word.as_bytes()), u32::try_from(servers).unwrap_or(u32::MAX)) as usize
}

/// Jump consistent hash (Lamping and Veach): the bucket of `key` among `buckets`.
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0u64, 0u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (bucket + 1) * 2^31 / (top 31 bits of the key, plus one)
        next = ((bucket + 1) << 31) / ((key >> 33) + 1);
    }
    u32::try_from(bucket).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A server that comes takes keys over; no key moves between those that stay.
        #[test]
        fn keys_move_to_the_new_server_only(key in any::<u64>(), buckets in 1u32..200) {
            let (before, after) = (jump(key, buckets), jump(key, buckets + 1));
            prop_assert!(before < buckets);
            prop_assert!(after == before || after == buckets);
        }
    }

    #[test]
    fn keys_are_spread_evenly() {
        let mut counts = [0u32; 10];
        for key in 0..10_000 {
            counts[server_of(&format!("sarsen1:S:{key}"), 10)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn servers_that_stay_are_the_same_and_nothing_found_changes_nothing() {
        let servers = Servers::default();
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let every = Duration::from_secs(10);
        assert!(servers.now(Duration::ZERO, every).1);
        assert!(!servers.now(Duration::from_secs(9), every).1);
        servers.set(of(&["b:1", "a:1"]), BreakerOptions::default());
        let (before, due) = servers.now(Duration::from_secs(10), every);
        assert!(due && before[0].address == "a:1" && before[1].address == "b:1");
        servers.set(of(&["b:1", "c:1"]), BreakerOptions::default());
        servers.set(BTreeSet::new(), BreakerOptions::default());
        let (after, _) = servers.now(Duration::from_secs(10), every);
        assert!(Arc::ptr_eq(&before[1], &after[0]) && after.len() == 2);
    }
}
