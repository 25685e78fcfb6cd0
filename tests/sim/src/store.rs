//! The store that all replicas share: late at times, at times not to be reached, and at times not to be
//! heard.

use std::rc::Rc;
use std::time::Duration;

use weir::store::protocol::{Held, StoreLost};
use weir::time::Instant;

use crate::counter::{Counter, Sabotage};
use crate::weather::{Passage, passage};
use crate::world::World;

/// How long a replica waits for it.
const PATIENCE: Duration = Duration::from_millis(100);

/// One store.
#[derive(Debug)]
pub(crate) struct SharedStore {
    pub(crate) counter: Counter,
}

impl SharedStore {
    pub(crate) fn new(now: Instant, sabotage: Sabotage) -> Self {
        Self { counter: Counter::new(Held::InStore, now, sabotage) }
    }
}

/// Takes a step on the shared store, there and back. A step of which nobody hears has been taken all the
/// same.
pub(crate) async fn ask<T>(world: &Rc<World>, step: impl FnOnce(&Counter) -> T) -> Result<T, StoreLost> {
    let lag = || world.dice.millis(0, u64::try_from(world.plan.store_lag.as_millis()).unwrap_or(0));
    let way = passage(&world.plan.outages, world.elapsed(), &world.dice);
    away().await;
    world.clock.sleep(lag()).await;
    if way == Passage::LostBefore {
        world.clock.sleep(PATIENCE).await;
        return Err(StoreLost);
    }
    let said = step(&world.store.counter);
    if way == Passage::LostBehind {
        world.clock.sleep(PATIENCE).await;
        return Err(StoreLost);
    }
    world.clock.sleep(lag()).await;
    Ok(said)
}

/// One poll goes by, as with anything that is asked of another machine.
pub(crate) async fn away() {
    let mut asked = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
