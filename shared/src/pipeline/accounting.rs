//! What is noted of a request on its way, and handed over wherever it ends.

pub(super) mod closing;
pub(super) mod held;
pub(super) mod learned;
pub(super) mod task;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{StatusCode, response};

use self::closing::entry;
use self::learned::Learned;
use self::task::{Docket, Left, Rest, Settlement, Task, hand_over};
use super::answer_stream::Course;
use crate::cache::Entry;
use crate::cache::fingerprint::Framed;
use crate::cache::in_flight::{End, Listener};
use crate::dialect::endpoint::Form;
use crate::ledger::cache_status::Status;
use crate::ledger::payer::Payer;
use crate::ledger::record::{Attempt, Ending, Record};
use crate::limits::admission::Place;
use crate::limits::concurrency::Slot;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::Outcome;
use crate::routing::plan::Candidate;
use crate::routing::route::OnDisconnect;
use crate::store::lease::Release;
use crate::store::protocol::{Finding, Keeping, Reservation};
use crate::time::Instant;

/// A stream that has been silent for so long when its client leaves has failed; before that nobody can say.
const STALLED: Duration = Duration::from_secs(10);

/// What is noted of a request on its way.
pub(crate) struct Trail<P: Platform> {
    pub(super) platform: P,
    /// Taken by whatever ends the request first.
    hand_over: Option<(oneshot::Sender<Task<P>>, Box<Record>)>,
    pub(super) reservation: Reservation,
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

impl<P: Platform> Trail<P> {
    /// The request is admitted.
    pub(super) fn begin(
        docket: &mut Docket<P>,
        platform: &P,
        record: Record,
        reservation: Reservation,
        started: Instant,
    ) -> Self {
        Self {
            platform: platform.clone(),
            reservation,
            learned: Learned::default(),
            hand_over: docket.send.take().map(|send| (send, Box::new(record))),
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

    /// Where the settlement can be given something to do before it closes these books, and the books that it then closes.
    /// `None` once they are handed over.
    pub(super) fn nest(&mut self) -> Option<(oneshot::Sender<Task<P>>, Settlement<P>)> {
        let (send, record) = self.hand_over.take()?;
        let (inner, books) = hand_over(&self.platform);
        self.hand_over = Some((inner, record));
        Some((send, books))
    }

    /// The record, until the request has ended.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.hand_over.as_mut().map(|(_, record)| &mut **record)
    }

    /// A number that tells callers apart: of tenant and name, and of the address where everybody has the same. Where
    /// that is not known either, everybody is one caller.
    pub(crate) fn caller_id(&mut self) -> u64 {
        let address = self.address;
        self.record().map_or(0, |record| caller_id(&*record.caller, address))
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
                learned.stalled(caller_id(&*record.caller, self.address));
            }
            Some(Rest::Connection(_) | Rest::Flight(_)) | None => {
                learned.answered(ending, || caller_id(&*record.caller, self.address));
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

fn caller_id(caller: &dyn Payer, address: Option<IpAddr>) -> u64 {
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let hash = Framed::new("weir caller 1")
        .field("tenant", caller.tenant().as_bytes())
        .field("name", caller.name().as_bytes())
        .field("address", address.as_bytes())
        .finish();
    hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}
