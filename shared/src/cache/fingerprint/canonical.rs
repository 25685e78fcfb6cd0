//! The canonical form of a JSON object, made while it is read.
//!
//! The canonical form is the text itself without white space, with the keys of every object in the order of
//! their bytes (those of one that stands twice as they stand) and every string in its canonical
//! [spelling](super::spelling). In it every value whose own form is longer than 1024 bytes is sealed: an `@`
//! and the SHA-256 of that form stand instead. A reader could go from a form back to the values, seals apart,
//! and that is why different values do not have the same form.
//!
//! Seals are what makes one pass do. A form is written in the order of the input and put in the order of its
//! keys when the object closes, and however large a member is, no more than 1024 bytes of it are moved.
//! Prompts are hashed where they stand in the input, and there is no tree.
//!
//! Bodies have been parsed before, but this trusts nothing: it reads what `serde_json` reads, within 128
//! levels.

use sha2::{Digest, Sha256};

use super::spelling;
use crate::wire::json;

/// As deep as any body may be (`max_depth`), and as `serde_json`'s own parsers go.
const DEEPEST: usize = 128;

/// Members at most of all objects that are open at a time: a body of nothing but small ones would take many times
/// its own size to be put in order.
const MOST_MEMBERS: usize = 65_536;

/// Bytes of the longest form that stands for itself in another one. It is part of the format.
const UNSEALED: usize = 1024;

/// The form of the object that `text` is, without those of its own members that `without` names.
pub(super) fn object(text: &str, without: &[&str]) -> Option<Vec<u8>> {
    let form = Vec::with_capacity(text.len().min(4096));
    let mut reader = Reader { text: text.as_bytes(), at: 0, form, members: Vec::new() };
    reader.space();
    reader.object(without, DEEPEST)?;
    reader.space();
    (reader.at == text.len()).then_some(reader.form)
}

/// Every step reads on in `text` and writes its form behind `form`; `None` is not JSON, and the end.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    form: Vec<u8>,
    /// Of all the objects that are open, the innermost last.
    members: Vec<Member>,
}

/// Places in the form.
#[derive(Clone, Copy)]
struct Member {
    key: usize,
    colon: usize,
    end: usize,
}

impl Member {
    fn key(self, form: &[u8]) -> &[u8] {
        &form[self.key..self.colon]
    }
}

/// A string as the input has it.
#[derive(Clone, Copy)]
enum Spelled<'a> {
    Canonically(&'a [u8]),
    Otherwise(&'a [u8]),
}

impl<'a> Reader<'a> {
    fn object(&mut self, without: &[&str], levels: usize) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        let outer = self.members.len();
        self.take(b'{')?;
        self.form.push(b'{');
        self.space();
        if self.take(b'}').is_none() {
            loop {
                self.member(without, levels)?;
                if self.take(b'}').is_some() {
                    break;
                }
                self.take(b',')?;
                self.space();
            }
        }
        self.sort(outer);
        self.close(b'}');
        Some(())
    }

    fn member(&mut self, without: &[&str], levels: usize) -> Option<()> {
        let key = self.form.len();
        self.string().and_then(|string| self.spell(string))?;
        let colon = self.form.len();
        self.space();
        self.take(b':')?;
        self.form.push(b':');
        self.space();
        self.value(levels)?;
        self.space();
        if without.iter().any(|name| is_named(&self.form[key..colon], name)) {
            self.form.truncate(key);
        } else {
            self.form.push(b',');
            self.members.push(Member { key, colon, end: self.form.len() });
        }
        (self.members.len() <= MOST_MEMBERS).then_some(())
    }

    /// Puts the members of the innermost object in order and forgets them.
    fn sort(&mut self, outer: usize) {
        let (form, members) = (&mut self.form, &mut self.members[outer..]);
        if !members.is_sorted_by(|one, next| one.key(form) <= next.key(form)) {
            let (start, end) = (members[0].key, form.len());
            // Stable, for keys that stand twice.
            members.sort_by(|one, other| one.key(form).cmp(other.key(form)));
            for member in members {
                form.extend_from_within(member.key..member.end);
            }
            form.copy_within(end.., start);
            form.truncate(end);
        }
        self.members.truncate(outer);
    }

    fn array(&mut self, levels: usize) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        self.take(b'[')?;
        self.form.push(b'[');
        self.space();
        if self.take(b']').is_none() {
            loop {
                self.value(levels)?;
                self.form.push(b',');
                self.space();
                if self.take(b']').is_some() {
                    break;
                }
                self.take(b',')?;
                self.space();
            }
        }
        self.close(b']');
        Some(())
    }

    /// The bracket stands instead of the last comma.
    fn close(&mut self, bracket: u8) {
        self.form.pop_if(|last| *last == b',');
        self.form.push(bracket);
    }

    fn value(&mut self, levels: usize) -> Option<()> {
        let start = self.form.len();
        match self.peek()? {
            b'{' => self.object(&[], levels)?,
            b'[' => self.array(levels)?,
            b'"' => match self.string()? {
                // Hashed where it stands.
                Spelled::Canonically(long) if long.len() > UNSEALED => {
                    self.seal(Sha256::digest(long).into());
                    return Some(());
                }
                string => self.spell(string)?,
            },
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            _ => self.number()?,
        }
        let form = &self.form[start..];
        if form.len() > UNSEALED {
            let hash = Sha256::digest(form).into();
            self.form.truncate(start);
            self.seal(hash);
        }
        Some(())
    }

    fn seal(&mut self, hash: [u8; 32]) {
        self.form.push(b'@');
        self.form.extend_from_slice(&hash);
    }

    /// Reads a string and writes nothing.
    fn string(&mut self) -> Option<Spelled<'a>> {
        let start = self.at;
        self.take(b'"')?;
        let mut spelled: fn(&'a [u8]) -> Spelled<'a> = Spelled::Canonically;
        loop {
            self.at += match self.text.get(self.at..)? {
                [b'"', ..] => break,
                [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
                [b'\\', b'/', ..] => {
                    spelled = Spelled::Otherwise;
                    2
                }
                // The digits are checked when they are spelled.
                [b'\\', b'u', ..] => {
                    spelled = Spelled::Otherwise;
                    6
                }
                [b'\\', ..] => return None,
                plain => memchr::memchr2(b'"', b'\\', plain)?,
            };
        }
        self.at += 1;
        let string = &self.text[start..self.at];
        // The least of all bytes is found many at a time, the first of the bad ones is not.
        let least = string.iter().fold(u8::MAX, |least, byte| least.min(*byte));
        (least >= b' ').then(|| spelled(string))
    }

    fn spell(&mut self, string: Spelled<'a>) -> Option<()> {
        match string {
            Spelled::Canonically(string) => self.form.extend_from_slice(string),
            Spelled::Otherwise(string) => spelling::canonical(string, &mut self.form)?,
        }
        Some(())
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(literal).then_some(())?;
        self.at += literal.len();
        self.form.extend_from_slice(literal);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _sign = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _sign = self.take(b'-').or_else(|| self.take(b'+'));
            self.digits()?;
        }
        self.form.extend_from_slice(&self.text[start..self.at]);
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// Whether a canonical string is that of `name`.
fn is_named(string: &[u8], name: &str) -> bool {
    match string {
        [b'"', plain @ .., b'"'] if memchr::memchr(b'\\', plain).is_none() => plain == name.as_bytes(),
        _ => string == json::quote(name).as_bytes(),
    }
}
