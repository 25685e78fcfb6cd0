//! What is asked of the gateway about a recording, and what it answers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_native_tests::{Act, Gateway, Upstream, whole};

use crate::expectation::error_status;
use crate::recording::{Api, Dialect, Form, Recording};
use crate::wire::{self, Cutting};

/// Recordings that are under way at the same time.
const AT_ONCE: usize = 6;

/// A place among the questions about one recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first time, in the form of the recording.
    Live,
    /// The same once more.
    Again,
    /// The other form: a whole answer for a recorded stream, a stream for a recorded answer.
    OtherForm,
    /// The other form, by a provider that sends its own whatever is asked for.
    Unheeded,
    /// A stream whose client has not asked for usage.
    Unasked,
    /// The same once more.
    UnaskedAgain,
    /// The recording cut at half of its bytes.
    Half,
    /// The same once more.
    HalfAgain,
}

/// One answer of the gateway.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub cutting: Cutting,
    pub part: Part,
    pub status: u16,
    pub body: Bytes,
    /// The transport broke off.
    pub is_broken: bool,
    /// It was kept, and given again.
    pub is_hit: bool,
    /// Its line in the log.
    pub record: Value,
}

struct Question {
    cutting: Cutting,
    part: Part,
    api: Api,
    body: Value,
}

/// Puts all recordings through one gateway; the exchanges of each, in order.
pub(crate) async fn all(recordings: &[Recording]) -> Vec<Vec<Exchange>> {
    let (mut answers, mut questions) = (HashMap::new(), Vec::new());
    for (number, recording) in recordings.iter().enumerate() {
        questions.push(plan(&format!("recording-{number}"), recording, &mut answers));
    }
    let upstream = Upstream::start(move |seen| {
        let model = seen.json()["model"].as_str().unwrap_or_default().to_owned();
        vec![answers.get(&model).map_or(Act::Close, |answer: &Bytes| Act::Send(answer.clone()))]
    })
    .await;
    let gateway = Arc::new(Gateway::start(document(&upstream.base())).await);

    let (turns, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (number, questions) in questions.into_iter().enumerate() {
        let (gateway, turns) = (Arc::clone(&gateway), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let mut exchanges = Vec::new();
            for question in questions {
                exchanges.push(ask(&gateway, question).await);
            }
            (number, exchanges)
        });
    }
    let mut done = running.join_all().await;
    done.sort_by_key(|(number, _)| *number);

    let count = done.iter().map(|(_, exchanges)| exchanges.len()).sum();
    let records = gateway.until_records(count).await;
    let mut records: HashMap<String, Value> = records
        .into_iter()
        .filter_map(|record| Some((record["request_id"].as_str()?.to_owned(), record)))
        .collect();
    let with_record = |(id, mut exchange): (String, Exchange)| {
        exchange.record = records.remove(&id).unwrap_or_default();
        exchange
    };
    let mut with_record = with_record;
    done.into_iter().map(|(_, exchanges)| exchanges.into_iter().map(&mut with_record).collect()).collect()
}

/// One attempt at an upstream of which nothing is believed, and all that is complete is kept.
fn document(base: &str) -> String {
    format!(
        r#"auth = "open"
passthrough = "provider"

[limits.default]
requests = "unlimited"

[store]
cache = "1GiB"

[upstream.provider]
dialect  = "openai"
base_url = "{base}"
breaker  = {{ consecutive = 1000000, minimum = 1000000, on_rate_limit = "ignore" }}

[[route]]
model = "*"
to    = ["provider"]
retry = {{ attempts = 1 }}
cache = {{ ttl = "1h", max_entry = "16MiB" }}
"#
    )
}

