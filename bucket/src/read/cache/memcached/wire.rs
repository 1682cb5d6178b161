//! One connection to a Memcached server: its text protocol, as far as it is needed.
//!
//! ```text
//! get <word> <word> ...\r\n        VALUE <word> <flags> <length>\r\n<bytes>\r\n ... END\r\n
//! set <word> 0 <seconds> <length>\r\n<bytes>\r\n        STORED\r\n
//! ```
//!
//! Anything else that a server says is an error, after which the connection is of no more use. Before the content of a value
//! stand four bytes: CRC32C (big endian) of the word and the content. A value with another checksum is no value.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use sarsen_block::codec::Crc32c;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// Bytes of the checksum before each value.
const CHECK: usize = 4;
/// The longest line that a server may answer with.
const LONGEST_LINE: u64 = 2048;
/// The longest value that is believed; Memcached itself allows 1 GiB.
const LONGEST_VALUE: usize = 256 << 20;

/// A connection on which nothing is under way.
#[derive(Debug)]
pub(super) struct Connection(BufStream<TcpStream>);

impl Connection {
    /// Connects to `host:port`.
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufStream::new(stream)))
    }

    /// The values of `words`, in their order.
    pub(super) async fn get(&mut self, words: &[&str]) -> io::Result<Vec<Option<Bytes>>> {
        let mut values = vec![None; words.len()];
        if words.is_empty() {
            return Ok(values);
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::with_capacity(words.len());
        self.0.write_all(b"get").await?;
        for (place, word) in words.iter().enumerate() {
            places.entry(word).or_default().push(place);
        }
        for word in places.keys() {
            self.0.write_all(b" ").await?;
            self.0.write_all(word.as_bytes()).await?;
        }
        self.0.write_all(b"\r\n").await?;
        self.0.flush().await?;
        loop {
            let line = self.line().await?;
            if line == "END" {
                return Ok(values);
            }
            let (word, length) = value_head(&line).ok_or_else(|| unexpected(&line))?;
            let places = places.get(word).ok_or_else(|| unexpected(&line))?;
            let content = self.value(word, length).await?;
            for place in places {
                if let Some(value) = values.get_mut(*place) {
                    value.clone_from(&content);
                }
            }
        }
    }

    /// Sets the value of `word` for so many seconds.
    pub(super) async fn set(&mut self, word: &str, bytes: &[u8], seconds: u64) -> io::Result<()> {
        let head = format!("set {word} 0 {seconds} {}\r\n", bytes.len() + CHECK);
        self.0.write_all(head.as_bytes()).await?;
        self.0.write_all(&check(word, bytes)).await?;
        self.0.write_all(bytes).await?;
        self.0.write_all(b"\r\n").await?;
        self.0.flush().await?;
        let line = self.line().await?;
        if line == "STORED" { Ok(()) } else { Err(unexpected(&line)) }
    }

    /// A line without its end.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.0).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Err(unexpected(&String::from_utf8_lossy(&line))),
        }
    }

    /// The content of a value; `None` if it is not what was once set.
    async fn value(&mut self, word: &str, length: usize) -> io::Result<Option<Bytes>> {
        if length > LONGEST_VALUE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a value of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await?;
        let mut end = [0; 2];
        self.0.read_exact(&mut end).await?;
        if end != *b"\r\n" {
            return Err(unexpected("a value that does not end where it should"));
        }
        let bytes = Bytes::from(bytes);
        let whole = bytes.split_at_checked(CHECK).is_some_and(|(sum, content)| check(word, content) == sum);
        Ok(whole.then(|| bytes.slice(CHECK..)))
    }
}

fn check(word: &str, bytes: &[u8]) -> [u8; CHECK] {
    let mut sum = Crc32c::new();
    sum.update(word.as_bytes());
    sum.update(bytes);
    sum.value().to_be_bytes()
}

/// Word and length of `VALUE <word> <flags> <length>`.
fn value_head(line: &str) -> Option<(&str, usize)> {
    let mut parts = line.strip_prefix("VALUE ")?.split(' ');
    let (word, _flags, length) = (parts.next()?, parts.next()?, parts.next()?);
    Some((word, length.parse().ok()?))
}

fn unexpected(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("memcached said {line:?}"))
}
