//! A limiter between clients and an upstream, in virtual time.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::random::{STEP, below, scramble};

/// Microseconds.
const MS: u64 = 1000;

/// Writes down whose turn it is.
struct Pager {
    client: u64,
    turns: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for Pager {
    fn wake(self: Arc<Self>) {
        lock(&self.turns).push_back(self.client);
    }
}

enum Event {
    Arrive,
    Finish,
    GiveUp,
}

enum Stage {
    Waits(Waiting),
    Goes(Slot),
}

/// What a client does after a call, or after he was turned away.
#[derive(Clone, Copy, PartialEq)]
enum Clients {
    ComeOnce,
    ComeAgain,
}

/// When a call ends that begins at a time beside so many, itself among them.
type Upstream = Box<dyn FnMut(u64, u32) -> u64>;

struct World {
    limiter: Limiter,
    policy: Concurrency,
    clients: Clients,
    upstream: Upstream,
    /// How long after his arrival a client has use for the beginning of a call.
    patience: u64,
    now: u64,
    events: BTreeMap<(u64, u64), (u64, Event)>,
    numbered: u64,
    /// By client: when he came, when his call began, and where he is now.
    stages: BTreeMap<u64, (u64, u64, Stage)>,
    under_way: u32,
    turns: Arc<Mutex<VecDeque<u64>>>,
    calls: Vec<Call>,
}

/// A call that came to its end.
struct Call {
    arrived: u64,
    finished: u64,
}

impl World {
    fn new(policy: Concurrency, clients: Clients, patience: u64, upstream: Upstream) -> Self {
        Self {
            limiter: Limiter::default(),
            policy,
            clients,
            upstream,
            patience,
            now: 0,
            events: BTreeMap::new(),
            numbered: 0,
            stages: BTreeMap::new(),
            under_way: 0,
            turns: Arc::default(),
            calls: Vec::new(),
        }
    }

    fn schedule(&mut self, time: u64, client: u64, event: Event) {
        self.events.insert((time, self.numbered), (client, event));
        self.numbered += 1;
    }

    fn run_until(&mut self, end: u64) {
        while let Some(next) = self.events.first_entry()
            && next.key().0 < end
        {
            let ((time, _), (client, event)) = next.remove_entry();
            self.now = time;
            match event {
                Event::Arrive => self.arrive(client),
                Event::Finish => self.finish(client),
                Event::GiveUp => self.give_up(client),
            }
            self.page();
        }
    }

    fn arrive(&mut self, client: u64) {
        let deadline = Instant::from_micros(self.now + self.patience);
        let entrant = Entrant { priority: Priority::Normal, deadline };
        match self.limiter.enter(&self.policy, entrant, Instant::from_micros(self.now)) {
            Entry::Admitted(slot) => self.begin(client, self.now, slot),
            Entry::Queued(waiting) => {
                let until = waiting.until().as_micros();
                self.stages.insert(client, (self.now, self.now, Stage::Waits(waiting)));
                lock(&self.turns).push_back(client);
                self.schedule(until, client, Event::GiveUp);
            }
            Entry::Shed(shed) => self.turn_away(client, shed),
        }
    }

    fn begin(&mut self, client: u64, arrived: u64, slot: Slot) {
        self.under_way += 1;
        let end = (self.upstream)(self.now, self.under_way);
        self.stages.insert(client, (arrived, self.now, Stage::Goes(slot)));
        self.schedule(end, client, Event::Finish);
    }

    fn finish(&mut self, client: u64) {
        let Some((arrived, began, Stage::Goes(mut slot))) = self.stages.remove(&client) else {
            panic!("{client} is not under way");
        };
        slot.sample(Duration::from_micros(self.now - began), Verdict::Success);
        drop(slot);
        self.under_way -= 1;
        self.calls.push(Call { arrived, finished: self.now });
        if self.clients == Clients::ComeAgain {
            self.schedule(self.now, client, Event::Arrive);
        }
    }

    fn give_up(&mut self, client: u64) {
        // The sleep of one who has his slot by now, or came again, is nothing to him.
        if let Some((_, _, Stage::Waits(waiting))) = self.stages.get(&client)
            && waiting.until().as_micros() <= self.now
            && let Some((_, _, Stage::Waits(waiting))) = self.stages.remove(&client)
        {
            let shed = waiting.expired(Instant::from_micros(self.now));
            self.turn_away(client, shed);
        }
    }

    fn turn_away(&mut self, client: u64, shed: Shed) {
        if self.clients == Clients::ComeAgain {
            self.schedule(
                self.now + u64::try_from(shed.retry_after.as_micros()).unwrap(),
                client,
                Event::Arrive,
            );
        }
    }

