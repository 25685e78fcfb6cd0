//! Objects of a provider that a request names, and those that an answer says were made.
//!
//! To a provider all tenants of an account are one: a call that names another tenant's file, response or conversation
//! would be given what is in it. Fields are known by the names that `OpenAI` documents, in any case of letters and
//! wherever they stand.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Objects that a request may name where owners are remembered; one that names more is refused.
const MOST: usize = 256;

/// Objects of one answer that are remembered at most.
const MOST_MADE: usize = 64;

/// Fields that hold an object's id, or several.
const IDS: &[&str] = &[
    "agent_id",
    "assistant_id",
    "batch_id",
    "character_id",
    "completion_id",
    "container_id",
    "conversation_id",
    "eval_id",
    "file_id",
    "file_ids",
    "input_file_id",
    "part_ids",
    "previous_response_id",
    "response_id",
    "response_ids",
    "skill_id",
    "thread_id",
    "training_file",
    "upload_id",
    "validation_file",
    "vector_store_id",
    "vector_store_ids",
    "video_id",
];

/// Fields that hold an object's id, or an object with its `id`.
const OBJECTS: &[&str] = &["container", "conversation"];

/// Fields that hold an object with its `id`, or several of them.
const ONLY_OBJECTS: &[&str] = &["audio", "characters", "source", "video", "voice"];

/// Lists whose elements may be nothing but another one's `id`.
const LISTS: &[&str] = &["input", "items"];

/// Fields of an answer that name what was made beside its own `id`.
const MADE: &[&str] = &["error_file_id", "output_file_id", "result_files", "thread_id"];

/// What a request says of objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedObjects {
    pub(crate) ids: Vec<String>,
    /// What its `store` says.
    pub(crate) stores: Option<bool>,
    /// It asks for sound, which a later call may name.
    pub(crate) sounds: bool,
}

/// The objects that a body names, up to where it is JSON no longer; `None` where there are too many of them.
pub(crate) fn named_objects(text: &str) -> Option<NamedObjects> {
    let mut found = NamedObjects::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // What is no JSON is not this one's to refuse.
    let _ = Search { found: &mut found, at: At::Top }.deserialize(&mut deserializer);
    (found.ids.len() <= MOST).then_some(found)
}

/// Whether a field of a form or a query holds an object's id: `file_id`, `input_reference[file_id]`, `file_ids[]`.
pub(crate) fn is_object_field(name: &str) -> bool {
    let parts: Vec<&str> = name.split(['[', ']', '.']).filter(|part| !part.is_empty()).collect();
    let is = |fields: &[&str], part: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(part));
    let is_id_of_object = |pair: &[&str]| {
        pair[1].eq_ignore_ascii_case("id") && (is(OBJECTS, pair[0]) || is(ONLY_OBJECTS, pair[0]))
    };
    parts.iter().any(|part| is(IDS, part))
        || parts.windows(2).any(is_id_of_object)
        || parts.first().is_some_and(|part| parts.len() == 1 && is(OBJECTS, part))
}

/// The objects that a JSON answer says were made: its own `id`, and those of its files, its thread and its output.
pub(crate) fn made_objects(bytes: &[u8]) -> Vec<String> {
    let Ok(serde_json::Value::Object(answer)) = serde_json::from_slice(bytes) else { return Vec::new() };
    let own = |value: &serde_json::Value| value.get("id").and_then(|id| id.as_str()).map(str::to_owned);
    let mut made: Vec<String> =
        answer.get("id").and_then(|id| id.as_str()).map(str::to_owned).into_iter().collect();
    for field in MADE {
        match answer.get(*field) {
            Some(serde_json::Value::String(id)) => made.push(id.clone()),
            Some(serde_json::Value::Array(ids)) => {
                made.extend(ids.iter().filter_map(|id| id.as_str()).map(str::to_owned));
            }
            _ => {}
        }
    }
    made.extend(answer.get("file").and_then(own));
    made.extend(answer.get("conversation").and_then(own));
    let items = answer.get("output").and_then(|output| output.as_array()).into_iter().flatten();
    for item in items {
        made.extend(own(item));
        made.extend(item.get("container_id").and_then(|id| id.as_str()).map(str::to_owned));
    }
    let choices = answer.get("choices").and_then(|choices| choices.as_array()).into_iter().flatten();
    made.extend(choices.filter_map(|choice| own(choice.pointer("/message/audio")?)));
    made.retain(|id| !id.is_empty());
    made.truncate(MOST_MADE);
    made
}

