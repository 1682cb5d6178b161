//! Ports for processes that are told where to listen.
//!
//! A port is taken below those that the system gives to connections by itself, or any connection of this machine could have it before the
//! process does. Every process begins its search elsewhere and goes on from what it gave last, so two of them seldom look at the same
//! port at the same time; who starts a program must still notice that it ended.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// The first port that is tried.
const FIRST: u16 = 12_000;
/// How many there are: up to 32,767, since 32,768 is the first that Linux gives to connections.
const COUNT: u16 = 20_768;

/// A port of 127.0.0.1 that nobody listens on just now, and that this process has not been given before.
///
/// # Errors
/// If all are taken.
pub fn free_port() -> io::Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // A stride without a divisor in common with the count: processes that follow each other begin far apart.
    let begin = (u64::from(std::process::id()) * 7_919 % u64::from(COUNT)) as u16;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..COUNT {
        let port = FIRST + (begin + GIVEN.fetch_add(1, Relaxed) % COUNT) % COUNT;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// The same as `host:port`.
///
/// # Errors
/// If all are taken.
pub fn free_address() -> io::Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    #[test]
    fn no_port_is_given_twice_and_none_that_is_taken() {
        let taken: Vec<TcpListener> = (0..50)
            .map(|_| {
                let port = super::free_port().unwrap();
                TcpListener::bind(("127.0.0.1", port)).unwrap()
            })
            .collect();
        let mut seen: BTreeSet<u16> = taken.iter().map(|one| one.local_addr().unwrap().port()).collect();
        for _ in 0..50 {
            let port = super::free_port().unwrap();
            assert!((super::FIRST..super::FIRST + super::COUNT).contains(&port));
            assert!(seen.insert(port), "{port} again");
        }
    }
}
