//! Whether what the gateway answered is what should have become of a recording.

use serde_json::Value;

use crate::content::Content;
use crate::exchange::{Exchange, Part};
use crate::expectation::{self, Ending, Expectation, Usage, is_complete, says_something, usage_of};
use crate::recording::{Api, Dialect, Form, Line, Recording};
use crate::responses;
use crate::wire::{self, Told};

/// Characters of a difference that are shown.
const SHOWN: usize = 600;

/// What differs from what should be, each with the cutting and the part in which it was found.
pub fn differences(recording: &Recording, exchanges: &[Exchange]) -> Vec<String> {
    let Dialect::Spoken(api) = recording.dialect else { return Vec::new() };
    let mut all = Vec::new();
    if exchanges.is_empty() {
        all.push("nothing was asked".to_owned());
    }
    for exchange in exchanges {
        let mut faults = match &recording.form {
            Form::Events(lines) => Stream { api, lines }.faults(exchange),
            Form::Whole(text) => faults_of_whole(api, text, exchange),
        };
        if exchange.is_broken {
            faults.push("the transport broke off".to_owned());
        }
        let place = format!("{:?}, {}", exchange.part, exchange.cutting.name());
        all.extend(faults.iter().map(|fault| format!("{place}: {}", shortened(fault))));
    }
    all
}

/// What a recording is, in a few words.
pub(crate) fn summary(recording: &Recording) -> String {
    let Dialect::Spoken(api) = recording.dialect else { return String::new() };
    let (what, usage) = match &recording.form {
        Form::Events(lines) => {
            let expected = expectation::of_stream(api, lines, true);
            let is_whole = Stream { api, lines }.whole(&expected).is_some();
            let as_stream =
                if expected.ending == Ending::Complete && !is_whole { ", kept as a stream only" } else { "" };
            (format!("{} events, {:?}{as_stream}", lines.len(), expected.ending), expected.usage)
        }
        Form::Whole(text) => (format!("whole, {} bytes", text.len()), usage_of(&json_of(text.as_bytes()))),
    };
    let usage = usage.map(|Usage { input, output, .. }| format!(", {input} + {output} tokens"));
    format!("{}, {what}{}", api.name(), usage.unwrap_or_default())
}

struct Stream<'a> {
    api: Api,
    lines: &'a [Line],
}