/// The object that the first event of a stream says was made; `None` as long as that event is not here.
pub(crate) fn made_by_stream(bytes: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    // What is behind the last blank line is no event yet.
    let (events, _) = text.rsplit_once("\n\n")?;
    events.split("\n\n").find_map(|event| {
        let data = event.lines().find_map(|line| line.strip_prefix("data:"))?;
        let value: serde_json::Value = serde_json::from_str(data.trim_start()).ok()?;
        let id = value.get("response").unwrap_or(&value).get("id")?.as_str()?.to_owned();
        let conversation = value.pointer("/response/conversation/id").and_then(|id| id.as_str());
        Some([id].into_iter().chain(conversation.map(str::to_owned)).collect())
    })
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    Inside,
    /// Behind a field of [`IDS`].
    Id,
    /// Behind one of [`OBJECTS`].
    Object,
    /// Behind one of [`ONLY_OBJECTS`].
    OnlyObject,
    /// Behind one of [`LISTS`].
    List,
    /// An element of such a list.
    Element,
    /// Behind `store` of the whole.
    Store,
    /// Behind `id` or `type` of an object.
    Word,
    /// What the caller makes up for itself, of which the provider understands nothing: labels, the shapes of a tool.
    Free,
    /// Texts that are put into a prompt, by names of the caller's own; an object among them is one.
    Variables,
}

/// Fields behind which everything is the caller's own.
const FREE: &[&str] = &["input_schema", "metadata", "parameters", "schema"];

impl At {
    fn of(field: &str) -> Self {
        let is = |fields: &[&str]| fields.iter().any(|known| known.eq_ignore_ascii_case(field));
        if is(IDS) {
            Self::Id
        } else if is(OBJECTS) {
            Self::Object
        } else if is(ONLY_OBJECTS) {
            Self::OnlyObject
        } else if is(LISTS) {
            Self::List
        } else if FREE.contains(&field) {
            Self::Free
        } else if field == "variables" {
            Self::Variables
        } else {
            Self::Inside
        }
    }
}

struct Search<'f> {
    found: &'f mut NamedObjects,
    at: At,
}

