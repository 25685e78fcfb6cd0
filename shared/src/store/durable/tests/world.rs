//! Operations by chance, each applied to a store and to objects.

mod chance;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use self::chance::key;
use crate::cache::fingerprint::Fingerprint;
use crate::cache::{Freshness, Place, Window};
use crate::identity::caller::Caller;
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::{Tokens, Usage};
use crate::limits::Limits;
use crate::limits::account::{Measure, Want};
use crate::limits::concurrency::Priority;
use crate::limits::rate::Denial;
use crate::random::STEP;
use crate::routing::breaker::control::{Change, Forced, Order};
use crate::routing::breaker::{Gate, Report};
use crate::store::durable::{self, Asked, Denials, Desk, Opening};
use crate::store::embedded::Store;
use crate::store::lease::{Leased, Release, Renewed};
use crate::store::protocol::{
    Ask, Closing, Holding, Keeping, Opened, Recall, Repeated, Reservation, StoreLost,
};
use crate::time::{Instant, UnixMillis};

/// Whether there are several upstreams, each with its budget of retries, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    Upstreams,
    OneUpstream,
}

/// Whether objects end and begin again, with what was written of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lives {
    One,
    Many,
}

/// A store and the objects that are to say the same.
pub(super) struct World {
    store: Store,
    /// What the isolate keeps by itself: nothing.
    own: Store,
    pub(super) desks: BTreeMap<String, Desk>,
    denials: Denials,
    cache: BTreeMap<Fingerprint, Vec<u8>>,
    storage: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    spread: Spread,
    lives: Lives,
    now: Instant,
    state: u64,
    under_way: Vec<(&'static str, Reservation, Keeping)>,
    awaited: Option<u64>,
    pub(super) seen: BTreeMap<&'static str, usize>,
}

type Checked = Result<(), String>;

/// Objects have another clock than isolates.
const AHEAD: Duration = Duration::from_secs(1_790_000_000);

impl World {
    pub(super) fn new(seed: u64, spread: Spread, lives: Lives) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut world = Self {
            store: Store::new(now, 64 << 20),
            own: Store::new(now, 0),
            desks: BTreeMap::new(),
            denials: Denials::default(),
            cache: BTreeMap::new(),
            storage: BTreeMap::new(),
            spread,
            lives,
            now,
            state: seed.wrapping_mul(STEP.wrapping_mul(7)),
            under_way: Vec::new(),
            awaited: None,
            seen: BTreeMap::new(),
        };
        if spread == Spread::OneUpstream {
            // Both budgets begin at the same time.
            world.withdraw().unwrap();
        }
        world
    }

    /// Does something, and looks at everything.
    pub(super) fn step(&mut self) -> Checked {
        let most = self.one_of(&[0, 1, 50, 800, 3000, 40_000]);
        self.now = self.now.after(Duration::from_millis(self.below(most + 1)));
        if self.lives == Lives::Many && self.below(3) == 0 {
            self.write()?;
        }
        match self.below(100) {
            0..44 => self.open()?,
            44..76 => self.close()?,
            76..82 if self.spread == Spread::OneUpstream => self.withdraw()?,
            82 if self.spread == Spread::OneUpstream => self.drain()?,
            76..86 => self.probe()?,
            86..88 => self.report()?,
            88..90 if self.lives == Lives::One => self.find_an_old_one()?,
            90..92 => self.renew()?,
            92..94 => self.hold()?,
            _ => self.order()?,
        }
        self.look()?;
        self.list()
    }

