//! Before the upstream call: one ask, split over the objects and joined again.

mod query;

use self::query::Leg;
use super::message::{Demand, Extent, Part, Question, Said, Taken};
use super::{Asked, Beliefs, Denials, Object};
use crate::cache::Freshness;
use crate::cache::fingerprint::Fingerprint;
use crate::limits::account::{Denied, Left};
use crate::routing::breaker::Gate;
use crate::store::embedded::Store;
use crate::store::lease::Leased;
use crate::store::protocol::{Ask, Opened, Recalled, Repeated, StoreLost};
use crate::time::Instant;

/// An ask on its way: asked, heard, asked again if there is more to ask, and joined.
///
/// There is one round trip, and a second one for two sorts of calls only: one that has waited for another's answer asks
/// nobody but its tenant's object until it is to make the call itself, and one of a caller that was denied a moment ago
/// asks upstreams' objects once it is let in ([`Denials`]).
#[derive(Debug)]
pub struct Opening<'a> {
    ask: Ask<'a>,
    recalled: Option<Recalled>,
    legs: Vec<Leg>,
    /// What the first of them said; nothing where they are lost.
    said: Vec<Option<Said>>,
    asked: Vec<Asked>,
    /// Upstreams' objects that need not be asked.
    believed: Vec<Object>,
}

/// What comes of it.
#[derive(Debug)]
pub struct Joined {
    /// As [`Store::open`] would say it, with the standings that the isolate keeps by itself.
    pub opened: Result<Opened, StoreLost>,
    /// What has to be sent now, and need not be waited for.
    pub mends: Vec<Asked>,
}

/// What was asked and is joined already, or never will be.
#[derive(Debug)]
pub struct Abandoned(Vec<Leg>);

