//! Request bodies: nobody here reads one.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};

use super::guard;

/// Sends `response` and closes the connection behind it if the request has a body.
///
/// actix reads a chunked body on after the answer, for as long as the client drips it, unless somebody still holds it
/// when the answer ends: then it lingers for the disconnect timeout and closes.
pub(super) fn refuse_body(request: &HttpRequest, body: web::Payload, response: HttpResponse) -> HttpResponse {
    let headers = request.headers();
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body {
        guard::hang_up(request);
        response.map_body(|_, answer| BoxBody::new(Unread { answer, _body: body }))
    } else {
        response
    }
}

/// An answer that holds on to the request's unread body.
struct Unread {
    answer: BoxBody,
    _body: web::Payload,
}

impl MessageBody for Unread {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}