impl Stream<'_> {
    fn faults(&self, exchange: &Exchange) -> Vec<String> {
        let expected = expectation::of_stream(self.api, self.lines, true);
        let is_kept = expected.ending == Ending::Complete;
        match exchange.part {
            Part::Live => self.faults_of_live(&expected, exchange),
            Part::Again if is_kept => {
                let mut faults = self.faults_of_bytes(&expected, exchange);
                faults.extend((!exchange.is_hit).then(|| "it was not kept".to_owned()));
                faults
            }
            Part::OtherForm if is_kept => self.faults_as_whole(&expected, exchange),
            Part::Unheeded => self.faults_of_unheeded(&expected, exchange),
            Part::Unasked | Part::UnaskedAgain if is_kept => {
                let mut faults = self.faults_without_usage(exchange);
                if exchange.part == Part::Unasked {
                    faults.extend(faults_of_record("complete", expected.usage, exchange));
                } else if !exchange.is_hit {
                    faults.push("it was not kept".to_owned());
                }
                faults
            }
            Part::Again | Part::OtherForm | Part::UnaskedAgain => faults_if_kept(exchange),
            Part::Unasked => Vec::new(),
            Part::Half | Part::HalfAgain => self.faults_of_half(exchange),
        }
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        wire::frames(self.api, self.lines)
    }

    fn faults_of_live(&self, expected: &Expectation, exchange: &Exchange) -> Vec<String> {
        let mut faults = self.faults_of_bytes(expected, exchange);
        let (endings, usage) = match expected.ending {
            Ending::Complete => (&["complete"][..], expected.usage),
            // Nothing of it has passed: it was a call that failed.
            _ if !expected.has_content => return faults,
            Ending::Truncated => (&["truncated"][..], expected.usage),
            Ending::Malformed => (&["malformed"][..], expected.usage),
            Ending::Failed => (&["upstream_error", "rejected"][..], expected.usage),
        };
        let ending = exchange.record["ending"].as_str().filter(|ending| endings.contains(ending));
        faults.extend(faults_of_record(ending.unwrap_or(endings[0]), usage, exchange));
        faults
    }

    /// What passes must be what the provider sent, and behind it stands a notice where it is not complete.
    fn faults_of_bytes(&self, expected: &Expectation, exchange: &Exchange) -> Vec<String> {
        if expected.ending != Ending::Complete && !expected.has_content {
            return faults_of_refusal(expected, exchange);
        }
        if exchange.status != 200 {
            return vec![format!("status {}: {}", exchange.status, text(&exchange.body))];
        }
        let passing = self.frames()[..expected.passing].concat();
        let Some(notice) = exchange.body.strip_prefix(passing.as_slice()) else {
            return vec![first_difference(&passing, &exchange.body)];
        };
        faults_of_notice(self.api, expected, notice)
    }

    /// The whole answer that the stream amounts to, if a whole answer can be made of it.
    fn whole(&self, expected: &Expectation) -> Option<Whole> {
        if expected.ending != Ending::Complete {
            return None;
        }
        let events = self.lines.iter().filter_map(Line::json);
        if self.api == Api::Responses {
            return responses::final_response(events).map(|response| Whole::Response(response.clone()));
        }
        Some(Whole::Choices(Content::of_chunks(events)))
    }

    /// A stream for who wanted a whole answer is put together, or fails as a whole.
    fn faults_of_unheeded(&self, expected: &Expectation, exchange: &Exchange) -> Vec<String> {
        if self.whole(expected).is_none() {
            return faults_of_refusal(expected, exchange);
        }
        let mut faults = self.faults_as_whole(expected, exchange);
        faults.extend(faults_of_record("complete", expected.usage, exchange));
        faults
    }

    fn faults_as_whole(&self, expected: &Expectation, exchange: &Exchange) -> Vec<String> {
        let Some(whole) = self.whole(expected) else { return faults_if_kept(exchange) };
        if exchange.status != 200 || (exchange.part == Part::OtherForm && !exchange.is_hit) {
            let said = text(&exchange.body);
            return vec![format!("no whole answer was made of it: {} {said}", exchange.status)];
        }
        let answer = json_of(&exchange.body);
        match whole {
            Whole::Response(response) if response == answer => Vec::new(),
            Whole::Response(response) => vec![format!("the whole answer is {answer}, not {response}")],
            Whole::Choices(content) => content.differences(&Content::of_whole(&answer)),
        }
    }

    /// The events without the usage that only the gateway has asked for.
    fn faults_without_usage(&self, exchange: &Exchange) -> Vec<String> {
        let mut wanted = wire::read(&self.frames().concat());
        wanted.retain_mut(|told| {
            let Told::Event { data, .. } = told else { return true };
            let is_report = says_something(&data["usage"]) && !says_something(&data["choices"]);
            if let Some(fields) = data.as_object_mut() {
                fields.remove("usage");
            }
            !is_report
        });
        let had = wire::read(&exchange.body);
        if wanted == had {
            return Vec::new();
        }
        let at = wanted.iter().zip(&had).take_while(|(wanted, had)| wanted == had).count();
        vec![format!("event {at} without usage is {:?}, not {:?}", had.get(at), wanted.get(at))]
    }

    fn faults_of_half(&self, exchange: &Exchange) -> Vec<String> {
        let frames = self.frames();
        let half = frames.concat().len() / 2;
        let ends = frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        });
        let count = ends.take_while(|end| *end <= half).count();
        let half = Stream { api: self.api, lines: &self.lines[..count.min(self.lines.len())] };
        let expected = expectation::of_stream(half.api, half.lines, false);
        if expected.ending == Ending::Complete {
            // What stands behind its end is longer than it.
            return half.faults_of_bytes(&expected, exchange);
        }
        let mut faults = half.faults_of_live(&expected, exchange);
        faults.extend(faults_if_kept(exchange));
        faults
    }
}

enum Whole {
    Response(Value),
    Choices(Content),
}

fn faults_if_kept(exchange: &Exchange) -> Vec<String> {
    if exchange.is_hit { vec!["it was kept".to_owned()] } else { Vec::new() }
}

/// A call that fails before there is anything of an answer.
fn faults_of_refusal(expected: &Expectation, exchange: &Exchange) -> Vec<String> {
    let mut faults = faults_if_kept(exchange);
    let answer = json_of(&exchange.body);
    let message = answer["error"]["message"].as_str();
    if exchange.status < 400 || message.is_none() {
        faults.push(format!("not refused: {} {}", exchange.status, text(&exchange.body)));
    }
    if let Some(failure) = &expected.failure
        && message_of(failure) != message
    {
        faults.push(format!("it says {message:?}, not {:?}", message_of(failure)));
    }
    faults
}

/// What tells a client that the answer is not complete.
fn faults_of_notice(api: Api, expected: &Expectation, notice: &[u8]) -> Vec<String> {
    if expected.ending == Ending::Complete {
        return if notice.is_empty() {
            Vec::new()
        } else {
            vec![format!("behind its end: {}", text(notice))]
        };
    }
    let told = wire::read(notice);
    let [Told::Event { data, .. }] = told.as_slice() else {
        return vec![format!("not one event tells that it is not complete: {}", text(notice))];
    };
    let is_error = match api {
        Api::Responses => matches!(data["type"].as_str(), Some("error" | "response.failed")),
        _ => data["error"].is_object() && !says_something(&data["choices"]),
    };
    let mut faults = Vec::new();
    if !is_error || message_of(data).is_none() {
        faults.push(format!("no error tells that it is not complete: {data}"));
    }
    if let Some(failure) = &expected.failure {
        let is_same = match failure["type"].as_str() {
            Some("response.failed") => failure == data,
            _ => message_of(failure) == message_of(data),
        };
        if !is_same {
            faults.push(format!("the failure is told as {data}, not as {failure}"));
        }
    }
    faults
}

