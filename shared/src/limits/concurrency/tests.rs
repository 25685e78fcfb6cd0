mod hammer;
mod model;
mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn fixed(limit: u32, queue: u32) -> Concurrency {
    Concurrency { bound: Bound::Fixed(limit), queue, wait: 10 * SECOND }
}

fn who(priority: Priority) -> Entrant {
    Entrant { priority, deadline: at(1_000_000_000) }
}

fn normal() -> Entrant {
    who(Priority::Normal)
}

fn admitted(entry: Entry) -> Slot {
    match entry {
        Entry::Admitted(slot) => slot,
        Entry::Queued(_) | Entry::Shed(_) => panic!("{entry:?}"),
    }
}

fn queued(entry: Entry) -> Waiting {
    match entry {
        Entry::Queued(waiting) => waiting,
        Entry::Admitted(_) | Entry::Shed(_) => panic!("{entry:?}"),
    }
}

fn shed(entry: &Entry) -> Shed {
    match entry {
        Entry::Shed(shed) => *shed,
        Entry::Admitted(_) | Entry::Queued(_) => panic!("{entry:?}"),
    }
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rings(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll(waiting: &mut Waiting, waker: &Waker) -> Poll<Result<Slot, Shed>> {
    std::pin::Pin::new(waiting).poll(&mut Context::from_waker(waker))
}

fn answer(waiting: &mut Waiting) -> Option<Result<Slot, Why>> {
    match poll(waiting, Waker::noop()) {
        Poll::Pending => None,
        Poll::Ready(answer) => Some(answer.map_err(|shed| shed.why)),
    }
}

fn numbers(limiter: &Limiter) -> (u32, u32, u32) {
    let load = limiter.load(String::new());
    (load.limit, load.in_flight, load.queued)
}

/// One call that held its slot for so long: the limiter knows its pace.
fn pace(limiter: &Limiter, policy: &Concurrency, millis: u64) {
    let mut slot = admitted(limiter.enter(policy, normal(), at(0)));
    slot.sample(Duration::from_millis(millis), Verdict::Success);
}

#[test]
fn a_name_has_one_limiter_and_a_snapshot_shows_them_all() {
    let limiters = Limiters::default();
    let _slot = admitted(limiters.limiter("openai").enter(&fixed(1, 4), normal(), at(0)));
    let other_handle = limiters.clone();
    let _waiting = queued(other_handle.limiter("openai").enter(&fixed(1, 4), normal(), at(0)));
    let _other = admitted(limiters.limiter("azure").enter(&fixed(7, 0), normal(), at(0)));
    let load =
        |name: &str, limit, in_flight, queued| Load { name: name.to_owned(), limit, in_flight, queued };
    assert_eq!(limiters.snapshot(), [load("azure", 7, 1, 0), load("openai", 1, 1, 1)]);
}

#[test]
fn a_slot_that_is_dropped_goes_to_the_next_in_line_and_wakes_nobody_else() {
    let limiter = Limiter::default();
    let slot = admitted(limiter.enter(&fixed(1, 4), normal(), at(0)));
    let mut waiting: Vec<_> = (0..3).map(|_| queued(limiter.enter(&fixed(1, 4), normal(), at(0)))).collect();
    let bells: Vec<_> = waiting.iter().map(|_| Arc::new(Bell::default())).collect();
    for (waiting, bell) in waiting.iter_mut().zip(&bells) {
        assert!(poll(waiting, &Waker::from(bell.clone())).is_pending());
    }
    drop(slot);
    assert_eq!(bells.iter().map(|bell| bell.rings()).collect::<Vec<_>>(), [1, 0, 0]);
    assert!(matches!(answer(&mut waiting[0]), Some(Ok(_))), "and it is dropped at once");
    assert_eq!(bells.iter().map(|bell| bell.rings()).collect::<Vec<_>>(), [1, 1, 0]);
    assert!(answer(&mut waiting[0]).is_none(), "what was ready stays pending");
}

#[test]
fn a_grant_that_nobody_picked_up_goes_to_the_next() {
    enum Leave {
        Drop,
        Expire,
    }
    for leave in [Leave::Drop, Leave::Expire] {
        let limiter = Limiter::default();
        let slot = admitted(limiter.enter(&fixed(1, 4), normal(), at(0)));
        let first = queued(limiter.enter(&fixed(1, 4), normal(), at(0)));
        let mut second = queued(limiter.enter(&fixed(1, 4), normal(), at(0)));
        let bell = Arc::new(Bell::default());
        assert!(poll(&mut second, &Waker::from(bell.clone())).is_pending());
        drop(slot);
        assert_eq!(bell.rings(), 0);
        match leave {
            Leave::Drop => drop(first),
            Leave::Expire => assert_eq!(first.expired(at(10_000)).why, Why::InVain),
        }
        assert_eq!(bell.rings(), 1);
        assert!(matches!(answer(&mut second), Some(Ok(_))));
        assert_eq!(numbers(&limiter), (1, 0, 0));
    }
}

#[test]
fn a_full_queue_is_closed_but_to_a_higher_priority() {
    use Priority::{High, Low, Normal};
    let limiter = Limiter::default();
    let policy = fixed(1, 2);
    let slot = admitted(limiter.enter(&policy, normal(), at(0)));
    let mut older = queued(limiter.enter(&policy, who(Low), at(0)));
    let mut younger = queued(limiter.enter(&policy, who(Low), at(0)));
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut younger, &Waker::from(bell.clone())).is_pending());
    assert_eq!(shed(&limiter.enter(&policy, who(Low), at(0))).why, Why::QueueFull);
    let _normal = queued(limiter.enter(&policy, who(Normal), at(0)));
    assert_eq!(bell.rings(), 1);
    assert_eq!(answer(&mut younger).unwrap().unwrap_err(), Why::PushedOut);
    assert!(answer(&mut older).is_none(), "the older one has stayed");
    let mut high = queued(limiter.enter(&policy, who(High), at(0)));
    assert_eq!(answer(&mut older).unwrap().unwrap_err(), Why::PushedOut);
    assert_eq!(shed(&limiter.enter(&policy, who(Normal), at(0))).why, Why::QueueFull);
    drop(slot);
    assert!(matches!(answer(&mut high), Some(Ok(_))), "it came last and goes first");
}

