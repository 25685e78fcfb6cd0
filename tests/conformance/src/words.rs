//! Words in braces that stand for longer texts, so that cases say exact bytes and can still be read.
//!
//! `{upstream.one}` and what else is known only when a case runs is handed in; the rest is fixed:
//!
//! | word | text |
//! |---|---|
//! | `{completion:TEXT}` | a chat completion that says TEXT, with 7 tokens in and 5 out |
//! | `{chunk:TEXT}` | the data of a chat chunk with TEXT |
//! | `{role}`, `{finish}` | the first chunk of a stream, the last one with a choice |
//! | `{usage}` | the chunk without a choice, with 11 tokens in and 22 out |
//! | `{error:TEXT}` | an upstream's error body with TEXT |
//! | `{hash:KEY}` | how a configuration names KEY |
//! | `{repeat:N:TEXT}` | TEXT N times |

use std::collections::BTreeMap;

/// Texts by their word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(BTreeMap<String, String>);

impl Words {
    /// `word` without its braces.
    pub(crate) fn add(&mut self, word: impl Into<String>, text: impl Into<String>) {
        self.0.insert(word.into(), text.into());
    }

    /// `text` with its words spelled out. A brace that opens no word stays: JSON is full of them.
    pub(crate) fn spell(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, behind)) = rest.split_once('{') {
            out.push_str(before);
            let word = behind.split_once('}').and_then(|(word, rest)| Some((self.look_up(word)?, rest)));
            rest = if let Some((text, rest)) = word {
                out.push_str(&text);
                rest
            } else {
                out.push('{');
                behind
            };
        }
        out + rest
    }

    fn look_up(&self, word: &str) -> Option<String> {
        if let Some(text) = self.0.get(word) {
            return Some(text.clone());
        }
        let (name, text) = word.split_once(':').unwrap_or((word, ""));
        match name {
            "completion" => Some(completion(text)),
            "chunk" => Some(chunk(&format!(r#"{{"content":"{text}"}}"#), "null")),
            "role" => Some(chunk(r#"{"role":"assistant","content":""}"#, "null")),
            "finish" => Some(chunk("{}", r#""stop""#)),
            "usage" => Some(chunk_with(
                r#""choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}"#,
            )),
            "error" => Some(format!(
                r#"{{"error":{{"message":"{text}","type":"invalid_request_error","param":null,"code":null}}}}"#
            )),
            "hash" => Some(weir_native_tests::hash(text)),
            "repeat" => {
                let (count, unit) = text.split_once(':')?;
                Some(unit.repeat(count.parse().ok()?))
            }
            _ => None,
        }
    }
}

fn completion(text: &str) -> String {
    let choice = format!(
        r#"{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}"#
    );
    let usage = r#"{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}"#;
    let head = r#""id":"chatcmpl-1","object":"chat.completion","created":1,"model":"up""#;
    format!(r#"{{{head},"choices":[{choice}],"usage":{usage}}}"#)
}

fn chunk(delta: &str, finish: &str) -> String {
    chunk_with(&format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]"#))
}

fn chunk_with(fields: &str) -> String {
    format!(r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"up",{fields}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spelled_out_and_json_is_left_alone() {
        let mut words = Words::default();
        words.add("upstream.one", "http://127.0.0.1:9");
        for (text, spelled) in [
            ("base = \"{upstream.one}/v1\"", "base = \"http://127.0.0.1:9/v1\""),
            ("{\"a\":{}}", "{\"a\":{}}"),
            ("{ env = \"X\" }", "{ env = \"X\" }"),
            ("{unknown}", "{unknown}"),
            ("{repeat:3:[}{", "[[[{"),
            ("{", "{"),
        ] {
            assert_eq!(words.spell(text), spelled);
        }
    }

    #[test]
    fn the_fixed_texts_are_json() {
        for word in ["{completion:a}", "{chunk:a}", "{role}", "{finish}", "{usage}", "{error:a}"] {
            let text = Words::default().spell(word);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{word}: {text}");
        }
    }
}
