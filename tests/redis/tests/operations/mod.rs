//! Operations by chance, each applied to a store in this process and to a Redis.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use weir::cache::fingerprint::{Fingerprint, Framed, of_tenant};
use weir::cache::{Entry, Freshness, Place, Window};
use weir::dialect::endpoint::{Form, Operation};
use weir::ledger::usage::Tokens;
use weir::limits::Limits;
use weir::limits::account::{HELD, Measure, Scope, Want};
use weir::limits::rate::{Denial, Rate};
use weir::random::{STEP, scramble};
use weir::routing::breaker::control::{Change, Forced, Order};
use weir::routing::breaker::{FaultScope, Gate, OnRateLimit, Outcome, Policies, Policy, Report};
use weir::store::embedded::Store;
use weir::store::lease::{Lease, Leased, Mark, Overheard, Piece, Release, Renewed};
use weir::store::protocol::{
    Ask, Closing, Finding, Held, Holding, Keeping, Opened, Recall, Repeat, Repeated, Reservation,
};
use weir::store::redis::{Clock, Codec, Command, Garbled, Moment, Told, Value};
use weir::telemetry::metrics::{self, Exposition, Family, Sink as _, Tally};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server, record};

/// What must come to pass at least once, or the test tests less than it seems to.
pub(crate) const OUTCOMES: &[&str] = &[
    "admitted",
    "an old one for who may not fetch a new one",
    "answered",
    "conflict",
    "denied: concurrent",
    "denied: never",
    "denied: requests",
    "denied: tokens",
    "forced",
    "fresh",
    "half-open",
    "held on",
    "if-error",
    "led",
    "led by nobody",
    "led elsewhere",
    "led in hearing",
    "lease given",
    "lease refused",
    "lead heard",
    "lead lost",
    "lead renewed",
    "overheard",
    "overheard the end",
    "overheard nothing",
    "open",
    "opened anew",
    "refreshed",
    "retry given",
    "retry refused",
    "revalidate",
    "running",
    "several are being answered",
    "the clock has jumped",
    "told again",
];

/// Where virtual time begins: in 2026, so that numbers are as large as they will be.
const BEGIN: u64 = 1_790_000_000_000_000;

/// Both stores, and what is under way in them.
pub(crate) struct Twins {
    store: Store,
    connection: Connection,
    codec: Codec,
    /// Whether the store is to know who is being answered; where it is not, a hit takes a way of its own.
    is_counting: bool,
    now: Instant,
    state: u64,
    namespace: String,
    under_way: Vec<(Reservation, Keeping)>,
    /// Whom somebody has waited for.
    awaited: Option<u64>,
    /// Who is being answered, and until when at most.
    present: BTreeMap<u64, Instant>,
    counted: Tally,
    pub(crate) seen: BTreeMap<&'static str, usize>,
}

type Checked = Result<(), String>;

impl Twins {
    pub(crate) fn new(server: &Server, seed: u64) -> Self {
        let now = Instant::from_micros(BEGIN);
        let namespace = format!("seed-{seed}");
        let (codec, is_counting) = (Codec::new(&namespace, Clock::Sender), seed.is_multiple_of(2));
        let mut twins = Self {
            store: Store::new(now, 64 << 20),
            connection: server.connect(),
            codec: if is_counting { codec.counting() } else { codec },
            is_counting,
            now,
            state: seed.wrapping_mul(STEP.wrapping_mul(7)),
            namespace,
            under_way: Vec::new(),
            awaited: None,
            present: BTreeMap::new(),
            counted: Tally::default(),
            seen: BTreeMap::new(),
        };
        // Both budgets begin at the same time.
        twins.withdraw().unwrap();
        twins
    }

    /// Does something, and looks at everything.
    pub(crate) fn step(&mut self) -> Checked {
        self.pass_time()?;
        match self.below(100) {
            0..40 => self.open()?,
            40..72 => self.close()?,
            72..78 => self.withdraw()?,
            78..83 => self.lease()?,
            83..87 => self.report()?,
            87..89 => self.renew()?,
            89 => self.hold()?,
            90 => self.overhear()?,
            91 => self.tell()?,
            92..94 => self.order()?,
            94 => self.drain()?,
            95..97 => self.lead_and_listen()?,
            97 => self.find_an_old_one()?,
            _ => self.close_a_stranger()?,
        }
        self.look()?;
        self.sum()?;
        self.list()
    }

