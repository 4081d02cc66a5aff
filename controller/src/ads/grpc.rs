//! gRPC's streams as bodies of HTTP.
//!
//! Each message is encoded into a buffer of its own, which goes with it: those that tonic encodes into stay for as long as their
//! connection, as large as the largest message that was.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use http_body::{Body, Frame};
use prost::Message;
use tokio::sync::mpsc;
use tonic::codec::{BufferSettings, Streaming};
use tonic::codegen::http;
use tonic::{Code, Request, Status};
use tonic_prost::ProstDecoder;

/// A client that reconnects names every resource that it has.
const MAX_REQUEST: usize = 64 << 20;
/// Most of what is read are acknowledgements.
const READ_BUFFER: usize = 512;

/// What a client has to say.
pub(super) fn requests<M>(request: http::Request<tonic::body::Body>) -> Request<Streaming<M>>
where
    M: Message + Default + Send + 'static,
{
    let decoder = || ProstDecoder::new(BufferSettings::new(READ_BUFFER, READ_BUFFER));
    let request =
        request.map(|body| Streaming::new_request(decoder(), body, None, Some(MAX_REQUEST)));
    Request::from_http(request)
}

/// What is said to a client: as messages come, until they end, or with an error.
pub(super) fn responses<M>(messages: Messages<M>) -> http::Response<tonic::body::Body>
where
    M: Message + 'static,
{
    let body = Responses {
        messages: Some(messages),
    };
    let mut response = http::Response::new(tonic::body::Body::new(body));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc);
    response
}

pub(super) type Messages<M> = mpsc::Receiver<Result<Box<M>, Status>>;

struct Responses<M> {
    /// None: it has ended.
    messages: Option<Messages<M>>,
}

impl<M: Message> Body for Responses<M> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        let status = match std::task::ready!(messages.poll_recv(context)) {
            Some(Ok(message)) => return Poll::Ready(Some(framed(&*message).map(Frame::data))),
            Some(Err(status)) => status,
            None => Status::new(Code::Ok, ""),
        };
        self.messages = None;
        let mut trailers = http::HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none()
    }
}

/// With its length before it.
fn framed(message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length).map_err(|_| Status::out_of_range("a message of 4 GiB"))?;
    let mut buffer = Vec::with_capacity(length + 5);
    buffer.put_u8(0);
    buffer.put_u32(prefix);
    message.encode_raw(&mut buffer);
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it() {
        let framed = framed(&"ab".to_owned()).expect("it is small");
        assert_eq!(framed[..], [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
    }
}
