//! Many threads on one limiter, for real.
#![expect(clippy::disallowed_methods, reason = "threads are what is tested")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::*;
use crate::random::{STEP, scramble};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until it is ready, woken by nobody but the limiter.
fn wait(mut waiting: Waiting) -> Result<Slot, Shed> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match poll(&mut waiting, &waker) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

/// Invariant 5, on threads; a wake-up that is lost would hang here.
#[test]
fn threads_never_exceed_the_limit_and_leave_nothing_behind() {
    const LIMIT: u32 = 3;
    let (limiter, under_way, admissions) = (Limiter::default(), AtomicU32::new(0), AtomicU32::new(0));
    let policy = Concurrency { wait: Duration::from_hours(1), ..fixed(LIMIT, 6) };
    let work = |thread: u64| {
        for call in 0..2000 {
            let roll = scramble((thread * 2000 + call).wrapping_mul(STEP));
            let priority = [Priority::Low, Priority::Normal, Priority::High][(roll % 3) as usize];
            let slot = match limiter.enter(&policy, who(priority), at(call)) {
                Entry::Admitted(slot) => Ok(slot),
                // One in eight leaves after the first look, perhaps with a grant.
                Entry::Queued(mut waiting) if roll & 0x700 == 0 => match poll(&mut waiting, Waker::noop()) {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => continue,
                },
                Entry::Queued(waiting) => wait(waiting),
                Entry::Shed(shed) => Err(shed),
            };
            if let Ok(mut slot) = slot {
                assert!(under_way.fetch_add(1, Ordering::SeqCst) < LIMIT);
                admissions.fetch_add(1, Ordering::SeqCst);
                slot.sample(Duration::from_micros(roll % 100), Verdict::Success);
                thread::yield_now();
                under_way.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..12 {
            scope.spawn(move || work(thread));
        }
    });
    assert_eq!(numbers(&limiter), (LIMIT, 0, 0));
    assert!(admissions.into_inner() > 2000);
}
