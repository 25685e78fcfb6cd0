//! An upstream's answer on its way: bytes in, whole events out, each wait bounded.
//!
//! A [`Course`] yields what may go to the client and then, once, how it ended. It holds the upstream's
//! connection: dropping it cancels the call. Before the first byte goes to the client an ending is a failed
//! attempt like any other; behind it, the ending's notice is the last thing the client reads.

pub(crate) mod opening;
pub(crate) mod websocket;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;

use self::opening::{Beginning, Opening};
use crate::dialect::endpoint::Operation;
use crate::dialect::openai::events::{Meaning, Observer, Passage};
use crate::dialect::openai::excerpt::Excerpt;
use crate::ledger::record::Ending;
use crate::ledger::usage::{self, Usage};
use crate::limits::concurrency::Slot;
use crate::platform::Platform;
use crate::refusal::{Cause, Refusal, UpstreamError};
use crate::routing::upstream::Terminator;
use crate::secret::Secret;
use crate::telemetry::event::Event;
use crate::time::Instant;
use crate::wire::coding::{Coding, Decoded, Fault, Undecoded};
use crate::wire::json;
use crate::wire::redact::{RedactedStream, Redactor};
use crate::wire::sse::{self, Splitter};

/// What is added to a stream that is complete, where its upstream does not send it.
const TERMINATOR: &[u8] = b"data: [DONE]\n\n";

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As events of an operation's dialect, held to the contract.
    Events { operation: Operation, strip_usage: bool, terminator: Terminator, max_event: usize },
    /// As bytes: the transport alone says whether they are complete.
    Bytes { operation: Option<Operation> },
}

impl Reading {
    fn splitter(self) -> Splitter {
        match self {
            Self::Events { max_event, .. } => Splitter::new(max_event),
            Self::Bytes { .. } => Splitter::new(0),
        }
    }

    fn observer(self) -> Observer {
        match self {
            Self::Events { operation, strip_usage, .. } => Observer::new(operation, strip_usage),
            Self::Bytes { operation } => Observer::new(operation.unwrap_or(Operation::Responses), false),
        }
    }
}

/// Bounds of the waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) idle: Duration,
    /// When the whole call has to be over, and how long it was given.
    pub(crate) deadline: Instant,
    pub(crate) total: Duration,
}

/// One step of an answer.
#[derive(Debug)]
pub(crate) enum Step {
    /// `is_content`: the client has waited for what is in here.
    Bytes { bytes: Bytes, is_content: bool },
    /// `notice` tells the client in its dialect; without one, an ending that is not complete is an abort.
    End { ending: Ending, notice: Option<Bytes> },
}

/// A call in flight at an upstream, counted as long as it lives.
pub(crate) struct Permit<P: Platform> {
    platform: P,
    upstream: String,
}

impl<P: Platform> Permit<P> {
    pub(crate) fn new(platform: &P, upstream: &str) -> Self {
        platform.observe(Event::Started { upstream });
        Self { platform: platform.clone(), upstream: upstream.to_owned() }
    }
}

impl<P: Platform> Drop for Permit<P> {
    fn drop(&mut self) {
        self.platform.observe(Event::Over { upstream: &self.upstream });
    }
}

/// What was seen of an answer.
struct Recording {
    /// Copied: a chunk may be a small part of the buffer that it was read into.
    kept: Vec<u8>,
    /// Bytes that may still come.
    left: usize,
}

pub(crate) struct Course<P: Platform> {
    platform: P,
    download: Decoded<P::Download>,
    /// Overwrites credentials in it, before anything else is made of its bytes.
    redacted: RedactedStream,
    /// The download has ended, and is not polled again.
    is_over: bool,
    /// It is being polled; still so in the end if it panicked, and then it is not asked once more.
    is_polled: bool,
    /// Bytes of which it cannot be told yet how they are to be read.
    beginning: Beginning,
    /// Bytes that were looked at before it was known how they are to be read.
    begun: Option<Bytes>,
    reading: Reading,
    splitter: Splitter,
    observer: Observer,
    /// Reads the usage of an answer that passes through.
    usage: Option<usage::Reader>,
    waits: Waits,
    timer: Option<P::Sleep>,
    /// Since when the upstream has had nothing for whoever asked. While nobody asks, as when a slow client reads,
    /// it is not silent.
    silent_since: Option<Instant>,
    /// What the upstream said of its failure.
    error: Option<UpstreamError>,
    /// Decided, but behind bytes that go first.
    end: Option<(Ending, Option<Bytes>)>,
    /// The credential that was shown, to be masked should the upstream quote it.
    secret: Option<Secret>,
    /// The answer as the upstream sends it, to be kept.
    recording: Option<Recording>,
    /// Nothing more comes from the upstream.
    pub(crate) is_drained: bool,
    /// Its place among the calls to the upstream.
    pub(crate) slot: Option<Slot>,
    _permit: Permit<P>,
}

