//! The gRPC services of a querier, so that it can stand below another one, of either make.
//!
//! Store, Info and Exemplars are those of any store; Rules, Targets, Metadata and Status hand on what the endpoints say; Query answers
//! whole queries. Replicas are left apart here: the querier above makes them one.

mod around;
mod queries;
mod samples;

use std::sync::Arc;

use tonic::service::Routes;

pub(crate) use queries::{Answered, Asking, Queries, QueryDefaults, Times};

use self::around::Around;
use super::client::{METADATA, RULES, STATUS, TARGETS};
use super::fleet::Fleet;
use crate::net::grpc::{Method, Services};
use crate::store::{Beside, Store, services_beside};
use crate::wire::generated::thanos::metadata_server::MetadataServer;
use crate::wire::generated::thanos::query_server::QueryServer;
use crate::wire::generated::thanos::rules_server::RulesServer;
use crate::wire::generated::thanos::status_server::StatusServer;
use crate::wire::generated::thanos::targets_server::TargetsServer;

const QUERY: [Method; 2] = [
    Method { service: "thanos.Query", name: "Query", streams: true },
    Method { service: "thanos.Query", name: "QueryRange", streams: true },
];

/// The services of a querier over endpoints. `queries` evaluates, with what requests do not say.
pub(crate) fn querier_services(
    fleet: Arc<Fleet>,
    queries: Arc<dyn Queries>,
    defaults: QueryDefaults,
) -> Services {
    let beside = Beside { rules: true, targets: true, metadata: true, query: true, status: true };
    let mut services = with_queries(fleet.store(), beside, queries, defaults);
    let around = Around(fleet);
    services.routes = std::mem::take(&mut services.routes)
        .add_service(RulesServer::new(around.clone()).max_encoding_message_size(usize::MAX))
        .add_service(TargetsServer::new(around.clone()).max_encoding_message_size(usize::MAX))
        .add_service(MetadataServer::new(around.clone()).max_encoding_message_size(usize::MAX))
        .add_service(StatusServer::new(around).max_encoding_message_size(usize::MAX));
    services.methods.extend([RULES, TARGETS, METADATA, STATUS]);
    services
}

/// The services of a store that also answers whole queries.
#[cfg(feature = "standalone")]
pub(crate) fn querying_services(
    store: Arc<dyn Store>,
    queries: Arc<dyn Queries>,
    defaults: QueryDefaults,
) -> Services {
    with_queries(store, Beside { query: true, ..Beside::default() }, queries, defaults)
}

fn with_queries(
    store: Arc<dyn Store>,
    beside: Beside,
    queries: Arc<dyn Queries>,
    defaults: QueryDefaults,
) -> Services {
    let mut services = services_beside(store, beside);
    let service = queries::QueryService { queries, defaults };
    let server =
        QueryServer::new(service).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
    let routes: Routes = std::mem::take(&mut services.routes);
    services.routes = routes.add_service(server);
    services.methods.extend(QUERY);
    services
}