#[test]
fn whose_turn_would_come_too_late_is_turned_away_at_once() {
    let policy = |wait| Concurrency { bound: Bound::Fixed(2), queue: 100, wait: Duration::from_millis(wait) };
    // Slots are held for 100 ms, so one of two comes free every 50 ms.
    for (name, ahead, wait, deadline, is_shed) in [
        ("in time", 2, 1000, 1000, false),
        ("just in time for its deadline", 2, 1000, 150, false),
        ("too late for its deadline", 2, 1000, 149, true),
        ("just in time for the longest wait", 2, 150, 1000, false),
        ("longer than the longest wait", 2, 149, 1000, true),
        ("deadline over", 0, 1000, 0, true),
        ("no wait", 0, 0, 1000, true),
    ] {
        let limiter = Limiter::default();
        pace(&limiter, &policy(1000), 100);
        let _slots = [(); 2].map(|()| admitted(limiter.enter(&policy(1000), normal(), at(0))));
        let _ahead: Vec<_> =
            (0..ahead).map(|_| queued(limiter.enter(&policy(1000), normal(), at(0)))).collect();
        let entrant = Entrant { priority: Priority::Normal, deadline: at(deadline) };
        match limiter.enter(&policy(wait), entrant, at(0)) {
            Entry::Shed(shed) => assert!(is_shed && shed.why == Why::TooLong, "{name}: {shed:?}"),
            Entry::Queued(waiting) => {
                assert!(!is_shed, "{name}");
                assert_eq!(waiting.until(), at(deadline.min(wait)), "{name}");
            }
            Entry::Admitted(_) => panic!("{name}"),
        }
    }
}

#[test]
fn nobody_is_turned_away_on_a_guess() {
    let limiter = Limiter::default();
    let _slot = admitted(limiter.enter(&fixed(1, 100), normal(), at(0)));
    let entrant = Entrant { priority: Priority::Normal, deadline: at(1) };
    let _waiting: Vec<_> = (0..100).map(|_| queued(limiter.enter(&fixed(1, 100), entrant, at(0)))).collect();
    let shed = shed(&limiter.enter(&fixed(1, 100), entrant, at(0)));
    assert_eq!(shed, Shed { why: Why::QueueFull, retry_after: SECOND });
}

#[test]
fn the_time_to_come_back_is_the_wait_of_a_newcomer() {
    let limiter = Limiter::default();
    pace(&limiter, &fixed(1, 4), 400);
    let _slot = admitted(limiter.enter(&fixed(1, 4), normal(), at(0)));
    let mut low: Vec<_> =
        (0..4).map(|_| queued(limiter.enter(&fixed(1, 4), who(Priority::Low), at(0)))).collect();
    let retry = |shed: Shed| shed.retry_after.as_millis();
    assert_eq!(retry(shed(&limiter.enter(&fixed(1, 4), who(Priority::Low), at(0)))), 2000);
    assert_eq!(retry(low.remove(0).expired(at(0))), 1600, "three are left, and his own turn");
    let mut high = queued(limiter.enter(&fixed(1, 4), who(Priority::High), at(0)));
    assert_eq!(retry(shed(&limiter.enter(&fixed(1, 4), who(Priority::Low), at(0)))), 2000, "four again");
    assert!(answer(&mut high).is_none());
}

