//! An S3 server inside the test process: a directory behind the protocol.

use std::net::SocketAddr;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

/// Serves `root/blocks` as the bucket `blocks` at `address` for as long as the test runs.
pub(crate) async fn serve(root: &Path, address: SocketAddr) -> SocketAddr {
    std::fs::create_dir_all(root.join("blocks")).unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = builder.build();
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
