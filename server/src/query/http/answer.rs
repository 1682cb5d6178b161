//! From data to bytes: the envelope, headers, compression, and large answers in pieces.
//!
//! An answer is written on a thread that may block. One that fits into a single piece goes as a whole; the pieces of a larger one wait in a short queue,
//! and nothing is written on when nobody takes them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::StreamExt as _;
use sarsen_promql::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::query::dialect::Dialect;
use crate::query::fault::Fault;
use crate::wire::json;

/// Bytes of a piece.
const PIECE: usize = 128 << 10;
/// Pieces that wait.
const WAITING: usize = 4;
/// Below this compression costs more than it saves.
const WORTH: usize = 1024;

/// What an answer carries.
#[derive(Debug)]
pub(super) enum Data {
    /// Nothing: status 204 without a body.
    Nothing,
    /// JSON.
    Json(serde_json::Value),
    /// The result of a query, and the fields behind it in `data`, each with its comma before it.
    Result(Box<Value>, String),
    /// Sets of labels.
    Series(Vec<sarsen_block::Labels>),
}

/// An answer that is no error.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Data,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
    /// Whether something is missing, so that nobody should keep it.
    pub(super) partial: bool,
}

impl Answer {
    /// Data without any remark.
    pub(super) fn of(data: Data) -> Self {
        Self { data, warnings: Vec::new(), infos: Vec::new(), partial: false }
    }

    /// JSON without any remark.
    pub(super) fn json(data: serde_json::Value) -> Self {
        Self::of(Data::Json(data))
    }

    /// Data and what stores could not give.
    pub(super) fn partial(data: Data, warnings: Vec<String>) -> Self {
        Self { partial: !warnings.is_empty(), data, warnings, infos: Vec::new() }
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
    Deflate,
}

impl Packing {
    /// The first that the caller accepts and we know.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted =
            headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let known = |token: &str| match token.split(';').next().unwrap_or_default().trim() {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" => Some(Self::Deflate),
            _ => None,
        };
        let refused = |token: &&str| {
            token.split_once(";q=").is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0))
        };
        let mut tokens = accepted.flat_map(|value| value.split(',')).filter(|token| !refused(token));
        tokens.find_map(known).unwrap_or(Self::None)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

