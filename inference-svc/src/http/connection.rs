//! Limits the number of requests per connection.
//!
//! A Service balances load per connection, so a connection that never ends pins its client to an old pod.

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

/// Number of requests on one connection. A connection is served by one thread.
#[derive(Debug, Default)]
pub struct ConnectionUse(Cell<u32>);

impl ConnectionUse {
    /// Starts counting for a new connection; for `HttpServer::on_connect`.
    pub fn begin(_: &dyn Any, connection: &mut Extensions) {
        connection.insert(Self::default());
    }

    fn count(&self) -> u32 {
        self.0.set(self.0.get().saturating_add(1));
        self.0.get()
    }
}

/// The limits of a connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The connection is closed after this many requests.
    pub max_requests_per_connection: NonZeroU32,
    /// While the process drains, every connection is closed after its next answer.
    pub readiness: Readiness,
}

/// Middleware: answers the last allowed request of a connection with `Connection: close`, and runs none after it.
///
/// # Errors
/// The handlers' errors.
pub async fn bound_connection(
    limits: Data<Limits>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let nth = request.conn_data::<ConnectionUse>().map_or(0, ConnectionUse::count);
    let max = limits.max_requests_per_connection.get();
    if nth > max {
        // Sent before the client saw `Connection: close`. It must retry on another connection (RFC 9112, 9.6), so an
        // inference here would be wasted.
        let mut answer = HttpResponse::ServiceUnavailable();
        let answer = answer
            .force_close()
            .body("request limit of this connection reached, retry on a new connection\n");
        return Ok(request.into_response(answer).map_into_right_body());
    }
    let mut response = next.call(request).await?.map_into_left_body();
    if nth >= max || limits.readiness.phase() == Phase::Draining {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
