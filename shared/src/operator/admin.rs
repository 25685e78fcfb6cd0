//! `/admin/v1`: where an operator looks at control and gives orders.
//!
//! The paths exist only where the configuration names an admin key, and nothing beneath them is told or done
//! without it. What is not listed here is refused. An order is observed before the store is told: whoever
//! leaves in between leaves a trace.

mod names;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde::Serialize;

use crate::config::{self, Config, Server};
use crate::dialect::call::{self, Bounds};
use crate::dialect::endpoint;
use crate::identity::identify;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Change, Entry, Forced, Full, Order, Override};
use crate::store::protocol::{StoreLost, Unheeded};
use crate::telemetry::event::Event;
use crate::time::Instant;
use crate::wire::headers;
use crate::wire::json::Value;

/// Bytes of an order.
const LARGEST_ORDER: u64 = 64 * 1024;

/// Orders take a share of the buffers of their own: no tenant has such a name.
pub(crate) const OPERATORS: &str = "";

/// Bytes of a field's name that are told back.
const LONGEST_TOLD: usize = 64;

/// Who an admin key belongs to.
const WHO: &str = "admin";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    List,
    /// Of the breaker of this name.
    Change(String),
}

/// Breakers in the form of the API's other lists.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    has_more: bool,
}

#[derive(Serialize)]
struct Item<'a> {
    name: &'a str,
    /// What holds for the next request.
    #[serde(flatten)]
    now: State,
    /// What would hold if no operator had said anything.
    automatic: State,
    /// What was ordered for this very name.
    r#override: Option<State>,
}

#[derive(Serialize)]
struct State {
    state: &'static str,
    /// `null` where it has no end, or none that is known.
    seconds_left: Option<u64>,
}

