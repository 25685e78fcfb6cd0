//! What a call holds for as long as it is under way: its places among the calls of its accounts, its
//! `Idempotency-Key`, and the lease of a call that others elsewhere want.
//!
//! Each is a lease. Its holder says again and again that it is still there, so that what the holder of a replica that
//! died, or that the store forgot, comes right by itself.
//!
//! Where the call that others want is a stream and somebody elsewhere
//! waits for it, it listens to its own call like anybody else, and carries what it hears to the store. So
//! those who listen elsewhere keep the call going like those who listen here; and whatever goes wrong with
//! the store goes wrong for them alone.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, join, select};

use crate::cache::in_flight::{Ear, End, Heard, Listener, Pilot};
use crate::ledger::record::Ending;
use crate::limits::Limits;
use crate::pipeline::accounting::Trail;
use crate::pipeline::accounting::closing::read_on;
use crate::pipeline::accounting::held::{Held, Lead};
use crate::pipeline::accounting::task::{Left, Settlement, Task};
use crate::platform::Platform;
use crate::store::lease::{HOLD_RENEWAL, Lease, Mark, Piece, Release, Renewed};
use crate::store::protocol::Held::InStore;
use crate::store::protocol::{Holding, Reservation, StoreLost};

/// How often a leader says that it is still there.
const RENEWAL: Duration = Duration::from_secs(1);

/// What comes within this time is carried together.
const BATCH: Duration = Duration::from_millis(50);

/// Bytes that are carried at a time, more or less.
const MOST_CARRIED: usize = 64 * 1024;

/// The last of an answer is given this long to reach the store.
const LAST: Duration = Duration::from_secs(1);

/// Why nothing more is carried.
enum Deaf {
    /// Nobody elsewhere listens.
    Unheard,
    /// Somebody else has taken over.
    Lost,
}

/// The settlement says from here on that the call is under way, as long as it holds something: places, its key, and
/// the `lease` of a call that is made for others as well who ask the same store.
pub(in crate::pipeline) fn hold<P: Platform>(trail: &mut Trail<P>, lease: Option<Lease>) {
    let holding = holding(trail);
    if holding.is_none() && lease.is_none() {
        return;
    }
    let Some((send, books)) = trail.nest() else { return };
    trail.keeping.lease = lease.map(|lease| (lease, Release::Spent));
    let lead = lease.map(|lease| Lead { lease, id: trail.reservation.want.id, most: trail.most_kept });
    // If nobody runs it, all of it ends by itself.
    let _ = send.send(Task::Hold(Box::new(Held { holding, lead }), books));
}

/// What has to be renewed of what the call has reserved.
fn holding<P: Platform>(trail: &mut Trail<P>) -> Option<Holding> {
    let Reservation { want, scopes, held } = &trail.reservation;
    let counted = scopes.iter().filter(|(_, limits)| limits.concurrent.is_some());
    let scopes: Vec<_> = counted
        .map(|(scope, limits)| {
            let only = Limits { requests: Vec::new(), tokens: Vec::new(), ..*limits };
            (scope.clone(), only)
        })
        .collect();
    let repeat = trail.keeping.repeat.map(|(repeat, _)| repeat);
    let is_shown = *held == InStore && trail.platform.shows_calls();
    if scopes.is_empty() && repeat.is_none() && !is_shown {
        return None;
    }
    let reservation = Reservation { want: *want, scopes, held: *held };
    let tenant = trail.record().map(|record| record.caller.tenant().to_owned()).unwrap_or_default();
    Some(Holding { tenant, reservation, repeat })
}

