//! State that all replicas share: what is asked of it, over a connection that each worker has to itself.
//!
//! Whatever goes wrong is [`StoreLost`], and the core then does what each limit says of that. Nothing is
//! asked twice: a command whose reply did not come may have been done. Only the end of a call is told again, so that
//! nothing is counted twice, and what was asked for a call that has given up waiting is taken back.

mod asked;
mod dial;
mod exchange;
mod fault;
mod lanes;
mod lasting;
mod late;
mod link;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;
use tokio::runtime::Handle;
use weir::config;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::store::redis::{Clock, Codec, Command, Moment};
use weir::telemetry::metrics::Family;

use self::asked::Asked;
use self::dial::Dialler;
use self::lasting::{Lasting, Work};
use self::late::{Late, MOST_WAITING};
use self::link::{Link, Reply};
use crate::metrics::Metrics;

/// One worker's way to a Redis.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    codec: Codec,
    link: Link,
    metrics: Metrics,
    /// Bytes of cached answers that are kept at most; a reload changes them.
    cache: Arc<AtomicU64>,
    late: Late,
}

/// A command that is sent, until its reply is there.
type Opening = Work<(Command, Result<Reply, StoreLost>)>;

impl Shared {
    pub(crate) fn new(
        place: config::Redis,
        tls: Arc<ClientConfig>,
        metrics: Metrics,
        cache: Arc<AtomicU64>,
    ) -> Self {
        let codec = Codec::new(&place.namespace, Clock::Server);
        let patience = place.timeout;
        let late = Late::new(metrics.clone());
        let link = Link::new(Dialler { place, tls, codec: codec.clone() }, patience, metrics.clone());
        Self { codec, link, metrics, cache, late }
    }

    /// Connects, and stays connected for as long as this runtime runs. Returns once it is known whether it
    /// can.
    pub(crate) async fn connect(&self) {
        self.link.keep().await;
        tokio::spawn(self.late.clone().tell(self.link.clone(), self.codec.clone()));
    }

    /// Why there is no connection; `None` where there is one.
    pub(crate) fn why_lost(&self) -> Option<String> {
        self.link.why()
    }

