//! Whose the objects are that were made through the gateway.

use super::{Codec, Command, Garbled, Moment, Told, Value, script};
use crate::store::protocol::Ownership;

impl Codec {
    /// Asks what [`crate::store::embedded::Store::own`] answers.
    pub fn own(&self, ownership: Ownership<'_>, moment: Moment) -> Command {
        let mut command = self.command(script::OWN, moment);
        command.key(self.keys.owned(ownership.tenant));
        for objects in [ownership.named, ownership.made] {
            command.length(objects.len());
            for object in objects {
                command.text(&object.to_hex());
            }
        }
        command
    }

    /// What the reply to [`Self::own`] says.
    pub fn owned(&self, command: &Command, value: Value) -> Result<Told<bool>, Garbled> {
        self.granted(command, value)
    }
}
