//! Whole answers of each dialect, event by event: as the upstream sends them and as the client must see them.

/// A call and its streamed answer.
#[derive(Clone, Debug)]
pub struct Sample {
    pub label: &'static str,
    pub path: &'static str,
    /// The request's body; it asks for the model `m`.
    pub request: String,
    pub events: Vec<Event>,
    /// Tokens in and out, where the upstream reports them.
    pub usage: Option<(u64, u64)>,
}

/// One event, blank line included.
#[derive(Clone, Debug)]
pub struct Event {
    pub sent: String,
    /// `None` if it was asked for by the gateway alone.
    pub seen: Option<String>,
    /// What a client waits for, or the end; the answer may begin with it, not before.
    pub is_content: bool,
}

impl Sample {
    /// The bytes of the upstream.
    pub fn sent(&self) -> String {
        self.events.iter().map(|event| event.sent.as_str()).collect()
    }

    /// The bytes of the client.
    pub fn seen(&self) -> String {
        self.events.iter().filter_map(|event| event.seen.as_deref()).collect()
    }

    /// As if each line ended in `ending`.
    #[must_use]
    pub fn with_line_ending(mut self, ending: &str) -> Self {
        for event in &mut self.events {
            event.sent = event.sent.replace('\n', ending);
            event.seen = event.seen.take().map(|seen| seen.replace('\n', ending));
        }
        self
    }
}

/// Every kind of stream that is held to the contract.
pub fn all() -> Vec<Sample> {
    vec![
        chat(),
        chat_with_usage(),
        chat_without_usage(),
        completions(),
        completions_with_usage(),
        responses(),
    ]
}

/// Chat, the usage asked for by the gateway alone.
pub fn chat() -> Sample {
    chunks("chat", Ask::Chat, Usage::Stripped)
}

/// Chat, the usage asked for by the client.
pub fn chat_with_usage() -> Sample {
    chunks("chat with usage", Ask::Chat, Usage::Asked)
}

/// Chat at an upstream that does not report usage.
pub fn chat_without_usage() -> Sample {
    chunks("chat without usage", Ask::Chat, Usage::Unknown)
}

pub fn completions() -> Sample {
    chunks("completions", Ask::Completions, Usage::Stripped)
}

pub fn completions_with_usage() -> Sample {
    chunks("completions with usage", Ask::Completions, Usage::Asked)
}

#[derive(Clone, Copy)]
enum Ask {
    Chat,
    Completions,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Stripped,
    Asked,
    Unknown,
}

fn chunks(label: &'static str, ask: Ask, usage: Usage) -> Sample {
    let (path, prompt, choices): (_, _, &[(&str, bool)]) = match ask {
        Ask::Chat => (
            "/v1/chat/completions",
            r#""messages":[{"role":"user","content":"hi"}]"#,
            &[
                (r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#, false),
                (r#"{"index":0,"delta":{"content":"é\n\n🦀"},"finish_reason":null}"#, true),
                (r#"{"index":0,"delta":{"content":",\"usage\":null"},"finish_reason":null}"#, true),
                (r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, true),
            ],
        ),
        Ask::Completions => (
            "/v1/completions",
            r#""prompt":"hi""#,
            &[
                (r#"{"index":0,"text":"é\n","finish_reason":null}"#, true),
                (r#"{"index":0,"text":"","finish_reason":"stop"}"#, true),
            ],
        ),
    };
    let options = match usage {
        Usage::Asked => r#","stream_options":{"include_usage":true}"#,
        Usage::Stripped | Usage::Unknown => "",
    };
    let event = |&(choice, is_content): &(&str, bool)| {
        let chunk =
            |usage| format!("data: {{\"id\":\"c1\",\"model\":\"m-1\",\"choices\":[{choice}]{usage}}}\n\n");
        let (sent, seen) = match usage {
            Usage::Stripped => (r#","usage":null"#, ""),
            Usage::Asked => (r#","usage":null"#, r#","usage":null"#),
            Usage::Unknown => ("", ""),
        };
        Event { sent: chunk(sent), seen: Some(chunk(seen)), is_content }
    };
    let mut events: Vec<Event> = choices.iter().map(event).collect();
    if usage != Usage::Unknown {
        let sent = "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n";
        let seen = (usage == Usage::Asked).then(|| sent.to_owned());
        events.push(Event { sent: sent.to_owned(), seen, is_content: false });
    }
    events.push(as_it_is("data: [DONE]\n\n", true));
    Sample {
        label,
        path,
        request: format!(r#"{{"model":"m","stream":true,{prompt}{options}}}"#),
        events,
        usage: (usage != Usage::Unknown).then_some((9, 4)),
    }
}

pub fn responses() -> Sample {
    let events = [
        ("response.created", r#","response":{"id":"r1","model":"m-1","usage":null}"#, false),
        ("response.in_progress", r#","response":{"id":"r1","model":"m-1","usage":null}"#, false),
        ("response.output_text.delta", r#","delta":"é\n\n🦀""#, true),
        ("response.output_text.done", r#","text":"é""#, true),
        (
            "response.completed",
            r#","response":{"id":"r1","model":"m-1","usage":{"input_tokens":9,"output_tokens":4}}"#,
            true,
        ),
    ];
    let event = |(number, (kind, rest, is_content)): (usize, &(&str, &str, bool))| {
        let text =
            format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}{rest}}}\n\n");
        as_it_is(&text, *is_content)
    };
    Sample {
        label: "responses",
        path: "/v1/responses",
        request: r#"{"model":"m","stream":true,"input":"hi"}"#.to_owned(),
        events: events.iter().enumerate().map(event).collect(),
        usage: Some((9, 4)),
    }
}

fn as_it_is(text: &str, is_content: bool) -> Event {
    Event { sent: text.to_owned(), seen: Some(text.to_owned()), is_content }
}

/// A call that is answered as a whole, and the answer.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    pub path: &'static str,
    pub request: &'static str,
    pub answer: &'static str,
}

pub const WHOLE_CHAT: Whole = Whole {
    path: "/v1/chat/completions",
    request: r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
    answer: r#"{ "id":"c1","model":"m-1", "choices":[{"index":0,"message":{"role":"assistant","content":"é"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4},"service_tier":"x"}"#,
};

pub const WHOLE_RESPONSE: Whole = Whole {
    path: "/v1/responses",
    request: r#"{"model":"m","input":"hi"}"#,
    answer: r#"{"id":"r1","model":"m-1","error":null,"output":[],"usage":{"input_tokens":9,"output_tokens":4}}"#,
};

pub const EMBEDDINGS: Whole = Whole {
    path: "/v1/embeddings",
    request: r#"{"model":"m","input":"hi","encoding_format":"base64"}"#,
    answer: r#"{"object":"list","model":"m-1","data":[{"index":0,"embedding":"AACAPw=="}],"usage":{"prompt_tokens":9,"total_tokens":9}}"#,
};
