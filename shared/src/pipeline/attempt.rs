//! One try at one candidate: send, read the head, and for an answer that is understood enough of the body to
//! know that it is one. Until then nothing has gone to the client, and a failure can be tried elsewhere unseen.

pub(crate) mod answer;
pub(crate) mod error_body;
pub(crate) mod failure;
pub(crate) mod handshake;
mod made;
pub(crate) mod upload;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::{Request, StatusCode, header, response};
use memchr::memmem;

use self::answer::{Answer, Wanted, dressed, is_encoded, is_json, receive};
use self::error_body::ErrorBody;
use self::failure::Failure;
use self::handshake::SWITCHED;
use super::sent::{Cargo, Makes, Sent};
use crate::config::Config;
use crate::dialect::call::UsageRequest;
use crate::dialect::endpoint::ReportedUsage;
use crate::dialect::openai::replay::UsageChunk;
use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::ledger::record::{Attempt, Ending};
use crate::ledger::usage::Framing;
use crate::limits::concurrency::{Slot, Verdict};
use crate::pipeline::accounting::Trail;
use crate::pipeline::answer_stream::{Course, Permit, Reading, Waits};
use crate::platform::Platform;
use crate::random::below;
use crate::refusal::{Cause, Refusal, UpstreamError};
use crate::routing::breaker::{Blame, Outcome};
use crate::routing::plan::Candidate;
use crate::routing::retry::{self, Again};
use crate::routing::upstream::dispatch::{Dispatch, Fresh, SendFault};
use crate::routing::upstream::{Upstream, uri};
use crate::routing::usage_refusals::UsageRefusals;
use crate::secret::Secret;
use crate::telemetry::event::Event;
use crate::telemetry::trace::{TRACEPARENT, Trace};
use crate::time::Instant;
use crate::wire::coding;
use crate::wire::headers::{self, Returned};
use crate::wire::websocket::Upgraded;

/// How long an error answer may take once its head is here.
const ERROR_WAIT: Duration = Duration::from_secs(5);

/// How often a request is sent again that its upstream has not looked at; and the longest wait before that, a step.
const MOST_UNPROCESSED: u64 = 3;
const UNPROCESSED_WAIT: u64 = 50_000;

/// What every attempt at a request shares.
pub(super) struct Errand<'a, P: Platform> {
    pub(super) platform: &'a P,
    pub(super) config: &'a Config,
    pub(super) trace: &'a Trace,
    pub(super) sent: Sent<P::Upload>,
    pub(super) deadline: Instant,
    pub(super) total: Duration,
    /// How long a stream is held back for its first content.
    pub(super) hold_back: Duration,
}

/// Why a request has no answer that may go to the client.
enum Unusable {
    Failed(Failure),
    /// The upstream does not know how to be asked for usage, which the gateway has done.
    UsageRefused,
}

impl From<Failure> for Unusable {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Whether an error is about the request for usage.
fn refuses_usage(status: StatusCode, body: &[u8]) -> bool {
    let names = |field: &str| memmem::find(body, field.as_bytes()).is_some();
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
        && (names("stream_options") || names("include_usage"))
}

impl<P: Platform> Errand<'_, P> {
    pub(super) fn left(&self) -> Duration {
        self.deadline.since(self.platform.now())
    }