fn message_of(event: &Value) -> Option<&str> {
    let places = ["/error/message", "/response/error/message", "/message"];
    places.iter().find_map(|place| event.pointer(place)?.as_str())
}

fn faults_of_whole(api: Api, text: &str, exchange: &Exchange) -> Vec<String> {
    let answer = json_of(text.as_bytes());
    let is_kept = is_complete(api, &answer);
    let mut faults = Vec::new();
    match exchange.part {
        Part::Half | Part::HalfAgain => {
            if exchange.status < 500 {
                faults.push(format!("half of it is an answer: {}", exchange.status));
            }
            faults.extend(faults_if_kept(exchange));
        }
        Part::Live | Part::Again if api == Api::Error => {
            let wanted = expectation::error_status(text);
            if exchange.status != wanted {
                faults.push(format!("status {}, not {wanted}", exchange.status));
            }
            let had = json_of(&exchange.body);
            if message_of(&had) != message_of(&answer) {
                faults.push(format!("it says {:?}, not {:?}", message_of(&had), message_of(&answer)));
            }
            faults.extend(faults_if_kept(exchange));
        }
        Part::Live | Part::Again => {
            if exchange.status != 200 || exchange.body != text.as_bytes() {
                faults.push(first_difference(text.as_bytes(), &exchange.body));
            }
            if exchange.part == Part::Live {
                faults.extend(faults_of_record("complete", usage_of(&answer), exchange));
            } else if exchange.is_hit != is_kept {
                faults.push(format!("kept: {}, not {is_kept}", exchange.is_hit));
            }
        }
        Part::OtherForm | Part::Unheeded if is_kept => {
            if exchange.status != 200 || (exchange.part == Part::OtherForm && !exchange.is_hit) {
                let said = String::from_utf8_lossy(&exchange.body);
                return vec![format!("no stream was made of it: {} {said}", exchange.status)];
            }
            faults.extend(faults_as_stream(api, &answer, &wire::read(&exchange.body)));
            if exchange.part == Part::Unheeded {
                faults.extend(faults_of_record("complete", usage_of(&answer), exchange));
            }
        }
        Part::OtherForm | Part::Unheeded => faults.extend(faults_if_kept(exchange)),
        Part::Unasked | Part::UnaskedAgain => {}
    }
    faults
}

fn faults_as_stream(api: Api, answer: &Value, stream: &[Told]) -> Vec<String> {
    if !api.has_chunks() {
        return responses::faults(answer, stream);
    }
    let Some((Told::Text(done), chunks)) = stream.split_last() else {
        return vec!["the stream does not end in [DONE]".to_owned()];
    };
    let mut faults = Vec::new();
    if done != "[DONE]" {
        faults.push(format!("the stream ends in {done}"));
    }
    let chunks = chunks.iter().filter_map(|told| match told {
        Told::Event { data, .. } => Some(data),
        Told::Comment(_) | Told::Text(_) => None,
    });
    faults.extend(Content::of_whole(answer).differences(&Content::of_chunks(chunks)));
    faults
}

/// What the ledger says of an answer that a provider has given.
fn faults_of_record(ending: &str, usage: Option<Usage>, exchange: &Exchange) -> Vec<String> {
    let record = &exchange.record;
    let mut faults = Vec::new();
    if record["ending"] != ending {
        faults.push(format!("it is booked as {}, not as {ending}", record["ending"]));
    }
    let number = |key: &str| record[key].as_u64().unwrap_or_default();
    let booked = Usage {
        input: number("input_tokens"),
        cached: number("cached_tokens"),
        output: number("output_tokens"),
    };
    match usage {
        Some(usage) if record["usage"] != "reported" || booked != usage => {
            faults.push(format!("metered as {booked:?}, {}, not as {usage:?}", record["usage"]));
        }
        None if record["usage"] == "reported" => {
            faults.push(format!("metered as {booked:?}, which nobody has reported"));
        }
        Some(_) | None => {}
    }
    faults
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn first_difference(wanted: &[u8], had: &[u8]) -> String {
    let at = wanted.iter().zip(had).take_while(|(wanted, had)| wanted == had).count();
    let around = |bytes: &[u8]| {
        let bytes = bytes.get(at.saturating_sub(40)..).unwrap_or_default();
        text(&bytes[..bytes.len().min(160)])
    };
    format!("byte {at} differs: …{}…, not …{}…", around(had), around(wanted))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests;