impl<P: Platform> Course<P> {
    pub(crate) fn new(
        permit: Permit<P>,
        download: P::Download,
        reading: Reading,
        waits: Waits,
        secret: Option<Secret>,
        redactor: Arc<Redactor>,
    ) -> Self {
        Self {
            silent_since: None,
            platform: permit.platform.clone(),
            download: Decoded::plain(download),
            redacted: RedactedStream::new(redactor),
            is_over: false,
            is_polled: false,
            beginning: Beginning::default(),
            begun: None,
            reading,
            splitter: reading.splitter(),
            observer: reading.observer(),
            usage: None,
            waits,
            timer: None,
            error: None,
            end: None,
            secret,
            recording: None,
            is_drained: false,
            slot: None,
            _permit: permit,
        }
    }

    /// The answer comes packed, though nobody asked for it: it is read and passed on unpacked.
    pub(crate) fn unpacked(mut self, coding: Option<Coding>) -> Self {
        self.download = self.download.with(coding);
        self
    }

    /// Changes how the answer is read. Nothing of it has been read yet.
    pub(crate) fn read_as(&mut self, reading: Reading) {
        (self.reading, self.splitter, self.observer) = (reading, reading.splitter(), reading.observer());
    }

    /// Whether it yields whole events, so that a comment may stand between any two of its steps.
    pub(crate) fn is_events(&self) -> bool {
        matches!(self.reading, Reading::Events { .. })
    }

    pub(crate) fn platform(&self) -> &P {
        &self.platform
    }