    /// Tries `candidate` and notes how it went.
    pub(super) async fn attempt(
        &mut self,
        candidate: &Candidate,
        mut slot: Option<Slot>,
        trail: &mut Trail<P>,
    ) -> Result<Answer<P>, Failure> {
        let upstream = self.config.upstream(candidate.upstream);
        if let Some(record) = trail.record() {
            record.upstream.clone_from(&upstream.name);
            record.upstream_model.clone_from(&candidate.model);
        }
        let started = self.platform.now();
        let mut outcome = self.try_once(upstream, &candidate.model, trail.most_kept).await;
        let took = self.platform.now().since(started);
        if let Err(failure) = &mut outcome {
            // Upstreams may be doors of the same house, and quote what another was shown.
            self.config
                .upstreams
                .iter()
                .flat_map(Upstream::secrets)
                .for_each(|secret| failure.refusal.mask(secret));
        }
        let (status, failure) = match &outcome {
            Ok(Answer::Whole { head, .. } | Answer::Flowing { head, .. } | Answer::Switched { head, .. }) => {
                (Some(head.status), None)
            }
            Err(failure) => (failure.status, failure.condition),
        };
        let name = &upstream.name;
        let is_clients = failure.is_none() && status.is_none();
        if let Some(slot) = &mut slot {
            slot.sample(took, verdict(&outcome));
        }
        match &mut outcome {
            Ok(Answer::Whole { course, .. } | Answer::Flowing { course, .. }) => course.slot = slot,
            Ok(Answer::Switched { open, .. }) => open.slot = slot,
            Err(_) => {}
        }
        let cause = outcome.as_ref().err().and_then(|failure| failure.connect_fault);
        // What is wrong here says nothing of the upstream.
        let is_own = cause.is_some_and(|cause| cause.shortage().is_some());
        if !is_clients && !is_own {
            self.platform.observe(Event::Answered { upstream: name, after: took, failure });
        }
        let status = status.map(|status| status.as_u16());
        if let Some(cause) = cause {
            self.platform.observe(Event::Unconnected { upstream: name, cause });
        }
        trail.attempted(Attempt { upstream: name.clone(), status, failure, cause, took });
        let found = match &outcome {
            Ok(_) => Some(Outcome::Success),
            Err(failure) => failure.outcome(|| trail.caller_id()),
        };
        trail.found(candidate, found, outcome.is_ok()).await;
        outcome
    }