/// Whether `head` asks for something in here.
pub(crate) fn is_asked(config: &Config, head: &Parts) -> bool {
    let rest = head.uri.path().strip_prefix("/admin");
    config.admin.hash.is_some() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What an operator asks for, once it is known that it is one.
pub(crate) fn task(config: &Config, head: &Parts) -> Result<Task, Refusal> {
    identify::authorize(config.access(), head)?;
    let task = named(&head.method, head.uri.path())?;
    // No web page can send it without asking first, and it is never told that it may.
    let is_json = || headers::media_type(&head.headers).as_deref() == Some("application/json");
    if matches!(task, Task::Change(_)) && !is_json() {
        let problem = "Send JSON, with the header 'Content-Type: application/json'".into();
        return Err(Refusal::UnsupportedMedia { problem });
    }
    Ok(task)
}

/// Within what an order is read.
pub(crate) fn bounds(server: &Server) -> Server {
    Server { max_body: server.max_body.min(LARGEST_ORDER), ..server.clone() }
}

/// Answers an operator, in JSON. `order` is the body of a [`Task::Change`].
pub(crate) async fn serve<P: Platform>(
    platform: &P,
    config: &Config,
    request_id: &str,
    task: Task,
    order: &[u8],
) -> Result<Bytes, Refusal> {
    match task {
        Task::List => {
            let listing = platform.breakers(&names::all(config)).await.map_err(lost)?;
            let now = platform.now();
            let data = listing.entries.iter().map(|entry| item(entry, now)).collect();
            Ok(to_json(&List { object: "list", data, has_more: listing.has_more }))
        }
        Task::Change(breaker) => {
            let bounds = Bounds { max_depth: config.server.max_depth, max_n: config.server.max_n };
            let order = Order { breaker, change: parse(order, bounds)? };
            check_name(platform, config, &order).await?;
            platform.observe(Event::Ordered { request_id, who: WHO, order: &order });
            let entry = platform.control(&order).await;
            let entry = entry.map_err(|unheeded| match unheeded {
                Unheeded::Full(Full { most }) => Refusal::TooManyOverrides { most },
                Unheeded::StoreLost => lost(StoreLost),
            })?;
            Ok(to_json(&item(&entry, platform.now())))
        }
    }
}

fn lost(StoreLost: StoreLost) -> Refusal {
    Refusal::StoreLost
}

fn named(method: &Method, path: &str) -> Result<Task, Refusal> {
    let unknown = || Refusal::UnknownPath { method: method.clone(), path: path.to_owned() };
    let wrong = |allow| Refusal::WrongMethod { method: method.clone(), path: path.to_owned(), allow };
    let rest = path.strip_prefix("/admin/v1/breakers").ok_or_else(unknown)?;
    if rest.is_empty() {
        let is_read = method == Method::GET || method == Method::HEAD;
        return if is_read { Ok(Task::List) } else { Err(wrong("GET, HEAD")) };
    }
    let name = rest.strip_prefix('/').and_then(endpoint::decode).filter(|name| !name.is_empty());
    let name = name.ok_or_else(unknown)?;
    if method == Method::PUT || method == Method::POST {
        Ok(Task::Change(name))
    } else {
        Err(wrong("PUT, POST"))
    }
}

/// Reads `{"state":"open","for":"10m"}`.
fn parse(body: &[u8], bounds: Bounds) -> Result<Change, Refusal> {
    let fields = call::object(call::utf8(body)?, bounds)?;
    if let Some(key) = fields.duplicate() {
        return Err(invalid(key, "it stands twice"));
    }
    if let Some((key, _)) = fields.iter().find(|(key, _)| !["state", "for"].contains(key)) {
        return Err(invalid(key, "there is no such field; there are 'state' and 'for'"));
    }
    let lasting = fields.find("for").filter(|value| !value.is_null()).map(lasting).transpose()?;
    let state = fields.find("state").ok_or_else(|| invalid("state", "it is missing"))?;
    let force = |forced| Ok(Change::Force { forced, lasting });
    match state.read::<String>().as_deref() {
        Some("open") => force(Forced::Open),
        Some("closed") => force(Forced::Closed),
        Some("auto") if lasting.is_some() => Err(invalid("for", "what is left to itself has no end")),
        Some("auto") => Ok(Change::Release),
        Some(_) | None => Err(invalid("state", "it must be \"open\", \"closed\" or \"auto\"")),
    }
}

fn lasting(value: Value<'_>) -> Result<Duration, Refusal> {
    let text: Option<String> = value.read();
    let read = text.as_deref().map_or(Err("not a text; write \"10m\""), config::duration);
    match read {
        Ok(Duration::ZERO) => Err(invalid("for", "it must be longer than nothing")),
        Ok(lasting) => Ok(lasting),
        Err(problem) => Err(invalid("for", problem)),
    }
}

/// Only a breaker that there can be is ordered about. What was ordered before the configuration changed can
/// still be released.
async fn check_name<P: Platform>(platform: &P, config: &Config, order: &Order) -> Result<(), Refusal> {
    if names::can_be(config, &order.breaker) {
        return Ok(());
    }
    if order.change == Change::Release {
        let listing = platform.breakers(&[]).await.map_err(lost)?;
        if listing.entries.iter().any(|entry| entry.breaker == order.breaker && entry.own.is_some()) {
            return Ok(());
        }
    }
    Err(Refusal::NoBreaker { name: order.breaker.clone(), known: names::some(config) })
}

fn item(entry: &Entry, now: Instant) -> Item<'_> {
    let ordered = |own: Override| state(Gate::Forced(own), now);
    Item {
        name: &entry.breaker,
        now: state(entry.gate, now),
        automatic: state(entry.automatic, now),
        r#override: entry.own.map(ordered),
    }
}

fn state(gate: Gate, now: Instant) -> State {
    let (state, until) = match gate {
        Gate::Closed => ("closed", None),
        Gate::Open { until } => ("open", Some(until)),
        Gate::HalfOpen => ("half_open", None),
        Gate::Forced(Override { forced, until }) => (forced.name(), until),
    };
    let seconds_left =
        until.map(|until| u64::try_from(until.since(now).as_millis().div_ceil(1000)).unwrap_or(u64::MAX));
    State { state, seconds_left }
}

