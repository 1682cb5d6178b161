//! A client of one HTTP/1.1 connection that can post a body and read a short answer: less work than the server it loads.
//!
//! No TLS, no redirects, no chunked requests. Chunked answers are read, since a page may send them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection, opened at the first request and again after it broke.
#[derive(Debug)]
pub struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// For `host:port`; opens nothing yet.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), stream: None }
    }

    /// Connects now instead of at the first request, if there is a server.
    pub fn open(&mut self) {
        if self.stream.is_none() {
            self.stream = self.connect().ok();
        }
    }

    /// Gets `path`.
    ///
    /// # Errors
    /// If the connection cannot be made or breaks; the next call makes a new one.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.exchange("GET", path, "", &[])
    }

    /// Posts `body` with extra header lines, each ended by `\r\n`.
    ///
    /// # Errors
    /// If the connection cannot be made or breaks; whether the server took the body is then unknown.
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> io::Result<Response> {
        self.exchange("POST", path, headers, body)
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        stream.get_mut().write_all(&message)?;
        let (response, keep) = read_response(&mut stream)?;
        if keep {
            self.stream = Some(stream);
        }
        Ok(response)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(BufReader::new(stream))
    }
}

/// The answer, and whether the connection can be used again.
fn read_response(stream: &mut impl BufRead) -> io::Result<(Response, bool)> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
    let (mut length, mut chunked, mut keep) = (0_usize, false, true);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        let Some((name, value)) = header.split_once(':') else { break };
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse().map_err(io::Error::other)?,
            ("transfer-encoding", value) => chunked = value.contains("chunked"),
            ("connection", "close") => keep = false,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        while read_chunk(stream, &mut body)? {}
    } else {
        stream.take(length as u64).read_to_end(&mut body)?;
    }
    Ok((Response { status, body }, keep))
}

fn read_chunk(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
    stream.take(size).read_to_end(body)?;
    line.clear();
    stream.read_line(&mut line)?;
    Ok(size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_answers() {
        let plain = b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nno\n";
        let (response, keep) = read_response(&mut &plain[..]).unwrap();
        assert_eq!((response.status, &response.body[..], keep), (409, &b"no\n"[..], true));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let (response, keep) = read_response(&mut &chunked[..]).unwrap();
        assert_eq!((response.status, &response.body[..], keep), (200, &b"abc"[..], false));
    }
}
