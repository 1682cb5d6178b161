//! An S3 server inside the test process: a directory behind the protocol, and, if wanted, bad weather before it.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;

/// What happens to requests. Which are hit follows from their number, so a run can be repeated.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// Every request is refused.
    pub(crate) down: AtomicBool,
    /// No request is ever answered.
    pub(crate) silent: AtomicBool,
    /// Of a thousand ranged reads, so many are refused.
    pub(crate) failing: AtomicU64,
    /// Of a thousand ranged reads, so many are late by [`Weather::DELAY`].
    pub(crate) late: AtomicU64,
    /// Requests so far.
    pub(crate) requests: AtomicU64,
    /// Ranged reads so far.
    pub(crate) ranged: AtomicU64,
}

impl Weather {
    const DELAY: Duration = Duration::from_millis(300);

    /// Counts a request; whether it is refused, and whether it is late.
    fn next(&self, is_ranged: bool) -> (bool, bool) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let down = self.down.load(Ordering::SeqCst);
        if !is_ranged {
            return (down, false);
        }
        let number = self.ranged.fetch_add(1, Ordering::SeqCst);
        let hit = |share: &AtomicU64, salt: u64| {
            let mixed = (number ^ salt << 32).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed >> 33) % 1000 < share.load(Ordering::SeqCst)
        };
        (down || hit(&self.failing, 1), hit(&self.late, 2))
    }
}

/// A service behind weather.
#[derive(Clone)]
struct Outside {
    inner: S3Service,
    weather: Arc<Weather>,
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<s3s::Body>, s3s::HttpError>> + Send>>;

impl<B> tower::Service<http::Request<B>> for Outside
where
    S3Service: tower::Service<http::Request<B>, Response = http::Response<s3s::Body>, Error = s3s::HttpError>,
    <S3Service as tower::Service<http::Request<B>>>::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = http::Response<s3s::Body>;
    type Error = s3s::HttpError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::<http::Request<B>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (refused, late) = self.weather.next(request.headers().contains_key("range"));
        let silent = self.weather.silent.load(Ordering::SeqCst);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            if late {
                tokio::time::sleep(Weather::DELAY).await;
            }
            if refused {
                let text = "<Error><Code>SlowDown</Code><Message>bad weather</Message></Error>".to_owned();
                let mut answer = http::Response::new(s3s::Body::from(text));
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                return Ok(answer);
            }
            tower::Service::<http::Request<B>>::call(&mut inner, request).await
        })
    }
}

/// Serves `root/blocks` as the bucket `blocks` at `address` for as long as the test runs.
pub(crate) async fn serve(root: &Path, address: SocketAddr) -> SocketAddr {
    serve_in(root, address, Arc::default()).await
}

/// The same in weather that the test makes.
pub(crate) async fn serve_in(root: &Path, address: SocketAddr, weather: Arc<Weather>) -> SocketAddr {
    std::fs::create_dir_all(root.join("blocks")).unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = TowerToHyperService::new(Outside { inner: builder.build(), weather });
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// The object store file for it.
pub(crate) fn config(address: SocketAddr) -> String {
    format!(
        "type: S3\nconfig:\n  bucket: blocks\n  endpoint: {address}\n  access_key: key\n  secret_key: secret\n  \
         insecure: true\n"
    )
}