fn invalid(param: &str, problem: &str) -> Refusal {
    let end = param.floor_char_boundary(LONGEST_TOLD);
    Refusal::InvalidParameter { param: param[..end].to_owned(), problem: problem.to_owned() }
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Strings and integers alone cannot fail to serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_refused() {
        let change = |name: &str| Ok(Task::Change(name.into()));
        for (method, path, expected) in [
            ("GET", "/admin/v1/breakers", Ok(Task::List)),
            ("PUT", "/admin/v1/breakers/a", change("a")),
            ("POST", "/admin/v1/breakers/a", change("a")),
            ("PUT", "/admin/v1/breakers/a/org/m", change("a/org/m")),
            ("PUT", "/admin/v1/breakers/a%2Forg%2fm%20x", change("a/org/m x")),
            ("POST", "/admin/v1/breakers", Err((405, "GET, HEAD"))),
            ("HEAD", "/admin/v1/breakers", Ok(Task::List)),
            ("GET", "/admin/v1/breakers/a", Err((405, "PUT, POST"))),
            ("DELETE", "/admin/v1/breakers/a", Err((405, "PUT, POST"))),
            ("OPTIONS", "/admin/v1/breakers/a", Err((405, "PUT, POST"))),
            ("PUT", "/admin/v1/breakers/", Err((404, ""))),
            ("PUT", "/admin/v1/breakers/%zz", Err((404, ""))),
            ("PUT", "/admin/v1/breakers/%ff", Err((404, ""))),
            ("PUT", "/admin/v1/breakersx", Err((404, ""))),
            ("GET", "/admin/v1/breakers/../breakers", Err((405, "PUT, POST"))),
            ("GET", "/admin/v1/Breakers", Err((404, ""))),
            ("GET", "/admin/v1", Err((404, ""))),
            ("GET", "/admin", Err((404, ""))),
            ("GET", "/admin/v2/breakers", Err((404, ""))),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = named(&method, path).map_err(|refusal| {
                let allow = match refusal {
                    Refusal::WrongMethod { allow, .. } => allow,
                    _ => "",
                };
                (refusal.status().as_u16(), allow)
            });
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn an_order_is_read_or_told_what_is_wrong_with_it() {
        let open = |lasting| Ok(Change::Force { forced: Forced::Open, lasting });
        let long = format!(r#"{{"{}é":1}}"#, "x".repeat(63));
        let ten_minutes = Some(Duration::from_mins(10));
        for (body, expected) in [
            (r#"{"state":"open"}"#, open(None)),
            (r#" { "for" : "10m" , "state" : "open" } "#, open(ten_minutes)),
            (r#"{"state":"open","for":null}"#, open(None)),
            (r#"{"state":"clo\u0073ed"}"#, Ok(Change::Force { forced: Forced::Closed, lasting: None })),
            (r#"{"state":"auto"}"#, Ok(Change::Release)),
            (r#"{"state":"auto","for":"10m"}"#, Err("for")),
            (r#"{"state":"open","for":"0s"}"#, Err("for")),
            (r#"{"state":"open","for":600}"#, Err("for")),
            (r#"{"state":"open","for":"forever"}"#, Err("for")),
            (r#"{"state":"open","for":"9000h"}"#, Err("for")),
            (r#"{"state":"half_open"}"#, Err("state")),
            (r#"{"state":true}"#, Err("state")),
            (r#"{"state":null}"#, Err("state")),
            ("{}", Err("state")),
            (r#"{"state":"open","state":"closed"}"#, Err("state")),
            (r#"{"state":"open","until":"10m"}"#, Err("until")),
            (&long, Err(&long[2..65])),
            (r#"{"state":"open""#, Err("-")),
            (r#"["open"]"#, Err("-")),
            ("", Err("-")),
            ("\"open\"", Err("-")),
        ] {
            let found = parse(body.as_bytes(), Bounds { max_depth: 4, max_n: 1 });
            match (&found, expected) {
                (Ok(change), Ok(expected)) => assert_eq!(*change, expected, "{body}"),
                (Err(Refusal::InvalidParameter { param, .. }), Err(expected)) => {
                    assert_eq!(param, expected, "{body}");
                }
                (Err(Refusal::InvalidJson { .. }), Err("-")) => {}
                _ => panic!("{body}: {found:?}"),
            }
        }
        assert!(parse(b"{\"state\":\"\xff\"}", Bounds { max_depth: 4, max_n: 1 }).is_err());
        assert!(parse(br#"{"state":[[[[[]]]]]}"#, Bounds { max_depth: 4, max_n: 1 }).is_err());
    }
}
