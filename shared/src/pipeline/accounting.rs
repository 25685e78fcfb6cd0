//! What is noted of a request on its way, and handed over wherever it ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{StatusCode, response};

use crate::cache::fingerprint::Framed;
use crate::cache::in_flight::{End, Listener};
use crate::cache::{Entry, Form, Status};
use crate::config::{Limits, OnDisconnect};
use crate::identity::caller::Caller;
use crate::ledger::record::{Attempt, Ending, Record};
use crate::limits::admission::Place;
use crate::limits::concurrency::Slot;
use crate::pipeline::answer_stream::Course;
use crate::pipeline::settlement::{Docket, Left, Rest, Settlement, Task, entry, hand_over};
use crate::pipeline::share::follow_remote::Relay;
use crate::pipeline::share::lease::Held;
use crate::pipeline::share::lease::Lead;
use crate::pipeline::websocket::{Open, Session};
use crate::platform::Held::InStore;
use crate::platform::{Finding, Keeping, Platform, Reservation};
use crate::refusal::Refusal;
use crate::routing::breaker::control;
use crate::routing::breaker::{FaultScope, Outcome, Policies};
use crate::routing::plan::Candidate;
use crate::store::lease::{Holding, Lease, Release};
use crate::time::Instant;

/// A stream that has been silent for so long when its client leaves has failed; before that nobody can say.
const STALLED: Duration = Duration::from_secs(10);

/// What is noted of a request on its way.
pub(crate) struct Trail<P: Platform> {
    platform: P,
    /// Taken by whatever ends the request first.
    hand_over: Option<(oneshot::Sender<Task<P>>, Box<Record>)>,
    reservation: Reservation,
    learned: Learned,
    started: Instant,
    pub(crate) prompt_bytes: usize,
    pub(crate) on_disconnect: OnDisconnect,
    /// Under which keys the answer is kept, if it is complete.
    pub(crate) keeping: Keeping,
    /// Bytes of a stream that are kept for that.
    pub(crate) most_kept: u64,
    pub(crate) older: Older,
    /// Sees a shared call to its end, should this client not: its `Idempotency-Key` wants the answer.
    pub(crate) witness: Option<Listener>,
    /// Its place among the calls of the process.
    pub(crate) slot: Option<Slot>,
    /// Its place among the calls of its caller.
    pub(crate) place: Option<Place>,
    /// Where the client is, at a gateway that everybody may use.
    pub(crate) address: Option<IpAddr>,
    /// The answer had fallen silent when its client left.
    has_stalled: bool,
}

/// An older answer to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Older {
    None,
    /// If no upstream answers, the client is given it.
    StandsIn,
    /// The client has it.
    Given,
}

/// What the breakers are told of a request.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) findings: Vec<Finding>,
    /// The breaker of the deployment that answers; how that ends is not known yet.
    answering: Option<(String, Policies)>,
    /// That it answers has been told.
    is_told: bool,
    /// The breakers whose probe this request is, until that is reported.
    pub(crate) probing: Vec<String>,
}

impl Learned {
    /// Takes note of how a request ended at a candidate, in place of what its earlier attempts there said: of a request
    /// that fails at one candidate three times, one failure is counted. Nor does the whole of an upstream hear twice
    /// of one request.
    fn learn(&mut self, finding: Finding) {
        let upstream = control::upstream_of(&finding.breaker);
        let blames_all = |outcome: Outcome| outcome.scope() == Some(FaultScope::Upstream);
        self.findings.retain(|known| {
            let is_repeated = blames_all(known.outcome)
                && blames_all(finding.outcome)
                && control::upstream_of(&known.breaker) == upstream;
            known.breaker != finding.breaker && !is_repeated
        });
        self.findings.push(finding);
    }

    /// Takes note of how the answer ended.
    pub(crate) fn answered(&mut self, ending: Ending, caller: impl FnOnce() -> u64) {
        let outcome = outcome(ending, caller);
        let Some((breaker, policies)) = self.answering.take() else { return };
        if let Some(outcome) = outcome.filter(|outcome| !(self.is_told && *outcome == Outcome::Success)) {
            self.learn(Finding { breaker, policies, outcome });
        }
    }

    /// Takes note that the answer had fallen silent when its client left. Who asks for long work and leaves has met it alone.
    fn stalled(&mut self, caller: u64) {
        if let Some((breaker, policies)) = self.answering.take() {
            let outcome = Outcome::Timeout { caller };
            self.learn(Finding { breaker, policies, outcome });
        }
    }

    /// Takes note that an upstream has refused what the caller asked a model for.
    fn learn_of_refusal(&mut self, breaker: &str, policies: Policies) {
        self.findings.retain(|known| known.breaker != breaker);
        let breaker = control::upstream_of(breaker).to_owned();
        self.learn(Finding { breaker, policies, outcome: Outcome::Success });
    }
}

