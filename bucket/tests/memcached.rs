//! What is kept in Memcached comes back from any process; a Memcached that is away, slow or talks nonsense only slows.
//!
//! Debian's `memcached` serves. Without it those tests say that they were skipped, and fail under `SARSEN_REQUIRE_PEERS=1`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sarsen_block::{BlockId, SeriesNo};
use sarsen_bucket::{
    BreakerOptions, Cache, CacheContext, CacheObserver, CacheOptions, CacheStore, IndexCacheOptions, Item,
    MemcachedOptions, RemoteOutcome, Timer, Wait,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Clock(tokio::time::Instant);

impl Timer for Clock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, duration: Duration) -> Wait<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still but for waits, which give everything else its turn and are then over.
#[derive(Default)]
struct Impatient(Mutex<Duration>);

impl Impatient {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Timer for Impatient {
    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wait(&self, duration: Duration) -> Wait<'_> {
        Box::pin(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.pass(duration);
        })
    }
}

#[derive(Default)]
struct Log {
    calls: Mutex<Vec<(bool, RemoteOutcome)>>,
}

impl Log {
    fn count(&self, writes: bool, outcome: RemoteOutcome) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == (writes, outcome)).count()
    }
}

impl CacheObserver for Log {
    fn remote(&self, writes: bool, outcome: RemoteOutcome, _took: Duration) {
        self.calls.lock().unwrap().push((writes, outcome));
    }
}

fn cache(options: MemcachedOptions) -> (Cache, Arc<Log>) {
    cache_with(options, Arc::new(Clock(tokio::time::Instant::now())))
}

fn cache_with(options: MemcachedOptions, timer: Arc<dyn Timer>) -> (Cache, Arc<Log>) {
    let log = Arc::new(Log::default());
    let context = CacheContext { runtime: tokio::runtime::Handle::current(), timer, observer: log.clone() };
    let index = IndexCacheOptions { store: CacheStore::Memcached(options), ..IndexCacheOptions::default() };
    (Cache::new(&CacheOptions { index, bucket: None }, &context), log)
}

fn options(addresses: &[String]) -> MemcachedOptions {
    MemcachedOptions {
        addresses: addresses.to_vec(),
        timeout: Duration::from_secs(20),
        ..MemcachedOptions::default()
    }
}

const BLOCK: BlockId = BlockId::from_parts(1_700_000_000_000, 7);

fn entry(number: u32) -> Vec<u8> {
    format!("entry {number}\r\nEND\r\n").into_bytes().repeat(number as usize % 7 + 1)
}

/// Puts so many entries and waits until all writes have ended.
async fn fill(cache: &Cache, log: &Log, count: u32) {
    for number in 0..count {
        cache.put_series(BLOCK, SeriesNo(number), &entry(number));
    }
    while log.calls.lock().unwrap().iter().filter(|(writes, _)| *writes).count() < count as usize {
        tokio::task::yield_now().await;
    }
}

