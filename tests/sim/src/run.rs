//! A run from its first arrival to its rest.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use weir::ledger::usage::Tokens;
use weir::limits::account::{HELD, Scope, Want};
use weir::limits::rate::Rate;
use weir::limits::{Limits, OnStoreLoss};
use weir::routing::breaker::Gate;
use weir::store::protocol::{Held, Reservation};
use weir::time::Instant;

use crate::answer::judge_settled;
use crate::client::visit;
use crate::counter::Sabotage;
use crate::judge::Trace;
use crate::model::limits::within;
use crate::order::Arrival;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::provider::Scripted;
use crate::replica::Replica;
use crate::report::Report;
use crate::request::{Fate, Reserved};
use crate::scheduler::{Part, Polled, Scheduler};
use crate::setup::{self, MODELS, UPSTREAMS};
use crate::world::World;

/// Polls that no run needs.
const MOST_POLLS: u64 = 3_000_000;

/// A run that is fully determined by `seed` and `profile`, and by what is broken on purpose.
pub fn run(seed: u64, profile: Profile, trace: Trace, sabotage: Sabotage) -> Report {
    let world = Rc::new(World::new(Plan::new(seed, profile), trace, sabotage));
    let mut run = Run::new(&world);
    run.play();
    if world.judge.is_content() {
        run.judge_rest();
    }
    let (violation, events) = (world.judge.violation(), world.judge.events());
    let tally = *world.tally.borrow();
    Report { seed, profile, violation, events, tally }
}

struct Run {
    world: Rc<World>,
    scheduler: Scheduler,
    replicas: Vec<Replica>,
    /// Of replicas that have died: what they admitted while the store was lost.
    dead: Vec<Replica>,
    arrivals: VecDeque<Arrival>,
    crashes: VecDeque<(Duration, usize)>,
}

impl Run {
    fn new(world: &Rc<World>) -> Self {
        let replicas = (0..world.plan.replicas.len()).map(|number| Replica::new(world, number, 0));
        let mut crashes = world.plan.crashes.clone();
        crashes.sort_unstable();
        Self {
            world: Rc::clone(world),
            scheduler: Scheduler::default(),
            replicas: replicas.collect(),
            dead: Vec::new(),
            arrivals: world.plan.arrivals.iter().cloned().collect(),
            crashes: crashes.into(),
        }
    }

    /// Until nothing is left to do, or a rule is broken.
    fn play(&mut self) {
        let world = Rc::clone(&self.world);
        while world.judge.is_content() {
            world.judge.turn_to(world.now());
            if let Some(task) = self.scheduler.next(&world.dice) {
                self.poll(task);
                continue;
            }
            self.come_again();
            let due = [
                world.clock.due(),
                self.arrivals.front().map(|arrival| Instant::default().after(arrival.at)),
                self.crashes.front().map(|(at, _)| Instant::default().after(*at)),
            ];
            let Some(next) = due.into_iter().flatten().min() else { break };
            world.clock.go(next);
            world.judge.turn_to(world.now());
            self.begin_what_is_due();
        }
        let unfinished = self.scheduler.unfinished();
        if !unfinished.is_empty() {
            world.judge.broken(5, format!("these wait for nothing, for ever: {unfinished:?}"));
        }
    }

    fn poll(&mut self, task: u64) {
        let world = &self.world;
        let Some(whose) = self.scheduler.whose(task) else { return };
        world.turn_to(whose.request);
        world.count(|tally| tally.polls += 1);
        if world.tally.borrow().polls > MOST_POLLS {
            world.judge.broken(5, "nothing comes to an end");
        }
        match self.scheduler.poll(task) {
            Polled::Pending | Polled::Done => {}
            Polled::Left => {
                world.count(|tally| tally.left += 1);
                world.judge.note(|| format!("request {} is left by its client", whose.request));
                self.hurt(whose.request, Fate::Left);
            }
            Polled::Panicked(payload) if payload.is::<Scripted>() => {
                world.count(|tally| tally.panicked += 1);
                world.judge.note(|| format!("request {} panics, {:?}", whose.request, whose.part));
                let fate = if whose.part == Part::Client { Fate::Left } else { Fate::Panicked };
                self.hurt(whose.request, fate);
            }
            Polled::Panicked(_) => {
                world.judge.broken(13, format!("the core panics in request {}", whose.request));
            }
        }
    }

    /// The worst that became of a request counts.
    fn hurt(&self, request: usize, fate: Fate) {
        let mut request = self.world.request_mut(request);
        if matches!(request.fate, Fate::Ordinary | Fate::Left) {
            request.fate = fate;
        }
    }