impl<P: Platform> Docket<P> {
    /// The request is admitted.
    pub(crate) fn admit(
        &mut self,
        platform: &P,
        record: Record,
        reservation: Reservation,
        started: Instant,
    ) -> Trail<P> {
        Trail {
            platform: platform.clone(),
            reservation,
            learned: Learned::default(),
            hand_over: self.send.take().map(|send| (send, Box::new(record))),
            started,
            prompt_bytes: 0,
            on_disconnect: OnDisconnect::Cancel,
            keeping: Keeping::default(),
            most_kept: 0,
            older: Older::None,
            witness: None,
            slot: None,
            place: None,
            address: None,
            has_stalled: false,
        }
    }
}

impl<P: Platform> Trail<P> {
    /// The record, until the request has ended.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.hand_over.as_mut().map(|(_, record)| &mut **record)
    }

    /// A number that tells callers apart: of tenant and name, and of the address where everybody has the same. Where
    /// that is not known either, everybody is one caller.
    pub(crate) fn caller_id(&mut self) -> u64 {
        let address = self.address;
        self.record().map_or(0, |record| caller_id(&record.caller, address))
    }

    pub(crate) fn attempted(&mut self, attempt: Attempt) {
        if let Some(record) = self.record() {
            record.upstream.clone_from(&attempt.upstream);
            record.attempts.push(attempt);
        }
    }

    /// Whether this request may be the probe of a half-open breaker.
    pub(crate) async fn lease_probe(&mut self, candidate: &Candidate) -> bool {
        let is_leased = self.platform.lease_probe(&candidate.breaker, self.reservation.want.id).await;
        if is_leased {
            self.learned.probing.push(candidate.breaker.clone());
        }
        is_leased
    }

    /// How an attempt went. Of a probe the breakers hear at once, of the rest when the books are closed. A success that
    /// does not answer is a refusal of what the caller asks for: the upstream is well, and of the model, whose name
    /// may be made up, nothing is learned.
    pub(crate) async fn found(&mut self, candidate: &Candidate, outcome: Option<Outcome>, answers: bool) {
        let (breaker, policies) = (candidate.breaker.clone(), candidate.policies);
        self.learned.answering = answers.then(|| (breaker.clone(), policies));
        let is_probe = self.learned.probing.contains(&breaker);
        match outcome {
            Some(outcome) if is_probe => {
                let finding = Finding { breaker, policies, outcome };
                self.platform.report_probe(finding, self.reservation.want.id).await;
                self.learned.probing.retain(|probed| *probed != candidate.breaker);
            }
            Some(_) if answers => {}
            Some(Outcome::Success) => self.learned.learn_of_refusal(&breaker, policies),
            Some(outcome) => self.learned.learn(Finding { breaker, policies, outcome }),
            None => {}
        }
    }

    /// Tells the breakers at once what is known by now: the request goes on for as long as its client likes.
    pub(crate) async fn tell_breakers(&mut self) {
        let mut findings = std::mem::take(&mut self.learned.findings);
        if let Some((breaker, policies)) = self.learned.answering.clone() {
            self.learned.is_told = true;
            findings.push(Finding { breaker, policies, outcome: Outcome::Success });
        }
        for finding in findings {
            self.platform.report_probe(finding, self.reservation.want.id).await;
        }
    }

    pub(crate) fn sent_first_byte(&mut self) {
        let Some((_, record)) = self.hand_over.as_mut() else { return };
        if record.first_byte.is_none() {
            record.first_byte = Some(self.platform.now().since(self.started));
        }
    }

    /// It ends with an answer that is here as a whole, or with none.
    pub(crate) fn ended(mut self, ending: Ending, status: u16) {
        if let Some(record) = self.record() {
            record.status = status;
        }
        self.hand_over(ending, None);
    }

    /// The call is made by the settlement, and its books are closed behind it.
    pub(crate) fn lead(
        mut self,
        lead: impl FnOnce(Self, Settlement<P>) -> crate::pipeline::share::leader::Lead<P>,
    ) {
        let Some((send, record)) = self.hand_over.take() else { return };
        let (inner, books) = hand_over(&self.platform);
        self.hand_over = Some((inner, record));
        // If nobody runs it, whoever listens hears of an error.
        let _ = send.send(Task::Lead(Box::new(lead(self, books))));
    }

    /// A websocket is open: the settlement relays it to its end, and closes its books behind it. It holds its place among
    /// the calls of the process; how long it does says nothing of other calls.
    pub(crate) fn open(mut self, mut open: Box<Open<P>>) {
        let Some((send, record)) = self.hand_over.take() else { return };
        let (inner, books) = hand_over(&self.platform);
        self.hand_over = Some((inner, record));
        self.slot.iter_mut().chain(&mut open.slot).for_each(Slot::lasts);
        let platform = self.platform.clone();
        // If nobody runs it, both connections are closed.
        let _ = send.send(Task::Session(Box::new(Session { platform, open, trail: self, books })));
    }

    /// The settlement says from here on that the call is under way, as long as it holds something: places, its key, and
    /// the `lease` of a call that is made for others as well who ask the same store.
    pub(crate) fn hold(&mut self, lease: Option<Lease>) {
        let holding = self.holding();
        if holding.is_none() && lease.is_none() {
            return;
        }
        let Some((send, record)) = self.hand_over.take() else { return };
        let (inner, books) = hand_over(&self.platform);
        self.hand_over = Some((inner, record));
        self.keeping.lease = lease.map(|lease| (lease, Release::Spent));
        let lead = lease.map(|lease| Lead { lease, id: self.reservation.want.id, most: self.most_kept });
        // If nobody runs it, all of it ends by itself.
        let _ = send.send(Task::Hold(Box::new(Held { holding, lead }), books));
    }

    /// What has to be renewed of what the call has reserved.
    fn holding(&mut self) -> Option<Holding> {
        let Reservation { want, scopes, held } = &self.reservation;
        let counted = scopes.iter().filter(|(_, limits)| limits.concurrent.is_some());
        let scopes: Vec<_> = counted
            .map(|(scope, limits)| {
                let only = Limits { requests: Vec::new(), tokens: Vec::new(), ..*limits };
                (scope.clone(), only)
            })
            .collect();
        let repeat = self.keeping.repeat.map(|(repeat, _)| repeat);
        let is_shown = *held == InStore && self.platform.shows_calls();
        if scopes.is_empty() && repeat.is_none() && !is_shown {
            return None;
        }
        let reservation = Reservation { want: *want, scopes, held: *held };
        let tenant = self.record().map(|record| record.caller.tenant.clone()).unwrap_or_default();
        Some(Holding { tenant, reservation, repeat })
    }

    /// The settlement tells here what a call elsewhere says.
    pub(crate) fn relay(&mut self, relay: Relay<P>) {
        let Some((send, record)) = self.hand_over.take() else { return };
        let (inner, books) = hand_over(&self.platform);
        self.hand_over = Some((inner, record));
        // If nobody runs it, whoever listens hears of an error.
        let _ = send.send(Task::Relay(Box::new(relay), books));
    }

    /// An answer with this status has begun.
    pub(crate) fn answers(&mut self, status: StatusCode) {
        if let Some(record) = self.record() {
            record.status = status.as_u16();
        }
    }

    /// It ends with an answer that came from elsewhere: from what is kept, or from a call that it shared. The
    /// cache has that already.
    pub(crate) fn followed(mut self, End { ending, entry, .. }: End) {
        self.keeping = Keeping { entry, cache: None, ..self.keeping };
        self.hand_over(ending, None);
    }

    /// There is no answer; but there may be an older one.
    pub(crate) fn unanswered(mut self, ending: Ending, refusal: &Refusal) {
        let is_answered = match self.older {
            Older::None => false,
            Older::StandsIn => refusal.is_upstreams(),
            Older::Given => true,
        };
        if !is_answered {
            return self.ended(ending, refusal.status().as_u16());
        }
        if let Some(record) = self.record() {
            record.cache = Some(Status::Stale);
        }
        self.ended(Ending::Complete, StatusCode::OK.as_u16());
    }

    /// What is to be kept of an answer that is here as a whole. `untold` is the answer itself where the client is
    /// given the events of it.
    pub(crate) fn keep_whole(
        &mut self,
        course: &mut Course<P>,
        head: &response::Parts,
        body: &Bytes,
        untold: Option<&Bytes>,
    ) -> Option<Arc<Entry>> {
        let is_told = untold.is_some();
        let body = untold.unwrap_or(body);
        let is_encoded = head.headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
        let fits = self.most_kept >= body.len() as u64;
        let observer = course.observer();
        if head.status != StatusCode::OK || is_encoded || !fits || !observer.is_complete(body) {
            return None;
        }
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = if is_told { Some("application/json") } else { content_type };
        let entry = Arc::new(Entry {
            operation: observer.operation(),
            form: Form::Whole,
            content_type: content_type.unwrap_or_default().to_owned(),
            model: observer.model().unwrap_or_default().to_owned(),
            // A copy: it may be a small part of the buffer that it was read into.
            body: Bytes::copy_from_slice(body),
        });
        self.keeping.entry = Some(Arc::clone(&entry));
        Some(entry)
    }

    /// What is to be kept of an answer that is complete.
    pub(crate) fn keep(&mut self, course: &mut Course<P>) -> Option<Arc<Entry>> {
        let entry = entry(course)?;
        self.keeping.entry = Some(Arc::clone(&entry));
        Some(entry)
    }

    /// The answer is complete, though whoever asked for it first may have left.
    pub(crate) fn completes(&mut self) {
        self.learned.answered(Ending::Complete, || 0);
    }

    /// The answer that went by has ended.
    pub(crate) fn answered(mut self, ending: Ending, mut course: Course<P>) {
        self.note_usage(&mut course);
        if ending == Ending::Complete {
            self.keep(&mut course);
        }
        let rest = (ending == Ending::Complete && !course.is_drained).then_some(Rest::Connection(course));
        self.hand_over(ending, rest);
    }

    /// The client left before the answer's end. Unless the route wants it finished, the upstream call is
    /// cancelled here and now.
    pub(crate) fn client_left(mut self, mut course: Course<P>) {
        self.note_usage(&mut course);
        self.has_stalled = course.silence() >= STALLED;
        let rest = match self.on_disconnect {
            OnDisconnect::Cancel => None,
            OnDisconnect::Finish => Some(Rest::Answer { course, caller: self.caller_id() }),
        };
        self.hand_over(Ending::ClientGone, rest);
    }

    pub(crate) fn note_usage(&mut self, course: &mut Course<P>) {
        let prompt_bytes = self.prompt_bytes;
        if let Some(record) = self.record() {
            record.usage = course.usage(prompt_bytes);
            course.observer().model().unwrap_or_default().clone_into(&mut record.response_model);
        }
    }

    fn hand_over(&mut self, ending: Ending, rest: Option<Rest<P>>) {
        // Whoever is cut off did not leave.
        let is_cut_off = ending == Ending::ClientGone && self.platform.is_going_away();
        let ending = if is_cut_off { Ending::GoingAway } else { ending };
        let witness = self.witness.take().filter(|_| ending == Ending::ClientGone);
        let rest = rest.or_else(|| witness.map(Rest::Flight));
        let Some((send, mut record)) = self.hand_over.take() else { return };
        record.ending = ending;
        record.took = self.platform.now().since(self.started);
        let reservation =
            Reservation { scopes: std::mem::take(&mut self.reservation.scopes), ..self.reservation };
        let (started, prompt_bytes) = (self.started, self.prompt_bytes);
        let mut learned = std::mem::take(&mut self.learned);
        match &rest {
            // How it ends is still to come.
            Some(Rest::Answer { .. }) => {}
            Some(Rest::Connection(_) | Rest::Flight(_)) | None if self.has_stalled => {
                learned.stalled(caller_id(&record.caller, self.address));
            }
            Some(Rest::Connection(_) | Rest::Flight(_)) | None => {
                learned.answered(ending, || caller_id(&record.caller, self.address));
            }
        }
        let mut keeping = std::mem::take(&mut self.keeping);
        if let Some((_, release)) =
            keeping.lease.as_mut().filter(|_| ending == Ending::ClientGone && rest.is_none())
        {
            *release = Release::Free;
        }
        let left = Left { record: *record, reservation, learned, started, prompt_bytes, keeping, rest };
        // Free before the client reads the end of its answer, so that it may call again at once.
        self.place = None;
        // A settlement that nobody runs has no reader, and then nobody keeps books.
        let _ = send.send(Task::Close(Box::new(left)));
    }
}

