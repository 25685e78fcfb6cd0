//! All that a run is: decided from the seed and the profile before it begins.

use std::sync::Arc;
use std::time::Duration;

use weir::Config;
use weir::dialect::endpoint::Form;

use crate::dice::Dice;
use crate::order::{Arrival, Conduct, KEYS, LIMITED, Order, Purpose, WantsUsage};
use crate::paper::Reports;
use crate::profile::Profile;
use crate::setup::{MODELS, TOTAL, UPSTREAMS, configure};
use crate::weather::{Fate, Outage, Passage, Spell, Turn, refusals, turns};

/// Faults stop here at the latest.
const STORM: Duration = Duration::from_secs(40);

/// The longest time that any breaker may stay open from then on (5 min, a tenth for the jitter), or that a
/// probe of which nobody has heard is waited for, and a call every [`STEP`] to find that out.
const CALM: Duration = Duration::from_secs(380);

/// Between one call of the calm and the next.
const STEP: Duration = Duration::from_secs(20);

/// Bytes of a token: as in life, more than is held back before the first content, more than is held for
/// whoever comes later.
const WIDTHS: [usize; 8] = [NARROW, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, WIDEST];
pub(crate) const NARROW: usize = 4;
pub(crate) const WIDEST: usize = 100_000;

/// A run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) config: Arc<Config>,
    pub(crate) replicas: Vec<Kind>,
    pub(crate) upstreams: Vec<Provider>,
    pub(crate) outages: Vec<Outage>,
    /// The longest an operation on the store takes to get there, or back.
    pub(crate) store_lag: Duration,
    pub(crate) arrivals: Vec<Arrival>,
    /// When which replica dies.
    pub(crate) crashes: Vec<(Duration, usize)>,
    /// Bytes of a token in an answer of the storm.
    pub(crate) width: usize,
}

/// What a replica can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One request can wake another, and settlements run beside their answers.
    Server,
    /// Neither: the settlement is the tail of a handler.
    Edge,
}

/// An upstream, as the seed made it.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    /// Calls at the same time; beyond it calls are refused.
    pub(crate) capacity: usize,
    /// Until the head of an answer, with nobody else there.
    pub(crate) lag: Duration,
    /// Between one piece of an answer and the next.
    pub(crate) gap: Duration,
    pub(crate) reports: Reports,
    pub(crate) spells: Vec<Spell>,
}

impl Plan {
    pub(crate) fn new(seed: u64, profile: Profile) -> Self {
        // Its name, not its place: a new profile changes no other's runs.
        let named = profile.name().bytes().fold(0_u64, |sum, byte| sum.rotate_left(9) ^ u64::from(byte));
        let dice = Dice::new(seed ^ named);
        let config = configure(profile, &dice);
        let replicas: Vec<Kind> =
            (0..dice.between(1, 4)).map(|_| dice.pick(&[Kind::Server, Kind::Server, Kind::Edge])).collect();
        let upstreams = UPSTREAMS.iter().map(|_| provider(profile, &dice)).collect();
        let width = match profile {
            Profile::SlowReaders => dice.pick(&WIDTHS),
            _ => NARROW,
        };
        let mut arrivals = storm(profile, replicas.len(), &dice);
        if width == WIDEST {
            // Megabytes each.
            arrivals.truncate(3);
        }
        arrivals.extend(calm(replicas.len(), &dice));
        arrivals.sort_by_key(|arrival| arrival.at);
        let crashes = match profile {
            Profile::Crash => dice.between(1, 4),
            Profile::Mixed => dice.between(0, 1),
            _ => 0,
        };
        let crashes = (0..crashes).map(|_| (within(&dice, STORM), dice.index(replicas.len()))).collect();
        Self {
            seed,
            config,
            upstreams,
            outages: outages(profile, &dice),
            store_lag: dice.pick(&[Duration::ZERO, Duration::from_millis(3), Duration::from_millis(80)]),
            arrivals,
            crashes,
            width,
            replicas,
        }
    }
}

