//! gRPC: a listener with services behind HTTP/2, health and reflection beside them; and connections to those of others.
//!
//! Services come as tonic's routers; what is the same for all calls (`call`) stands around them. Listening, TLS and the graceful stop
//! are those of `net/http`. Messages may be as large as Thanos allows; who sends large ones makes many of them.

mod body;
mod call;
#[cfg(feature = "query")]
mod channel;
mod framing;
mod health;
mod metrics;
mod pack;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

#[cfg(feature = "query")]
pub(crate) use channel::{Channel, ChannelOptions};
pub(crate) use metrics::Method;
#[cfg(feature = "query")]
pub(crate) use metrics::{GrpcMetrics, Watched, go_text};

use self::health::Readiness;
#[cfg(not(feature = "query"))]
use self::metrics::GrpcMetrics;
use crate::metrics::Registry;

const HEALTH: &str = "grpc.health.v1.Health";

/// The services of one listener.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Their routes.
    pub(crate) routes: Routes,
    /// Their methods, for metrics.
    pub(crate) methods: Vec<Method>,
}

impl Services {
    /// Their names, each once.
    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.methods.iter().map(|method| method.service).collect();
        names.dedup();
        names
    }

    /// Everything that is served, with health (which follows `ready`) and reflection over `descriptors`.
    ///
    /// # Errors
    /// If the descriptors are none.
    pub(crate) fn into_router(
        self,
        descriptors: &'static [u8],
        ready: watch::Receiver<bool>,
        registry: &Registry,
    ) -> Result<Router, String> {
        let names = self.names();
        let metrics = Arc::new(GrpcMetrics::new(registry, &self.methods));
        let reflection = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(HEALTH);
            names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let say = |why: tonic_reflection::server::Error| format!("descriptors for reflection: {why}");
        let health = HealthServer::new(Readiness { services: names.clone(), ready });
        let routes = self
            .routes
            .add_service(health)
            .add_service(reflection().build_v1().map_err(say)?)
            .add_service(reflection().build_v1alpha().map_err(say)?);
        Ok(routes.prepare().into_axum_router().layer(from_fn_with_state(metrics, call::call)))
    }
}