impl<P: Platform> Drop for Trail<P> {
    /// The request was dropped on its way: the client left before there was an answer.
    fn drop(&mut self) {
        self.hand_over(Ending::ClientGone, None);
    }
}

/// What the end of an answer says of its upstream: nothing, where its client has left before it. A silence, and an end of
/// the time there was, may be of the caller's own making.
fn outcome(ending: Ending, caller: impl FnOnce() -> u64) -> Option<Outcome> {
    Some(match ending {
        Ending::ClientGone => return None,
        // A bound of the gateway's says nothing against the upstream.
        Ending::Complete
        | Ending::Rejected
        | Ending::EventTooLarge
        | Ending::MessageTooLarge
        | Ending::Idle
        | Ending::Expired
        | Ending::GoingAway => Outcome::Success,
        Ending::Stalled | Ending::DeadlinePassed => Outcome::Timeout { caller: caller() },
        Ending::Reset => Outcome::Break { scope: FaultScope::Model },
        Ending::Failed | Ending::Truncated | Ending::Malformed | Ending::UpstreamError => {
            Outcome::Failure { scope: FaultScope::Model }
        }
    })
}

fn caller_id(caller: &Caller, address: Option<IpAddr>) -> u64 {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let hash = Framed::new("weir caller 1")
        .field("tenant", caller.tenant.as_bytes())
        .field("name", caller.name.as_bytes())
        .field("address", address.as_bytes())
        .finish();
    hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}