impl Search<'_> {
    fn find(&mut self, id: &str) -> bool {
        if !id.is_empty() {
            self.found.ids.push(id.to_owned());
        }
        self.found.ids.len() <= MOST
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Gives the text that a [`At::Word`] is.
impl<'de> Visitor<'de> for Search<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Self::Value, E> {
        match self.at {
            At::Id | At::Object => {
                let has_room = self.find(text);
                has_room.then_some(None).ok_or_else(|| E::custom("too many objects"))
            }
            At::Word => Ok(Some(text.to_owned())),
            At::Top
            | At::Inside
            | At::OnlyObject
            | At::List
            | At::Element
            | At::Store
            | At::Free
            | At::Variables => Ok(None),
        }
    }

    fn visit_bool<E: Error>(self, is_so: bool) -> Result<Self::Value, E> {
        if self.at == At::Store {
            self.found.stores = Some(is_so);
        }
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let at = match self.at {
            At::Id => At::Id,
            At::Object | At::OnlyObject => At::OnlyObject,
            At::List => At::Element,
            At::Free => At::Free,
            At::Top | At::Inside | At::Element | At::Store | At::Word | At::Variables => At::Inside,
        };
        while list.next_element_seed(Search { found: &mut *self.found, at })?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        // Readers differ in which of several they take, so all count.
        let (mut ids, mut kinds) = (Vec::new(), Vec::new());
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let is_top = self.at == At::Top;
            if matches!(self.at, At::Free | At::Variables) {
                let at = if self.at == At::Free { At::Free } else { At::Inside };
                map.next_value_seed(Search { found: &mut *self.found, at })?;
            } else if is_top && key == "audio" {
                self.found.sounds = true;
                map.next_value_seed(Search { found: &mut *self.found, at: At::OnlyObject })?;
            } else if key.eq_ignore_ascii_case("id") {
                ids.extend(map.next_value_seed(Search { found: &mut *self.found, at: At::Word })?);
            } else if key.eq_ignore_ascii_case("type") {
                kinds.push(map.next_value_seed(Search { found: &mut *self.found, at: At::Word })?);
            } else {
                let at = if is_top && key == "store" { At::Store } else { At::of(&key) };
                map.next_value_seed(Search { found: &mut *self.found, at })?;
            }
        }
        let is_reference =
            |kind: &Option<String>| matches!(kind.as_deref(), Some("item_reference" | "file_id"));
        let names_another = match self.at {
            At::Object | At::OnlyObject | At::Id => true,
            // One that does not say what it is refers to another.
            At::Element => kinds.is_empty() || kinds.iter().any(|kind| kind.is_none() || is_reference(kind)),
            At::Top | At::Inside | At::List | At::Store | At::Word | At::Free | At::Variables => {
                kinds.iter().any(is_reference)
            }
        };
        if names_another && !ids.iter().all(|id| self.find(id)) {
            return Err(A::Error::custom("too many objects"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_wherever_they_are_named() {
        for (text, expected) in [
            (r#"{"previous_response_id":"r"}"#, &["r"][..]),
            (r#"{"Previous_Response_ID":"r"}"#, &["r"]),
            (r#"{"previous\u005fresponse_id":"r"}"#, &["r"]),
            (r#"{"conversation":"c"}"#, &["c"]),
            (r#"{"conversation":{"id":"c"}}"#, &["c"]),
            (r#"{"container":{"type":"auto","file_ids":["f","g"]}}"#, &["f", "g"]),
            (r#"{"messages":[{"content":[{"file":{"file_id":"f"}},{"image_url":{"url":"x"}}]}]}"#, &["f"]),
            (r#"{"tools":[{"type":"file_search","vector_store_ids":["v"]}]}"#, &["v"]),
            (r#"{"input":[{"type":"item_reference","id":"i"},{"id":"j"}]}"#, &["i", "j"]),
            (r#"{"input":[{"id":"m","type":"message","role":"user","content":"x"}]}"#, &[]),
            (r#"{"data_source":{"source":{"type":"file_id","id":"f"}}}"#, &["f"]),
            (r#"{"voice":"alloy","x":{"voice":{"id":"v"}}}"#, &["v"]),
            (r#"{"part_ids":["p","q"]}"#, &["p", "q"]),
            (
                r#"{"audio":{"voice":"ash"},"messages":[{"audio":{"id":"a"}},{"content":[{"input_audio":{"data":"x"}}]}]}"#,
                &["a"],
            ),
            (r#"{"prompt":{"id":"p"},"metadata":{"id":"m"}}"#, &[]),
            (
                r#"{"input":[{"type":null,"id":"i"},{"id":"j","x":1},{"type":"message","TYPE":"item_reference","id":"k"}]}"#,
                &["i", "j", "k"],
            ),
            (r#"{"conversation":{"id":"c","ID":"d"}}"#, &["c", "d"]),
            (r#"{"conversation":{"id":"c","ID":null}}"#, &["c"]),
            (
                r#"{"metadata":{"thread_id":"t","conversation":"c"},"tools":[{"parameters":{"examples":[{"thread_id":"T"}]}}]}"#,
                &[],
            ),
            (
                r#"{"prompt":{"variables":{"conversation":"Hi there","f":{"type":"input_file","file_id":"f"}}}}"#,
                &["f"],
            ),
            (r#"{"training_file":"t","validation_file":null}"#, &["t"]),
            (r#"{"file_id":"f","x":{"#, &["f"]),
        ] {
            let found = named_objects(text).unwrap().ids;
            assert_eq!(found, expected, "{text}");
        }
        let many = format!(r#"{{"file_ids":[{}"f"]}}"#, r#""f","#.repeat(MOST));
        assert_eq!(named_objects(&many), None);
        assert_eq!(named_objects(r#"{"store":true}"#).unwrap().stores, Some(true));
        assert_eq!(named_objects(r#"{"x":{"store":true}}"#).unwrap().stores, None);
        assert!(named_objects(r#"{"audio":{"voice":"ash"}}"#).unwrap().sounds);
        assert!(!named_objects(r#"{"messages":[{"audio":{"id":"a"}}]}"#).unwrap().sounds);
    }

    #[test]
    fn fields_of_forms_and_queries_are_known_by_their_names() {
        for (name, expected) in [
            ("file_id", true),
            ("file_ids[]", true),
            ("input_reference[file_id]", true),
            ("video[id]", true),
            ("conversation", true),
            ("video", false),
            ("file", false),
            ("after", false),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(is_object_field(name), expected, "{name}");
        }
    }

    #[test]
    fn what_was_made_is_read_from_an_answer() {
        for (text, expected) in [
            (r#"{"id":"file-1"}"#, &["file-1"][..]),
            (r#"{"id":"b","output_file_id":"o","error_file_id":null,"input_file_id":"i"}"#, &["b", "o"]),
            (r#"{"id":"u","file":{"id":"f"}}"#, &["u", "f"]),
            (
                r#"{"id":"r","output":[{"id":"m"},{"id":"c","container_id":"k"}],"conversation":{"id":"v"}}"#,
                &["r", "v", "m", "c", "k"],
            ),
            (
                r#"{"id":"c","choices":[{"message":{"audio":{"id":"a"}}},{"message":{"audio":null}}]}"#,
                &["c", "a"],
            ),
            (r#"{"id":7}"#, &[]),
            (r#"[{"id":"x"}]"#, &[]),
            ("no", &[]),
        ] {
            assert_eq!(made_objects(text.as_bytes()), expected, "{text}");
        }
        for (text, expected) in [
            ("event: a\ndata: {\"response\":{\"id\":\"r\"}}\n\n", Some(vec!["r".to_owned()])),
            ("data: {\"id\":\"c\",\"choices\":[]}\n\ndata", Some(vec!["c".to_owned()])),
            ("data: {\"id\":\"c\"}\n", None),
            (": x\n\n", None),
        ] {
            assert_eq!(made_by_stream(text.as_bytes()), expected, "{text}");
        }
    }
}