impl Held {
    /// Holds it until the books are closed.
    pub(crate) async fn beside<P: Platform>(self, books: Settlement<P>) {
        let Settlement { platform, task } = books;
        let platform = &platform;
        match self.during(platform, task).await {
            Ok(Task::Close(left)) => self.close(platform, *left, None).await,
            Ok(Task::Lead(call)) => {
                let ear = call.ear();
                let (books, pilot) = match &self.lead {
                    Some(lead) => self.holding(platform, lead.carrying(platform, &ear, call.fly())).await,
                    None => self.during(platform, call.fly()).await,
                };
                let Ok(Task::Close(left)) = books.task.await else { return };
                self.close(platform, *left, Some(pilot)).await;
            }
            Ok(Task::Relay(relay, books)) => {
                let close = async {
                    // Whoever asked for it first may leave before its end.
                    if let Ok(Task::Close(left)) = self.during(platform, books.task).await {
                        self.close(platform, *left, None).await;
                    }
                };
                join(relay.run(), close).await;
            }
            Ok(Task::Session(session)) => {
                let books = self.during(platform, session.run()).await;
                if let Ok(Task::Close(left)) = books.task.await {
                    self.close(platform, *left, None).await;
                }
            }
            // It is held once, and by a request that is admitted.
            Ok(Task::Hold(..) | Task::Charge(_)) | Err(_) => {}
        }
    }

    /// Closes the books. From their end on nothing is renewed: what was given back would be taken again.
    async fn close<P: Platform>(&self, platform: &P, left: Left<P>, pilot: Option<Pilot>) {
        let (closing, course) = self.during(platform, left.wait(platform)).await;
        match &self.lead {
            Some(lead) => lead.during(platform, platform.close(closing)).await,
            None => platform.close(closing).await,
        }
        drop(pilot);
        read_on(platform, course).await;
    }

    /// Does the work, and says meanwhile that the call is still under way.
    async fn during<P: Platform, T>(&self, platform: &P, work: impl Future<Output = T>) -> T {
        match &self.lead {
            Some(lead) => self.holding(platform, lead.during(platform, work)).await,
            None => self.holding(platform, work).await,
        }
    }

    /// The same for its places and its key.
    async fn holding<P: Platform, T>(&self, platform: &P, work: impl Future<Output = T>) -> T {
        let Some(holding) = &self.holding else { return work.await };
        match select(pin!(work), pin!(renew_hold(platform, holding))).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }
}

/// Says again and again that a call is under way; sooner where nobody has heard so.
async fn renew_hold<P: Platform>(platform: &P, holding: &Holding) -> Infallible {
    let mut pause = HOLD_RENEWAL;
    loop {
        platform.sleep(pause).await;
        pause = match platform.renew_hold(holding).await {
            Ok(()) => HOLD_RENEWAL,
            Err(StoreLost) => RENEWAL,
        };
    }
}

impl Lead {
    /// Does the work, and says meanwhile that the call is still made.
    async fn during<P: Platform, T>(&self, platform: &P, work: impl Future<Output = T>) -> T {
        match select(pin!(work), pin!(self.renew(platform))).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }

    /// The same, and carries what is said. What was said by the end of the work is carried to its end: behind
    /// the books, those who listen would take it for cut.
    async fn carrying<P: Platform, T>(&self, platform: &P, ear: &Ear, work: impl Future<Output = T>) -> T {
        let is_carried = AtomicBool::new(false);
        match select(pin!(work), pin!(self.carry(platform, ear, &is_carried))).await {
            Either::Left((done, carry)) => {
                if is_carried.load(Ordering::Relaxed) {
                    let _ = select(carry, platform.sleep(LAST)).await;
                }
                done
            }
            Either::Right(((), work)) => work.await,
        }
    }

    /// Says again and again that the call is still under way, until somebody else has taken over.
    async fn renew<P: Platform>(&self, platform: &P) {
        loop {
            platform.sleep(RENEWAL).await;
            if platform.renew(self.lease, self.id, None).await == Ok(Renewed::Lost) {
                return;
            }
        }
    }

    /// The same, and once somebody elsewhere waits, what is said. An answer that is here as a whole is not
    /// carried: it is kept in a moment.
    async fn carry<P: Platform>(&self, platform: &P, ear: &Ear, is_carried: &AtomicBool) {
        loop {
            platform.sleep(RENEWAL).await;
            let listener = match platform.renew(self.lease, self.id, None).await {
                Ok(Renewed::Lost) => return,
                Ok(Renewed::Heard) => ear.listen(),
                Ok(Renewed::Unheard) | Err(StoreLost) => None,
            };
            let Some(listener) = listener else { continue };
            let head = match self.listening(platform, listener.head()).await {
                Ok(Ok(head)) if head.whole.is_none() => head,
                Ok(_) => return self.renew(platform).await,
                Err(Deaf::Unheard) => continue,
                Err(Deaf::Lost) => return,
            };
            is_carried.store(true, Ordering::Relaxed);
            match self.tell(platform, &listener, head.to_bytes()).await {
                Ok(()) | Err(Deaf::Lost) => return,
                Err(Deaf::Unheard) => drop(listener),
            }
            self.cut(platform).await;
            is_carried.store(false, Ordering::Relaxed);
            return self.renew(platform).await;
        }
    }

