//! What was read lately, in Memcached: shared by many processes, and outliving each of them.
//!
//! A server that is slow, away or talks nonsense costs a wait of at most the timeout and then nothing, for its [`Breaker`] leaves it
//! alone for a while: what it keeps is then simply not there. Reads ask each server once for all of its keys. Writes are put into a
//! bounded queue and go out behind the caller's back, by tasks of the runtime that end when the queue is empty; what does not
//! fit into the queue is not written.
//!
//! [`Breaker`]: breaker::Breaker

mod breaker;
mod servers;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, join_all, select};
use tokio::sync::Semaphore;

use super::key::KeyRef;
use super::{CacheContext, RemoteOutcome};
pub use breaker::BreakerOptions;
use servers::{Server, Servers, look_up, server_of};
use wire::Connection;

/// Bytes that wait to be written, whatever the bound of their number.
const MOST_WAITING_BYTES: usize = 64 << 20;
/// The longest time to live that Memcached takes as one; anything longer it takes as a date.
const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How Memcached is used. The defaults are Thanos'.
#[derive(Debug, Clone, PartialEq)]
pub struct MemcachedOptions {
    /// `host:port`, or `dns+host:port` for every address of a name.
    pub addresses: Vec<String>,
    /// How long one call may take, connecting included.
    pub timeout: Duration,
    /// Connections to one server that are kept open while nothing is under way on them.
    pub max_idle_connections: usize,
    /// Writes at the same time.
    pub max_async_concurrency: usize,
    /// Writes that may wait.
    pub max_async_buffer_size: usize,
    /// Reads at the same time; 0 is no bound.
    pub max_get_multi_concurrency: usize,
    /// Larger things are not written; in bytes, 0 is no bound.
    pub max_item_size: u64,
    /// Keys that one call asks for; 0 is no bound.
    pub max_get_multi_batch_size: usize,
    /// How often names are looked up.
    pub dns_provider_update_interval: Duration,
    /// When a server is left alone.
    pub breaker: BreakerOptions,
}

impl Eq for MemcachedOptions {}

impl Default for MemcachedOptions {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            timeout: Duration::from_millis(500),
            max_idle_connections: 100,
            max_async_concurrency: 20,
            max_async_buffer_size: 10_000,
            max_get_multi_concurrency: 100,
            max_item_size: 1 << 20,
            max_get_multi_batch_size: 0,
            dns_provider_update_interval: Duration::from_secs(10),
            breaker: BreakerOptions::default(),
        }
    }
}

/// The client.
#[derive(Clone)]
pub(super) struct Memcached(Arc<Client>);

struct Client {
    options: MemcachedOptions,
    servers: Servers,
    reads: Option<Semaphore>,
    writes: Mutex<Writes>,
    context: CacheContext,
}

#[derive(Default)]
struct Writes {
    waiting: VecDeque<Write>,
    bytes: usize,
    /// Tasks that take writes from the queue.
    at_work: usize,
}

struct Write {
    word: String,
    bytes: Bytes,
    ttl: Duration,
}

impl fmt::Debug for Memcached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memcached({})", self.0.options.addresses.join(", "))
    }
}