    /// `now` gives the time of each call: spans in the reply count from when it came. A call is asked for to its end,
    /// whoever leaves meanwhile, and what nobody takes is given back.
    pub(crate) async fn open<N>(&self, ask: Ask<'_>, now: N) -> Result<Opened, StoreLost>
    where
        N: Fn() -> Moment + Clone + Send + 'static,
    {
        let command = self.codec.open(ask, now());
        if ask.reservation.is_none() {
            let reply = self.link.send(&command).await?;
            let reply = self.link.complete(&command, reply, &self.codec, now()).await?;
            return self.opened(ask, &command, now(), reply);
        }
        let (link, codec, time) = (self.link.clone(), self.codec.clone(), now.clone());
        let was_connected = link.is_connected();
        let work = async move {
            let reply = match link.send(&command).await {
                Ok(reply) => link.complete(&command, reply, &codec, time()).await,
                Err(StoreLost) => Err(StoreLost),
            };
            (command, reply)
        };
        let heir = |work| self.give_back_later(work, Asked::of(ask), now.clone());
        let (command, reply) = Lasting::new(work, heir).await;
        let opened = reply.and_then(|reply| self.opened(ask, &command, now(), reply));
        if opened.is_err() && was_connected {
            self.take_back(ask, now());
        }
        opened
    }

    /// Nobody knows whether the store has done what it was asked; nobody waits for it any more.
    fn take_back(&self, ask: Ask<'_>, moment: Moment) {
        if let Some(command) = self.codec.take_back(ask, moment) {
            self.late.push(command);
        }
    }

    /// Goes on with what somebody has left, and gives back what comes of it.
    fn give_back_later<N>(&self, work: Opening, asked: Asked, now: N)
    where
        N: Fn() -> Moment + Send + 'static,
    {
        // At the end of the process there is nobody to go on, and it expires.
        let Ok(runtime) = Handle::try_current() else { return };
        let shared = self.clone();
        runtime.spawn(async move {
            let (command, reply) = work.await;
            let opened = reply.and_then(|reply| shared.opened(asked.ask(), &command, now(), reply));
            match opened {
                Ok(opened) => shared.give_back(asked.ask(), &opened, now()).await,
                Err(StoreLost) => shared.take_back(asked.ask(), now()),
            }
        });
    }

    fn opened(
        &self,
        ask: Ask<'_>,
        command: &Command,
        moment: Moment,
        reply: Reply,
    ) -> Result<Opened, StoreLost> {
        self.link.read(reply, |value| self.codec.opened(ask, command, moment, value))
    }

    async fn give_back(&self, ask: Ask<'_>, opened: &Opened, moment: Moment) {
        if let Some(command) = self.codec.give_back(ask, opened, moment) {
            self.end(command).await;
        }
    }

    /// A call that is over. Should the store not hear so now, it is told once it is there again.
    pub(crate) async fn close(&self, closing: &Closing, roll: u64, moment: Moment) {
        let codec = self.codec.clone().bounded(self.cache.load(Ordering::Relaxed));
        let Some(command) = codec.close(closing, roll, moment) else { return };
        if command.weight() <= MOST_WAITING {
            return self.end(command).await;
        }
        let was_connected = self.link.is_connected();
        if self.tell_end(&command).await.is_err()
            && let Some(command) = codec.close(&closing.without_answer(), roll, moment)
        {
            self.tell_later(command, was_connected);
        }
    }

    async fn end(&self, command: Command) {
        let was_connected = self.link.is_connected();
        if self.tell_end(&command).await.is_err() {
            self.tell_later(command, was_connected);
        }
    }

    fn tell_later(&self, mut command: Command, was_sent: bool) {
        if was_sent {
            command.may_have_been_told();
        }
        self.late.push(command);
    }

    async fn tell_end(&self, command: &Command) -> Result<(), StoreLost> {
        for why in self.link.run(command, |value| self.codec.closed(command, value)).await? {
            self.metrics.count(Family::AnswersNotKept, &[why.name()], 1);
        }
        Ok(())
    }

    /// Says that a call is still under way.
    pub(crate) async fn renew_hold(&self, holding: &Holding, moment: Moment) -> Result<(), StoreLost> {
        let command = self.codec.renew_hold(holding, moment);
        self.link.run(&command, |value| self.codec.held(&command, value)).await
    }

    pub(crate) async fn withdraw_retry(&self, breaker: &str, moment: Moment) -> Result<bool, StoreLost> {
        let command = self.codec.withdraw_retry(breaker, moment);
        self.link.run(&command, |value| self.codec.granted(&command, value)).await
    }

    pub(crate) async fn lease_probe(
        &self,
        breaker: &str,
        id: u64,
        moment: Moment,
    ) -> Result<bool, StoreLost> {
        let command = self.codec.lease_probe(breaker, id, moment);
        self.link.run(&command, |value| self.codec.granted(&command, value)).await
    }

    pub(crate) async fn renew(
        &self,
        lease: &Lease,
        id: u64,
        piece: Option<&Piece>,
        moment: Moment,
    ) -> Result<Renewed, StoreLost> {
        let command = self.codec.renew(lease, id, piece, moment);
        self.link.run(&command, |value| self.codec.renewed(&command, value)).await
    }

    pub(crate) async fn own(&self, ownership: Ownership<'_>, moment: Moment) -> Result<bool, StoreLost> {
        let command = self.codec.own(ownership, moment);
        self.link.run(&command, |value| self.codec.owned(&command, value)).await
    }

    pub(crate) async fn overhear(
        &self,
        lease: &Lease,
        id: u64,
        from: u64,
        moment: Moment,
    ) -> Result<Overheard, StoreLost> {
        let command = self.codec.overhear(lease, id, from, moment);
        self.link.run(&command, |value| self.codec.overheard(from, &command, value)).await
    }

    pub(crate) async fn report_probe(
        &self,
        finding: &Finding,
        id: u64,
        roll: u64,
        moment: Moment,
    ) -> Result<(), StoreLost> {
        let command = self.codec.report_probe(finding, id, roll, moment);
        self.tell_end(&command).await
    }

    pub(crate) async fn control(&self, order: &Order, now: impl Fn() -> Moment) -> Result<Entry, Unheeded> {
        let command = self.codec.control(order, now());
        let read = |value| self.codec.obeyed(order, &command, now(), value);
        Ok(self.link.run(&command, read).await??)
    }

    pub(crate) async fn breakers(
        &self,
        asked: &[String],
        now: impl Fn() -> Moment,
    ) -> Result<Listing, StoreLost> {
        let command = self.codec.names(now());
        let names = self.link.run(&command, |value| self.codec.named(asked, &command, value)).await?;
        let command = self.codec.listing(&names, now());
        let read = |value| self.codec.listed(asked, &names, &command, now(), value);
        self.link.run(&command, read).await
    }
}
