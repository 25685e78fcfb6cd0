//! What a model name asks the provider to do: `sim-latency-2s-cut-5` waits two seconds and cuts
//! its answer after five tokens. A fault is chosen by the model name because that is the one
//! field that every client, tool and test can set.
//!
//! A name is `sim` or `sim-embedding` and then directives in any order, joined by dashes. The
//! last of two equal directives counts. Anything else is refused rather than ignored: a fault
//! with a typing error must not look like a healthy provider.

use std::{fmt, time::Duration};

use http::StatusCode;

/// Directives as they are written, for messages.
const KNOWN: &[&str] = &[
    "latency-<dur>",
    "pace-<dur>",
    "tokens-<n>",
    "status-<code>",
    "retry-after-<dur>",
    "cut-<n>",
    "reset-<n>",
    "refuse",
    "stall-<n>",
    "malformed-<n>",
    "midway-error-<n>",
    "error-body",
    "html",
    "flaky-<n>",
    "no-usage",
    "no-done",
    "reasoning",
    "tools",
];

/// A longer name is no model: it would only fill the memory of `flaky`.
const LONGEST_NAME: usize = 256;
/// The longest `<dur>`.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// The largest `<n>`; an answer of that many tokens is planned in memory.
const LARGEST_COUNT: usize = 16_384;
const DEFAULT_PACE: Duration = Duration::from_millis(15);

/// How to answer one call, parsed from its model name.
///
/// | directive | what it does |
/// |---|---|
/// | `latency-<dur>` | waits before the response headers |
/// | `pace-<dur>` | time between two tokens of a stream, 15 ms by default; with 0 all is one write |
/// | `tokens-<n>` | length of a text answer; by default derived from the prompt |
/// | `status-<code>` | answers with that error status |
/// | `retry-after-<dur>` | an error status says when to come back |
/// | `flaky-<n>` | refuses `n` calls of exactly this name with 503, serves one, starts again |
/// | `refuse` | resets the connection before any byte of a response |
/// | `cut-<n>` | ends cleanly after `n` tokens; a whole answer falls short of its declared length |
/// | `reset-<n>` | resets the connection after `n` tokens; 0 is right after the headers |
/// | `stall-<n>` | sends nothing more after `n` tokens, for as long as the client stays, up to 10 minutes |
/// | `malformed-<n>` | sends one frame that is not JSON after `n` tokens and goes on |
/// | `midway-error-<n>` | sends an error after `n` tokens and ends; a whole answer is a 500 |
/// | `error-body` | status 200 with an error in the body |
/// | `html` | status 200, or that of `status`, with a web page |
/// | `no-usage` | usage is never reported |
/// | `no-done` | a stream ends cleanly without its terminator |
/// | `reasoning` | reasoning comes before the answer |
/// | `tools` | the answer is a tool call, whatever the request says |
///
/// In an answer that is not streamed, a fault after 0 tokens strikes after the headers and any
/// other halfway through the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Before the response headers.
    pub(crate) latency: Duration,
    /// Between two tokens of a stream.
    pub(crate) pace: Duration,
    /// Length of the answer; derived from the prompt when the script is silent.
    pub(crate) tokens: Option<usize>,
    /// Reset the connection before any byte of a response.
    pub(crate) refuse: bool,
    /// Refuse that many calls before each one that is served.
    pub(crate) flaky: Option<usize>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) stand_in: Option<StandIn>,
    /// In the order in which they strike.
    pub(crate) faults: Vec<Fault>,
    pub(crate) usage: Reporting,
    pub(crate) terminator: Reporting,
    pub(crate) reasoning: bool,
    pub(crate) tools: bool,
}

/// What comes in place of an answer, still with status 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    ErrorBody,
    Html,
}

/// What happens to an answer on its way, once `after` content tokens are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) after: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The body ends cleanly, too early.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// One frame is not JSON; the stream goes on.
    Malformed,
    /// An error frame, then a clean end.
    MidwayError,
}

/// Whether a part of a healthy answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporting {
    Sent,
    Withheld,
}