impl Memcached {
    pub(super) fn new(options: &MemcachedOptions, context: &CacheContext) -> Self {
        let most = options.max_get_multi_concurrency.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Client {
            options: options.clone(),
            servers: Servers::default(),
            reads: (most > 0).then(|| Semaphore::new(most)),
            writes: Mutex::default(),
            context: context.clone(),
        }))
    }

    /// What is kept under `keys`, in their order.
    pub(super) async fn get(&self, keys: &[KeyRef<'_>]) -> Vec<Option<Bytes>> {
        let client = &*self.0;
        let mut values = vec![None; keys.len()];
        let servers = self.servers().await;
        if servers.is_empty() {
            return values;
        }
        let words: Vec<String> = keys.iter().map(|key| key.word()).collect();
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, word) in words.iter().enumerate() {
            places.entry(server_of(word, servers.len())).or_default().push(place);
        }
        let batch = match client.options.max_get_multi_batch_size {
            0 => usize::MAX,
            size => size,
        };
        let calls = places.iter().filter_map(|(server, places)| Some((servers.get(*server)?, places)));
        let calls = calls.flat_map(|(server, places)| places.chunks(batch).map(move |batch| (server, batch)));
        let calls = calls.map(async |(server, places)| {
            let words: Vec<&str> =
                places.iter().filter_map(|place| words.get(*place)).map(String::as_str).collect();
            let found = client.read(server, &words).await;
            (places, found)
        });
        for (places, found) in join_all(calls).await {
            for (place, found) in places.iter().zip(found.unwrap_or_default()) {
                if let Some(value) = values.get_mut(*place) {
                    *value = found;
                }
            }
        }
        values
    }

    /// Keeps a copy of `bytes`, some time soon, if nothing is in the way.
    pub(super) fn put(&self, key: KeyRef<'_>, bytes: &[u8], ttl: Duration) {
        let client = &*self.0;
        let options = &client.options;
        let observer = &client.context.observer;
        if options.max_item_size != 0 && bytes.len() as u64 > options.max_item_size {
            observer.remote(true, RemoteOutcome::TooLarge, Duration::ZERO);
            observer.overflowed(key.item);
            return;
        }
        let mut writes = client.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let full = writes.waiting.len() >= options.max_async_buffer_size
            || writes.bytes.saturating_add(bytes.len()) > MOST_WAITING_BYTES;
        if full {
            drop(writes);
            observer.remote(true, RemoteOutcome::BufferFull, Duration::ZERO);
            return;
        }
        writes.bytes += bytes.len();
        writes.waiting.push_back(Write { word: key.word(), bytes: Bytes::copy_from_slice(bytes), ttl });
        let hire = writes.at_work < options.max_async_concurrency.max(1);
        writes.at_work += usize::from(hire);
        drop(writes);
        observer.added(key.item, bytes.len() as u64);
        if hire {
            let client = self.clone();
            self.0.context.runtime.spawn(async move { client.write_all().await });
        }
    }

    /// Writes what waits until nothing does.
    async fn write_all(&self) {
        let client = &*self.0;
        while let Some(Write { word, bytes, ttl }) = client.next_write() {
            let servers = self.servers().await;
            if let Some(server) = servers.get(server_of(&word, servers.len())) {
                client.write(server, &word, &bytes, ttl).await;
            }
        }
    }

    /// The servers, looked up now if they never were, and again behind the caller's back if that was long ago.
    async fn servers(&self) -> Arc<[Arc<Server>]> {
        let client = &*self.0;
        let now = client.context.timer.elapsed();
        let every = client.options.dns_provider_update_interval;
        let (servers, due) = client.servers.now(now, every);
        if !due {
            return servers;
        }
        if servers.is_empty() {
            client.look_up().await;
            return client.servers.now(now, every).0;
        }
        let again = self.clone();
        client.context.runtime.spawn(async move { again.0.look_up().await });
        servers
    }
}

impl Client {
    async fn look_up(&self) {
        if let Ok(addresses) = self.timed(async { Ok(look_up(&self.options.addresses).await) }).await {
            self.servers.set(addresses, self.options.breaker);
        }
    }

    fn next_write(&self) -> Option<Write> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let write = writes.waiting.pop_front();
        match &write {
            Some(write) => writes.bytes = writes.bytes.saturating_sub(write.bytes.len()),
            // Under the same lock under which new ones are put in, so none stays behind.
            None => writes.at_work = writes.at_work.saturating_sub(1),
        }
        write
    }

    async fn read(&self, server: &Server, words: &[&str]) -> Option<Vec<Option<Bytes>>> {
        let _permit = match &self.reads {
            Some(reads) => reads.acquire().await.ok(),
            None => None,
        };
        let call = async |mut connection: Connection| {
            let values = connection.get(words).await?;
            Ok((connection, values))
        };
        self.call(server, false, call).await
    }

    async fn write(&self, server: &Server, word: &str, bytes: &[u8], ttl: Duration) {
        // 0 would mean for ever.
        let seconds = ttl.min(LONGEST_TTL).as_secs().max(1);
        let call = async |mut connection: Connection| {
            connection.set(word, bytes, seconds).await?;
            Ok((connection, ()))
        };
        self.call(server, true, call).await;
    }

    /// One call on a connection of its own, within the timeout.
    async fn call<T>(
        &self,
        server: &Server,
        writes: bool,
        call: impl AsyncFnOnce(Connection) -> io::Result<(Connection, T)>,
    ) -> Option<T> {
        let (timer, observer) = (&self.context.timer, &self.context.observer);
        let start = timer.elapsed();
        if !server.allows(start) {
            observer.remote(writes, RemoteOutcome::Broken, Duration::ZERO);
            return None;
        }
        // Told in any case, also when the caller gives up: one trial of a server that was left alone must end.
        let mut ending = Ending { server, client: self, well: false };
        let whole = async {
            let connection = match server.take_idle() {
                Some(connection) => connection,
                None => Connection::open(&server.address).await?,
            };
            call(connection).await
        };
        let ended = self.timed(whole).await;
        ending.well = ended.is_ok();
        drop(ending);
        let took = timer.elapsed().saturating_sub(start);
        let outcome = match &ended {
            Ok(_) => RemoteOutcome::Done,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => RemoteOutcome::TimedOut,
            Err(_) => RemoteOutcome::Failed,
        };
        observer.remote(writes, outcome, took);
        let (connection, value) = ended.ok()?;
        server.put_idle(connection, self.options.max_idle_connections);
        Some(value)
    }

    async fn timed<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let wait = self.context.timer.wait(self.options.timeout);
        match select(pin!(work), wait).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Tells the breaker of a server how a call ended.
struct Ending<'a> {
    server: &'a Server,
    client: &'a Client,
    well: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.server.ended(self.well, self.client.context.timer.elapsed());
    }
}