    fn come_again(&mut self) {
        self.arrivals.extend(self.world.returning.borrow_mut().drain(..));
        self.arrivals.make_contiguous().sort_by_key(|arrival| arrival.at);
    }

    fn begin_what_is_due(&mut self) {
        let world = Rc::clone(&self.world);
        while self.crashes.front().is_some_and(|(at, _)| *at <= world.elapsed()) {
            if let Some((_, replica)) = self.crashes.pop_front() {
                self.crash(replica);
            }
        }
        while self.arrivals.front().is_some_and(|arrival| arrival.at <= world.elapsed()) {
            let Some(arrival) = self.arrivals.pop_front() else { break };
            for task in visit(&world, &self.replicas[arrival.replica], arrival) {
                self.scheduler.spawn(task);
            }
        }
    }

    /// All that a replica was doing is gone, and it begins anew.
    fn crash(&mut self, number: usize) {
        let world = Rc::clone(&self.world);
        world.judge.note(|| format!("replica {number} dies"));
        world.count(|tally| tally.crashed += 1);
        for request in self.scheduler.crash(number, &world.dice) {
            self.hurt(request, Fate::Crashed);
        }
        let life = u32::try_from(self.dead.len()).unwrap_or(0) + 1;
        let reborn = Replica::new(&world, number, life);
        self.dead.push(std::mem::replace(&mut self.replicas[number], reborn));
    }

    /// What has to be true when all is over.
    fn judge_rest(&self) {
        let world = &self.world;
        world.judge.turn_to(world.now());
        judge_settled(world);
        self.replicas.iter().for_each(Replica::judge_rest);
        self.judge_holds();
        self.judge_breakers();
        self.judge_sums();
    }

    /// What the store holds was settled, or belongs to whoever could not settle it, and has expired.
    fn judge_holds(&self) {
        let world = &self.world;
        let store = &world.store.counter;
        for id in store.model().limits.unsettled() {
            let requests = world.requests();
            let owner = requests.iter().find(|request| request.reservations.contains_key(&id));
            let is_explained = owner.is_none_or(|owner| {
                matches!(owner.fate, Fate::Crashed | Fate::Panicked)
                    || owner.reservations.get(&id) != Some(&Reserved::Open)
            });
            if !is_explained {
                world.judge.broken(4, format!("{id:x} is held for ever: {owner:?}"));
            }
        }
        // A lease on, all calls that are limited may be had again.
        let later = world.now().after(HELD);
        for (scope, limits) in self.accounts() {
            let Some(most) = limits.concurrent else { continue };
            let limits = Limits { requests: Vec::new(), tokens: Vec::new(), ..limits };
            let has_room = (0..most).all(|at| {
                let want = Want { id: u64::MAX - at, tokens: Tokens(0), lasts: HELD };
                let scopes = vec![(scope.clone(), limits.clone())];
                store.has_room(&Reservation { want, scopes, held: Held::InStore }, later)
            });
            if !has_room {
                world.judge.broken(5, format!("{scope:?} has no room for {most} calls, with none under way"));
            }
        }
    }

    /// Every account that the run's orders go by.
    fn accounts(&self) -> BTreeMap<Scope, Limits> {
        let Plan { config, arrivals, .. } = &self.world.plan;
        arrivals.iter().flat_map(|arrival| setup::accounts(config, &arrival.order)).collect()
    }

    fn judge_breakers(&self) {
        let models = |upstream: &str| MODELS.map(|model| format!("{upstream}/{model}"));
        let names: Vec<String> = UPSTREAMS.into_iter().flat_map(models).collect();
        for (name, gate) in self.world.store.counter.gates(self.world.now(), &names) {
            if let Gate::Open { .. } = gate {
                self.world
                    .judge
                    .broken(15, format!("the faults have stopped, and breaker {name} is {gate:?}"));
            }
        }
    }

    /// All that was admitted anywhere is within the limit and each process's share of it.
    fn judge_sums(&self) {
        let world = &self.world;
        let lives: Vec<&Replica> = self.replicas.iter().chain(&self.dead).collect();
        for (scope, limits) in self.accounts() {
            let mut all = world.store.counter.model().limits.admissions(&scope).to_vec();
            for replica in &lives {
                all.extend(replica.local().model().limits.admissions(&scope));
            }
            all.sort_unstable();
            for rate in &limits.requests {
                let share = match limits.on_store_loss {
                    OnStoreLoss::Local => setup::share(&world.plan.config, rate.count),
                    OnStoreLoss::Closed | OnStoreLoss::Open => 0,
                };
                let most = Rate { count: rate.count + share * lives.len() as u64, ..*rate };
                for end in 0..all.len() {
                    world.judge.hear(1, within(&all[..=end], most, all[end]));
                }
            }
        }
    }
}