    /// Carries an answer to its end. [`Deaf::Unheard`] where it has to be cut: nobody listens, it is too
    /// long, or nobody knows what the store has of it.
    async fn tell<P: Platform>(&self, platform: &P, listener: &Listener, head: Bytes) -> Result<(), Deaf> {
        let mut head = Some(head);
        let mut room = self.most;
        loop {
            let (bytes, end) = self.listening(platform, gather(platform, listener)).await?;
            room = room.checked_sub(bytes.len() as u64).ok_or(Deaf::Unheard)?;
            let is_over = end.is_some();
            let piece = Piece { head: head.take(), bytes, end: end.map(mark) };
            match platform.renew(self.lease, self.id, Some(&piece)).await {
                Ok(Renewed::Heard | Renewed::Unheard) if is_over => return Ok(()),
                Ok(Renewed::Heard) => {}
                Ok(Renewed::Lost) => return Err(Deaf::Lost),
                Ok(Renewed::Unheard) | Err(StoreLost) => return Err(Deaf::Unheard),
            }
        }
    }

    /// Says that no more of it comes.
    async fn cut<P: Platform>(&self, platform: &P) {
        let piece = Piece { end: Some(Mark::Cut { notice: None }), ..Piece::default() };
        while platform.renew(self.lease, self.id, Some(&piece)).await == Err(StoreLost) {
            platform.sleep(RENEWAL).await;
        }
    }

    /// Does the work for as long as somebody elsewhere listens.
    async fn listening<P: Platform, T>(
        &self,
        platform: &P,
        work: impl Future<Output = T>,
    ) -> Result<T, Deaf> {
        let mut work = pin!(work);
        loop {
            match select(work.as_mut(), platform.sleep(RENEWAL)).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right(_) => match platform.renew(self.lease, self.id, None).await {
                    Ok(Renewed::Lost) => return Err(Deaf::Lost),
                    Ok(Renewed::Unheard) => return Err(Deaf::Unheard),
                    Ok(Renewed::Heard) | Err(StoreLost) => {}
                },
            }
        }
    }
}

/// What is said next, and whatever comes right behind it.
async fn gather<P: Platform>(platform: &P, listener: &Listener) -> (Bytes, Option<End>) {
    let mut bytes = BytesMut::new();
    let mut end = add(&mut bytes, poll_fn(|cx| listener.poll_next(cx)).await);
    if end.is_none() {
        platform.sleep(BATCH).await;
    }
    while end.is_none() && bytes.len() < MOST_CARRIED {
        let next = poll_fn(|cx| match listener.poll_next(cx) {
            Poll::Ready(heard) => Poll::Ready(Some(heard)),
            Poll::Pending => Poll::Ready(None),
        });
        let Some(heard) = next.await else { break };
        end = add(&mut bytes, heard);
    }
    (bytes.freeze(), end)
}

fn add(bytes: &mut BytesMut, heard: Heard) -> Option<End> {
    match heard {
        Heard::Bytes { bytes: more, end } => {
            bytes.extend_from_slice(&more);
            end
        }
        Heard::End(end) => Some(end),
    }
}

fn mark(end: End) -> Mark {
    match end.ending {
        Ending::Complete => Mark::Complete,
        Ending::Rejected
        | Ending::Failed
        | Ending::Truncated
        | Ending::Reset
        | Ending::Stalled
        | Ending::DeadlinePassed
        | Ending::Malformed
        | Ending::EventTooLarge
        | Ending::UpstreamError
        | Ending::MessageTooLarge
        | Ending::Idle
        | Ending::Expired
        | Ending::GoingAway
        | Ending::ClientGone => Mark::Cut { notice: end.notice },
    }
}