    /// Of a stream, no more than `most_kept` bytes are kept.
    async fn try_once(
        &mut self,
        upstream: &Upstream,
        model: &str,
        most_kept: u64,
    ) -> Result<Answer<P>, Failure> {
        let (mut usage, mut has_refused) = (self.usage_request(upstream, model), false);
        loop {
            match self.exchange(upstream, model, most_kept, usage).await {
                Err(Unusable::UsageRefused) => {
                    // It says nothing of its health, and the call is sent again as the client sent it.
                    (usage, has_refused) = (UsageRequest::AsSent, true);
                }
                Err(Unusable::Failed(failure)) => return Err(failure),
                Ok(answer) => {
                    if has_refused && let Some(refusals) = self.platform.usage_refusals() {
                        refusals.note(&upstream.name, model, self.platform.now());
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// Whether usage may be asked for where the client does not.
    fn usage_request(&self, upstream: &Upstream, model: &str) -> UsageRequest {
        let is_known =
            |refusals: &UsageRefusals| refusals.is_known(&upstream.name, model, self.platform.now());
        if !upstream.include_usage || self.platform.usage_refusals().is_some_and(is_known) {
            UsageRequest::AsSent
        } else {
            UsageRequest::Added
        }
    }

    async fn exchange(
        &mut self,
        upstream: &Upstream,
        model: &str,
        most_kept: u64,
        usage: UsageRequest,
    ) -> Result<Answer<P>, Unusable> {
        let permit = Permit::new(self.platform, &upstream.name);
        let sent = self.send(upstream, model, usage).await;
        let answer = match sent.map_err(|failure| self.blamed(failure))? {
            Upgraded::Not(answer) => answer,
            Upgraded::Switched(answer, tunnel) => {
                let switched = self.switched(answer.into_parts().0, tunnel, permit, upstream);
                return Ok(switched.map_err(|failure| *failure)?);
            }
        };
        let (mut head, download) = answer.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::bad_answer(&head, SWITCHED).into());
        }
        let secret = upstream.secret();
        let waits = Waits { idle: upstream.timeouts.idle, deadline: self.deadline, total: self.total };
        let of_error =
            || Waits { deadline: self.platform.now().after(ERROR_WAIT).min(self.deadline), ..waits };
        let redactor = Arc::clone(&self.config.redactor);
        let course =
            |reading, waits| Course::new(permit, download, reading, waits, secret.cloned(), redactor);
        let returned = self.returned(upstream);
        let operation = self.sent.cargo.operation();
        let Cargo::Call { operation: understood, call } = &self.sent.cargo else {
            let reading = Reading::Bytes { operation };
            let status = head.status.as_u16();
            if status >= 600 {
                return Err(
                    Failure::told(Cause::NoAnswer, head.status, &UpstreamError::default(), None).into()
                );
            }
            if let Some(handshake) = &self.sent.handshake {
                let coding = coding::take(&mut head.headers);
                let mut course = course(reading, of_error()).unpacked(coding);
                let body = ErrorBody::read(&mut course).await;
                return Err(self.refused(&head, &body, upstream, (&handshake.model, model)).into());
            }
            // These may be about the gateway's credential, and any error may quote it.
            if matches!(status, 401 | 403) || (status >= 400 && secret.is_some()) {
                let coding = coding::take(&mut head.headers);
                let course = course(reading, of_error()).unpacked(coding);
                return Ok(pass_error(head, course, self.returned(upstream)).await?);
            }
            let owner = self.sent.owner.filter(|owner| made::reads(*owner, &head));
            let framing = framing(&head).filter(|_| self.sent.usage == ReportedUsage::OfCall);
            // Nobody asked for a coding, and in one the credential cannot be seen.
            let coding = coding::take(&mut head.headers);
            let mut course = Box::new(course(reading, waits).unpacked(coding));
            if let Some(framing) = framing {
                course.read_usage(framing);
            }
            if let Some(owner) = owner {
                return Ok(made::read(owner, self.platform, head, course, returned).await?);
            }
            return Ok(Answer::Flowing { head: dressed(head, returned), held: VecDeque::new(), course });
        };
        // Nobody asked for a coding.
        let coding = coding::take(&mut head.headers);
        let course = |reading, waits| course(reading, waits).unpacked(coding);
        if !head.status.is_success() {
            let mut course = course(Reading::Bytes { operation }, of_error());
            let body = ErrorBody::read(&mut course).await;
            let was_asked = usage == UsageRequest::Added && call.injects_usage();
            if was_asked && refuses_usage(head.status, &body.bytes) {
                return Err(Unusable::UsageRefused);
            }
            return Err(self.classify((&head, &body), upstream, (&call.model, model)).into());
        }
        let wanted = Wanted {
            operation: *understood,
            is_stream: call.stream,
            events: Reading::Events {
                operation: *understood,
                strip_usage: call.injects_usage(),
                terminator: upstream.terminator(),
                max_event: usize::try_from(self.config.server.max_event).unwrap_or(usize::MAX),
            },
            usage: if call.wants_usage { UsageChunk::Wanted } else { UsageChunk::Unwanted },
            most_kept: if head.status == StatusCode::OK { most_kept } else { 0 },
            hold_back: self.platform.sleep(self.hold_back),
            returned,
            waits_for_first: self.sent.owner.is_some_and(|owner| owner.makes != Makes::Nothing),
        };
        let answer = receive(self.platform, head, course(Reading::Bytes { operation }, waits), wanted).await;
        let answer = answer.map_err(|failure| failure.about(&call.model, None))?;
        if let Some(owner) = self.sent.owner {
            let made = made::made_by(owner, &answer);
            made::note(owner, self.platform, made).await;
        }
        Ok(answer)
    }

    /// How an upstream's headers go to the client.
    pub(super) fn returned<'u>(&'u self, upstream: &'u Upstream) -> Returned<'u> {
        let (list, redactor) = (&upstream.return_headers, &*self.config.redactor);
        Returned { list, redactor, now: self.platform.wall() }
    }

    /// What is not understood may be what breaks its connection, whatever there is of it.
    fn blamed(&self, failure: Failure) -> Failure {
        let is_understood = match &self.sent.cargo {
            Cargo::Call { .. } => true,
            Cargo::Named(_)
            | Cargo::Form { .. }
            | Cargo::Pairs { .. }
            | Cargo::Whole(_)
            | Cargo::Stream(..) => false,
        };
        let is_broken = failure.is_sent && failure.condition == Some(Condition::Connect);
        let blame = if is_broken && !is_understood { Blame::Nobody } else { failure.blame };
        Failure { blame, ..failure }
    }

    /// A connection that was closed while it was idle is nobody's fault, and costs no attempt: what may be sent again
    /// goes out on a fresh one, once. That fails as it does. Nor does a request that the upstream has not looked at,
    /// a few times.
    async fn send(
        &mut self,
        upstream: &Upstream,
        model: &str,
        usage: UsageRequest,
    ) -> Result<Upgraded<P::Download>, Failure> {
        let (mut connection, mut unprocessed) = (None, 0);
        loop {
            let sent = self.send_on(upstream, model, usage, connection).await;
            let fault = sent.as_ref().err().and_then(|failure| failure.connect_fault);
            if fault == Some(ConnectFault::Stale) && connection.is_none() {
                self.platform.observe(Event::Stale { upstream: &upstream.name });
                if !self.sent.may_be_sent_again(true) {
                    return sent;
                }
                connection = Some(Fresh);
            } else if fault == Some(ConnectFault::Unprocessed) {
                self.platform.observe(Event::Unprocessed { upstream: &upstream.name });
                if unprocessed == MOST_UNPROCESSED || !self.sent.may_be_sent_again(false) {
                    return sent;
                }
                // At first another connection may do at once.
                let wait = below(self.platform.roll(), UNPROCESSED_WAIT * unprocessed);
                unprocessed += 1;
                if wait > 0 {
                    self.platform.sleep(Duration::from_micros(wait)).await;
                }
            } else {
                return sent;
            }
        }
    }

    async fn send_on(
        &mut self,
        upstream: &Upstream,
        model: &str,
        usage: UsageRequest,
        connection: Option<Fresh>,
    ) -> Result<Upgraded<P::Download>, Failure> {
        // The upload, the queue or other attempts may have taken all the time there was.
        if self.left().is_zero() {
            return Err(Failure { blame: Blame::Nobody, is_sent: false, ..Failure::timeout(self.total) });
        }
        let model = Some(model).filter(|model| !model.is_empty());
        let query = self.sent.query_for(model);
        let uri = uri::uri(upstream, &self.sent.suffix, query.as_deref(), model);
        let payload = self.sent.cargo.payload(model, usage);
        let (Some(uri), Some(payload)) = (uri, payload) else {
            return Err(Failure::unsent("the request could not be sent"));
        };
        let mut request = Request::new(payload);
        *request.method_mut() = self.sent.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.sent.headers.clone();
        request.headers_mut().extend(self.sent.allowed.toward(&upstream.forward_headers));
        request.headers_mut().insert(TRACEPARENT, self.trace.to_header());
        uri::show_credential(upstream, request.headers_mut());
        if let Some(fresh) = connection {
            request.extensions_mut().insert(fresh);
        }
        if let Cargo::Stream(_, progress) = &self.sent.cargo {
            return self.send_upload(upstream, request, Arc::clone(progress)).await.map(Upgraded::Not);
        }
        let patience = self.patience(upstream).min(self.left());
        let started = self.platform.now();
        let dispatch = Dispatch::default();
        let handshake = self.sent.handshake.as_ref().map(|handshake| handshake.client.clone());
        let mut answer = pin!(async {
            let Some(client) = handshake else {
                return self.platform.send(upstream, request, &dispatch).await.map(Upgraded::Not);
            };
            *request.extensions_mut() = client;
            self.platform.upgrade(upstream, request).await
        });
        let mut wait = patience;
        loop {
            match select(answer.as_mut(), self.platform.sleep(wait)).await {
                Either::Left((Ok(response), _)) => return Ok(response),
                Either::Left((Err(fault), _)) => return Err(Failure::from(fault)),
                Either::Right(_) => {}
            }
            // What it waits for a connection with room is not the upstream's doing.
            if dispatch.is_queued() {
                return Err(Failure::from(SendFault::Busy));
            }
            let taken = self.platform.now().since(started).saturating_sub(dispatch.waited());
            wait = patience.saturating_sub(taken).min(self.left());
            if wait.is_zero() {
                dispatch.time_out();
                // Cut short by the deadline, it is the deadline that has passed.
                let waited = if self.left().is_zero() { self.total } else { patience };
                return Err(Failure::timeout(waited));
            }
        }
    }

    /// How long the head of the answer may take. That of a whole answer often comes with its end, which takes as long as the
    /// model thinks; of what is not understood nobody knows which it is.
    fn patience(&self, upstream: &Upstream) -> Duration {
        match &self.sent.cargo {
            Cargo::Call { call, .. } if call.stream => upstream.timeouts.first_byte,
            Cargo::Whole(_) if self.sent.handshake.is_some() => upstream.timeouts.first_byte,
            Cargo::Call { .. }
            | Cargo::Named(_)
            | Cargo::Form { .. }
            | Cargo::Pairs { .. }
            | Cargo::Whole(_)
            | Cargo::Stream(..) => upstream.timeouts.whole,
        }
    }

    /// An error status: whose doing, and what the client is told. `asked` is the model's name here, `sent` its upstream's.
    pub(super) fn classify(
        &self,
        (head, body): (&response::Parts, &ErrorBody),
        upstream: &Upstream,
        (asked, sent): (&str, &str),
    ) -> Failure {
        let error = body.error(&head.headers);
        let wait = retry::retry_after(&head.headers, error.retry_after, self.platform.wall());
        let cause = Cause::of_status(head.status, &error);
        let failure = Failure::told(cause, head.status, &error, upstream.secret());
        let is_for_all = cause == Cause::RateLimit
            && wait.is_some()
            && !upstream.limits_by_deployment()
            && !error.is_about_a_model(sent);
        // The account may use other models.
        let is_of_a_model = head.status == StatusCode::FORBIDDEN
            && cause == Cause::Credentials
            && failure.blame == Blame::Upstream
            && error.is_about_a_model(sent);
        let blame = if is_for_all {
            Blame::Upstream
        } else if is_of_a_model {
            Blame::Model
        } else {
            failure.blame
        };
        let again = if retry::is_useless(&head.headers) { Again::Never } else { failure.again };
        Failure { again, blame, retry_after: wait, ..failure }.about(asked, wait)
    }
}

/// What an adaptive bound learns from an attempt.
fn verdict<P: Platform>(outcome: &Result<Answer<P>, Failure>) -> Verdict {
    match outcome.as_ref().err().map(|failure| failure.condition) {
        None => Verdict::Success,
        // It has too much to do.
        Some(Some(Condition::Timeout | Condition::RateLimit)) => Verdict::Dropped,
        Some(
            Some(
                Condition::Connect
                | Condition::ServerError
                | Condition::Credentials
                | Condition::Quota
                | Condition::BadAnswer,
            )
            | None,
        ) => Verdict::Ignore,
    }
}

/// An error that is passed on as it is, unless it is about the credential that the upstream was shown, quotes it, or
/// is too long.
async fn pass_error<P: Platform>(
    head: response::Parts,
    mut course: Course<P>,
    returned: Returned<'_>,
) -> Result<Answer<P>, Failure> {
    let body = ErrorBody::read(&mut course).await;
    let error = body.error(&head.headers);
    let cause = Cause::of_status(head.status, &error);
    let secret = course.secret();
    if cause == Cause::Credentials {
        // It may be about what this caller asks for, which the gateway's credential need not be good for.
        return Err(Failure { blame: Blame::Nobody, ..Failure::told(cause, head.status, &error, secret) });
    }
    if body.is_cut || is_encoded(&head) {
        let refusal = Refusal::Rejected(Box::new(error.rejection(cause, head.status, secret)));
        let status = Some(head.status);
        return Err(Failure { status, ..Failure::of_client(refusal, Ending::Rejected) });
    }
    let mut head = dressed(head, returned);
    head.headers.remove(header::CONTENT_LENGTH);
    // One that is too short to be looked for everywhere is still not told in an error.
    let quotes = |secret: &&Secret| memmem::find(&body.bytes, secret.expose().as_bytes()).is_some();
    let bytes = match secret.filter(quotes) {
        Some(secret) => secret.scrub(&String::from_utf8_lossy(&body.bytes)).into(),
        None => body.bytes.clone(),
    };
    Ok(Answer::Whole { head, bytes, untold: None, course: Box::new(course) })
}

/// How an answer may report its usage; `None` where it cannot.
fn framing(head: &response::Parts) -> Option<Framing> {
    match headers::media_type(&head.headers).as_deref() {
        _ if !head.status.is_success() => None,
        Some("text/event-stream") => Some(Framing::Events),
        Some(kind) if is_json(kind) => Some(Framing::Whole),
        Some(_) | None => None,
    }
}