/// Why a model name is no script. Its `Display` is a message for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScriptError {
    /// The name does not begin with `sim`, or is too long.
    NotSimulated { model: String },
    /// The name has a part that is no directive, or a directive with a wrong value.
    UnknownDirective { model: String, directive: String },
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSimulated { model } => write!(
                f,
                "The model `{model}` does not exist or you do not have access to it. \
                 Simulated models are called `sim` or `sim-embedding`, followed by directives: {}",
                KNOWN.join(", ")
            ),
            Self::UnknownDirective { model, directive } => write!(
                f,
                "The model `{model}` does not exist: `{directive}` is not a directive. Known are: \
                 {} (<dur> as in 800ms or 2s, up to 10 minutes; <n> up to {LARGEST_COUNT}; \
                 <code> from 400 to 599)",
                KNOWN.join(", ")
            ),
        }
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Reads a model name such as `sim-latency-2s`.
    pub fn parse(model: &str) -> Result<Self, ScriptError> {
        let words: Vec<&str> = model.split('-').collect();
        let mut rest = match words.as_slice() {
            _ if model.len() > LONGEST_NAME => {
                let model = model.chars().take(LONGEST_NAME).collect();
                return Err(ScriptError::NotSimulated { model });
            }
            ["sim", "embedding", rest @ ..] | ["sim", rest @ ..] => rest,
            _ => {
                let model = model.to_owned();
                return Err(ScriptError::NotSimulated { model });
            }
        };
        let mut script = Self::healthy();
        while !rest.is_empty() {
            rest = script.directive(rest).ok_or_else(|| ScriptError::UnknownDirective {
                model: model.to_owned(),
                directive: first_directive(rest),
            })?;
        }
        script.faults.sort_by_key(|fault| fault.after);
        Ok(script)
    }

    const fn healthy() -> Self {
        Self {
            latency: Duration::ZERO,
            pace: DEFAULT_PACE,
            tokens: None,
            refuse: false,
            flaky: None,
            status: None,
            retry_after: None,
            stand_in: None,
            faults: Vec::new(),
            usage: Reporting::Sent,
            terminator: Reporting::Sent,
            reasoning: false,
            tools: false,
        }
    }

    /// Takes the first directive in; gives the words after it, or nothing if it is none.
    fn directive<'w>(&mut self, words: &'w [&'w str]) -> Option<&'w [&'w str]> {
        let rest = match words {
            ["latency", amount, rest @ ..] => {
                self.latency = duration(amount)?;
                rest
            }
            ["pace", amount, rest @ ..] => {
                self.pace = duration(amount)?;
                rest
            }
            ["tokens", amount, rest @ ..] => {
                self.tokens = Some(count(amount)?);
                rest
            }
            ["status", code, rest @ ..] => {
                self.status = Some(error_status(code)?);
                rest
            }
            ["retry", "after", amount, rest @ ..] => {
                self.retry_after = Some(duration(amount)?);
                rest
            }
            ["flaky", amount, rest @ ..] => {
                self.flaky = Some(count(amount)?);
                rest
            }
            ["cut", amount, rest @ ..] => self.fault(FaultKind::Cut, amount, rest)?,
            ["reset", amount, rest @ ..] => self.fault(FaultKind::Reset, amount, rest)?,
            ["stall", amount, rest @ ..] => self.fault(FaultKind::Stall, amount, rest)?,
            ["malformed", amount, rest @ ..] => self.fault(FaultKind::Malformed, amount, rest)?,
            ["midway", "error", amount, rest @ ..] => self.fault(FaultKind::MidwayError, amount, rest)?,
            ["refuse", rest @ ..] => {
                self.refuse = true;
                rest
            }
            ["error", "body", rest @ ..] => {
                self.stand_in = Some(StandIn::ErrorBody);
                rest
            }
            ["html", rest @ ..] => {
                self.stand_in = Some(StandIn::Html);
                rest
            }
            ["no", "usage", rest @ ..] => {
                self.usage = Reporting::Withheld;
                rest
            }
            ["no", "done", rest @ ..] => {
                self.terminator = Reporting::Withheld;
                rest
            }
            ["reasoning", rest @ ..] => {
                self.reasoning = true;
                rest
            }
            ["tools", rest @ ..] => {
                self.tools = true;
                rest
            }
            _ => return None,
        };
        Some(rest)
    }

    fn fault<'w>(&mut self, kind: FaultKind, after: &str, rest: &'w [&'w str]) -> Option<&'w [&'w str]> {
        let after = count(after)?;
        self.faults.retain(|fault| fault.kind != kind);
        self.faults.push(Fault { after, kind });
        Some(rest)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let wait = if let Some(millis) = text.strip_suffix("ms") {
        Duration::from_millis(number(millis)?)
    } else {
        Duration::from_secs(number(text.strip_suffix('s')?)?)
    };
    (wait <= LONGEST_WAIT).then_some(wait)
}

fn count(text: &str) -> Option<usize> {
    usize::try_from(number(text)?).ok().filter(|count| *count <= LARGEST_COUNT)
}

fn error_status(text: &str) -> Option<StatusCode> {
    let code = u16::try_from(number(text)?).ok()?;
    StatusCode::from_u16(code).ok().filter(|status| status.is_client_error() || status.is_server_error())
}

/// Digits only: `parse` alone would take `+5`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    text.parse().ok()
}

/// The words up to the next one that begins a directive: what the caller probably meant as one.
fn first_directive(words: &[&str]) -> String {
    let begins_another = |word: &&str| KNOWN.iter().any(|known| known.split('-').next() == Some(*word));
    let end = words.iter().skip(1).position(begins_another);
    let name = end.map_or(words, |end| words.get(..=end).unwrap_or(words));
    name.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Script)) -> Script {
        let mut script = Script::healthy();
        change(&mut script);
        script
    }

    fn fault(after: usize, kind: FaultKind) -> Vec<Fault> {
        vec![Fault { after, kind }]
    }

    #[test]
    fn every_directive_sets_its_part() {
        let table = [
            ("sim", Script::healthy()),
            ("sim-embedding", Script::healthy()),
            ("sim-latency-800ms", with(|s| s.latency = Duration::from_millis(800))),
            ("sim-embedding-latency-2s", with(|s| s.latency = Duration::from_secs(2))),
            ("sim-pace-0ms", with(|s| s.pace = Duration::ZERO)),
            ("sim-tokens-7", with(|s| s.tokens = Some(7))),
            ("sim-status-500", with(|s| s.status = Some(StatusCode::INTERNAL_SERVER_ERROR))),
            (
                "sim-status-429-retry-after-2s",
                with(|s| {
                    s.status = Some(StatusCode::TOO_MANY_REQUESTS);
                    s.retry_after = Some(Duration::from_secs(2));
                }),
            ),
            ("sim-cut-5", with(|s| s.faults = fault(5, FaultKind::Cut))),
            ("sim-reset-0", with(|s| s.faults = fault(0, FaultKind::Reset))),
            ("sim-stall-1", with(|s| s.faults = fault(1, FaultKind::Stall))),
            ("sim-malformed-2", with(|s| s.faults = fault(2, FaultKind::Malformed))),
            ("sim-midway-error-3", with(|s| s.faults = fault(3, FaultKind::MidwayError))),
            ("sim-refuse", with(|s| s.refuse = true)),
            ("sim-error-body", with(|s| s.stand_in = Some(StandIn::ErrorBody))),
            ("sim-html", with(|s| s.stand_in = Some(StandIn::Html))),
            ("sim-flaky-2", with(|s| s.flaky = Some(2))),
            ("sim-no-usage", with(|s| s.usage = Reporting::Withheld)),
            ("sim-no-done", with(|s| s.terminator = Reporting::Withheld)),
            ("sim-reasoning-tools", with(|s| (s.reasoning, s.tools) = (true, true))),
            (
                "sim-cut-9-malformed-2-pace-0ms",
                with(|s| {
                    s.pace = Duration::ZERO;
                    s.faults = fault(2, FaultKind::Malformed);
                    s.faults.extend(fault(9, FaultKind::Cut));
                }),
            ),
            ("sim-cut-1-cut-2", with(|s| s.faults = fault(2, FaultKind::Cut))),
        ];
        for (model, expected) in table {
            assert_eq!(Script::parse(model), Ok(expected), "{model}");
        }
    }

    #[test]
    fn a_bad_directive_is_named() {
        let table = [
            ("sim-bogus", "bogus"),
            ("sim-bogus-5-cut-5", "bogus-5"),
            ("sim-cut-5-bogus", "bogus"),
            ("sim-latency", "latency"),
            ("sim-latency-2h", "latency-2h"),
            ("sim-latency-601s", "latency-601s"),
            ("sim-latency-ms", "latency-ms"),
            ("sim-status-200", "status-200"),
            ("sim-tokens-+5", "tokens-+5"),
            ("sim-tokens-99999", "tokens-99999"),
            ("sim-retry-after-soon-html", "retry-after-soon"),
            ("sim-midway-5", "midway-5"),
            ("sim-", ""),
            ("sim-cut--5", "cut--5"),
        ];
        for (model, directive) in table {
            let refused = Script::parse(model);
            let expected =
                ScriptError::UnknownDirective { model: model.to_owned(), directive: directive.to_owned() };
            assert_eq!(refused, Err(expected), "{model}");
        }
    }

    #[test]
    fn another_name_is_not_simulated() {
        for model in ["gpt-4o", "simulated", "", "SIM", &format!("sim{}", "-tools".repeat(99))] {
            let refused = Script::parse(model);
            assert!(matches!(refused, Err(ScriptError::NotSimulated { .. })), "{model}");
        }
    }

    #[test]
    fn a_refusal_lists_what_is_known() {
        let message = Script::parse("sim-bogus").unwrap_err().to_string();
        assert!(message.contains("`bogus`") && message.contains("midway-error-<n>"));
    }
}
