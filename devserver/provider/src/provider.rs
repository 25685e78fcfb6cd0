//! One request from its head to its answer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{
    call::Call,
    chat, completions, echo, embeddings,
    fields::Fields,
    flaky::{Flaky, Turn},
    models,
    playback::Playback,
    refusal::Refusal,
    reply::{self, Reply},
    responses,
    route::{Api, Route},
    score,
    script::{Script, StandIn},
    seed::Seed,
    wire::ResetSwitch,
};

/// The largest request body that is read into memory.
const LARGEST_BODY: usize = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct Provider {
    flaky: Mutex<Flaky>,
    served: AtomicU64,
}

impl Provider {
    /// Answers one request. `reset` resets the connection it came by.
    pub(crate) async fn respond<B>(&self, request: Request<B>, reset: ResetSwitch) -> Response<Playback>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let mut reply = match self.answer(&head, body, &reset).await {
            Ok(reply) => reply,
            Err(refusal) => refusal.reply(),
        };
        self.sign(reply.headers_mut(), begun);
        reply.map(|steps| Playback::new(steps, reset))
    }

    async fn answer<B>(&self, head: &Parts, body: B, reset: &ResetSwitch) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        authenticate(&head.headers)?;
        match Route::parse(&head.method, &head.uri)? {
            Route::Call { api, deployment } => {
                let body = collect(body).await?;
                self.call(api, deployment, &body, reset).await
            }
            Route::Models => Ok(models::list()),
            Route::Model(id) => models::one(id),
            Route::Echo => echo::answer(head, body).await,
        }
    }

    async fn call(
        &self,
        api: Api,
        deployment: Option<&str>,
        body: &[u8],
        reset: &ResetSwitch,
    ) -> Result<Reply, Refusal> {
        let json: Value =
            serde_json::from_slice(body).map_err(|error| Refusal::NotJson { why: error.to_string() })?;
        let fields = Fields::of_body(&json)?;
        let model = match deployment {
            Some(model) => model,
            None => fields.text("model")?.ok_or_else(|| fields.missing("model"))?,
        };
        let script = Script::parse(model)?;
        let streams = fields.flag("stream")?;
        let call = Call {
            model,
            script: &script,
            fields,
            identity: Seed::of([model.as_bytes(), body]),
            created: now(),
        };
        let reply = match api {
            Api::Chat => chat::answer(&call),
            Api::Completions => completions::answer(&call),
            Api::Embeddings => embeddings::answer(&call),
            Api::Responses => responses::answer(&call),
        }?;
        tokio::time::sleep(script.latency).await;
        if script.refuse {
            reset.throw();
            // The connection goes, and this future with it.
            return std::future::pending().await;
        }
        self.stand_in(model, &script, streams).map(|instead| instead.unwrap_or(reply))
    }

    /// What the script puts in place of a whole answer.
    fn stand_in(&self, model: &str, script: &Script, streams: bool) -> Result<Option<Reply>, Refusal> {
        let scripted =
            |status| Refusal::Scripted { status, model: model.to_owned(), retry_after: script.retry_after };
        if let Some(refusals) = script.flaky
            && self.turn(model, refusals) == Turn::Refuse
        {
            return Err(scripted(StatusCode::SERVICE_UNAVAILABLE));
        }
        let error = || scripted(StatusCode::INTERNAL_SERVER_ERROR).error();
        match (script.stand_in, script.status) {
            (Some(StandIn::Html), status) => Ok(Some(reply::html(status.unwrap_or_default()))),
            (Some(StandIn::ErrorBody) | None, Some(status)) => Err(scripted(status)),
            (Some(StandIn::ErrorBody), None) if streams => Ok(Some(score::error_stream(&error()))),
            (Some(StandIn::ErrorBody), None) => {
                Ok(Some(reply::json(StatusCode::OK, &json!({"error": error()}))))
            }
            (None, None) => Ok(None),
        }
    }

    fn turn(&self, model: &str, refusals: usize) -> Turn {
        let mut flaky = self.flaky.lock().unwrap_or_else(PoisonError::into_inner);
        flaky.take(model, refusals)
    }

    /// The headers of OpenAI, one of them a cookie that a gateway must not let through.
    fn sign(&self, headers: &mut HeaderMap, begun: Instant) {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        if let Ok(id) = HeaderValue::try_from(format!("req_sim{number:016x}")) {
            headers.insert("x-request-id", id);
        }
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        headers.insert("openai-processing-ms", HeaderValue::from(millis));
        headers.insert("openai-organization", HeaderValue::from_static("sim-org"));
        headers.insert(header::SET_COOKIE, HeaderValue::from_static("sim=1"));
    }
}

/// Any credential is good, and none is, but for the one that says it is not.
fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|sent| sent == value);
    if says("authorization", "Bearer invalid") || says("api-key", "invalid") {
        return Err(Refusal::InvalidKey { key: "invalid".to_owned() });
    }
    Ok(())
}

/// Reads a whole body. One that is too large is read to its end and thrown away: an answer
/// before that would be lost in the reset of a connection with unread data.
async fn collect<B>(mut body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut collected = Ok(BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        let (Some(data), Ok(bytes)) = (frame.data_ref(), &mut collected) else {
            continue;
        };
        if bytes.len() + data.len() > LARGEST_BODY {
            collected = Err(Refusal::TooLarge { most: LARGEST_BODY });
        } else {
            bytes.extend_from_slice(data);
        }
    }
    collected.map(BytesMut::freeze)
}

/// Unix seconds: the only thing in an answer that its request does not decide.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