#[test]
fn how_long_slots_are_held_is_learned_from_the_times_of_newcomers() {
    let limiter = Limiter::default();
    let policy = Concurrency { wait: Duration::from_millis(100), ..fixed(1, 4) };
    let slot = admitted(limiter.enter(&policy, normal(), at(0)));
    let first = queued(limiter.enter(&policy, normal(), at(200)));
    drop(slot);
    drop(first);
    let _slot = admitted(limiter.enter(&policy, normal(), at(200)));
    assert_eq!(shed(&limiter.enter(&policy, normal(), at(200))).why, Why::TooLong, "it was held for 200 ms");
}

#[test]
fn a_slot_is_not_wasted_on_one_whose_time_is_over() {
    let limiter = Limiter::default();
    let slot = admitted(limiter.enter(&fixed(1, 4), normal(), at(0)));
    let soon = Entrant { priority: Priority::High, deadline: at(5) };
    let mut late = queued(limiter.enter(&fixed(1, 4), soon, at(0)));
    let mut next = queued(limiter.enter(&fixed(1, 4), normal(), at(6)));
    drop(slot);
    assert_eq!(answer(&mut late).unwrap().unwrap_err(), Why::InVain);
    assert!(matches!(answer(&mut next), Some(Ok(_))));
}

#[test]
fn a_new_policy_holds_from_the_next_call_on_and_cuts_nobody_off() {
    let limiter = Limiter::default();
    let mut slots: Vec<_> = (0..3).map(|_| admitted(limiter.enter(&fixed(3, 4), normal(), at(0)))).collect();
    let mut waiting: Vec<_> = (0..3).map(|_| queued(limiter.enter(&fixed(3, 4), normal(), at(0)))).collect();
    assert_eq!(shed(&limiter.enter(&fixed(1, 2), normal(), at(0))).why, Why::QueueFull);
    assert_eq!(numbers(&limiter), (1, 3, 3));
    slots.pop();
    slots.pop();
    assert!(answer(&mut waiting[0]).is_none(), "one is under way, and one may be");
    slots.pop();
    let first = answer(&mut waiting[0]);
    assert!(matches!(first, Some(Ok(_))));
    let bell = Arc::new(Bell::default());
    assert!(poll(&mut waiting[1], &Waker::from(bell.clone())).is_pending());
    let fourth = queued(limiter.enter(&fixed(2, 4), normal(), at(0)));
    assert_eq!(bell.rings(), 1, "growth lets the next one in");
    assert_eq!(numbers(&limiter), (2, 2, 2));
    drop((first, waiting, fourth));
    assert_eq!(numbers(&limiter), (2, 0, 0));
}

#[test]
fn a_bound_of_nothing_is_a_bound_of_one() {
    for bound in [Bound::Fixed(0), Bound::Adaptive { least: 0, most: 0 }] {
        let limiter = Limiter::default();
        let policy = Concurrency { bound, ..fixed(0, 0) };
        let _slot = admitted(limiter.enter(&policy, normal(), at(0)));
        assert_eq!(shed(&limiter.enter(&policy, normal(), at(0))).why, Why::QueueFull, "{bound:?}");
    }
}

#[test]
fn a_poisoned_lock_is_no_end() {
    let limiter = Limiter::default();
    let slot = admitted(limiter.enter(&fixed(1, 4), normal(), at(0)));
    let mut waiting = queued(limiter.enter(&fixed(1, 4), normal(), at(0)));
    let held = limiter.clone();
    let panics = std::panic::AssertUnwindSafe(move || {
        let _guard = held.0.lock();
        panic!("on purpose");
    });
    assert!(std::panic::catch_unwind(panics).is_err() && limiter.0.is_poisoned());
    drop(slot);
    assert!(matches!(answer(&mut waiting), Some(Ok(_))));
    assert_eq!(numbers(&limiter), (1, 0, 0));
}

/// Uses the limiter when it is woken and when it goes, as a task does that owns a slot.
struct Entangled(Limiter);

impl Wake for Entangled {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Entangled {
    fn drop(&mut self) {
        numbers(&self.0);
    }
}

/// A lock that is held while a waker runs or goes would hang here.
#[test]
fn wakers_run_and_go_outside_the_lock() {
    let limiter = Limiter::default();
    let policy = fixed(1, 2);
    let waker = || Waker::from(Arc::new(Entangled(limiter.clone())));
    let slot = admitted(limiter.enter(&policy, normal(), at(0)));
    let mut low = [(); 2].map(|()| queued(limiter.enter(&policy, who(Priority::Low), at(0))));
    for waiting in &mut low {
        assert!(poll(waiting, &waker()).is_pending());
        assert!(poll(waiting, &waker()).is_pending(), "it takes the place of the one before");
    }
    let mut pushed_in = queued(limiter.enter(&policy, normal(), at(0)));
    assert!(poll(&mut pushed_in, &waker()).is_pending());
    let [first, second] = low;
    drop(second);
    first.expired(at(1));
    drop(slot);
    assert!(matches!(poll(&mut pushed_in, &waker()), Poll::Ready(Ok(_))));
    assert_eq!(numbers(&limiter), (1, 0, 0));
}
