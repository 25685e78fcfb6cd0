//! Numbers of shells whose instances live as long as a request: added up in the store, read when somebody asks.
//!
//! Which shell wants it says so once ([`Codec::counting`]); the commands of the others are as they were. A request
//! costs no command more than its `open` and its `close`, but one that is refused ([`Codec::tell`]).

use super::packed::Word;
use super::{Codec, Command, Garbled, Moment, Told, Value, script};
use crate::store::protocol::Reservation;
use crate::telemetry::metrics::{Exposition, Family, Sink as _, Tally};

/// Whether the store is to know who is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    Counted,
    /// The shell knows by itself.
    Unknown,
}

impl Codec {
    /// For a shell that cannot count by itself who is being answered: who opened is counted until he closes, or
    /// until his hold ends by itself.
    #[must_use]
    pub fn counting(self) -> Self {
        Self { present: Present::Counted, ..self }
    }

    /// Counts what belongs to no [`Self::close`]. [`Self::closed`] reads the reply; its faults are numbers that
    /// could not grow.
    pub fn tell(&self, tally: &Tally, moment: Moment) -> Command {
        let mut command = self.command(script::TELL, moment);
        self.tally(&mut command, tally);
        command
    }

    /// Asks for all that was counted.
    pub fn sums(&self, moment: Moment) -> Command {
        let mut command = self.command(script::SUMS, moment);
        command.key(self.keys.sums());
        command.key(self.keys.present());
        command
    }

    /// The reply to [`Self::sums`], to be printed, with [`Family::InFlight`] in it. What is no field, or not its
    /// number, is skipped and counted ([`Exposition::skipped`]).
    pub fn summed(&self, command: &Command, value: Value) -> Result<Told<Exposition>, Garbled> {
        let mut reply = command.reader(value)?;
        let mut exposition = Exposition::default();
        for pair in reply.words()?.chunks(2) {
            let [field, number] = pair else { return Err(Garbled) };
            let text = |word| std::str::from_utf8(word).ok();
            match (text(field), text(number).and_then(|number| number.parse().ok())) {
                (Some(field), Some(number)) => exposition.field(field, number),
                (None, _) | (_, None) => exposition.skip(),
            }
        }
        let present = i64::try_from(reply.count()?).map_err(|_| Garbled)?;
        exposition.shift(Family::InFlight, &[], present);
        reply.told(exposition)
    }

    /// Says where it is written down who is being answered.
    pub(super) fn present(&self, command: &mut Command, reservation: Option<&Reservation>) {
        let counted = reservation.filter(|_| self.present == Present::Counted);
        if command.part(counted).is_some() {
            command.key(self.keys.present());
        }
    }

    pub(super) fn tally(&self, command: &mut Command, tally: &Tally) {
        command.key(self.keys.sums());
        let fields = tally.fields();
        command.length(fields.len());
        for (field, by) in fields {
            command.text(field);
            command.say(Word::Count(by));
        }
    }
}
