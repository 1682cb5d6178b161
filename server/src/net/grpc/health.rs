//! `grpc.health.v1.Health`: serving while the role is ready, for the whole server and for each of its services.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Answers for services with these names, and for the server, whose name is empty.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) services: Vec<&'static str>,
    pub(super) ready: watch::Receiver<bool>,
}

fn response(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

impl Readiness {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[async_trait::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("unknown service"));
        }
        let ready = *self.ready.borrow();
        Ok(Response::new(response(ready)))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !self.knows(&request.get_ref().service) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            // Such a caller is to be told if the service appears, which it never does.
            return Ok(Response::new(stream::iter([Ok(unknown)]).chain(stream::pending()).boxed()));
        }
        let mut ready = self.ready.clone();
        ready.mark_changed();
        let statuses = stream::unfold(ready, |mut ready| async move {
            ready.changed().await.ok()?;
            let now = *ready.borrow_and_update();
            Some((Ok(response(now)), ready))
        });
        Ok(Response::new(statuses.boxed()))
    }
}
