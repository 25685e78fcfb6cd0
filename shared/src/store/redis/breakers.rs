//! Between the two: retries, probes, and what an operator says.

use std::collections::BTreeSet;

use super::packed::Word;
use super::{Codec, Command, Garbled, Moment, Told, Value, script};
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Change, Entry, Full, Listing, Order};

/// Overrides at most, as the script has it.
const MOST_OVERRIDES: usize = 1000;

/// Breakers at most that are listed unasked.
const MOST_LISTED: usize = 1000;

impl Codec {
    /// Asks for one retry of the budget.
    pub fn withdraw_retry(&self, breaker: &str, moment: Moment) -> Command {
        let mut command = self.command(script::WITHDRAW, moment);
        command.key(self.keys.retries());
        command.key(self.keys.control());
        self.breaker(&mut command, breaker);
        command
    }

    /// Asks for the probe of a half-open breaker, for the call `id`.
    pub fn lease_probe(&self, breaker: &str, id: u64, moment: Moment) -> Command {
        let mut command = self.command(script::PROBE, moment);
        command.say(Word::Id(id));
        command.key(self.keys.control());
        self.breaker(&mut command, breaker);
        command
    }

    /// The reply to [`Self::withdraw_retry`] and [`Self::lease_probe`].
    pub fn granted(&self, command: &Command, value: Value) -> Result<Told<bool>, Garbled> {
        let mut reply = command.reader(value)?;
        let is_granted = reply.is_so()?;
        reply.told(is_granted)
    }

    pub fn control(&self, order: &Order, moment: Moment) -> Command {
        let mut command = self.command(script::CONTROL, moment);
        command.key(self.keys.control());
        self.breaker(&mut command, &order.breaker);
        command.text(order.change.name());
        command.say(match order.change {
            Change::Force { lasting: Some(lasting), .. } => Word::Span(lasting),
            Change::Force { lasting: None, .. } | Change::Release => Word::None,
        });
        command
    }

    /// What has become of the breaker.
    pub fn obeyed(
        &self,
        order: &Order,
        command: &Command,
        moment: Moment,
        value: Value,
    ) -> Result<Told<Result<Entry, Full>>, Garbled> {
        let mut reply = command.reader(value)?;
        let is_full = reply.is_so()?;
        let (gate, automatic) = (reply.gate(moment.now)?, reply.state(moment.now)?);
        let own = reply.forced(moment.now)?;
        let entry = Entry { breaker: order.breaker.clone(), gate, automatic, own };
        reply.told(if is_full { Err(Full { most: MOST_OVERRIDES }) } else { Ok(entry) })
    }

    /// Asks which breakers there may be something to say of, beside those that are asked for: the first half
    /// of a listing, for a script may touch no key that the command does not name.
    pub fn names(&self, moment: Moment) -> Command {
        let mut command = self.command(script::NAMES, moment);
        command.key(self.keys.index());
        command.key(self.keys.control());
        command
    }

    /// All that are to be looked at, `asked` among them.
    pub fn named(
        &self,
        asked: &[String],
        command: &Command,
        value: Value,
    ) -> Result<Told<Vec<String>>, Garbled> {
        let mut reply = command.reader(value)?;
        let mut names: BTreeSet<String> = asked.iter().cloned().collect();
        names.extend(reply.texts()?);
        names.extend(reply.texts()?);
        reply.told(names.into_iter().collect())
    }

    /// The second half: asks for the breakers of these names.
    pub fn listing(&self, names: &[String], moment: Moment) -> Command {
        let mut command = self.command(script::LISTING, moment);
        command.key(self.keys.control());
        command.length(names.len());
        for name in names {
            self.breaker(&mut command, name);
        }
        command
    }

    /// Of `names`, in their order: those that were asked for, those with an override, and of the others those
    /// that are not closed.
    pub fn listed(
        &self,
        asked: &[String],
        names: &[String],
        command: &Command,
        moment: Moment,
        value: Value,
    ) -> Result<Told<Listing>, Garbled> {
        let mut reply = command.reader(value)?;
        let asked: BTreeSet<&String> = asked.iter().collect();
        let (mut listing, mut unasked) = (Listing::default(), 0);
        for name in names {
            let (gate, automatic) = (reply.gate(moment.now)?, reply.state(moment.now)?);
            let own = reply.forced(moment.now)?;
            let is_listed = asked.contains(name) || own.is_some();
            if !is_listed && automatic == Gate::Closed {
                continue;
            }
            unasked += usize::from(!is_listed);
            if !is_listed && unasked > MOST_LISTED {
                listing.has_more = true;
                continue;
            }
            listing.entries.push(Entry { breaker: name.clone(), gate, automatic, own });
        }
        reply.told(listing)
    }
}