    /// Every key has the one form and an end.
    pub(crate) fn check_keys(&mut self) {
        let all = self.connection.call(&["KEYS", &format!("weir:{{{}}}:*", self.namespace)]).unwrap();
        let Value::Array(keys) = all else { panic!("{all:?}") };
        assert!(keys.len() > 5, "{keys:?}");
        for key in keys {
            let Value::Bytes(key) = key else { panic!("{key:?}") };
            let key = std::str::from_utf8(&key).unwrap();
            let Value::Int(left) = self.connection.call(&["PTTL", key]).unwrap() else { panic!() };
            assert!(left > 0, "{key} has no end: {left}");
        }
    }

    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        scramble(self.state)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn pass_time(&mut self) -> Checked {
        let most = self.one_of(&[0, 1, 999, 50_000, 800_000, 3_000_000, 40_000_000]);
        let micros = self.below(most + 1);
        self.now = self.now.after(Duration::from_micros(micros));
        // Another server takes over, by whose clock it is earlier or later.
        if self.below(25) == 0 {
            self.forget_what_has_ended()?;
            let skew = self.below(600_000_001);
            self.now = Instant::from_micros(self.now.as_micros() + skew - 300_000_000);
            self.note("the clock has jumped");
        }
        Ok(())
    }

    /// What has ended is gone once the clock jumps back: from Redis by its own clock, from the store in this process as
    /// others come.
    fn forget_what_has_ended(&mut self) -> Checked {
        let name = 100 + self.below(1 << 40);
        let span = Duration::from_secs(1);
        let lease = Lease { tenant: of_tenant("t"), key: key("cache", name), form: None, span };
        let repeat = Repeat { key: key("repeat", name), request: key("request", 0) };
        let reservation = Reservation { scopes: Vec::new(), ..self.reservation() };
        let ask = Ask {
            reservation: Some(&reservation),
            lease: Some(&lease),
            repeat: Some(&repeat),
            ..Ask::default()
        };
        self.open_both(ask)?;
        for (kind, ends) in
            [("lease", &["until", "remembered", "told_until"][..]), ("repeat", &["until", "since"])]
        {
            let pattern = format!("weir:{{{}}}:{kind}:*", self.namespace);
            let Ok(Value::Array(keys)) = self.connection.call(&["KEYS", &pattern]) else { panic!() };
            for found in keys {
                let Value::Bytes(found) = found else { panic!("{found:?}") };
                let found = std::str::from_utf8(&found).unwrap();
                let mut end = |field| match self.connection.call(&["HGET", found, field]) {
                    Ok(Value::Bytes(end)) => std::str::from_utf8(&end).unwrap().parse().unwrap(),
                    Ok(_) => 0,
                    Err(fault) => panic!("{fault:?}"),
                };
                let ends: Vec<u64> = ends.iter().map(|field| end(field)).collect();
                // An answer that is kept goes when there is no room for it.
                let is_kept = kind == "repeat" && ends[1] > 0;
                if !is_kept && ends.iter().all(|end| *end <= self.now.as_micros()) {
                    self.connection.call(&["DEL", found]).unwrap();
                }
            }
        }
        let lasting = Some(Duration::from_secs(1));
        for change in [Change::Force { forced: Forced::Closed, lasting }, Change::Release] {
            self.order_both(&Order { breaker: "none".to_owned(), change })?;
        }
        let control = format!("weir:{{{}}}:control", self.namespace);
        let Ok(Value::Array(orders)) = self.connection.call(&["HGETALL", &control]) else { panic!() };
        for pair in orders.chunks(2) {
            let [Value::Bytes(breaker), Value::Bytes(order)] = pair else { panic!("{pair:?}") };
            let [breaker, order] = [breaker, order].map(|bytes| std::str::from_utf8(bytes).unwrap());
            let (_, end) = order.split_once(' ').unwrap();
            if end.parse().is_ok_and(|end: u64| end <= self.now.as_micros()) {
                self.connection.call(&["HDEL", &control, breaker]).unwrap();
            }
        }
        Ok(())
    }

