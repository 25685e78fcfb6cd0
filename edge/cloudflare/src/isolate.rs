//! What the requests of one isolate share: its configuration, chance, and what it keeps by itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use weir::Config;
use weir::embedded::Store;
use weir::ledger::{Ending, Record};
use weir::metrics::{self, Exposition, Family, Sink as _};
use weir::roll;
use worker::Env;

use crate::platform::now;
use crate::{js, log, settings};

/// Requests whose ending is remembered.
const RECENT: usize = 1024;

pub(crate) struct Isolate {
    config: RefCell<Option<Arc<Config>>>,
    pub(crate) store: RefCell<Store>,
    pub(crate) metrics: RefCell<Exposition>,
    /// How the last requests ended.
    endings: RefCell<VecDeque<Ending>>,
    rolls: Cell<u64>,
}

thread_local! {
    static ISOLATE: Rc<Isolate> = Rc::new(Isolate {
        config: RefCell::default(),
        store: RefCell::new(Store::new(now(), 0)),
        metrics: RefCell::default(),
        endings: RefCell::default(),
        rolls: Cell::new(seed()),
    });
}

impl Isolate {
    /// The one that runs this.
    pub(crate) fn here() -> Rc<Self> {
        ISOLATE.with(Rc::clone)
    }

    /// The configuration in force.
    pub(crate) fn config(&self, env: &Env) -> Result<Arc<Config>, String> {
        if let Some(config) = &*self.config.borrow() {
            return Ok(Arc::clone(config));
        }
        let loaded = settings::load(env)?;
        for warning in &loaded.warnings {
            log::warning(warning);
        }
        let config = Arc::new(loaded.config);
        self.store.borrow_mut().resize_cache(config.store.cache);
        self.config.replace(Some(Arc::clone(&config)));
        Ok(config)
    }

    /// Counts a request that is over.
    pub(crate) fn record(&self, record: &Record) {
        let (mut numbers, mut endings) = (self.metrics.borrow_mut(), self.endings.borrow_mut());
        metrics::record(record, &mut *numbers);
        if endings.len() >= RECENT
            && let Some(oldest) = endings.pop_front()
        {
            numbers.shift(Family::LedgerRecent, &[oldest.name()], -1);
        }
        endings.push_back(record.ending);
        numbers.shift(Family::LedgerRecent, &[record.ending.name()], 1);
    }

    pub(crate) fn roll(&self) -> u64 {
        let state = self.rolls.get();
        self.rolls.set(state.wrapping_add(roll::STEP));
        roll::scramble(state)
    }
}

/// From the platform's cryptographic source, where it answers.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if let Ok(crypto) = js::scope().crypto() {
        // Without it ids are still as good as the clock.
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    u64::from_le_bytes(bytes) ^ js_sys::Date::now().to_bits()
}