/// The answer to a caller who reads this packing.
pub(super) async fn respond(dialect: Dialect, answer: Result<Answer, Fault>, packing: Packing) -> Response {
    let mut response = match answer {
        Ok(Answer { data: Data::Nothing, .. }) => status_only(StatusCode::NO_CONTENT),
        Ok(answer) => {
            let keep = dialect.is_prometheus() || !answer.partial;
            let mut response = written(packing, move |out| envelope(out, &answer)).await;
            if !keep {
                no_store(&mut response);
            }
            response
        }
        Err(fault) => {
            let status = dialect.status(fault.kind);
            let mut response = written(packing, move |out| error(out, &fault)).await;
            *response.status_mut() = status;
            if !dialect.is_prometheus() {
                no_store(&mut response);
            }
            response
        }
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn status_only(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn no_store(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn envelope(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    let out = &mut { out };
    out.write_all(b"{\"status\":\"success\",\"data\":")?;
    match &answer.data {
        Data::Nothing => out.write_all(b"null")?,
        Data::Json(value) => serde_json::to_writer(&mut *out, value)?,
        Data::Result(value, more) => {
            out.write_all(b"{")?;
            json::value(out, value)?;
            out.write_all(more.as_bytes())?;
            out.write_all(b"}")?;
        }
        Data::Series(series) => {
            let mut before: &[u8] = b"[";
            for labels in series {
                out.write_all(before)?;
                json::labels(out, labels.as_ref())?;
                before = b",";
            }
            out.write_all(if series.is_empty() { b"[]" } else { b"]" })?;
        }
    }
    texts(out, "warnings", &answer.warnings)?;
    texts(out, "infos", &answer.infos)?;
    out.write_all(b"}")
}

fn texts(out: &mut impl Write, name: &str, texts: &[String]) -> io::Result<()> {
    if texts.is_empty() {
        return Ok(());
    }
    write!(out, ",\"{name}\":[")?;
    for (at, text) in texts.iter().enumerate() {
        out.write_all(if at > 0 { b"," } else { b"" })?;
        json::string(out, text)?;
    }
    out.write_all(b"]")
}

fn error(out: &mut dyn Write, fault: &Fault) -> io::Result<()> {
    let out = &mut { out };
    write!(out, "{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", fault.kind.name())?;
    json::string(out, &fault.why)?;
    out.write_all(b"}")
}

/// A body that is written on another thread.
async fn written(
    packing: Packing,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Response {
    let (into, mut pieces) = mpsc::channel::<Bytes>(WAITING);
    let packed = Arc::new(AtomicBool::new(false));
    let mut out = Pieces { open: Vec::new(), packing, packer: None, into, packed: Arc::clone(&packed) };
    tokio::task::spawn_blocking(move || {
        // Who does not listen any more needs no end.
        let _gone = write(&mut out).and_then(|()| out.end());
    });
    let first = pieces.recv().await.unwrap_or_default();
    let packed = packed.load(Ordering::Acquire);
    let body = match pieces.recv().await {
        None => Body::from(first),
        Some(second) => {
            let head = futures_util::stream::iter([first, second]);
            Body::from_stream(head.chain(ReceiverStream::new(pieces)).map(Ok::<_, io::Error>))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packing.name()));
    }
    response
}

/// Takes what is written and hands it on in pieces, packed if it is worth it.
struct Pieces {
    open: Vec<u8>,
    packing: Packing,
    packer: Option<Packer>,
    into: mpsc::Sender<Bytes>,
    packed: Arc<AtomicBool>,
}

impl Pieces {
    fn end(mut self) -> io::Result<()> {
        if self.packer.is_none() && self.open.len() < WORTH {
            self.packing = Packing::None;
        }
        self.pass()?;
        self.packer.map_or(Ok(()), Packer::finish)
    }

    /// Hands on what is open. How it goes is decided the first time.
    fn pass(&mut self) -> io::Result<()> {
        if self.packer.is_none() {
            self.packed.store(self.packing != Packing::None, Ordering::Release);
            self.packer =
                Some(Packer::new(self.packing, Queue { into: self.into.clone(), open: Vec::new() })?);
        }
        if let Some(packer) = &mut self.packer {
            packer.write_all(&self.open)?;
        }
        self.open.clear();
        Ok(())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE {
            self.pass()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Packer {
    None(Queue),
    Gzip(GzEncoder<Queue>),
    Zlib(ZlibEncoder<Queue>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Queue>>),
}

impl Packer {
    fn new(packing: Packing, queue: Queue) -> io::Result<Self> {
        let level = flate2::Compression::fast();
        Ok(match packing {
            Packing::None => Self::None(queue),
            Packing::Gzip => Self::Gzip(GzEncoder::new(queue, level)),
            Packing::Deflate => Self::Zlib(ZlibEncoder::new(queue, level)),
            Packing::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(queue, 1)?)),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Zlib(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        let mut queue = match self {
            Self::None(out) => out,
            Self::Gzip(out) => out.finish()?,
            Self::Zlib(out) => out.finish()?,
            Self::Zstd(out) => out.finish()?,
        };
        queue.pass()
    }
}

/// The queue to the connection.
struct Queue {
    into: mpsc::Sender<Bytes>,
    open: Vec<u8>,
}

impl Queue {
    fn pass(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.open));
        self.into.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE {
            self.pass()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use sarsen_block::Labels;
    use std::io::Read as _;

    fn many() -> Answer {
        let labels = |n: usize| Labels::from_pairs([("series", n.to_string())]).unwrap();
        Answer::of(Data::Series((0..50_000).map(labels).collect()))
    }

    #[tokio::test]
    async fn large_answers_come_in_pieces_however_they_are_packed() {
        let plain = respond(Dialect::Prometheus, Ok(many()), Packing::None).await;
        assert!(axum::body::HttpBody::size_hint(plain.body()).exact().is_none());
        let plain = to_bytes(plain.into_body(), usize::MAX).await.unwrap();
        assert!(plain.starts_with(b"{\"status\":\"success\",\"data\":[{\"series\":\"0\"},"));
        for packing in [Packing::Gzip, Packing::Deflate, Packing::Zstd] {
            let packed = respond(Dialect::Prometheus, Ok(many()), packing).await;
            assert_eq!(packed.headers()[header::CONTENT_ENCODING], packing.name());
            let packed = to_bytes(packed.into_body(), usize::MAX).await.unwrap();
            let mut text = Vec::new();
            match packing {
                Packing::Gzip => flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap(),
                Packing::Deflate => {
                    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut text).unwrap()
                }
                _ => zstd::stream::read::Decoder::new(&packed[..]).unwrap().read_to_end(&mut text).unwrap(),
            };
            assert!(text == plain, "{packing:?}");
        }
    }

    #[tokio::test]
    async fn small_answers_are_whole_and_plain() {
        let answer = Answer::partial(Data::Json(serde_json::json!([])), vec!["<gone>".to_owned()]);
        let response = respond(Dialect::Thanos, Ok(answer), Packing::Gzip).await;
        assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, r#"{"status":"success","data":[],"warnings":["\u003cgone\u003e"]}"#);
        let fault = Fault::bad("no \"query\"");
        let response = respond(Dialect::Prometheus, Err(fault), Packing::None).await;
        assert_eq!(response.status(), 400);
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, r#"{"status":"error","errorType":"bad_data","error":"no \"query\""}"#);
    }

    #[test]
    fn the_first_packing_that_we_know() {
        let of = |text: &str| {
            Packing::of(&HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_str(text).unwrap(),
            )]))
        };
        assert_eq!(of("br, gzip"), Packing::Gzip);
        assert_eq!(of("zstd;q=0.5, gzip"), Packing::Zstd);
        assert_eq!(of("gzip;q=0, deflate"), Packing::Deflate);
        assert_eq!(of("identity"), Packing::None);
    }
}
