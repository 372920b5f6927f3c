//! How many requests one connection may carry.
//!
//! A service's load balancing chooses a pod per connection: one that lives for ever pins its client to an old pod.

use std::any::Any;
use std::cell::Cell;
use std::num::NonZeroU32;

use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use crate::readiness::{Phase, Readiness};

/// Requests seen on one connection, which one thread serves.
#[derive(Debug, Default)]
pub struct ConnectionUse(Cell<u32>);

impl ConnectionUse {
    /// Starts counting on a new connection; for `HttpServer::on_connect`.
    pub fn begin(_: &dyn Any, connection: &mut Extensions) {
        connection.insert(Self::default());
    }

    fn count(&self) -> u32 {
        self.0.set(self.0.get().saturating_add(1));
        self.0.get()
    }
}

/// What bounds the use of a connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The answer to this request of a connection is its last.
    pub max_requests_per_connection: NonZeroU32,
    /// A process that stops asks every client to go elsewhere.
    pub readiness: Readiness,
}

/// Middleware: answers the last request a connection may carry with `Connection: close`, and none behind it.
///
/// # Errors
/// Those of the handlers.
pub async fn bound_connection(
    limits: Data<Limits>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let nth = request.conn_data::<ConnectionUse>().map_or(0, ConnectionUse::count);
    let max = limits.max_requests_per_connection.get();
    if nth > max {
        // Sent before the client read that the connection closes: it has to ask again elsewhere (RFC 9112, 9.6), so an
        // inference would be made for nobody.
        let mut answer = HttpResponse::ServiceUnavailable();
        let answer = answer.force_close().body("this connection is used up, ask again on another one\n");
        return Ok(request.into_response(answer).map_into_right_body());
    }
    let mut response = next.call(request).await?.map_into_left_body();
    if nth >= max || limits.readiness.phase() == Phase::Draining {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
