//! A call to an upstream. The runtime follows no redirects.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode};
use spin_sdk::http::{Fields, IncomingResponse, OutgoingRequest};
use spin_sdk::wit::wasi::http0_2_0::outgoing_handler;
use spin_sdk::wit::wasi::http0_2_0::types::{
    ErrorCode, FutureIncomingResponse, Method as WasiMethod, RequestOptions, Scheme as WasiScheme,
};
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::SendFault;
use weir::wire::upload::{Broken, Passing, Payload};

use crate::clock::{Wait, nanos, wait};
use crate::head;
use crate::inflow::{Answer, Upload};
use crate::outflow::Outflow;

/// How much longer the runtime waits than the core does. Its timeouts have defaults of ten minutes that would cut a
/// longer call short, and what it says of them does not tell one from the other.
const MARGIN: Duration = Duration::from_secs(5);

/// An upstream's answer, and what is still to go there.
pub(crate) struct Download {
    answer: Answer,
    cargo: Option<Cargo>,
}

/// A request's body that has not gone yet.
struct Cargo {
    rest: Bytes,
    upload: Option<Passing<Upload>>,
    out: Outflow,
}

/// An answer that is waited for.
struct Awaited {
    wait: Option<Wait>,
    response: FutureIncomingResponse,
}

/// Sends `request` and waits for the head of its answer.
pub(crate) async fn send(
    upstream: &Upstream,
    request: Request<Payload<Upload>>,
) -> Result<Response<Download>, SendFault> {
    let (outgoing, payload) = outgoing(request).ok_or(SendFault::Broken)?;
    let out = outgoing.body().ok().and_then(Outflow::of).ok_or(SendFault::Broken)?;
    let options = options(upstream, &payload);
    // What is written and finished before the call is sent together with its head; written behind it, it would wait
    // for the upstream's delayed acknowledgement of that.
    let cargo = Cargo::load(payload, out);
    let response = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| fault(&code))?;
    let mut awaited = Awaited { wait: None, response };
    let mut cargo = cargo;
    let response = poll_fn(|cx| {
        forward(&mut cargo, cx);
        awaited.poll(cx)
    })
    .await?;
    let status = StatusCode::from_u16(response.status()).map_err(|_| SendFault::Broken)?;
    let headers = head::headers(response.headers().entries());
    let mut answer = Response::new(Download { answer: Answer::of(response), cargo });
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

impl Cargo {
    /// `None` where nothing is left to be sent.
    fn load(payload: Payload<Upload>, mut out: Outflow) -> Option<Self> {
        let (mut rest, upload) = match payload {
            Payload::Empty => (Bytes::new(), None),
            Payload::Whole(bytes) => (bytes, None),
            Payload::Stream(upload) => (Bytes::new(), Some(upload)),
        };
        // Nobody takes it: the answer tells why.
        out.offer(&mut rest).ok()?;
        if rest.is_empty() && upload.is_none() {
            out.finish();
            return None;
        }
        Some(Self { rest, upload, out })
    }