    /// Polls those whom the limiter has called, and nobody else.
    fn page(&mut self) {
        loop {
            let Some(client) = lock(&self.turns).pop_front() else { return };
            let Some((arrived, _, Stage::Waits(waiting))) = self.stages.get_mut(&client) else { continue };
            let arrived = *arrived;
            let waker = Waker::from(Arc::new(Pager { client, turns: self.turns.clone() }));
            match poll(waiting, &waker) {
                Poll::Pending => {}
                Poll::Ready(Ok(slot)) => self.begin(client, arrived, slot),
                Poll::Ready(Err(shed)) => {
                    self.stages.remove(&client);
                    self.turn_away(client, shed);
                }
            }
        }
    }
}

/// So many workers, 10 ms a call, first come first served; what is too much waits behind.
fn workers(count: usize) -> Upstream {
    let mut free_at = vec![0; count];
    Box::new(move |now, _| {
        let worker = free_at.iter_mut().min().unwrap();
        *worker = now.max(*worker) + 10 * MS;
        *worker
    })
}

/// 100 ms up to 20 calls; each one more adds `slope` to that. A call differs by up to `noise` percent.
fn slows_beyond_twenty(slope: u64, noise: u64) -> Upstream {
    let mut state = 0_u64;
    Box::new(move |now, under_way| {
        let took = 100 * MS + slope * u64::from(under_way.saturating_sub(20));
        state = state.wrapping_add(STEP);
        now + took * (100 - noise + below(scramble(state), 2 * noise + 1)) / 100
    })
}

/// The least and the most that the limit is in the last of 4 min, with more clients than it ever lets in.
fn settle(start: u32, upstream: Upstream) -> (u32, u32) {
    let bound = |least, most| Bound::Adaptive { least, most };
    let policy = Concurrency { bound: bound(start, start), queue: 600, wait: 600 * SECOND };
    let mut world = World::new(policy, Clients::ComeAgain, 600_000 * MS, upstream);
    for client in 0..450 {
        world.schedule(client, client, Event::Arrive);
    }
    world.run_until(1);
    assert_eq!(numbers(&world.limiter).0, start);
    world.policy.bound = bound(1, 400);
    let (mut least, mut most) = (u32::MAX, 0);
    for tenth in 1..=2400 {
        world.run_until(tenth * 100 * MS);
        if tenth > 1800 {
            let limit = numbers(&world.limiter).0;
            (least, most) = (least.min(limit), most.max(limit));
        }
    }
    (least, most)
}

/// The lowest are those of a look, which takes half.
#[test]
fn the_adaptive_limit_settles_where_the_upstream_begins_to_slow_down() {
    for start in [4, 200] {
        for (slope, noise) in [(5 * MS, 0), (5 * MS, 40), (10 * MS, 40), (20 * MS, 40)] {
            let (least, most) = settle(start, slows_beyond_twenty(slope, noise));
            let is_near = least >= 10 && (20..=40).contains(&most);
            assert!(is_near, "from {start}, {slope} us a call, {noise} %: {least}..={most}");
        }
    }
}

/// What a second of full work is.
const CAPACITY: usize = 1000;

/// Calls that came to their end in the last 9 of 10 s at five times what the upstream can do, and whether
/// that was within 100 ms of their arrival.
fn offer_five_times_capacity(policy: Concurrency) -> (usize, usize) {
    let patience = 90 * MS;
    let mut world = World::new(policy, Clients::ComeOnce, patience, workers(10));
    for client in 0..50_000_u64 {
        // Every 200 us, give or take as much.
        let jitter = below(scramble(client.wrapping_mul(STEP)), 400);
        world.schedule(client * 200 + jitter, client, Event::Arrive);
    }
    world.run_until(10_000 * MS);
    let ended = mem::take(&mut world.calls);
    world.run_until(u64::MAX);
    let (_, in_flight, queued) = numbers(&world.limiter);
    assert_eq!((in_flight, queued), (0, 0), "invariant 5");
    let calls = ended.iter().filter(|call| call.finished >= 1000 * MS);
    let (good, late): (Vec<_>, Vec<_>) = calls.partition(|call| call.finished - call.arrived <= 100 * MS);
    (good.len(), late.len())
}

#[test]
fn at_five_times_the_load_what_is_admitted_is_done_in_time_and_capacity_is_used() {
    for (name, bound, queue, wait) in [
        ("no queue", Bound::Fixed(10), 0, SECOND),
        ("a queue that is longer than the deadline", Bound::Fixed(10), 1000, SECOND),
        ("a wait that is shorter than the deadline", Bound::Fixed(10), 1000, SECOND / 20),
        ("a bound that is found", Bound::Adaptive { least: 1, most: 100 }, 1000, SECOND / 20),
    ] {
        let (good, late) = offer_five_times_capacity(Concurrency { bound, queue, wait });
        assert!(late == 0 && good * 10 >= CAPACITY * 9 * 9, "{name}: {good} in time, {late} late");
    }
}

/// That the one above can fail.
#[test]
fn without_a_bound_nearly_nothing_is_done_in_time() {
    let (good, late) = offer_five_times_capacity(fixed(100_000, 0));
    assert!(good < CAPACITY / 10 && late > CAPACITY * 8, "{good} in time, {late} late");
}
