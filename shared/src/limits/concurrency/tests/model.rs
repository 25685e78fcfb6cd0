//! Random sequences beside a simple model.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Enter(Priority),
    Leave(usize),
    Poll(usize),
    GiveUp(usize),
    Expire(usize),
    Reload { limit: u32, queue: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    prop_oneof![
        5 => priority.prop_map(Step::Enter),
        3 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => any::<usize>().prop_map(Step::Expire),
        1 => (1_u32..6, 0_u32..6).prop_map(|(limit, queue)| Step::Reload { limit, queue }),
    ]
}

/// What ought to happen, in a sorted list.
#[derive(Default)]
struct Model {
    in_flight: u32,
    line: Vec<(Reverse<Priority>, usize)>,
    granted: Vec<usize>,
    pushed_out: Vec<usize>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Admitted,
    Queued,
    Shed,
}

impl Model {
    fn promote(&mut self, limit: u32) {
        while self.in_flight < limit && !self.line.is_empty() {
            self.granted.push(self.line.remove(0).1);
            self.in_flight += 1;
        }
    }

    fn enter(&mut self, policy: &Concurrency, limit: u32, priority: Priority, id: usize) -> Expected {
        self.promote(limit);
        if self.in_flight < limit {
            self.in_flight += 1;
            return Expected::Admitted;
        }
        if self.line.len() >= policy.queue as usize {
            match self.line.last() {
                Some(&(Reverse(lowest), last)) if lowest < priority => {
                    self.line.pop();
                    self.pushed_out.push(last);
                }
                _ => return Expected::Shed,
            }
        }
        self.line.push((Reverse(priority), id));
        self.line.sort();
        Expected::Queued
    }

    fn release(&mut self, limit: u32) {
        self.in_flight -= 1;
        self.promote(limit);
    }

    fn forget(&mut self, id: usize, limit: u32) {
        self.line.retain(|(_, other)| *other != id);
        self.pushed_out.retain(|other| *other != id);
        if let Some(found) = self.granted.iter().position(|other| *other == id) {
            self.granted.remove(found);
            self.release(limit);
        }
    }
}

/// One who waits, and the bell he has shown.
struct Guest {
    id: usize,
    waiting: Waiting,
    bell: Option<Arc<Bell>>,
}

fn choose<T>(of: &mut Vec<T>, roll: usize) -> Option<T> {
    (!of.is_empty()).then(|| of.swap_remove(roll % of.len()))
}