struct Memcached {
    child: Child,
    address: String,
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts Debian's memcached, if it is there; one that ends at once, because somebody was faster at its port, is started again at another.
async fn memcached() -> Option<Memcached> {
    for _ in 0..5 {
        let mut server = spawn()?;
        for _ in 0..500 {
            let is_open = TcpStream::connect(&server.address).await.is_ok();
            if server.child.try_wait().unwrap().is_some() {
                break;
            }
            if is_open {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("memcached did not open its port")
}

fn spawn() -> Option<Memcached> {
    let port = free_port().to_string();
    let mut command = Command::new("memcached");
    // A root may only start it under another name.
    let arguments = ["-l", "127.0.0.1", "-U", "0", "-m", "64", "-u", "nobody", "-p", &port];
    let started = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(child) = started else {
        #[expect(
            clippy::disallowed_methods,
            reason = "whether peers are required is said by the environment"
        )]
        let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no memcached: .ci/packages installs it");
        eprintln!("SKIPPED: no memcached, .ci/packages installs it");
        return None;
    };
    Some(Memcached { child, address: format!("127.0.0.1:{port}") })
}

#[tokio::test]
async fn what_one_process_keeps_another_finds() {
    let (Some(one), Some(two)) = (memcached().await, memcached().await) else { return };
    let options = MemcachedOptions {
        max_get_multi_batch_size: 100,
        max_item_size: 100,
        ..options(&[one.address.clone(), format!("dns+{}", two.address)])
    };
    let (writer, log) = cache(options.clone());
    fill(&writer, &log, 1000).await;
    let too_large = (0..1000).filter(|number| entry(*number).len() > 100).count();
    assert!(too_large > 0);
    assert_eq!(log.count(true, RemoteOutcome::TooLarge), too_large);
    assert_eq!(log.count(true, RemoteOutcome::Done), 1000 - too_large);
    writer.put_postings(BLOCK, (b"name with blanks", b"\r\n\0"), b"list");
    while log.count(true, RemoteOutcome::Done) < 1001 - too_large {
        tokio::task::yield_now().await;
    }
    let (reader, log) = cache(options);
    let wanted: Vec<SeriesNo> = (0..1200).rev().map(SeriesNo).collect();
    let found = reader.series(BLOCK, &wanted).await;
    for (SeriesNo(number), found) in wanted.iter().zip(found) {
        let expected = Some(entry(*number)).filter(|entry| *number < 1000 && entry.len() <= 100);
        assert_eq!(found.as_deref(), expected.as_deref(), "{number}");
    }
    // Both servers are asked, in batches.
    let calls = log.count(false, RemoteOutcome::Done);
    assert!((12..=14).contains(&calls), "{calls} calls");
    let labels: [(&[u8], &[u8]); 2] = [(b"name with blanks", b"\r\n\0"), (b"name", b"")];
    assert_eq!(reader.postings(BLOCK, &labels).await, [Some("list".into()), None]);
    assert_eq!(reader.series(BlockId::NONE, &[SeriesNo(1)]).await, [None]);
}

#[tokio::test]
async fn a_server_that_goes_takes_its_share_and_no_more() {
    let (Some(one), Some(two)) = (memcached().await, memcached().await) else { return };
    let options = MemcachedOptions {
        breaker: BreakerOptions { open_duration: Duration::from_secs(3600), ..BreakerOptions::default() },
        ..options(&[one.address.clone(), two.address.clone()])
    };
    let (cache, log) = cache(options);
    fill(&cache, &log, 400).await;
    let wanted: Vec<SeriesNo> = (0..400).map(SeriesNo).collect();
    assert!(cache.series(BLOCK, &wanted).await.iter().all(Option::is_some));
    drop(one);
    for round in 0..20 {
        let found = cache.series(BLOCK, &wanted).await;
        let there: BTreeSet<usize> = (0..400).filter(|place| found[*place].is_some()).collect();
        assert!((100..300).contains(&there.len()), "{} in round {round}", there.len());
        assert!(there.iter().all(|place| found[*place].as_deref() == Some(&entry(*place as u32)[..])));
    }
    // After the first failures it is not asked any more.
    let failed = log.count(false, RemoteOutcome::Failed);
    assert_eq!(failed, 5);
    assert_eq!(log.count(false, RemoteOutcome::Broken), 20 - failed);
}

/// A server that answers every connection with `answer`, or not at all.
async fn stub(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut room = [0; 4096];
                while stream.read(&mut room).await.is_ok_and(|length| length > 0) {
                    if let Some(answer) = answer {
                        let _ = stream.write_all(answer).await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    let word = format!("sarsen1:S:{BLOCK}:1");
    let wrong_sum: &'static [u8] = format!("VALUE {word} 0 8\r\nabcdefgh\r\nEND\r\n").into_bytes().leak();
    let too_short: &'static [u8] = format!("VALUE {word} 0 2\r\nab\r\nEND\r\n").into_bytes().leak();
    let wrong_end: &'static [u8] = format!("VALUE {word} 0 4\r\nabcdefgh\r\nEND\r\n").into_bytes().leak();
    let too_long: &'static [u8] = format!("VALUE {word} 0 99999999999\r\n").into_bytes().leak();
    let no_line: &'static [u8] = b"x".repeat(5000).leak();
    for (answer, outcome) in [
        (&b"ERROR\r\n"[..], RemoteOutcome::Failed),
        (b"VALUE other 0 2\r\nab\r\nEND\r\n", RemoteOutcome::Failed),
        (b"VALUE\r\n", RemoteOutcome::Failed),
        (wrong_end, RemoteOutcome::Failed),
        (too_long, RemoteOutcome::Failed),
        (no_line, RemoteOutcome::Failed),
        (b"SERVER_ERROR out of memory\r\n", RemoteOutcome::Failed),
        // It is an answer, but not what was once put.
        (wrong_sum, RemoteOutcome::Done),
        (too_short, RemoteOutcome::Done),
        (b"END\r\n", RemoteOutcome::Done),
    ] {
        let (cache, log) = cache(options(&[stub(Some(answer)).await]));
        assert_eq!(cache.series(BLOCK, &[SeriesNo(1)]).await, [None]);
        assert_eq!(log.count(false, outcome), 1, "{}", String::from_utf8_lossy(answer));
    }
    // Writes that are refused are counted and change nothing.
    let (cache, log) = cache(options(&[stub(Some(b"NOT_STORED\r\n")).await]));
    fill(&cache, &log, 3).await;
    assert_eq!(log.count(true, RemoteOutcome::Failed), 3);
}

#[tokio::test]
async fn a_server_that_never_answers_costs_a_few_timeouts() {
    let options = MemcachedOptions { timeout: Duration::from_millis(500), ..options(&[stub(None).await]) };
    let time = Arc::new(Impatient::default());
    let (cache, log) = cache_with(options, time.clone());
    for _ in 0..100 {
        assert_eq!(cache.series(BLOCK, &[SeriesNo(1)]).await, [None]);
    }
    assert_eq!(log.count(false, RemoteOutcome::TimedOut), 5);
    assert_eq!(log.count(false, RemoteOutcome::Broken), 95);
    assert_eq!(time.elapsed(), Duration::from_millis(2500));
    // It is tried again by one at a time.
    time.pass(Duration::from_secs(6));
    let both =
        futures_util::future::join(cache.series(BLOCK, &[SeriesNo(1)]), cache.series(BLOCK, &[SeriesNo(2)]));
    both.await;
    assert_eq!(log.count(false, RemoteOutcome::TimedOut), 6);
    assert_eq!(log.count(false, RemoteOutcome::Broken), 96);
}

#[tokio::test]
async fn writes_that_do_not_fit_are_left_out_and_cost_nobody_a_wait() {
    let options = MemcachedOptions {
        max_async_buffer_size: 10,
        max_async_concurrency: 2,
        timeout: Duration::from_secs(1),
        ..options(&[stub(None).await])
    };
    let time = Arc::new(Impatient::default());
    let (cache, log) = cache_with(options, time.clone());
    for number in 0..50 {
        cache.put_series(BLOCK, SeriesNo(number), b"entry");
    }
    assert_eq!(time.elapsed(), Duration::ZERO);
    assert_eq!(log.count(true, RemoteOutcome::BufferFull), 40);
    while log.calls.lock().unwrap().len() < 50 {
        tokio::task::yield_now().await;
    }
    let (slow, broken) = (log.count(true, RemoteOutcome::TimedOut), log.count(true, RemoteOutcome::Broken));
    assert!(slow >= 5 && slow + broken == 10, "{slow} timed out, {broken} not tried");
}

#[tokio::test]
async fn nobody_listens() {
    let (cache, log) = cache(options(&[format!("127.0.0.1:{}", free_port())]));
    assert_eq!(cache.series(BLOCK, &[SeriesNo(1)]).await, [None]);
    assert_eq!(log.count(false, RemoteOutcome::Failed), 1);
    let (cache, log) = self::cache(options(&["dns+no-such-host.invalid:11211".to_owned()]));
    assert_eq!(cache.series(BLOCK, &[SeriesNo(1)]).await, [None]);
    assert!(log.calls.lock().unwrap().is_empty());
    assert_eq!(cache.sizes()[Item::Series as usize].1.items, 0);
}