/// What is to be asked about a recording, and what the upstream answers, by the model that is asked for.
fn plan(name: &str, recording: &Recording, answers: &mut HashMap<String, Bytes>) -> Vec<Question> {
    let Dialect::Spoken(api) = recording.dialect else { return Vec::new() };
    let mut questions = Vec::new();
    let mut ask = |cutting: Cutting, model: &str, parts: &[(Part, Wish)]| {
        let asked =
            |(part, wish): &(Part, Wish)| Question { cutting, part: *part, api, body: wish.body(api, model) };
        questions.extend(parts.iter().map(asked));
    };
    match &recording.form {
        Form::Events(lines) => {
            let frames = wire::frames(api, lines);
            let stream = |chunks: &[Vec<u8>]| wire::response(200, "text/event-stream", chunks);
            for cutting in Cutting::ALL {
                let model = format!("{name} by {}", cutting.name());
                answers.insert(model.clone(), stream(&cutting.chunks(&frames)));
                let parts = [
                    (Part::Live, Wish::Stream { usage: true }),
                    (Part::Again, Wish::Stream { usage: true }),
                    (Part::OtherForm, Wish::Whole),
                ];
                ask(cutting, &model, &parts);
            }
            if api.has_chunks() {
                let model = format!("{name} without usage");
                answers.insert(model.clone(), stream(&Cutting::Event.chunks(&frames)));
                let unasked = Wish::Stream { usage: false };
                ask(Cutting::Event, &model, &[(Part::Unasked, unasked), (Part::UnaskedAgain, unasked)]);
            }
            let model = format!("{name} unheeded");
            answers.insert(model.clone(), stream(&Cutting::Event.chunks(&frames)));
            ask(Cutting::Event, &model, &[(Part::Unheeded, Wish::Whole)]);
            let (model, half) = (format!("{name} at half"), frames.concat());
            answers.insert(model.clone(), stream(&[half[..half.len() / 2].to_vec()]));
            let asked = Wish::Stream { usage: true };
            ask(Cutting::Whole, &model, &[(Part::Half, asked), (Part::HalfAgain, asked)]);
        }
        Form::Whole(text) => {
            let status = if api == Api::Error { error_status(text) } else { 200 };
            for cutting in [Cutting::Whole, Cutting::OneByte, Cutting::Bytes997] {
                let model = format!("{name} by {}", cutting.name());
                let chunks = cutting.chunks(&[text.clone().into_bytes()]);
                answers.insert(model.clone(), wire::response(status, "application/json", &chunks));
                ask(cutting, &model, &[(Part::Live, Wish::Whole), (Part::Again, Wish::Whole)]);
                if api.has_chunks() || api == Api::Responses {
                    ask(cutting, &model, &[(Part::OtherForm, Wish::Stream { usage: true })]);
                }
            }
            if api.has_chunks() || api == Api::Responses {
                let model = format!("{name} unheeded");
                answers.insert(
                    model.clone(),
                    wire::response(200, "application/json", &[text.clone().into_bytes()]),
                );
                ask(Cutting::Whole, &model, &[(Part::Unheeded, Wish::Stream { usage: true })]);
            }
            if api != Api::Transcription && api != Api::Error {
                let (model, half) = (format!("{name} at half"), text.as_bytes()[..text.len() / 2].to_vec());
                answers.insert(model.clone(), wire::response(200, "application/json", &[half]));
                ask(Cutting::Whole, &model, &[(Part::Half, Wish::Whole), (Part::HalfAgain, Wish::Whole)]);
            }
        }
    }
    questions
}

/// The form in which an answer is asked for.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Whole,
    Stream { usage: bool },
}

impl Wish {
    fn body(self, api: Api, model: &str) -> Value {
        let mut body = match api {
            Api::Chat | Api::Error => {
                json!({"messages": [{"role": "user", "content": "Tell me of rivers."}]})
            }
            Api::Completions => json!({"prompt": "Tell me of rivers."}),
            Api::Responses | Api::Embeddings => json!({"input": "Tell me of rivers."}),
            Api::Transcription => json!({}),
        };
        body["model"] = model.into();
        if let Self::Stream { usage } = self {
            body["stream"] = true.into();
            if usage && api.has_chunks() {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        body
    }
}

/// The id of the request, and the answer without its record.
#[expect(
    clippy::expect_used,
    reason = "a gateway that is gone is no difference, but the end of all comparing"
)]
async fn ask(gateway: &Gateway, question: Question) -> (String, Exchange) {
    let Question { cutting, part, api, body } = question;
    let request = Request::post(api.path()).header("content-type", "application/json");
    let request = request.body(whole(body.to_string())).expect("a request");
    let (head, mut incoming) = gateway.try_send(request).await.expect("an answer").into_parts();
    let (mut body, mut is_broken) = (BytesMut::new(), false);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => is_broken = true,
        }
    }
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let exchange = Exchange {
        cutting,
        part,
        status: head.status.as_u16(),
        body: body.freeze(),
        is_broken,
        is_hit: header("x-cache") == "HIT",
        record: Value::Null,
    };
    (header("x-request-id").to_owned(), exchange)
}
