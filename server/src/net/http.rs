//! An HTTP listener: HTTP/1 and HTTP/2, with or without TLS, that ends in order.
//!
//! On the stop signal it takes no new connection, lets open requests finish for the grace period and then drops what is
//! left. A connection may also be asked to end when it is old, so that callers spread anew. A client that is slow to shake hands or to send its headers is dropped. The number of connections is bounded,
//! so that the process keeps descriptors for its files.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::Guard;
use super::open::counted;
#[cfg(feature = "query")]
use super::subject::Subject;
use super::tls::ServerTls;
#[cfg(feature = "grpc")]
use crate::config::grpc::GrpcConfig;
#[cfg(feature = "receive")]
use crate::config::tls::ServerTlsFiles;
use crate::config::web::WebConfig;

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 8192;
/// How long a connection without open requests is kept after it was told to end, so that its peer can read that.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a listener behaves. The default is plain HTTP for everybody that drops open requests at once on a stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServeOptions {
    grace: Duration,
    tls: Option<Arc<ServerTls>>,
    guard: Option<Arc<Guard>>,
    http1_only: bool,
    http2_only: bool,
    max_age: Option<Duration>,
}

impl ServeOptions {
    /// A plain listener that gives open requests this long to end.
    #[cfg(any(feature = "receive", test))]
    pub(crate) fn plain(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    /// The listener that a web configuration describes; reads its certificates.
    pub(crate) fn of(web: &WebConfig, grace: Duration) -> Result<Self, String> {
        let tls = web.tls.clone().map(ServerTls::load).transpose()?.map(Arc::new);
        let plain = Self { grace, ..Self::default() };
        Ok(Self { tls, guard: Guard::new(web)?, http1_only: web.http1_only, ..plain })
    }

    /// The listener of gRPC services, which speaks HTTP/2 only; reads its certificates.
    #[cfg(feature = "grpc")]
    pub(crate) fn grpc(config: &GrpcConfig) -> Result<Self, String> {
        let tls = config.tls.clone().map(ServerTls::load).transpose()?.map(Arc::new);
        let plain = Self { grace: config.grace, ..Self::default() };
        Ok(Self { tls, http2_only: true, max_age: config.max_age, ..plain })
    }

    /// The same listener with this TLS instead; reads its certificates.
    #[cfg(feature = "receive")]
    pub(crate) fn with_tls(self, files: Option<&ServerTlsFiles>) -> Result<Self, String> {
        let tls = files.cloned().map(ServerTls::load).transpose()?.map(Arc::new);
        Ok(Self { tls, ..self })
    }
}

/// Takes an address as Go programs write it: `host:port`, `:port` for every interface.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, String> {
    let say = |why: io::Error| format!("listen on {address}: {why}");
    match address.strip_prefix(':') {
        None => TcpListener::bind(address).await.map_err(say),
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await.map_err(say),
        },
    }
}

/// Serves `router` until `stop`, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
) {
    let (open, drop_all) = (TaskTracker::new(), CancellationToken::new());
    let router = match &options.guard {
        Some(guard) => Arc::clone(guard).before(router),
        None => router,
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(err) => {
                // Out of descriptors, mostly: waiting is all that helps.
                tracing::warn!(err = %err, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, options) = (router.clone(), options.clone());
        let (stop, drop_all) = (stop.clone(), drop_all.clone());
        open.spawn(async move {
            tokio::select! {
                ended = connection(stream, router, options, stop) => if let Err(err) = ended {
                    tracing::debug!(peer = %peer, err = %err, "connection ended");
                },
                () = drop_all.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(options.grace, open.wait()).await.is_err() {
        tracing::warn!("requests were still open after the grace period and are dropped");
        drop_all.cancel();
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    router: Router,
    options: ServeOptions,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if options.http1_only {
        builder = builder.http1_only();
    }
    if options.http2_only {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.http2().timer(TokioTimer::new());
    let end = async {
        match options.max_age {
            None => stop.cancelled().await,
            // Out of time or out of age, it is the same.
            Some(age) => drop(tokio::time::timeout(age, stop.cancelled()).await),
        }
    };
    match options.tls {
        None => exchange(&builder, stream, router, end).await,
        Some(tls) => {
            let stream = tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await??;
            #[cfg(feature = "query")]
            let router = introduced(router, &stream);
            exchange(&builder, stream, router, end).await
        }
    }
}

/// Requests of a peer that has shown a certificate carry its subject.
#[cfg(feature = "query")]
fn introduced<S>(router: Router, stream: &tokio_rustls::server::TlsStream<S>) -> Router {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    match shown {
        None => router,
        Some(certificate) => router.layer(axum::Extension(Arc::new(Subject::of(certificate)))),
    }
}

/// Serves the connection; from `end` on it takes no new request and ends when those that are open have, whether its peer says good-bye
/// or not.
async fn exchange<S>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    router: Router,
    end: impl Future<Output = ()>,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = TaskTracker::new();
    let router = counted(router, open.clone());
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = end => served.as_mut().graceful_shutdown(),
    }
    open.close();
    let silent = async {
        open.wait().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        ended = served.as_mut() => ended,
        () = silent => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    #[tokio::test]
    async fn open_requests_finish_and_new_ones_are_refused() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, begun, go_on) =
            (CancellationToken::new(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let router = {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            Router::new().route(
                "/slow",
                get(move || async move {
                    begun.add_permits(1);
                    let _permit = go_on.acquire().await;
                    "done"
                }),
            )
        };
        let options = ServeOptions::plain(Duration::from_secs(20));
        let server = tokio::spawn(serve(listener, router, options, stop.clone()));
        let request = tokio::spawn(reqwest::get(format!("http://{address}/slow")));
        let _began = begun.acquire().await.unwrap();
        stop.cancel();
        while reqwest::get(format!("http://{address}/slow")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go_on.add_permits(1);
        assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn addresses_as_go_writes_them() {
        assert!(bind(":0").await.is_ok());
        assert!(bind("127.0.0.1:0").await.is_ok());
        assert!(bind("nowhere").await.unwrap_err().contains("nowhere"));
    }

    #[tokio::test]
    async fn a_peer_that_does_not_say_good_bye_holds_nothing_up() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let options = ServeOptions { http2_only: true, ..ServeOptions::plain(Duration::from_secs(3600)) };
        let served = tokio::spawn(serve(listener, Router::new(), options, stop.clone()));
        let mut stuck = TcpStream::connect(address).await.unwrap();
        // The greeting of HTTP/2 and settings that change nothing; then not another word.
        stuck.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        assert!(stuck.read(&mut [0; 9]).await.unwrap() > 0, "it greets");
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(600), served).await.expect("it waits for its peer").unwrap();
    }
}