    /// Ready when all has gone, or nothing more can go.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if ready!(self.out.poll_write(&mut self.rest, cx)).is_err() {
                return Poll::Ready(Err(Broken));
            }
            let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
            match ready!(Pin::new(upload).poll_next(cx)) {
                Some(Ok(bytes)) => self.rest = bytes,
                // The client broke off: so must the request to the upstream.
                Some(Err(Broken)) => return Poll::Ready(Err(Broken)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Sends what there is of a request's body. Whatever goes wrong with that, the answer tells.
fn forward(cargo: &mut Option<Cargo>, cx: &mut Context<'_>) {
    let Some(loaded) = cargo else { return };
    let Poll::Ready(sent) = loaded.poll(cx) else { return };
    if let Some(Cargo { out, .. }) = cargo.take()
        && sent.is_ok()
    {
        out.finish();
    }
}

impl Awaited {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<IncomingResponse, SendFault>> {
        self.wait = None;
        match self.response.get() {
            None => {
                self.wait = Some(wait(self.response.subscribe(), cx));
                Poll::Pending
            }
            Some(Ok(answer)) => Poll::Ready(answer.map_err(|code| fault(&code))),
            // It has been taken already.
            Some(Err(())) => Poll::Ready(Err(SendFault::Broken)),
        }
    }
}

impl Stream for Download {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        forward(&mut self.cargo, cx);
        Pin::new(&mut self.answer).poll_next(cx)
    }
}

/// The request without its body, as WASI has it. `None` where it cannot be said.
fn outgoing(request: Request<Payload<Upload>>) -> Option<(OutgoingRequest, Payload<Upload>)> {
    let (parts, payload) = request.into_parts();
    let length = match &payload {
        Payload::Whole(bytes) => u64::try_from(bytes.len()).ok(),
        Payload::Empty | Payload::Stream(_) => None,
    };
    let fields = Fields::from_list(&head::fields(&parts.headers, length)).ok()?;
    let outgoing = OutgoingRequest::new(fields);
    outgoing.set_method(&method(&parts.method)).ok()?;
    let scheme = if parts.uri.scheme() == Some(&Scheme::HTTP) { WasiScheme::Http } else { WasiScheme::Https };
    outgoing.set_scheme(Some(&scheme)).ok()?;
    outgoing.set_authority(parts.uri.authority().map(http::uri::Authority::as_str)).ok()?;
    outgoing.set_path_with_query(parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str)).ok()?;
    Some((outgoing, payload))
}

fn method(method: &Method) -> WasiMethod {
    match method.as_str() {
        "GET" => WasiMethod::Get,
        "HEAD" => WasiMethod::Head,
        "POST" => WasiMethod::Post,
        "PUT" => WasiMethod::Put,
        "DELETE" => WasiMethod::Delete,
        "CONNECT" => WasiMethod::Connect,
        "OPTIONS" => WasiMethod::Options,
        "TRACE" => WasiMethod::Trace,
        "PATCH" => WasiMethod::Patch,
        other => WasiMethod::Other(other.to_owned()),
    }
}

/// The runtime bounds the connect; it counts an upload's own time into the wait for the first byte.
fn options(upstream: &Upstream, payload: &Payload<Upload>) -> RequestOptions {
    let timeouts = &upstream.timeouts;
    let first_byte = match payload {
        Payload::Empty | Payload::Whole(_) => timeouts.first_byte,
        Payload::Stream(_) => timeouts.total,
    };
    let options = RequestOptions::new();
    // A runtime that does not know one of them has a bound of its own.
    let _ = options.set_connect_timeout(Some(nanos(timeouts.connect)));
    let _ = options.set_first_byte_timeout(Some(nanos(first_byte.saturating_add(MARGIN))));
    let _ = options.set_between_bytes_timeout(Some(nanos(timeouts.idle.saturating_add(MARGIN))));
    options
}

fn fault(code: &ErrorCode) -> SendFault {
    SendFault::Connect(match code {
        ErrorCode::ConnectionTimeout => return SendFault::ConnectTimeout,
        ErrorCode::DnsTimeout => ConnectFault::NameTimedOut,
        ErrorCode::DnsError(_) => ConnectFault::NameUnresolved,
        ErrorCode::ConnectionRefused => ConnectFault::Refused,
        ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable => ConnectFault::Unreachable,
        // The runtime's own bound.
        ErrorCode::ConnectionLimitReached => return SendFault::Busy,
        ErrorCode::TlsCertificateError => ConnectFault::CertificateInvalid,
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => ConnectFault::TlsFailed,
        // A host that the manifest does not allow.
        ErrorCode::DestinationIpProhibited | ErrorCode::HttpRequestDenied => ConnectFault::Forbidden,
        _ => return SendFault::Broken,
    })
}
