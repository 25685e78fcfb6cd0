//! While a call is under way: what it holds.

use super::keys::of_scope;
use super::packed::Word;
use super::{Codec, Command, Garbled, Moment, Told, Value, script};
use crate::store::protocol::{Holding, Reservation};

impl Codec {
    /// Says what [`crate::store::embedded::Store::renew_hold`] is told.
    pub fn renew_hold(&self, holding: &Holding, moment: Moment) -> Command {
        let Reservation { want, scopes, .. } = &holding.reservation;
        let mut command = self.command(script::HOLD, moment);
        command.say(Word::Id(want.id));
        command.say(Word::Span(want.lasts));
        self.present(&mut command, Some(&holding.reservation));
        command.length(scopes.len());
        for (scope, _) in scopes {
            command.key(self.keys.holds(of_scope(scope)));
        }
        if let Some(repeat) = command.part(holding.repeat.as_ref()) {
            command.key(self.keys.hashed("repeat", repeat.key));
            command.text(&repeat.request.to_hex());
        }
        command
    }

    /// The reply to [`Self::renew_hold`].
    pub fn held(&self, command: &Command, value: Value) -> Result<Told<()>, Garbled> {
        command.reader(value)?.told(())
    }
}
