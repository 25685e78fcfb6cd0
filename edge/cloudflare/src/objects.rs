//! The objects that keep what isolates share, as they are asked: all at the same time, and none for long.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use weir::Config;
use weir::routing::breaker::control::Listing;
use weir::store::durable::{self, Asked, Object};
use weir::store::protocol::StoreLost;
use worker::Env;

use crate::isolate::Isolate;
use crate::platform::now;
use crate::promised::{Buffered, Unkept};
use crate::sleep::{Clock, Sleep};
use crate::{js, settings};

/// The binding of the objects' namespace.
pub(crate) const BINDING: &str = "DESKS";

/// Whoever asks, and how long an answer is waited for.
pub(crate) struct Objects {
    pub(crate) namespace: JsValue,
    pub(crate) patience: Duration,
    pub(crate) clock: Rc<Clock>,
}

/// How long an answer is waited for where the document does not say.
const PATIENCE: Duration = Duration::from_secs(1);

impl Objects {
    pub(crate) fn new(env: &Env, config: &Config) -> Self {
        let patience = config.store.timeout.unwrap_or(PATIENCE);
        Self { namespace: settings::binding(env, BINDING), patience, clock: Rc::default() }
    }

    /// Sends every question now. What is answered is known when [`Answers`] resolves.
    pub(crate) fn ask(&self, asked: &[Asked]) -> Answers {
        let legs = asked.iter().map(|asked| (asked.object.clone(), self.send(asked))).collect();
        Answers { legs, patience: self.clock.sleep(self.patience) }
    }

    /// Asks one.
    pub(crate) async fn ask_one(&self, asked: &Asked) -> Result<Vec<u8>, StoreLost> {
        self.ask(std::slice::from_ref(asked)).await.pop().unwrap_or(Err(StoreLost))
    }

    /// The breakers of these names, and of all upstreams those that there is something to say of.
    pub(crate) async fn breakers(&self, names: &[String], config: &Config) -> Result<Listing, StoreLost> {
        let upstreams = config.upstreams.iter().map(|upstream| upstream.name.as_str());
        let answers = self.ask(&durable::listing(names, upstreams, now())).await;
        durable::listed(names, &answers, now())
    }

    fn send(&self, asked: &Asked) -> Said {
        let isolate = Isolate::here();
        let question = Uint8Array::from(&*isolate.beliefs.borrow_mut().tell(asked, now()));
        match js::ask(&self.namespace, &asked.object.name(), &question) {
            Ok(promise) => Said::Promised(Buffered::from(&promise)),
            Err(_) => Said::Told(Err(StoreLost)),
        }
    }
}

/// What an object has said, or a promise of it.
enum Said {
    Promised(Buffered),
    Told(Result<Vec<u8>, StoreLost>),
}

/// What the objects say, in the order they were asked. Who does not say it in time is lost.
pub(crate) struct Answers {
    legs: Vec<(Object, Said)>,
    patience: Sleep,
}

/// What an object has said or will say, and nobody has been told.
pub(crate) struct Untold {
    pub(crate) object: Object,
    said: Said,
}

impl Answers {
    /// Nobody was asked.
    pub(crate) fn none() -> Self {
        Self { legs: Vec::new(), patience: Rc::<Clock>::default().sleep(Duration::ZERO) }
    }

    pub(crate) fn untold(&mut self) -> Vec<Untold> {
        let legs = mem::take(&mut self.legs).into_iter();
        let is_untold = |(_, said): &(Object, Said)| !matches!(said, Said::Told(Err(StoreLost)));
        legs.filter(is_untold).map(|(object, said)| Untold { object, said }).collect()
    }
}

impl Untold {
    /// However long it takes.
    pub(crate) async fn answer(self) -> Result<Vec<u8>, StoreLost> {
        match self.said {
            Said::Told(answer) => answer,
            Said::Promised(promise) => read(promise.await),
        }
    }
}

impl Future for Answers {
    type Output = Vec<Result<Vec<u8>, StoreLost>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut is_waiting = false;
        for (_, said) in &mut self.legs {
            let Said::Promised(answer) = said else { continue };
            match Pin::new(answer).poll(cx) {
                Poll::Ready(answer) => *said = Said::Told(read(answer)),
                Poll::Pending => is_waiting = true,
            }
        }
        // The timer is set only where somebody has to be waited for.
        if is_waiting && Pin::new(&mut self.patience).poll(cx).is_pending() {
            return Poll::Pending;
        }
        let given = self.legs.iter_mut().map(|(_, said)| match said {
            Said::Told(answer) => mem::replace(answer, Err(StoreLost)),
            // It stays untold.
            Said::Promised(_) => Err(StoreLost),
        });
        Poll::Ready(given.collect())
    }
}

fn read(answer: Result<Vec<u8>, Unkept>) -> Result<Vec<u8>, StoreLost> {
    answer.map_err(|Unkept| StoreLost)
}