    /// Writes what has changed of some object, which may end then and begin again.
    fn write(&mut self) -> Checked {
        let there = self.now.after(AHEAD);
        let names: Vec<String> = self.desks.keys().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let name = &names[usize::try_from(self.below(names.len() as u64)).unwrap()];
        let (fails, ends) = (self.below(4) == 0, self.below(2) == 0);
        let desk = self.desks.get_mut(name).unwrap();
        let storage = self.storage.entry(name.clone()).or_default();
        if fails && !desk.changes(there).is_empty() {
            desk.unwritten(there);
        }
        loop {
            let changes = desk.changes(there);
            if changes.is_empty() {
                break;
            }
            apply(&changes, storage)?;
        }
        if desk.next_alarm().is_some_and(|due| due <= there) {
            return Err("all is written, and more is due".into());
        }
        if ends {
            *desk = Desk::restore(storage.clone(), there);
            same("faults", &0, &desk.faults())?;
            same("changes behind a restore", &durable::Changes::default(), &desk.changes(there))?;
            self.note("begun again");
        }
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Sends a question and gives the answer.
    fn send(&mut self, asked: &Asked, roll: u64) -> Vec<u8> {
        let there = self.now.after(AHEAD);
        let desk = self.desks.entry(asked.object.name()).or_insert_with(|| Desk::new(there));
        desk.answer(&asked.question, there, roll).answer
    }

    fn tell(&mut self, asked: &[Asked], roll: u64) -> Checked {
        for asked in asked {
            let answer = self.send(asked, roll);
            durable::done(&answer, self.now).map_err(|StoreLost| "not done".to_owned())?;
        }
        Ok(())
    }

    fn open(&mut self) -> Checked {
        let tenant = self.one_of(&["t", "other"]);
        let reservation = self.reservation(tenant);
        let (recall, repeat) = (self.recall(tenant), self.repeat(tenant));
        let follows = self.below(10) == 0;
        let (lease, awaited) = (self.lease(tenant), self.awaited);
        let breakers = self.breakers();
        let ask = Ask {
            tenant,
            breakers: &breakers,
            reservation: Some(&reservation),
            recall: recall.as_ref(),
            repeat: repeat.as_ref(),
            follows,
            lease: lease.as_ref(),
            awaited,
            ..Ask::default()
        };
        let mut opened = self.open_both(ask)?;
        if opened.is_kept && opened.denied.is_none() && self.below(3) == 0 {
            self.note("opened anew");
            opened = self.open_both(Ask { recall: None, anew: true, ..ask })?;
        }
        if let Some(Leased::Elsewhere { id, .. }) = opened.leased {
            self.awaited = Some(id);
            return Ok(());
        }
        if opened.undone(ask).is_none() {
            return Ok(());
        }
        self.note("admitted");
        if self.below(12) == 0 {
            return self.give_back(ask, &opened);
        }
        let want = Want { tokens: opened.reserved, ..reservation.want };
        let life = Duration::from_secs(self.one_of(&[1, 20, 300]));
        let release = self.one_of(&[Release::Spent, Release::Spent, Release::Free]);
        let keeping = Keeping {
            entry: None,
            cache: recall.filter(|_| !self.state.is_multiple_of(3)).map(|recall| (recall.key, life)),
            repeat: repeat.map(|repeat| (repeat, life)),
            lease: lease.filter(|_| opened.leased == Some(Leased::Own)).map(|lease| (lease, release)),
            ..Keeping::default()
        };
        self.under_way.push((tenant, Reservation { want, ..reservation }, keeping));
        Ok(())
    }

    fn open_both(&mut self, ask: Ask<'_>) -> Result<Opened, String> {
        let ours = self.store.open(ask, self.now);
        let kept =
            ask.recall.and_then(|recall| durable::recall(recall, self.cache.get(&recall.key)?, self.wall()));
        let was_denied = self.denials.has(ask, self.now);
        let mut opening = Opening::new(ask, kept, self.now).heeding(&self.denials, self.now);
        if opening.asked().is_empty() {
            self.note("nobody asked");
        }
        let mut rounds = 0;
        while !opening.asked().is_empty() {
            let answers: Vec<_> =
                opening.asked().to_vec().iter().map(|asked| Ok(self.send(asked, 0))).collect();
            opening.hear(&answers, self.now);
            rounds += 1;
        }
        if rounds > 1 {
            self.note("asked once more");
        }
        if rounds > 2 || (rounds > 1 && ask.awaited.is_none() && !was_denied) {
            return Err(format!("{rounds} round trips"));
        }
        let joined = opening.join(&self.own, self.now);
        if let Ok(opened) = &joined.opened {
            self.denials.note(ask, opened, self.now);
        }
        let theirs = joined.opened.map_err(|StoreLost| "lost")?;
        if !joined.mends.is_empty() {
            self.note("mended");
        }
        self.tell(&joined.mends, 0)?;
        self.note_opened(&ours);
        same("recalled", &ours.recalled, &theirs.recalled)?;
        same("repeated", &ours.repeated, &theirs.repeated)?;
        same("leased", &ours.leased, &theirs.leased)?;
        same("denied", &ours.denied, &theirs.denied)?;
        same("left", &ours.left, &theirs.left)?;
        same("reserved", &ours.reserved, &theirs.reserved)?;
        same("is kept", &ours.is_kept, &theirs.is_kept)?;
        same("gates", &ours.gates, &theirs.gates)?;
        Ok(theirs)
    }

    fn note_opened(&mut self, opened: &Opened) {
        for gate in &opened.gates {
            self.note(match gate {
                Gate::Closed => "gate closed",
                Gate::Open { .. } => "gate open",
                Gate::HalfOpen => "gate half-open",
                Gate::Forced(_) => "gate forced",
            });
        }
        match opened.repeated {
            Some(Repeated::Running) => self.note("running"),
            Some(Repeated::Answered { .. }) => self.note("answered"),
            Some(Repeated::Conflict) => self.note("conflict"),
            Some(Repeated::First) | None => {}
        }
        match opened.leased {
            Some(Leased::Own) => self.note("led"),
            Some(Leased::Elsewhere { .. }) => self.note("led elsewhere"),
            Some(Leased::Nobody) => self.note("led by nobody"),
            None => {}
        }
        if let Some(denied) = opened.denied {
            self.note(match (denied.denial, denied.measure) {
                (Denial::Never, _) => "denied: never",
                (_, Measure::Requests(_)) => "denied: requests",
                (_, Measure::Tokens(_)) => "denied: tokens",
                (_, Measure::Concurrent(_)) => "denied: concurrent",
            });
        } else if let Some(recalled) = &opened.recalled {
            self.note(match (recalled.freshness, recalled.refresh) {
                (Freshness::Fresh, _) => "fresh",
                (Freshness::Revalidate, true) => "refreshed",
                (Freshness::Revalidate, false) => "revalidate",
                (Freshness::IfError, _) => "if-error",
            });
        }
    }

    /// Nobody was there any more.
    fn give_back(&mut self, ask: Ask<'_>, opened: &Opened) -> Checked {
        let (reservation, keeping) = opened.undone(ask).unwrap();
        let closing = Closing { keeping, ..closing(ask.tenant, reservation, Tokens(0)) };
        self.store.close(&closing, self.now, 0);
        self.tell(&durable::give_back(ask, opened, self.now), 0)
    }

    fn close(&mut self) -> Checked {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let at = usize::try_from(self.below(self.under_way.len() as u64)).unwrap();
        let (tenant, reservation, mut keeping) = self.under_way.swap_remove(at);
        keeping.entry = (self.below(3) > 0).then(|| self.entry());
        let used = self.one_of(&[0, reservation.want.tokens.0, reservation.want.tokens.0, 30, 500]);
        let mut closing = Closing { keeping, ..closing(tenant, reservation, Tokens(used)) };
        closing.findings = (0..self.below(3)).map(|_| self.finding()).collect();
        closing.abandoned = (0..self.below(6) / 4).map(|_| self.breaker()).collect();
        let roll = self.roll();
        self.store.close(&closing, self.now, roll);
        if let (Some(entry), Some((key, life))) = (&closing.keeping.entry, closing.keeping.cache) {
            self.cache.insert(key, durable::keep(key, entry, life, self.wall()));
        }
        if let Some((_, Release::Spent)) = closing.keeping.lease {
            self.awaited = Some(closing.reservation.want.id);
        }
        self.tell(&durable::close(&closing, self.now), roll)
    }

    /// One asks for too much to be given a new answer, and is given the one that is to be replaced.
    fn find_an_old_one(&mut self) -> Checked {
        let key = key("old", "t", self.below(2));
        let second = Duration::from_secs;
        let keeping =
            Keeping { entry: Some(self.entry()), cache: Some((key, second(60))), ..Keeping::default() };
        let nothing = Reservation { scopes: Vec::new(), ..self.reservation("t") };
        let closing = Closing { keeping, ..closing("t", nothing, Tokens(0)) };
        self.store.close(&closing, self.now, 0);
        self.tell(&durable::close(&closing, self.now), 0)?;
        let (entry, wall) = (closing.keeping.entry.unwrap(), self.wall());
        self.cache.insert(key, durable::keep(key, &entry, second(60), wall));
        self.now = self.now.after(second(self.below(3)));
        let window =
            Window { fresh: second(0), revalidate: second(60), if_error: second(60), ttl: second(1) };
        let mut reservation = self.reservation("t");
        reservation.want.tokens = Tokens(self.one_of(&[10, 2000, 100_000_000]));
        let recall = Recall { key, window, place: Place::Edge };
        let breakers = self.breakers();
        let ask = Ask {
            tenant: "t",
            reservation: Some(&reservation),
            recall: Some(&recall),
            breakers: &breakers,
            ..Ask::default()
        };
        let opened = self.open_both(ask)?;
        let is_old = opened.recalled.as_ref().is_some_and(|recalled| !recalled.refresh);
        if opened.denied.is_none() && is_old {
            self.note("an old one for who may not fetch a new one");
        }
        if opened.undone(ask).is_some() {
            let keeping = Keeping { cache: Some((key, second(60))), ..Keeping::default() };
            let want = Want { tokens: opened.reserved, ..reservation.want };
            self.under_way.push(("t", Reservation { want, ..reservation }, keeping));
        }
        Ok(())
    }

    fn withdraw(&mut self) -> Checked {
        let breaker = self.breaker();
        let ours = self.store.withdraw_retry(&breaker, self.now);
        let answer = self.send(&durable::withdraw_retry(&breaker, self.now), 0);
        self.note(if ours { "retry granted" } else { "retry refused" });
        same("withdraw", &Ok(ours), &durable::granted(&answer, self.now))
    }

    /// Spends the budget of retries, and what comes in meanwhile.
    fn drain(&mut self) -> Checked {
        for _ in 0..130 {
            self.withdraw()?;
            let reservation = Reservation { scopes: Vec::new(), ..self.reservation("t") };
            let breakers = self.breakers();
            let ask = Ask { reservation: Some(&reservation), breakers: &breakers, ..Ask::default() };
            if !breakers.is_empty() && self.below(3) == 0 {
                self.open_both(ask)?;
            }
        }
        Ok(())
    }

    fn probe(&mut self) -> Checked {
        let (breaker, id) = (self.breaker(), self.a_call());
        let ours = self.store.lease_probe(&breaker, id, self.now);
        let answer = self.send(&durable::lease_probe(&breaker, id, self.now), 0);
        self.note(if ours { "probe granted" } else { "probe refused" });
        same("probe", &Ok(ours), &durable::granted(&answer, self.now))
    }

    fn report(&mut self) -> Checked {
        let (finding, id, roll) = (self.finding(), self.a_call(), self.roll());
        self.store.report_probe(&finding, Report { id, now: self.now, roll });
        self.tell(&[durable::report_probe(&finding, id, self.now)], roll)
    }

    fn renew(&mut self) -> Checked {
        let leaders = self.under_way.iter().filter_map(|(_, reservation, keeping)| {
            let (lease, _) = keeping.lease?;
            Some((lease, reservation.want.id))
        });
        let leaders: Vec<_> = leaders.collect();
        if leaders.is_empty() {
            return Ok(());
        }
        let (lease, id) = self.one_of(&leaders);
        let ours = self.store.renew(&lease, id, None, self.now);
        let answer = self.send(&durable::renew(&lease, id, self.now), 0);
        self.note(if ours == Renewed::Lost { "renewed in vain" } else { "renewed" });
        same("renew", &Ok(ours), &durable::renewed(&answer, self.now))
    }

    /// A call says that it is still under way, or one that has ended is told to have ended once more.
    fn hold(&mut self) -> Checked {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let any = usize::try_from(self.below(self.under_way.len() as u64)).unwrap();
        let (tenant, reservation, keeping) = self.under_way[any].clone();
        // An object goes by its own places alone.
        if self.below(4) == 0 && reservation.scopes.len() < 2 {
            self.note("told again");
            let closing = Closing { keeping, ..closing(tenant, reservation, Tokens(self.below(200))) };
            self.store.close_again(&closing, self.now, 0);
            let objects: Vec<_> =
                durable::close(&closing, self.now).into_iter().map(|asked| asked.object).collect();
            return self.tell(&durable::close_again(&closing, &objects, self.now), 0);
        }
        self.note("held on");
        let Reservation { want, scopes, held } = reservation;
        let scopes = scopes.into_iter().filter(|(_, limits)| limits.concurrent.is_some()).collect();
        let repeat = keeping.repeat.map(|(repeat, _)| repeat);
        let reservation = Reservation { want, scopes, held };
        let holding = Holding { tenant: tenant.to_owned(), reservation, repeat };
        self.store.renew_hold(&holding, self.now);
        self.tell(&durable::renew_hold(&holding, self.now), 0)
    }

    fn order(&mut self) -> Checked {
        let lasting = self.one_of(&[None, Some(1), Some(20)]).map(Duration::from_secs);
        let change = match self.below(4) {
            0 => Change::Force { forced: Forced::Open, lasting },
            1 => Change::Force { forced: Forced::Closed, lasting },
            _ => Change::Release,
        };
        let order = Order { breaker: self.breaker(), change };
        let ours = self.store.control(&order, self.now);
        let answer = self.send(&durable::control(&order, self.now), 0);
        same("control", &Ok(ours), &durable::obeyed(&order, &answer, self.now))
    }

    /// A look that takes nothing.
    fn look(&mut self) -> Checked {
        let tenant = self.one_of(&["t", "other"]);
        let (recall, repeat, breakers) = (self.recall(tenant), self.repeat(tenant), self.breakers());
        let ask = Ask {
            tenant,
            breakers: &breakers,
            recall: recall.as_ref(),
            repeat: repeat.as_ref(),
            follows: true,
            ..Ask::default()
        };
        self.open_both(ask).map(drop)
    }

    fn list(&mut self) -> Checked {
        let names = if self.below(2) == 0 { Vec::new() } else { vec![self.breaker()] };
        let ours = self.store.breakers(&names, self.now);
        let asked = durable::listing(&names, ["a", "b"], self.now);
        let answers: Vec<_> = asked.iter().map(|asked| Ok(self.send(asked, 0))).collect();
        same("breakers", &Ok(ours), &durable::listed(&names, &answers, self.now))
    }
}

/// A call is over, and nothing is to be kept of it.
pub(super) fn closing(tenant: &str, reservation: Reservation, used: Tokens) -> Closing {
    let caller = Caller {
        name: String::new(),
        tenant: tenant.to_owned(),
        models: Vec::new(),
        passthrough: Vec::new(),
        limits: Limits::default(),
        priority: Priority::default(),
    };
    let record = Record {
        request_id: String::new(),
        trace_id: String::new(),
        at: UnixMillis(0),
        caller: Arc::new(caller),
        operation: "chat",
        model: String::new(),
        route: String::new(),
        upstream: String::new(),
        upstream_model: String::new(),
        response_model: String::new(),
        streamed: false,
        cache: None,
        status: 200,
        ending: Ending::Complete,
        usage: Usage::NOTHING,
        attempts: Vec::new(),
        fallbacks: 0,
        took: Duration::ZERO,
        first_byte: None,
        websocket: None,
    };
    let keeping = Keeping::default();
    Closing { record, reservation, used, findings: Vec::new(), abandoned: Vec::new(), keeping }
}

/// Writes as a storage does that takes no more than it takes.
fn apply(changes: &durable::Changes, storage: &mut BTreeMap<String, Vec<u8>>) -> Checked {
    let durable::Changes { puts, deletions } = changes;
    if puts.len() + deletions.len() > 128 || puts.iter().any(|(_, value)| value.len() > 128 * 1024) {
        return Err(format!("too much for a storage: {changes:?}"));
    }
    for key in deletions {
        if storage.remove(key).is_none() {
            return Err(format!("{key} is deleted and was never written"));
        }
    }
    for (key, value) in puts {
        if storage.insert(key.clone(), value.clone()).as_ref() == Some(value) {
            return Err(format!("{key} is written and has not changed"));
        }
    }
    Ok(())
}

fn same<T: PartialEq + Debug>(what: &str, ours: &T, theirs: &T) -> Checked {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what} differs\n  one store: {ours:?}\n  objects:   {theirs:?}"))
}