proptest! {
    /// Invariant 5: in-flight permits return to zero, and until then every decision is the model's.
    #[test]
    fn any_sequence_goes_as_the_model_has_it(steps in proptest::collection::vec(step(), 1..120)) {
        let (limiter, mut model) = (Limiter::default(), Model::default());
        let (mut slots, mut guests): (Vec<Slot>, Vec<Guest>) = (Vec::new(), Vec::new());
        let mut policy = Concurrency { wait: Duration::from_hours(1), ..fixed(2, 2) };
        // What the limiter has heard of.
        let mut limit = 0;
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Reload { limit, queue } => {
                    policy = Concurrency { bound: Bound::Fixed(limit), queue, ..policy };
                }
                Step::Enter(priority) => {
                    limit = match policy.bound { Bound::Fixed(limit) => limit, Bound::Adaptive { .. } => 0 };
                    let queue_before = model.line.len();
                    let expected = model.enter(&policy, limit, priority, id);
                    let was = match limiter.enter(&policy, who(priority), at(0)) {
                        Entry::Admitted(slot) => {
                            slots.push(slot);
                            Expected::Admitted
                        }
                        Entry::Queued(waiting) => {
                            guests.push(Guest { id, waiting, bell: None });
                            Expected::Queued
                        }
                        Entry::Shed(shed) => {
                            prop_assert_eq!(shed.why, Why::QueueFull);
                            Expected::Shed
                        }
                    };
                    prop_assert_eq!(was, expected);
                    let bound = queue_before.max(policy.queue as usize);
                    prop_assert!(numbers(&limiter).2 as usize <= bound, "the queue has a bound");
                }
                Step::Leave(roll) => {
                    if let Some(slot) = choose(&mut slots, roll) {
                        drop(slot);
                        model.release(limit);
                    }
                }
                Step::Poll(roll) => {
                    let Some(mut guest) = choose(&mut guests, roll) else { continue };
                    let bell = Arc::new(Bell::default());
                    match poll(&mut guest.waiting, &Waker::from(bell.clone())) {
                        Poll::Ready(Ok(slot)) => {
                            prop_assert!(model.granted.contains(&guest.id));
                            model.granted.retain(|other| *other != guest.id);
                            slots.push(slot);
                        }
                        Poll::Ready(Err(shed)) => {
                            prop_assert_eq!(shed.why, Why::PushedOut);
                            prop_assert!(model.pushed_out.contains(&guest.id));
                            model.pushed_out.retain(|other| *other != guest.id);
                        }
                        Poll::Pending => {
                            prop_assert!(model.line.iter().any(|(_, other)| *other == guest.id));
                            guest.bell = Some(bell);
                            guests.push(guest);
                        }
                    }
                }
                Step::GiveUp(roll) => {
                    if let Some(guest) = choose(&mut guests, roll) {
                        drop(guest.waiting);
                        model.forget(guest.id, limit);
                    }
                }
                Step::Expire(roll) => {
                    if let Some(guest) = choose(&mut guests, roll) {
                        prop_assert_eq!(guest.waiting.expired(at(0)).why, Why::InVain);
                        model.forget(guest.id, limit);
                    }
                }
            }
            let line = u32::try_from(model.line.len()).unwrap();
            prop_assert_eq!(numbers(&limiter), (limit, model.in_flight, line));
            for guest in &guests {
                let is_over = model.granted.contains(&guest.id) || model.pushed_out.contains(&guest.id);
                let rings = guest.bell.as_ref().map_or(u32::from(is_over), |bell| bell.rings());
                prop_assert_eq!(rings, u32::from(is_over), "once when it is over, not before");
            }
        }
        drop(guests);
        drop(slots);
        prop_assert_eq!(numbers(&limiter), (limit, 0, 0), "invariant 5");
    }

    /// With time, samples and a limit that moves by itself. Invariant 5 again.
    #[test]
    fn whatever_happens_no_slot_is_lost_or_invented(
        steps in proptest::collection::vec((step(), 0_u64..40, 0_u64..60, any::<u8>()), 1..300),
    ) {
        let limiter = Limiter::default();
        let (mut slots, mut guests, mut now) = (Vec::new(), Vec::new(), 0);
        let mut policy = Concurrency { wait: Duration::from_millis(100), ..fixed(2, 4) };
        let adaptive = |limit: u32| Bound::Adaptive { least: limit, most: limit * 4 };
        for (step, pause, span, roll) in steps {
            now += pause;
            let (_, before, queued_before) = numbers(&limiter);
            match step {
                Step::Reload { limit, queue } => {
                    let bound = if roll % 2 == 0 { Bound::Fixed(limit) } else { adaptive(limit) };
                    policy = Concurrency { bound, queue, ..policy };
                }
                Step::Enter(priority) => {
                    let entrant = Entrant { priority, deadline: at(now + span) };
                    match limiter.enter(&policy, entrant, at(now)) {
                        Entry::Admitted(slot) => slots.push(slot),
                        Entry::Queued(waiting) => guests.push(waiting),
                        Entry::Shed(shed) => {
                            prop_assert!((100..=30_000).contains(&shed.retry_after.as_millis()));
                        }
                    }
                    prop_assert!(numbers(&limiter).2 <= queued_before.max(policy.queue));
                }
                Step::Leave(chosen) => {
                    if let Some(mut slot) = choose(&mut slots, chosen) {
                        let verdicts = [Verdict::Success, Verdict::Dropped, Verdict::Ignore];
                        let took = Duration::from_millis(span);
                        if let Some(verdict) = verdicts.get(usize::from(roll % 4)) {
                            slot.sample(took, *verdict);
                        }
                    }
                }
                Step::Poll(chosen) => {
                    if let Some(mut waiting) = choose(&mut guests, chosen) {
                        match poll(&mut waiting, Waker::noop()) {
                            Poll::Ready(Ok(slot)) => slots.push(slot),
                            Poll::Ready(Err(_)) => {}
                            Poll::Pending => guests.push(waiting),
                        }
                    }
                }
                Step::GiveUp(chosen) => drop(choose(&mut guests, chosen)),
                Step::Expire(chosen) => {
                    if let Some(waiting) = choose(&mut guests, chosen) {
                        waiting.expired(at(now));
                    }
                }
            }
            let (limit, in_flight, queued) = numbers(&limiter);
            prop_assert!(in_flight <= limit.max(before), "{in_flight} of {limit}");
            prop_assert!(queued == 0 || in_flight >= limit, "{queued} wait for nothing");
            let held = u32::try_from(slots.len()).unwrap();
            prop_assert!(held <= in_flight && in_flight <= held + u32::try_from(guests.len()).unwrap());
        }
        drop(guests);
        drop(slots);
        let (_, in_flight, queued) = numbers(&limiter);
        prop_assert_eq!((in_flight, queued), (0, 0), "invariant 5");
        prop_assert!(lock(&limiter.0).is_at_rest());
    }
}