    /// Looks at the first bytes of the answer, which are read all the same.
    pub(crate) fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opening, Ending>> {
        loop {
            match self.poll_download(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.silent_since = None;
                    if let Some((opening, begun)) = self.beginning.push(chunk) {
                        self.begun = Some(begun);
                        return Poll::Ready(Ok(opening));
                    }
                }
                Poll::Ready(Some(Err(undecoded))) => return Poll::Ready(Err(ending_of(undecoded))),
                Poll::Ready(None) => {
                    let begun = self.beginning.take();
                    let is_blank = begun.trim_ascii().is_empty();
                    self.begun = Some(begun).filter(|begun| !begun.is_empty());
                    return Poll::Ready(Ok(if is_blank { Opening::Nothing } else { Opening::Other }));
                }
                Poll::Pending => return self.poll_waits(cx).map(Err),
            }
        }
    }

    pub(crate) fn observer(&mut self) -> &mut Observer {
        &mut self.observer
    }

    /// Looks for usage in an answer of bytes.
    pub(crate) fn read_usage(&mut self, framing: usage::Framing) {
        self.usage = Some(usage::Reader::new(framing));
    }

    pub(crate) fn usage(&self, prompt_bytes: usize) -> Usage {
        let reported = self.usage.as_ref().and_then(usage::Reader::usage);
        reported.unwrap_or_else(|| self.observer.usage(prompt_bytes))
    }

    /// Whether the answer is complete with what was yielded last; takes the [`Step::End`] that would say so.
    pub(crate) fn take_completion(&mut self) -> bool {
        self.end.take_if(|(ending, _)| *ending == Ending::Complete).is_some()
    }

    /// Keeps what comes from now on, unless it is longer than `most` bytes.
    pub(crate) fn record(&mut self, most: u64) {
        self.recording =
            Some(Recording { kept: Vec::new(), left: usize::try_from(most).unwrap_or(usize::MAX) });
    }

    /// All that came of an answer, which is complete if the caller says so.
    pub(crate) fn take_recording(&mut self) -> Option<Bytes> {
        let Recording { kept, .. } = self.recording.take()?;
        (!kept.is_empty()).then(|| kept.into_boxed_slice().into())
    }

    /// The error that the upstream has ended its answer with.
    pub(crate) fn take_error(&mut self) -> Option<UpstreamError> {
        self.error.take()
    }

    /// The credential that the upstream was shown.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    pub(crate) fn waits(&self) -> Waits {
        self.waits
    }

    /// The next step. Not to be polled again after [`Step::End`].
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if self.end.is_none() && self.platform.is_going_away() {
                self.end_with(Ending::GoingAway);
            }
            if let Some((ending, notice)) = self.end.take() {
                return Poll::Ready(Step::End { ending, notice });
            }
            let next = match self.begun.take() {
                Some(chunk) => Poll::Ready(Some(Ok(chunk))),
                None => self.poll_download(cx),
            };
            match next {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.silent_since = None;
                    if let Some(step) = self.digest(chunk) {
                        if self.end.is_some() && !self.is_drained {
                            // The end of the transport mostly comes with the last event; seeing it lets the
                            // connection be used again.
                            self.is_drained = matches!(self.download.poll_next(cx), Poll::Ready(None));
                        }
                        return Poll::Ready(step);
                    }
                }
                Poll::Ready(Some(Err(undecoded))) => {
                    self.is_drained = undecoded == Undecoded::Broken;
                    self.end_with(ending_of(undecoded));
                }
                Poll::Ready(None) => {
                    self.is_drained = true;
                    if let Some(step) = self.digest_rest() {
                        return Poll::Ready(step);
                    }
                }
                Poll::Pending => match self.poll_waits(cx) {
                    Poll::Ready(ending) => self.end_with(ending),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// For how long the upstream has said nothing. What has come and was not read yet is no silence.
    pub(crate) fn silence(&mut self) -> Duration {
        let Some(since) = self.silent_since else { return Duration::ZERO };
        if self.end.is_some() || self.begun.is_some() || self.is_polled {
            return Duration::ZERO;
        }
        match self.poll_download(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.platform.now().since(since),
            Poll::Ready(Some(Ok(chunk))) => {
                self.begun = Some(chunk);
                Duration::ZERO
            }
            Poll::Ready(Some(Err(undecoded))) => {
                self.end_with(ending_of(undecoded));
                Duration::ZERO
            }
            Poll::Ready(None) => Duration::ZERO,
        }
    }

    /// The next bytes that have no credential in them.
    fn poll_download(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Undecoded>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            self.is_polled = true;
            let polled = self.download.poll_next(cx);
            self.is_polled = false;
            match ready!(polled) {
                Some(Ok(chunk)) => {
                    let chunk = self.redacted.push(chunk);
                    if !chunk.is_empty() {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    self.silent_since = None;
                }
                Some(Err(undecoded)) => return Poll::Ready(Some(Err(undecoded))),
                None => {
                    self.is_over = true;
                    return Poll::Ready(self.redacted.finish().map(Ok));
                }
            }
        }
    }

    /// One timer serves both waits: it is set anew when it fires, not with every chunk.
    fn poll_waits(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let since = match self.silent_since {
            Some(since) => since,
            None => *self.silent_since.insert(self.platform.now()),
        };
        loop {
            if let Some(timer) = &mut self.timer
                && Pin::new(timer).poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            let now = self.platform.now();
            let silent = now.since(since);
            if now >= self.waits.deadline {
                return Poll::Ready(Ending::DeadlinePassed);
            }
            if silent >= self.waits.idle {
                return Poll::Ready(Ending::Stalled);
            }
            let wait = self.waits.idle.saturating_sub(silent).min(self.waits.deadline.since(now));
            self.timer = Some(self.platform.sleep(wait));
        }
    }

    fn digest(&mut self, chunk: Bytes) -> Option<Step> {
        match self.reading {
            Reading::Bytes { .. } => {
                if let Some(usage) = &mut self.usage {
                    usage.see(&chunk);
                }
                Some(Step::Bytes { bytes: chunk, is_content: true })
            }
            Reading::Events { .. } => {
                let Ok(block) = self.splitter.push(chunk) else {
                    self.end_with(Ending::EventTooLarge);
                    return None;
                };
                self.read_block(&block)
            }
        }
    }

    /// The transport has ended; what does that mean?
    fn digest_rest(&mut self) -> Option<Step> {
        match self.reading {
            Reading::Bytes { .. } => {
                self.end = Some((Ending::Complete, None));
                None
            }
            Reading::Events { terminator, .. } => {
                // A last event may lack its blank line. A terminator counts all the same; anything else may be
                // half of something.
                let rest = self.splitter.take_rest();
                let (frame, _) = sse::frame(&rest);
                if !rest.is_empty() && self.observer.see(&frame).0 == Meaning::Terminator {
                    self.end = Some((Ending::Complete, None));
                    let bytes = sse::closed(rest);
                    self.note(&bytes);
                    return Some(Step::Bytes { bytes, is_content: true });
                }
                let is_over = rest.is_empty() && self.observer.lacks_only_terminator();
                if is_over && terminator == Terminator::Optional {
                    self.end = Some((Ending::Complete, None));
                    let bytes = Bytes::from_static(TERMINATOR);
                    self.note(&bytes);
                    return Some(Step::Bytes { bytes, is_content: true });
                }
                self.end_with(Ending::Truncated);
                None
            }
        }
    }

    /// Reads the events of a block. The block itself goes on as it is, unless something in it must not.
    fn read_block(&mut self, block: &Bytes) -> Option<Step> {
        let (mut is_content, mut read, mut excerpt) = (false, 0, Excerpt::of(block));
        for frame in sse::frames(block) {
            // An event that came in one piece is held to the bound as well.
            if frame.raw.len() > self.splitter.limit() {
                self.end_with(Ending::EventTooLarge);
                break;
            }
            let (meaning, passage) = self.observer.see(&frame);
            match meaning {
                Meaning::Preamble => {}
                Meaning::Content => is_content = true,
                Meaning::Terminator => {
                    is_content = true;
                    self.end = Some((Ending::Complete, None));
                }
                Meaning::EarlyTerminator => self.end_with(Ending::Truncated),
                Meaning::Malformed => self.end_with(Ending::Malformed),
                Meaning::Failure => self.end_with_failure(frame.data.as_deref().unwrap_or_default()),
            }
            let is_told = matches!(meaning, Meaning::Malformed | Meaning::Failure | Meaning::EarlyTerminator);
            excerpt.take(&frame, if is_told { Passage::Drop } else { passage });
            read += frame.raw.len();
            if self.end.is_some() {
                break;
            }
        }
        self.note(&block.slice(..read));
        let bytes = excerpt.finish();
        (!bytes.is_empty()).then_some(Step::Bytes { bytes, is_content })
    }

    /// Beyond its bound a recording is none.
    fn note(&mut self, bytes: &Bytes) {
        let Some(recording) = &mut self.recording else { return };
        match recording.left.checked_sub(bytes.len()) {
            Some(left) => {
                recording.left = left;
                recording.kept.extend_from_slice(bytes);
            }
            None => self.recording = None,
        }
    }

    fn end_with(&mut self, ending: Ending) {
        let problem = match ending {
            Ending::Truncated => "its answer stopped before it was complete",
            Ending::Reset => "the connection broke in the middle of its answer",
            Ending::Malformed => "it sent what is no event of this API",
            Ending::EventTooLarge => return self.end_with_notice(ending, &Refusal::EVENT_TOO_LARGE),
            Ending::Stalled => {
                return self.end_with_notice(ending, &Refusal::Stalled { waited: self.waits.idle });
            }
            Ending::DeadlinePassed => {
                return self.end_with_notice(ending, &Refusal::DeadlinePassed { waited: self.waits.total });
            }
            Ending::GoingAway => return self.end_with_notice(ending, &Refusal::GoingAway),
            Ending::Complete
            | Ending::Rejected
            | Ending::Failed
            | Ending::ClientGone
            | Ending::UpstreamError
            | Ending::MessageTooLarge
            | Ending::Idle
            | Ending::Expired => "it failed",
        };
        self.end_with_notice(ending, &Refusal::UpstreamFailed { problem });
    }

    /// The upstream's own error event, rebuilt. A response that failed is told as it is: the SDKs know it. By an error
    /// that is the caller's doing the upstream is well.
    fn end_with_failure(&mut self, data: &[u8]) {
        let error = UpstreamError::of_event(data);
        let (cause, _) = Cause::of_event(&error);
        let ending = if cause == Cause::Caller { Ending::Rejected } else { Ending::UpstreamError };
        match self.reading {
            Reading::Events { operation: Operation::Responses, .. } if is_failed_response(data) => {
                self.end = Some((ending, Some(failed_response(data, self.secret.as_ref()))));
            }
            Reading::Events { .. } | Reading::Bytes { .. } => {
                let rejection = error.rejection(cause, http::StatusCode::BAD_GATEWAY, self.secret.as_ref());
                self.end_with_notice(ending, &Refusal::Rejected(Box::new(rejection)));
            }
        }
        self.error = Some(error);
    }

    fn end_with_notice(&mut self, ending: Ending, refusal: &Refusal) {
        let notice = match self.reading {
            Reading::Events { operation, .. } => {
                Some(refusal.to_event(operation, self.observer.next_sequence()))
            }
            Reading::Bytes { .. } => None,
        };
        self.end = Some((ending, notice));
    }
}

fn is_failed_response(data: &[u8]) -> bool {
    let kind = str::from_utf8(data).ok().and_then(|text| json::pick(text, ["type"]).ok());
    kind.and_then(|[kind]| kind?.read::<String>()).is_some_and(|kind| kind == "response.failed")
}

/// The event as it came, but for the credential.
fn failed_response(data: &[u8], secret: Option<&Secret>) -> Bytes {
    let text = String::from_utf8_lossy(data);
    let text = secret.map_or_else(|| text.clone().into_owned(), |secret| secret.scrub(&text));
    let data = text.lines().collect::<Vec<_>>().join("\ndata: ");
    format!("event: response.failed\ndata: {data}\n\n").into()
}

fn ending_of(undecoded: Undecoded) -> Ending {
    match undecoded {
        Undecoded::Broken => Ending::Reset,
        Undecoded::Coding(Fault::Truncated) => Ending::Truncated,
        Undecoded::Coding(Fault::Malformed | Fault::TooLarge | Fault::TooDense | Fault::TooManyMembers) => {
            Ending::Malformed
        }
    }
}
