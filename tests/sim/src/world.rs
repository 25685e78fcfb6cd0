//! All that a run's replicas share, and all that is known of it.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::time::Duration;

use weir::time::Instant;
use weir_portability::Clock;

use crate::counter::Sabotage;
use crate::dice::Dice;
use crate::judge::{Judge, Trace};
use crate::order::Arrival;
use crate::plan::Plan;
use crate::provider::Calls;
use crate::request::Request;
use crate::store::SharedStore;

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) judge: Judge,
    pub(crate) store: SharedStore,
    pub(crate) calls: Calls,
    requests: RefCell<Vec<Request>>,
    /// Whose work is being polled.
    current: Cell<usize>,
    /// Clients that come again, and when.
    pub(crate) returning: RefCell<Vec<Arrival>>,
    pub(crate) tally: RefCell<Tally>,
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub polls: u64,
    pub requests: u64,
    pub calls: u64,
    pub answered: u64,
    pub shared: u64,
    pub from_cache: u64,
    pub refused: u64,
    pub left: u64,
    pub probes: u64,
    pub retries: u64,
    pub local: u64,
    pub crashed: u64,
    pub panicked: u64,
    pub repeated: u64,
    /// Reservations that expire because a client left while the store had made one and had not said so yet.
    pub unheard: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.polls += other.polls;
        self.requests += other.requests;
        self.calls += other.calls;
        self.answered += other.answered;
        self.shared += other.shared;
        self.from_cache += other.from_cache;
        self.refused += other.refused;
        self.left += other.left;
        self.probes += other.probes;
        self.retries += other.retries;
        self.local += other.local;
        self.crashed += other.crashed;
        self.panicked += other.panicked;
        self.repeated += other.repeated;
        self.unheard += other.unheard;
    }
}

impl World {
    pub(crate) fn new(plan: Plan, trace: Trace, sabotage: Sabotage) -> Self {
        let clock = Clock::default();
        Self {
            dice: Dice::new(plan.seed.wrapping_mul(3)),
            judge: Judge::new(trace),
            store: SharedStore::new(clock.now(), sabotage),
            calls: Calls::default(),
            requests: RefCell::default(),
            current: Cell::new(0),
            returning: RefCell::default(),
            tally: RefCell::default(),
            clock,
            plan,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now().since(Instant::default())
    }

    /// A new request, by its number.
    pub(crate) fn begin(&self, arrival: Arrival) -> usize {
        let mut requests = self.requests.borrow_mut();
        requests.push(Request::new(arrival, self.now()));
        requests.len() - 1
    }

    pub(crate) fn request(&self, number: usize) -> Ref<'_, Request> {
        Ref::map(self.requests.borrow(), |requests| &requests[number])
    }

    pub(crate) fn request_mut(&self, number: usize) -> RefMut<'_, Request> {
        RefMut::map(self.requests.borrow_mut(), |requests| &mut requests[number])
    }

    pub(crate) fn requests(&self) -> Ref<'_, Vec<Request>> {
        self.requests.borrow()
    }

    /// From here on it is this request's work that is done.
    pub(crate) fn turn_to(&self, request: usize) {
        self.current.set(request);
    }

    pub(crate) fn current(&self) -> usize {
        self.current.get()
    }

    pub(crate) fn count(&self, step: impl FnOnce(&mut Tally)) {
        step(&mut self.tally.borrow_mut());
    }
}
