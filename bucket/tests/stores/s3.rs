//! A server of S3 in this process, on a port of the loopback device, over a directory; plain or with TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) const ACCESS_KEY: &str = "AKTEST";
pub(crate) const SECRET_KEY: &str = "secret-of-the-test";

fn service(root: &Path, secret_key: &str) -> S3Service {
    // A bucket is a folder.
    std::fs::create_dir_all(root.join("blocks")).unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, secret_key));
    builder.build()
}

async fn serve_one(service: S3Service, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    // A client that hangs up is no concern of the server.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Serves the folders in `root` as buckets, one of them `blocks`.
pub(crate) async fn serve(root: &Path, secret_key: &str) -> SocketAddr {
    let service = service(root, secret_key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_one(service.clone(), stream));
        }
    });
    address
}

/// The same with TLS.
pub(crate) async fn serve_tls(root: &Path, config: rustls::ServerConfig) -> SocketAddr {
    let service = service(root, SECRET_KEY);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), service.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_one(service, stream).await;
                }
            });
        }
    });
    address
}

/// The text of an `objstore.yml` for the server.
pub(crate) fn config(endpoint: &str, secret_key: &str, more: &str) -> String {
    format!(
        "type: S3\nconfig:\n  bucket: blocks\n  endpoint: {endpoint}\n  access_key: {ACCESS_KEY}\n  \
         secret_key: {secret_key}\n  part_size: 5242880\n  max_retries: 1\n{more}"
    )
}
