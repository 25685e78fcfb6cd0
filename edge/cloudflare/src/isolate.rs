//! What the requests of one isolate share: its configuration, chance, and what it keeps by itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use weir::ledger::record::{Ending, Record};
use weir::limits::admission::Admission;
use weir::routing::usage_refusals::UsageRefusals;
use weir::store::durable::{Beliefs, Denials};
use weir::store::embedded::Store;
use weir::store::readings::Readings;
use weir::telemetry::metrics::{self, Exposition, Family, Sink as _};
use weir::{Config, random};
use worker::Env;

use crate::near::Near;
use crate::platform::{millis, now};
use crate::{js, log, settings};

/// Requests whose ending is remembered.
const RECENT: usize = 1024;

/// Bytes of request bodies that an isolate holds at most: it has 128 MiB in all.
const BUFFERED: u64 = 80 << 20;

pub(crate) struct Isolate {
    config: RefCell<Option<Arc<Config>>>,
    /// The document that was found last, sound or not, and when somebody looked last.
    document: RefCell<String>,
    looked: Cell<u64>,
    pub(crate) log_detail: Cell<log::Detail>,
    pub(crate) store: RefCell<Store>,
    /// Who was denied a moment ago.
    pub(crate) denials: RefCell<Denials>,
    /// Which upstreams are well, as far as is known here.
    pub(crate) beliefs: RefCell<Beliefs>,
    pub(crate) near: RefCell<Near>,
    pub(crate) usage_refusals: UsageRefusals,
    pub(crate) readings: Readings,
    pub(crate) admission: Admission,
    pub(crate) metrics: RefCell<Exposition>,
    /// How the last requests ended.
    endings: RefCell<VecDeque<Ending>>,
    rolls: Cell<u64>,
}

thread_local! {
    static ISOLATE: Rc<Isolate> = Rc::new(Isolate {
        config: RefCell::default(),
        document: RefCell::default(),
        looked: Cell::default(),
        log_detail: Cell::default(),
        store: RefCell::new(Store::new(now(), 0)),
        denials: RefCell::default(),
        beliefs: RefCell::default(),
        near: RefCell::default(),
        usage_refusals: UsageRefusals::default(),
        readings: Readings::default(),
        admission: Admission::with_ceiling(BUFFERED),
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

    /// The configuration in force. Whoever is the first waits for it, and so does who finds that nobody has
    /// looked for long.
    pub(crate) async fn config(&self, env: &Env) -> Result<Arc<Config>, String> {
        if self.config.borrow().is_none() {
            self.put_in_force(env, settings::read(env).await?)?;
        } else if self.looked.get().saturating_add(settings::every(env).saturating_mul(2)) <= millis() {
            self.look(env).await;
        }
        self.config.borrow().clone().ok_or_else(|| "there is none".into())
    }

    /// Whether it is time to look for another document.
    pub(crate) fn is_due(&self, env: &Env) -> bool {
        settings::is_in_kv(env) && self.looked.get().saturating_add(settings::every(env)) <= millis()
    }

    /// Looks for another document. A broken one is told once, and changes nothing.
    pub(crate) async fn look(&self, env: &Env) {
        if !settings::is_in_kv(env) {
            return;
        }
        // Others need not look meanwhile.
        self.looked.set(millis());
        let outcome = match settings::read(env).await {
            Ok(text) if *self.document.borrow() == text => Ok(()),
            Ok(text) => self.put_in_force(env, text),
            Err(why) => Err(why),
        };
        if let Err(why) = outcome {
            log::rejected(&why);
        }
    }

    fn put_in_force(&self, env: &Env, text: String) -> Result<(), String> {
        self.looked.set(millis());
        self.log_detail.set(settings::log_detail(env));
        let loaded = settings::load(env, &text);
        let version = settings::version(&text);
        self.document.replace(text);
        let loaded = loaded?;
        for warning in &loaded.warnings {
            log::warning(warning);
        }
        log::configured(&version);
        self.config.replace(Some(Arc::new(loaded.config)));
        Ok(())
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
        self.rolls.set(state.wrapping_add(random::STEP));
        random::scramble(state)
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