impl<'a> Opening<'a> {
    /// Splits `ask`. `recalled` is what the cache has of [`Ask::recall`]: [`super::recall`].
    pub fn new(ask: Ask<'a>, recalled: Option<Recalled>, now: Instant) -> Self {
        let (legs, said, asked, believed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut opening = Self { ask, recalled, legs, said, asked, believed };
        opening.ask_tenant();
        opening.ask_for_scopes();
        opening.ask_for_gates();
        // Who opens anew has something to be given back by all of them.
        let is_alone = ask.awaited.is_some()
            && !ask.anew
            && opening.legs.first().is_some_and(|leg| leg.part.lease.is_some());
        opening.ask_more(if is_alone { 1 } else { opening.legs.len() }, now);
        opening
    }

    /// Asks upstreams' objects only once the others let the call in, if it is of somebody who was denied a moment ago.
    #[must_use]
    pub fn heeding(mut self, denials: &Denials, now: Instant) -> Self {
        if denials.has(self.ask, now) {
            self.ask_more(self.counting().min(self.asked.len()), now);
        }
        self
    }

    /// Asks no object of an upstream whose breakers are taken for closed.
    #[must_use]
    pub fn believing(mut self, beliefs: &Beliefs, now: Instant) -> Self {
        let (first, legs) = (self.asked.len(), std::mem::take(&mut self.legs));
        let mut stay = 0;
        for (at, leg) in legs.into_iter().enumerate() {
            if beliefs.are_closed(&leg.part.gates, now) {
                self.believed.push(leg.object);
            } else {
                stay += usize::from(at < first);
                self.legs.push(leg);
            }
        }
        if !self.believed.is_empty() {
            self.ask_more(stay, now);
        }
        self
    }

    /// Has `beliefs` take note of what was said of breakers, and of a call that goes where nobody was asked.
    /// `opened` is what was joined.
    pub fn teach(&self, beliefs: &mut Beliefs, opened: &Opened, now: Instant) {
        for (leg, said) in self.legs.iter().zip(&self.said) {
            let Some(said) = said else { continue };
            for (breaker, gate) in leg.part.gates.iter().zip(&said.gates) {
                beliefs.hear(breaker, *gate, now);
            }
        }
        let is_a_call = self.ask.reservation.is_some() && opened.denied.is_none() && !opened.gates.is_empty();
        if is_a_call && self.wanted(opened) == Taken::Whole {
            self.believed.iter().for_each(|object| beliefs.deposit(object));
        }
    }

    /// What is to be sent, all at the same time; nothing where [`Self::join`] is to follow.
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Hears what the objects said, in the order they were asked.
    pub fn hear(&mut self, answers: &[Result<Vec<u8>, StoreLost>], now: Instant) {
        let legs = self.legs.iter().skip(self.said.len()).take(self.asked.len()).enumerate();
        let said: Vec<_> = legs.map(|(at, leg)| leg.said(answers.get(at)?.as_deref().ok()?, now)).collect();
        self.said.extend(said);
        self.ask_more(if self.goes_on() { self.legs.len() - self.said.len() } else { 0 }, now);
    }

    /// Whether what was heard lets the call in, so far.
    fn goes_on(&self) -> bool {
        let mut opened = Opened { recalled: self.recalled.clone(), ..Opened::default() };
        // Who is denied is told what is left in all of its scopes.
        let is_counted = self.said.len() >= self.counting();
        !self.is_lost()
            && (self.join_reserved(&mut opened).is_some() || (opened.denied.is_some() && !is_counted))
    }

    /// How many there are before the upstreams' objects.
    fn counting(&self) -> usize {
        self.legs.iter().take_while(|leg| leg.part.gates.is_empty()).count()
    }

    /// Whether somebody has not answered without whom the call cannot be counted.
    fn is_lost(&self) -> bool {
        let mut legs = self.legs.iter().zip(&self.said);
        legs.any(|(leg, said)| said.is_none() && leg.is_essential())
    }

    /// Joins what was heard; `own` is what the isolate keeps by itself.
    pub fn join(&self, own: &Store, now: Instant) -> Joined {
        let are_lost = !self.said.is_empty() && self.said.iter().all(Option::is_none);
        if are_lost || self.is_lost() {
            return Joined { opened: Err(StoreLost), mends: self.mends(Taken::Nothing, now) };
        }
        let mut opened = Opened { recalled: self.recalled.clone(), ..Opened::default() };
        let stays = self.join_reserved(&mut opened);
        opened.is_kept = stays.is_some() && opened.is_to_be_given();
        if stays.is_some() && !opened.is_kept {
            opened.standings = own.standings(self.ask.standings);
            opened.gates = self.gates(own, now);
        }
        Joined { opened: Ok(opened), mends: self.mends(stays.unwrap_or(Taken::Nothing), now) }
    }

    /// What has to be taken back of what was heard, where nobody is there any more to have it joined.
    pub fn take_back(&self, now: Instant) -> Vec<Asked> {
        self.mends(Taken::Nothing, now)
    }

    /// What remains of it where nobody waits any more.
    pub fn abandon(&mut self) -> Abandoned {
        Abandoned(std::mem::take(&mut self.legs))
    }

    fn ask_more(&mut self, legs: usize, now: Instant) {
        let legs = self.legs.iter().skip(self.said.len()).take(legs);
        self.asked = legs.map(|leg| Question::Open(leg.part.clone()).to(leg.object.clone(), now)).collect();
    }

    fn ask_for_scopes(&mut self) {
        let Some(reservation) = self.ask.reservation else { return };
        let (extent, anew) = (self.extent(), self.ask.anew);
        for (at, (scope, limits)) in reservation.scopes.iter().enumerate() {
            let Some(object) = Object::of_scope(scope) else { continue };
            let leg = self.leg(object);
            leg.part.anew = anew;
            let demand = leg.part.demand.get_or_insert_with(|| Demand {
                want: reservation.want,
                scopes: Vec::new(),
                extent,
            });
            demand.scopes.push((scope.clone(), limits.clone()));
            leg.at.push(at);
        }
    }

    /// Only the tenant's object knows what is answered already, and whether somebody fetches a new answer.
    fn extent(&self) -> Extent {
        if self.ask.follows || !self.is_fetched() {
            Extent::Place
        } else if self.ask.repeat.is_some() || self.refresh().is_some() {
            Extent::Either
        } else {
            Extent::Whole
        }
    }

    /// Whether a new answer may have to be fetched, as far as the cache says.
    fn is_fetched(&self) -> bool {
        self.recalled.as_ref().is_none_or(|recalled| recalled.freshness != Freshness::Fresh)
    }

    fn refresh(&self) -> Option<Fingerprint> {
        let recalled = self.recalled.as_ref()?;
        self.ask.recall.filter(|_| recalled.freshness == Freshness::Revalidate).map(|recall| recall.key)
    }

    fn ask_tenant(&mut self) {
        let Ask { tenant, repeat, follows, anew, lease, awaited, reservation, .. } = self.ask;
        let is_missed =
            self.recalled.as_ref().is_none_or(|recalled| recalled.freshness == Freshness::IfError);
        let lease = lease.filter(|_| reservation.is_some() && !follows && is_missed);
        let refresh = self.refresh();
        if repeat.is_none() && refresh.is_none() && lease.is_none() {
            return;
        }
        let extent = self.extent();
        let part = &mut self.leg(Object::tenant(tenant)).part;
        part.demand =
            reservation.map(|reservation| Demand { want: reservation.want, scopes: Vec::new(), extent });
        (part.repeat, part.follows, part.anew, part.refresh) = (repeat.copied(), follows, anew, refresh);
        part.lease = lease.map(|lease| (*lease, awaited));
    }

    fn ask_for_gates(&mut self) {
        let Ask { breakers, reservation, follows, .. } = self.ask;
        // Who is given what is fresh goes nowhere.
        if reservation.is_some() && !self.is_fetched() {
            return;
        }
        for name in breakers {
            let deposits = reservation.is_some() && !follows;
            let part = &mut self.leg(Object::of_breaker(name)).part;
            part.deposits = deposits;
            part.gates.push(name.clone());
        }
    }

    /// What is asked of `object`.
    fn leg(&mut self, object: Object) -> &mut Leg {
        let at = self.legs.iter().position(|leg| leg.object == object).unwrap_or(self.legs.len());
        if at == self.legs.len() {
            self.legs.push(Leg { object, part: Part::default(), at: Vec::new() });
        }
        &mut self.legs[at]
    }

    /// Follows [`Store::open`] step by step. Gives what is to stay reserved; `None` where the call goes no further.
    fn join_reserved(&self, opened: &mut Opened) -> Option<Taken> {
        let tenant = self.tenant();
        opened.repeated = self.ask.repeat.and_then(|_| tenant?.repeated.clone());
        if let Some(recalled) = &mut opened.recalled {
            recalled.refresh =
                recalled.freshness == Freshness::Revalidate && tenant.is_some_and(|tenant| tenant.is_due);
        }
        let leased = tenant.and_then(|tenant| tenant.leased);
        if self.stops(opened.repeated.as_ref(), leased) {
            opened.leased = leased;
            return None;
        }
        let Some(reservation) = self.ask.reservation else { return Some(Taken::Nothing) };
        let mut stays = self.wanted(opened);
        let mut no = self.no(stays);
        if let (Some(_), Taken::Whole, Some(recalled)) = (no, stays, &mut opened.recalled) {
            // Who may not fetch a new one may still have the old one.
            if std::mem::take(&mut recalled.refresh) {
                stays = Taken::Place;
                no = self.no(stays);
            }
        }
        opened.denied = no;
        let left = self
            .said
            .iter()
            .flatten()
            .map(|said| said.reserved.left(if no.is_some() { Taken::Nothing } else { stays }));
        opened.left = left.fold(Left::default(), Left::tighter);
        if no.is_some() {
            return None;
        }
        opened.leased = leased;
        if stays == Taken::Whole {
            opened.reserved = reservation.want.tokens;
        }
        Some(stays)
    }

    /// What the call is to have, now that the tenant's object has spoken.
    fn wanted(&self, opened: &Opened) -> Taken {
        let is_answered = matches!(opened.repeated, Some(Repeated::Answered { .. }));
        let is_fetched = match &opened.recalled {
            None => true,
            Some(recalled) => recalled.freshness == Freshness::IfError || recalled.refresh,
        };
        if is_fetched && !is_answered && !self.ask.follows { Taken::Whole } else { Taken::Place }
    }

    /// Whether the call goes no further: its key is taken, or it waits for another.
    fn stops(&self, repeated: Option<&Repeated>, leased: Option<Leased>) -> bool {
        let is_taken = match repeated {
            Some(Repeated::Conflict) => true,
            Some(Repeated::Running) => !self.ask.follows,
            Some(Repeated::First | Repeated::Answered { .. }) | None => false,
        };
        is_taken || matches!(leased, Some(Leased::Elsewhere { .. }))
    }

    /// The first scope that refuses so much.
    fn no(&self, wanted: Taken) -> Option<Denied> {
        let legs = self.legs.iter().zip(&self.said).filter_map(|(leg, said)| Some((leg, said.as_ref()?)));
        let refused = legs.filter_map(|(leg, said)| {
            let no = said.reserved.no(wanted)?;
            let at = usize::try_from(no.at).ok().and_then(|at| leg.at.get(at)).copied();
            Some((at.unwrap_or(usize::MAX), no.denied))
        });
        refused.min_by_key(|(at, _)| *at).map(|(_, denied)| denied)
    }

    fn tenant(&self) -> Option<&Said> {
        let object = Object::tenant(self.ask.tenant);
        let at = self.legs.iter().position(|leg| leg.object == object)?;
        self.said.get(at)?.as_ref()
    }

    /// Those that are neither told nor believed are the isolate's own.
    fn gates(&self, own: &Store, now: Instant) -> Vec<Gate> {
        let told = |name: &String| {
            let mut legs = self.legs.iter().zip(&self.said);
            legs.find_map(|(leg, said)| {
                let at = leg.part.gates.iter().position(|asked| asked == name)?;
                said.as_ref()?.gates.get(at).copied()
            })
        };
        let believed =
            |name: &String| self.believed.contains(&Object::of_breaker(name)).then_some(Gate::Closed);
        let gates = self.ask.breakers.iter();
        let gates = gates.map(|name| believed(name).or_else(|| told(name)));
        gates.zip(self.ask.breakers).map(|(gate, name)| gate.unwrap_or_else(|| own.gate(name, now))).collect()
    }

    fn mends(&self, stays: Taken, now: Instant) -> Vec<Asked> {
        let legs = self.legs.iter().zip(&self.said);
        legs.filter_map(|(leg, said)| leg.mend(said.as_ref()?, stays, now)).collect()
    }
}

impl Abandoned {
    /// What an answer of `object` calls for that came too late to be heard, if anything: what it has reserved is
    /// nobody's.
    pub fn belated(&self, object: &Object, answer: &[u8], now: Instant) -> Option<Asked> {
        let leg = self.0.iter().find(|leg| leg.object == *object)?;
        leg.mend(&leg.said(answer, now)?, Taken::Nothing, now)
    }
}