fn within(dice: &Dice, span: Duration) -> Duration {
    dice.millis(0, u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn provider(profile: Profile, dice: &Dice) -> Provider {
    let is_flood = profile == Profile::Flood;
    Provider {
        capacity: if is_flood { dice.index(8) + 2 } else { dice.index(30) + 10 },
        lag: dice.millis(0, 600),
        gap: dice.pick(&[0, 5, 50, 300].map(Duration::from_millis)),
        reports: dice.pick(&[Reports::Nothing, Reports::Last, Reports::LastAndNulls]),
        spells: spells(profile, dice),
    }
}

fn spells(profile: Profile, dice: &Dice) -> Vec<Spell> {
    if profile == Profile::RetryStorm {
        let status = |code| Fate::Status { code, retry_after: None };
        let fates = vec![Fate::Refused, Fate::Broken, status(500), status(503)];
        return vec![Spell { from: Duration::ZERO, to: STORM, chance: dice.between(60, 100), fates }];
    }
    if profile == Profile::FailingUpstream && dice.percent(15) {
        // What opens breakers, and then what a probe learns nothing from.
        let status = |code| Fate::Status { code, retry_after: None };
        let turn = STORM / 4;
        let broken = Spell { from: Duration::ZERO, to: turn, chance: 100, fates: vec![status(500)] };
        let locked = vec![status(401), status(401), status(500)];
        return vec![broken, Spell { from: turn, to: STORM, chance: 90, fates: locked }];
    }
    let (most, chance) = match profile {
        Profile::FailingUpstream => (4, 100),
        Profile::Mixed => (2, 70),
        Profile::CacheStorm | Profile::StoreLoss | Profile::SlowReaders => (2, 40),
        Profile::Flood | Profile::Crash | Profile::RetryStorm => (1, 30),
    };
    let mut fates = [refusals(), turns()].concat();
    if matches!(profile, Profile::Crash | Profile::Mixed) {
        fates.extend([Fate::Panics, Fate::Answer(Turn::Panics)]);
    }
    let spell = |_| {
        let from = within(dice, STORM);
        let few = (0..dice.between(1, 5)).map(|_| dice.pick(&fates)).collect();
        let to = (from + within(dice, STORM)).min(STORM);
        Spell { from, to, chance: dice.between(10, chance), fates: few }
    };
    (0..dice.between(0, most)).map(spell).collect()
}

fn outages(profile: Profile, dice: &Dice) -> Vec<Outage> {
    let (count, most) = match profile {
        Profile::StoreLoss => (dice.between(1, 4), 100),
        Profile::Mixed => (dice.between(0, 2), 60),
        _ => (0, 0),
    };
    let passages = [
        vec![Passage::LostBefore],
        vec![Passage::LostBehind],
        vec![Passage::LostBefore, Passage::LostBehind, Passage::Through],
    ];
    let outage = |_| {
        let from = within(dice, STORM);
        let to = (from + within(dice, STORM)).min(STORM);
        Outage { from, to, chance: dice.between(20, most), passages: dice.pick(&passages) }
    };
    (0..count).map(outage).collect()
}

/// Clients that come in bursts, all through the storm.
fn storm(profile: Profile, replicas: usize, dice: &Dice) -> Vec<Arrival> {
    let (count, burst) = match profile {
        Profile::Flood => (dice.between(100, 180), 30),
        Profile::CacheStorm => (dice.between(60, 120), 12),
        Profile::SlowReaders => (dice.between(10, 25), 4),
        Profile::RetryStorm => (dice.between(80, 120), 80),
        Profile::FailingUpstream | Profile::StoreLoss | Profile::Crash | Profile::Mixed => {
            (dice.between(40, 90), 8)
        }
    };
    let mut arrivals: Vec<Arrival> = Vec::new();
    while (arrivals.len() as u64) < count {
        let at = within(dice, STORM);
        let first = order(profile, dice);
        for _ in 0..dice.between(1, burst) {
            let is_same = dice.percent(if profile == Profile::CacheStorm { 70 } else { 30 });
            let mut order = if is_same { first.clone() } else { order(profile, dice) };
            if is_same && order.repeat.is_none() {
                order.form = dice.pick(&[first.form, first.form, Form::Whole, Form::Events]);
                order.key = dice.pick(&[first.key, first.key, dice.index(LIMITED)]);
            }
            let spread = dice.pick(&[0, 0, 20, 1_000]);
            arrivals.push(Arrival {
                at: at + dice.millis(0, spread),
                replica: dice.index(replicas),
                order,
                conduct: conduct(profile, dice),
                purpose: Purpose::Storm,
            });
        }
    }
    arrivals
}

fn order(profile: Profile, dice: &Dice) -> Order {
    let is_storm = profile == Profile::CacheStorm;
    let model = if is_storm && dice.percent(80) { "kept" } else { dice.pick(&MODELS) };
    let prompts = if is_storm { 4 } else { 12 };
    let prompt = if model == "kept" { dice.between(0, prompts) } else { dice.between(100, 1_000_000) };
    let directives = [
        "no-cache",
        "no-store",
        "only-if-cached",
        "max-age=1",
        "max-age=3",
        "max-stale=20",
        "max-stale",
        "min-fresh=2",
    ];
    let repeats = if is_storm { 25 } else { 8 };
    // Most orders of a prompt are the same one.
    let temperature = if dice.percent(80) { 10 } else { 7 };
    let max_tokens = if dice.percent(80) { 60 } else { 300 };
    Order {
        key: dice.index(LIMITED),
        model,
        prompt,
        temperature,
        max_tokens,
        form: dice.pick(&[Form::Whole, Form::Events]),
        usage: dice.pick(&[WantsUsage::Yes, WantsUsage::No]),
        cache_control: dice.percent(20).then(|| dice.pick(&directives)),
        repeat: dice.percent(repeats).then(|| dice.between(1, 6)),
    }
}

fn conduct(profile: Profile, dice: &Dice) -> Conduct {
    let leaves = if profile == Profile::SlowReaders { 10 } else { 25 };
    let polls = dice.pick(&[6, 12, 40, 100]);
    let pauses: &[u64] = match profile {
        Profile::SlowReaders => &[0, 100, 900, 3_000],
        _ => &[0, 0, 0, 20, 700],
    };
    Conduct {
        leaves_after: dice.percent(leaves).then(|| u32::try_from(dice.between(1, polls)).unwrap_or(1)),
        pause: Duration::from_millis(dice.pick(pauses)),
        retries: u32::try_from(dice.between(0, 2)).unwrap_or(0),
    }
}

/// A call now and then once the faults have stopped, and those that must be answered.
fn calm(replicas: usize, dice: &Dice) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let from = STORM + Duration::from_secs(1);
    let steps = CALM.as_secs() / STEP.as_secs();
    let mut prompt = 2_000_000;
    let mut ask = |at: Duration, purpose| {
        for model in MODELS {
            prompt += 1;
            let order = Order {
                key: KEYS.len() - 1,
                model,
                prompt,
                temperature: 10,
                max_tokens: 60,
                form: dice.pick(&[Form::Whole, Form::Events]),
                usage: WantsUsage::No,
                cache_control: Some("no-store"),
                repeat: None,
            };
            let conduct = Conduct { leaves_after: None, pause: Duration::ZERO, retries: 0 };
            arrivals.push(Arrival { at, replica: dice.index(replicas), order, conduct, purpose });
        }
    };
    for step in 0..steps {
        ask(from + STEP * u32::try_from(step).unwrap_or(0), Purpose::Calm);
    }
    for second in 0..3 {
        ask(from + CALM + TOTAL + Duration::from_secs(second * 10), Purpose::Proof);
    }
    arrivals
}