    fn moment(&mut self) -> Moment {
        Moment { now: self.now, nonce: self.roll() }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn ask<T>(
        &mut self,
        command: &Command,
        read: impl FnOnce(&Codec, Value) -> Result<Told<T>, Garbled>,
    ) -> Result<T, String> {
        let value = self.connection.run(command).map_err(|fault| format!("{fault:?}"))?;
        let shown = format!("{value:?}");
        let told = read(&self.codec, value).map_err(|Garbled| format!("garbled: {shown}"))?;
        if told.faults > 0 {
            return Err(format!("{} faults", told.faults));
        }
        Ok(told.answer)
    }

    fn open(&mut self) -> Checked {
        let reservation = self.reservation();
        let (recall, repeat) = (self.recall(), self.repeat());
        let follows = self.below(10) == 0;
        let (lease, awaited) = (self.lead(), self.awaited);
        let breakers = self.breakers();
        let ask = Ask {
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
        let is_taken = matches!(opened.repeated, Some(Repeated::Conflict))
            || (matches!(opened.repeated, Some(Repeated::Running)) && !follows);
        if opened.denied.is_none() && !is_taken {
            self.note("admitted");
            let want = Want { tokens: opened.reserved, ..reservation.want };
            let life = Duration::from_secs(self.one_of(&[1, 20, 300]));
            let keeping = Keeping {
                entry: None,
                cache: recall.filter(|_| !self.state.is_multiple_of(3)).map(|recall| (recall.key, life)),
                repeat: repeat.map(|repeat| (repeat, life)),
                lease: lease
                    .filter(|_| opened.leased == Some(Leased::Own))
                    .map(|lease| (lease, self.one_of(&[Release::Spent, Release::Spent, Release::Free]))),
                ..Keeping::default()
            };
            self.under_way.push((Reservation { want, ..reservation }, keeping));
        }
        Ok(())
    }

    fn open_both(&mut self, ask: Ask<'_>) -> Result<Opened, String> {
        let moment = self.moment();
        let ours = self.store.open(ask, self.now);
        let command = self.codec.open(ask, moment);
        let theirs = self.ask(&command, |codec, value| codec.opened(ask, &command, moment, value))?;
        self.note_opened(&ours);
        self.note_present(ask, &ours);
        let is_cut = ours.denied.is_some()
            || matches!(ours.repeated, Some(Repeated::Conflict))
            || (matches!(ours.repeated, Some(Repeated::Running)) && !ask.follows)
            || matches!(ours.leased, Some(Leased::Elsewhere { .. }));
        // Nobody looks at what was recalled for a call that does not come to be.
        let recalled = |opened: &Opened| opened.recalled.clone().filter(|_| !is_cut);
        let repeated = |opened: &Opened| opened.repeated.clone().filter(|_| ours.denied.is_none());
        same("denied", &ours.denied, &theirs.denied)?;
        same("recalled", &recalled(&ours), &recalled(&theirs))?;
        same("repeated", &repeated(&ours), &repeated(&theirs))?;
        same("leased", &ours.leased, &theirs.leased)?;
        same("left", &ours.left, &theirs.left)?;
        same("reserved", &ours.reserved, &theirs.reserved)?;
        same("is kept", &ours.is_kept, &theirs.is_kept)?;
        same("gates", &ours.gates, &theirs.gates)?;
        Ok(theirs)
    }

    fn note_present(&mut self, ask: Ask<'_>, opened: &Opened) {
        let is_taken = matches!(opened.repeated, Some(Repeated::Conflict))
            || (matches!(opened.repeated, Some(Repeated::Running)) && !ask.follows)
            || matches!(opened.leased, Some(Leased::Elsewhere { .. }));
        if let Some(reservation) = ask.reservation.filter(|_| ask.anew) {
            self.present.remove(&reservation.want.id);
        }
        let is_present = self.is_counting && opened.denied.is_none() && !is_taken;
        if let Some(reservation) = ask.reservation.filter(|_| is_present) {
            self.is_present(reservation.want.id);
        }
    }

    /// Nobody is believed to be there for longer than from now on.
    fn is_present(&mut self, id: u64) {
        let (now, longest) = (self.now, self.now.after(HELD));
        self.present.retain(|_, until| *until > now);
        self.present.values_mut().for_each(|until| *until = longest.min(*until));
        self.present.insert(id, longest);
    }

    /// What was counted is there, all of it and once.
    fn sum(&mut self) -> Checked {
        let moment = self.moment();
        let command = self.codec.sums(moment);
        let theirs = self.ask(&command, |codec, value| codec.summed(&command, value))?;
        let mut ours = Exposition::default();
        for (field, number) in self.counted.fields() {
            ours.field(field, number);
        }
        let present = self.present.values().filter(|until| **until > self.now).count();
        ours.shift(Family::InFlight, &[], i64::try_from(present).unwrap());
        if present > 2 {
            self.note("several are being answered");
        }
        same("sums", &ours.to_string(), &theirs.to_string())
    }

    /// A request that came to no books.
    fn tell(&mut self) -> Checked {
        let (tally, moment) = (self.tally(), self.moment());
        let command = self.codec.tell(&tally, moment);
        self.counted.merge(tally);
        self.close_to_redis(&command)
    }

    fn tally(&mut self) -> Tally {
        let mut tally = Tally::default();
        tally.count(Family::Retries, &[self.one_of(&["a", "b\t\\"])], self.below(3));
        tally.observe(Family::QueueWait, &["all"], self.below(2_000_000));
        tally
    }

    fn note_opened(&mut self, opened: &Opened) {
        if let Some(denied) = opened.denied {
            self.note(match (denied.denial, denied.measure) {
                (Denial::Never, _) => "denied: never",
                (Denial::NotYet { .. }, Measure::Concurrent(_)) => "denied: concurrent",
                (Denial::NotYet { .. }, Measure::Requests(_)) => "denied: requests",
                (Denial::NotYet { .. }, Measure::Tokens(_)) => "denied: tokens",
            });
        }
        if let Some(recalled) = &opened.recalled {
            self.note(match recalled.freshness {
                Freshness::Fresh => "fresh",
                Freshness::Revalidate => "revalidate",
                Freshness::IfError => "if-error",
            });
            if recalled.refresh {
                self.note("refreshed");
            }
        }
        match &opened.repeated {
            Some(Repeated::Running) => self.note("running"),
            Some(Repeated::Conflict) => self.note("conflict"),
            Some(Repeated::Answered { .. }) => self.note("answered"),
            Some(Repeated::First) | None => {}
        }
        match opened.leased {
            Some(Leased::Own) => self.note("led"),
            Some(Leased::Elsewhere { is_audible: true, .. }) => self.note("led in hearing"),
            Some(Leased::Elsewhere { is_audible: false, .. }) => self.note("led elsewhere"),
            Some(Leased::Nobody) => self.note("led by nobody"),
            None => {}
        }
        for gate in &opened.gates {
            match gate {
                Gate::Open { .. } => self.note("open"),
                Gate::HalfOpen => self.note("half-open"),
                Gate::Forced(_) => self.note("forced"),
                Gate::Closed => {}
            }
        }
    }

    fn close(&mut self) -> Checked {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let any = usize::try_from(self.below(self.under_way.len() as u64)).unwrap();
        // Rather the one that somebody waits for.
        let awaited = self.under_way.iter().position(|(leader, _)| Some(leader.want.id) == self.awaited);
        let (reservation, keeping) = self.under_way.swap_remove(awaited.unwrap_or(any));
        self.close_both(reservation, keeping)
    }

    /// A call that neither of them has heard of, or has forgotten.
    fn close_a_stranger(&mut self) -> Checked {
        let reservation = self.reservation();
        let keeping = Keeping {
            entry: None,
            cache: self.recall().map(|recall| (recall.key, Duration::from_mins(1))),
            repeat: self.repeat().map(|repeat| (repeat, Duration::from_mins(1))),
            lease: self.lead().map(|lease| (lease, Release::Spent)),
            ..Keeping::default()
        };
        self.close_both(reservation, keeping)
    }

    fn close_both(&mut self, reservation: Reservation, mut keeping: Keeping) -> Checked {
        if self.below(3) > 0 {
            keeping.entry = Some(self.entry());
        }
        let used = match self.below(4) {
            0 => reservation.want.tokens,
            1 => Tokens(0),
            2 => Tokens(self.below(200)),
            _ => Tokens(self.one_of(&[300, 1200])),
        };
        // An account never recovers from it.
        let used = if self.below(500) == 0 { Tokens(u64::MAX) } else { used };
        self.settle_both(reservation, used, keeping)
    }

    fn settle_both(&mut self, reservation: Reservation, used: Tokens, keeping: Keeping) -> Checked {
        let findings = (0..self.below(3)).map(|_| self.finding()).collect();
        let abandoned = (0..self.below(6).saturating_sub(3)).map(|_| self.breaker()).collect();
        let closing = Closing { record: record(), reservation, used, findings, abandoned, keeping };
        let (moment, roll) = (self.moment(), self.roll());
        self.store.close(&closing, self.now, roll);
        self.present.remove(&closing.reservation.want.id);
        if self.below(2) == 0 {
            let mut tally = self.tally();
            metrics::record(&closing.record, &mut tally);
            let command = self.codec.close_with(&closing, &tally, roll, moment);
            self.counted.merge(tally);
            return self.close_to_redis(&command);
        }
        match self.codec.close(&closing, roll, moment) {
            Some(command) => self.close_to_redis(&command),
            None => Ok(()),
        }
    }

    fn close_to_redis(&mut self, command: &Command) -> Checked {
        let not_kept = self.ask(command, |codec, value| codec.closed(command, value))?;
        same("not kept", &Vec::new(), &not_kept)
    }

    fn withdraw(&mut self) -> Checked {
        let (breaker, moment) = (self.breaker(), self.moment());
        let ours = self.store.withdraw_retry(&breaker, self.now);
        let command = self.codec.withdraw_retry(&breaker, moment);
        let theirs = self.ask(&command, |codec, value| codec.granted(&command, value))?;
        self.note(if ours { "retry given" } else { "retry refused" });
        same("withdraw_retry", &ours, &theirs)
    }

    /// Who may not fetch a new answer is given the old one.
    fn find_an_old_one(&mut self) -> Checked {
        let key = key("cache", 0);
        let keeping = Keeping {
            entry: Some(self.entry()),
            cache: Some((key, Duration::from_mins(5))),
            ..Keeping::default()
        };
        let mut reservation = Reservation { scopes: vec![caller(1)], ..self.reservation() };
        self.settle_both(reservation.clone(), Tokens(0), keeping)?;
        self.now = self.now.after(Duration::from_secs(10));
        reservation.want.tokens = Tokens(5000);
        let second = Duration::from_secs;
        let window =
            Window { fresh: second(5), revalidate: second(40), if_error: second(90), ttl: second(5) };
        let recall = Recall { key, window, place: Place::Edge };
        let ask = Ask { reservation: Some(&reservation), recall: Some(&recall), ..Ask::default() };
        let opened = self.open_both(ask)?;
        if opened.denied.is_none() && opened.recalled.is_some_and(|recalled| !recalled.refresh) {
            self.note("an old one for who may not fetch a new one");
        }
        Ok(())
    }

    /// Spends the budget of retries, and what comes in meanwhile.
    fn drain(&mut self) -> Checked {
        let release = |breaker: &str| Order { breaker: breaker.to_owned(), change: Change::Release };
        for order in [release("a"), release("b")] {
            self.order_both(&order)?;
        }
        for _ in 0..160 {
            self.withdraw()?;
            if self.below(3) == 0 {
                let reservation = Reservation { scopes: Vec::new(), ..self.reservation() };
                self.open_both(Ask { reservation: Some(&reservation), ..Ask::default() })?;
            }
            let micros = self.below(150);
            self.now = self.now.after(Duration::from_micros(micros));
        }
        Ok(())
    }

    fn lease(&mut self) -> Checked {
        let (breaker, moment, id) = (self.breaker(), self.moment(), self.a_call());
        let ours = self.store.lease_probe(&breaker, id, self.now);
        let command = self.codec.lease_probe(&breaker, id, moment);
        let theirs = self.ask(&command, |codec, value| codec.granted(&command, value))?;
        self.note(if ours { "lease given" } else { "lease refused" });
        same("lease_probe", &ours, &theirs)
    }

    fn renew(&mut self) -> Checked {
        let (lease, id) = self.a_leader();
        self.renew_both(lease, id)?;
        self.overhear_of(lease, id)
    }

    fn renew_both(&mut self, lease: Lease, id: u64) -> Checked {
        let piece = (self.below(4) > 0).then(|| self.piece());
        let moment = self.moment();
        let ours = self.store.renew(&lease, id, piece.as_ref(), self.now);
        let command = self.codec.renew(&lease, id, piece.as_ref(), moment);
        let theirs = self.ask(&command, |codec, value| codec.renewed(&command, value))?;
        self.note(match ours {
            Renewed::Lost => "lead lost",
            Renewed::Unheard => "lead renewed",
            Renewed::Heard => "lead heard",
        });
        same("renew", &ours, &theirs)
    }

    /// A call says that it is still under way; or its end is told once more, which may have been told before.
    fn hold(&mut self) -> Checked {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let any = usize::try_from(self.below(self.under_way.len() as u64)).unwrap();
        let (reservation, keeping) = self.under_way[any].clone();
        let moment = self.moment();
        if self.below(3) == 0 {
            self.note("told again");
            let (findings, abandoned) = (vec![self.finding()], vec![self.breaker()]);
            let used = Tokens(self.below(200));
            let closing = Closing { record: record(), reservation, used, findings, abandoned, keeping };
            self.store.close_again(&closing, self.now, 0);
            self.present.remove(&closing.reservation.want.id);
            let tally = self.tally();
            let mut command = self.codec.close_with(&closing, &tally, 0, moment);
            command.may_have_been_told();
            return self.close_to_redis(&command);
        }
        self.note("held on");
        let Reservation { want, scopes, held } = reservation;
        let scopes = scopes.into_iter().filter(|(_, limits)| limits.concurrent.is_some()).collect();
        let repeat = keeping.repeat.map(|(repeat, _)| repeat);
        let reservation = Reservation { want, scopes, held };
        let holding = Holding { tenant: "t".into(), reservation, repeat };
        self.store.renew_hold(&holding, self.now);
        if self.is_counting {
            self.is_present(want.id);
        }
        let command = self.codec.renew_hold(&holding, moment);
        self.ask(&command, |codec, value| codec.held(&command, value))
    }

    fn overhear(&mut self) -> Checked {
        let (lease, id) = self.a_leader();
        self.overhear_of(lease, id)
    }

    fn overhear_of(&mut self, lease: Lease, id: u64) -> Checked {
        let (from, moment) = (self.one_of(&[0, 0, 1, 200, 70_000]), self.moment());
        let lease = self.lead().filter(|_| self.state.is_multiple_of(4)).unwrap_or(lease);
        let ours = self.store.overhear(&lease, id, from, self.now);
        let command = self.codec.overhear(&lease, id, from, moment);
        let theirs = self.ask(&command, |codec, value| codec.overheard(from, &command, value))?;
        self.note(match &ours {
            Overheard::Nothing => "overheard nothing",
            Overheard::Piece { piece: Piece { end: Some(_), .. }, .. } => "overheard the end",
            Overheard::Piece { .. } => "overheard",
        });
        same("overhear", &ours, &theirs)
    }

    /// One leads, another listens, for as long as the lease is renewed in time.
    fn lead_and_listen(&mut self) -> Checked {
        let lease = Lease {
            tenant: of_tenant("t"),
            key: key("cache", 7 + self.below(2)),
            form: Some(key("form", self.below(2))),
            span: Duration::from_secs(3),
        };
        let reservation = Reservation { scopes: Vec::new(), ..self.reservation() };
        let id = reservation.want.id;
        let ask = Ask { reservation: Some(&reservation), lease: Some(&lease), ..Ask::default() };
        if self.open_both(ask)?.leased != Some(Leased::Own) {
            return Ok(());
        }
        for _ in 0..self.below(16) {
            let micros = self.below(1_000_000);
            self.now = self.now.after(Duration::from_micros(micros));
            match self.below(3) {
                0 => {
                    let other = Reservation { scopes: Vec::new(), ..self.reservation() };
                    self.open_both(Ask { reservation: Some(&other), ..ask })?;
                }
                1 => self.renew_both(lease, id)?,
                _ => self.overhear_of(lease, id)?,
            }
        }
        let release = self.one_of(&[Release::Spent, Release::Free]);
        let keeping = Keeping { lease: Some((lease, release)), ..Keeping::default() };
        self.settle_both(reservation.clone(), Tokens(0), keeping)?;
        self.overhear_of(lease, id)?;
        let other = Reservation { scopes: Vec::new(), ..self.reservation() };
        self.open_both(Ask { reservation: Some(&other), awaited: Some(id), ..ask }).map(drop)
    }

    /// One that leads, or once did.
    fn a_leader(&mut self) -> (Lease, u64) {
        let leaders = self.under_way.iter().filter_map(|(reservation, keeping)| {
            let (lease, _) = keeping.lease?;
            Some((lease, reservation.want.id))
        });
        let leaders: Vec<_> = leaders.collect();
        let stranger =
            Lease { tenant: of_tenant("t"), key: key("cache", 0), form: None, span: Duration::from_secs(3) };
        if leaders.is_empty() { (stranger, self.roll()) } else { self.one_of(&leaders) }
    }

    fn piece(&mut self) -> Piece {
        let most = self.one_of(&[0, 10, 300, 300, 70_000]);
        let bytes: Vec<u8> = (0..self.below(most + 1)).map(|_| self.roll().to_le_bytes()[0]).collect();
        let end = match self.below(6) {
            0 => Some(Mark::Complete),
            1 => Some(Mark::Cut { notice: None }),
            2 => Some(Mark::Cut { notice: Some("sorry".into()) }),
            _ => None,
        };
        let head = (self.below(2) == 0).then(|| "a head".into());
        Piece { head, bytes: bytes.into(), end }
    }

    fn report(&mut self) -> Checked {
        let (finding, moment, roll, id) = (self.finding(), self.moment(), self.roll(), self.a_call());
        self.store.report_probe(&finding, Report { id, now: self.now, roll });
        let command = self.codec.report_probe(&finding, id, roll, moment);
        self.close_to_redis(&command)
    }

    fn order(&mut self) -> Checked {
        let lasting = self.one_of(&[None, Some(1), Some(20)]).map(Duration::from_secs);
        let change = match self.below(4) {
            0 => Change::Force { forced: Forced::Open, lasting },
            1 => Change::Force { forced: Forced::Closed, lasting },
            _ => Change::Release,
        };
        let order = Order { breaker: self.breaker(), change };
        self.order_both(&order)
    }

    fn order_both(&mut self, order: &Order) -> Checked {
        let moment = self.moment();
        let ours = self.store.control(order, self.now);
        let command = self.codec.control(order, moment);
        let theirs = self.ask(&command, |codec, value| codec.obeyed(order, &command, moment, value))?;
        same("control", &ours, &theirs)
    }

    /// A look that takes nothing.
    fn look(&mut self) -> Checked {
        let (recall, repeat, breakers) = (self.recall(), self.repeat(), self.breakers());
        let ask = Ask {
            breakers: &breakers,
            recall: recall.as_ref(),
            repeat: repeat.as_ref(),
            follows: true,
            ..Ask::default()
        };
        self.open_both(ask).map(drop)
    }

    fn list(&mut self) -> Checked {
        let (asked, moment) = (vec![self.breaker()], self.moment());
        let ours = self.store.breakers(&asked, self.now);
        let command = self.codec.names(moment);
        let names = self.ask(&command, |codec, value| codec.named(&asked, &command, value))?;
        let command = self.codec.listing(&names, moment);
        let theirs =
            self.ask(&command, |codec, value| codec.listed(&asked, &names, &command, moment, value))?;
        same("breakers", &ours, &theirs)
    }

    fn reservation(&mut self) -> Reservation {
        let scopes = match self.below(6) {
            0 => vec![],
            1 => vec![caller(0)],
            2 => vec![caller(0), route()],
            3 => vec![caller(1), route()],
            4 => vec![caller(2)],
            _ => vec![address(), route()],
        };
        let tokens = self.one_of(&[0, 1, 40, 90, 700, 5000]);
        let want = Want { id: self.roll(), tokens: Tokens(tokens), lasts: HELD };
        Reservation { want, scopes, held: Held::InStore }
    }

    fn recall(&mut self) -> Option<Recall> {
        let key = match self.below(5) {
            0 => return None,
            name => key("cache", name % 3),
        };
        let second = Duration::from_secs;
        let window = match self.below(3) {
            0 => Window { fresh: second(10), revalidate: second(10), if_error: second(10), ttl: second(10) },
            1 => Window { fresh: second(2), revalidate: second(60), if_error: second(90), ttl: second(5) },
            _ => Window { fresh: second(0), revalidate: second(0), if_error: Duration::MAX, ttl: second(1) },
        };
        Some(Recall { key, window, place: Place::Edge })
    }

    fn lead(&mut self) -> Option<Lease> {
        let name = self.below(6);
        let span = Duration::from_secs(self.one_of(&[1, 3, 30]));
        let form = self.one_of(&[None, Some(1), Some(1), Some(2)]).map(|form| key("form", form));
        (name < 3).then(|| Lease { tenant: of_tenant("t"), key: key("cache", name), form, span })
    }

    fn repeat(&mut self) -> Option<Repeat> {
        let name = self.below(5);
        let request = key("request", u64::from(self.below(8) == 0));
        (name < 2).then(|| Repeat { key: key("repeat", name), request })
    }

    fn breaker(&mut self) -> String {
        self.one_of(&["a", "a/m", "a/m: {}\r\n", "b", "b/ключ"]).to_owned()
    }

    fn breakers(&mut self) -> Vec<String> {
        let mut names: Vec<String> = (0..self.below(4)).map(|_| self.breaker()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn finding(&mut self) -> Finding {
        let breaker = self.breaker();
        // A breaker has one policy, whoever reports.
        let (a, b) = (
            Policy { consecutive: 2, ..Policy::default() },
            Policy {
                consecutive: 100,
                failure_rate: Some(300_000),
                window: Duration::from_mins(1),
                minimum: 3,
                open: Duration::from_millis(70_123),
                on_rate_limit: OnRateLimit::Count,
            },
        );
        let policies = match breaker.as_bytes() {
            [b'b', ..] => Policies::both(b),
            _ => Policies {
                model: Policy { consecutive: 3, on_rate_limit: OnRateLimit::Ignore, ..a },
                upstream: a,
            },
        };
        let retry_after = self.one_of(&[None, Some(3), Some(50), Some(100_000)]).map(Duration::from_secs);
        let scope = self.one_of(&[FaultScope::Model, FaultScope::Model, FaultScope::Upstream]);
        let outcome = match self.below(8) {
            0 | 1 => Outcome::Success,
            2 => Outcome::RateLimited { scope, retry_after },
            // What is said of a caller is 64 bits.
            3 => Outcome::Timeout { caller: u64::MAX - self.below(3) },
            4 | 5 => Outcome::Break { scope },
            _ => Outcome::Failure { scope },
        };
        Finding { breaker, policies, outcome }
    }

    /// One that is under way, or one that is not.
    fn a_call(&mut self) -> u64 {
        let at = usize::try_from(self.below(4)).unwrap();
        self.under_way.get(at).map_or(u64::MAX - at as u64, |(reservation, _)| reservation.want.id)
    }

    fn entry(&mut self) -> Arc<Entry> {
        let body: Vec<u8> = (0..self.below(300)).map(|_| self.roll().to_le_bytes()[0]).collect();
        Arc::new(Entry {
            operation: self.one_of(&[Operation::Chat, Operation::Embeddings]),
            form: self.one_of(&[Form::Whole, Form::Events]),
            content_type: self.one_of(&["", "application/json"]).to_owned(),
            model: self.one_of(&["", "m", "ein\nModell"]).to_owned(),
            body: body.into(),
        })
    }
}

fn same<T: PartialEq + Debug>(what: &str, ours: &T, theirs: &T) -> Checked {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what} differs\n  Rust:  {ours:?}\n  Redis: {theirs:?}"))
}

fn key(kind: &str, name: u64) -> Fingerprint {
    Framed::new(kind).field("name", &name.to_be_bytes()).finish()
}

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count, per: Duration::from_secs(seconds) }
}

/// Each scope has limits of its own, for a scope's limits do not change while it is tried.
fn caller(number: u64) -> (Scope, Limits) {
    let limits = match number {
        0 => Limits {
            requests: vec![rate(2, 10), rate(60, 3600)],
            tokens: vec![rate(1000, 60)],
            concurrent: Some(3),
            ..Limits::default()
        },
        1 => Limits { tokens: vec![rate(100, 1), rate(1_999_993, 86_400)], ..Limits::default() },
        _ => Limits { concurrent: Some(1), ..Limits::default() },
    };
    (Scope::Caller { tenant: "t".into(), name: format!("caller-{number}") }, limits)
}

fn address() -> (Scope, Limits) {
    let limits = Limits { requests: vec![rate(3, 1)], ..Limits::default() };
    (Scope::Address(Ipv4Addr::LOCALHOST.into()), limits)
}

fn route() -> (Scope, Limits) {
    let limits = Limits { requests: vec![rate(8, 60)], tokens: vec![rate(2500, 60)], ..Limits::default() };
    (Scope::Route("gpt-*".into()), limits)
}
