//! While a call is under way that others elsewhere want.

use bytes::Bytes;

use super::packed::Word;
use super::reply::Reader;
use super::{Codec, Command, Garbled, Moment, Told, Value, script};
use crate::cache::fingerprint::Fingerprint;
use crate::store::lease::{Lease, Mark, Overheard, Piece, Renewed};

impl Codec {
    /// Asks what [`crate::store::embedded::Store::renew`] answers.
    pub fn renew(&self, lease: &Lease, id: u64, piece: Option<&Piece>, moment: Moment) -> Command {
        let mut command = self.command(script::RENEW, moment);
        command.say(Word::Id(id));
        self.lease(&mut command, lease);
        if let Some(piece) = command.part(piece) {
            command.key(self.keys.hashed("said", lease.key));
            if let Some(head) = command.part(piece.head.as_ref()) {
                command.bytes(head);
            }
            command.bytes(&piece.bytes);
            let (mark, notice) = match &piece.end {
                None => ("", None),
                Some(Mark::Complete) => ("complete", None),
                Some(Mark::Cut { notice }) => ("cut", notice.as_deref()),
            };
            command.text(mark);
            command.bytes(notice.unwrap_or_default());
        }
        command
    }

    /// What the reply to [`Self::renew`] says.
    pub fn renewed(&self, command: &Command, value: Value) -> Result<Told<Renewed>, Garbled> {
        let mut reply = command.reader(value)?;
        let renewed = match &reply.bytes()?[..] {
            b"unheard" => Renewed::Unheard,
            b"heard" => Renewed::Heard,
            b"lost" => Renewed::Lost,
            _ => return Err(Garbled),
        };
        reply.told(renewed)
    }

    /// Asks what [`crate::store::embedded::Store::overhear`] answers.
    pub fn overhear(&self, lease: &Lease, id: u64, from: u64, moment: Moment) -> Command {
        let mut command = self.command(script::OVERHEAR, moment);
        command.say(Word::Id(id));
        self.lease(&mut command, lease);
        command.key(self.keys.hashed("said", lease.key));
        command.number(from);
        command
    }

    /// What the reply to [`Self::overhear`] says.
    pub fn overheard(&self, from: u64, command: &Command, value: Value) -> Result<Told<Overheard>, Garbled> {
        let mut reply = command.reader(value)?;
        if !reply.is_so()? {
            return reply.told(Overheard::Nothing);
        }
        let (head, bytes) = (reply.bytes()?, reply.bytes()?);
        let end = mark(&mut reply)?;
        let piece = Piece { head: (from == 0).then_some(head), bytes, end };
        let is_led = reply.is_so()?;
        reply.told(Overheard::Piece { piece, is_led })
    }

    /// Without its own call.
    pub(super) fn lease(&self, command: &mut Command, lease: &Lease) {
        command.key(self.keys.hashed("lease", lease.key));
        command.say(Word::Span(lease.span));
        command.text(&lease.form.map_or_else(String::new, Fingerprint::to_hex));
    }
}

fn mark(reply: &mut Reader) -> Result<Option<Mark>, Garbled> {
    let (mark, notice) = (reply.bytes()?, reply.bytes()?);
    match &mark[..] {
        b"" => Ok(None),
        b"complete" => Ok(Some(Mark::Complete)),
        b"cut" => Ok(Some(Mark::Cut { notice: Some(notice).filter(|notice: &Bytes| !notice.is_empty()) })),
        _ => Err(Garbled),
    }
}
