//! JSON as a model that knows no text: strings are UTF-16, as an escape has them, halves of pairs included.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::random::{STEP, below, scramble};

type Text = Vec<u16>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Model {
    /// A number or literal as it is spelled.
    Bare(&'static str),
    Text(Text),
    Array(Vec<Model>),
    Object(Vec<(Text, Model)>),
}

/// What is left when order and spelling are not looked at: the reference.
#[derive(Debug, PartialEq)]
pub(super) enum Normal {
    Bare(&'static str),
    Text(Text),
    Array(Vec<Normal>),
    Object(BTreeMap<Text, Vec<Normal>>),
}

/// Few units, so that two texts are often alike or nearly; lengths on both sides of a seal.
fn text() -> impl Strategy<Value = Text> {
    let units = [0x61, 0x62, 0x22, 0x2f, 0x5c, 0x0a, 0x08, 0x1b, 0x7f, 0xe9, 0x2028, 0xffff, 0xd83d, 0xde00];
    let short = proptest::collection::vec(proptest::sample::select(units.to_vec()), 0..4);
    (short, prop_oneof![9 => Just(0), 1 => 1015_usize..1030]).prop_map(|(mut text, more)| {
        text.resize(text.len() + more, 0x61);
        text
    })
}

pub(super) fn model() -> impl Strategy<Value = Model> {
    let bare = ["null", "true", "false", "0", "-0", "1", "10", "1.0", "0.7", "0.70", "1e5", "1E+5", "1e999"];
    let leaf = prop_oneof![
        proptest::sample::select(bare.to_vec()).prop_map(Model::Bare),
        text().prop_map(Model::Text)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Model::Array),
            members(inner).prop_map(Model::Object),
        ]
    })
}

pub(super) fn object() -> impl Strategy<Value = Model> {
    members(model()).prop_map(Model::Object)
}

fn members(value: impl Strategy<Value = Model>) -> impl Strategy<Value = Vec<(Text, Model)>> {
    proptest::collection::vec((text(), value), 0..5)
}

impl Model {
    pub(super) fn normal(&self) -> Normal {
        match self {
            Self::Bare(spelled) => Normal::Bare(spelled),
            Self::Text(text) => Normal::Text(text.clone()),
            Self::Array(items) => Normal::Array(items.iter().map(Self::normal).collect()),
            Self::Object(members) => {
                let mut normal: BTreeMap<Text, Vec<Normal>> = BTreeMap::new();
                for (key, value) in members {
                    normal.entry(key.clone()).or_default().push(value.normal());
                }
                Normal::Object(normal)
            }
        }
    }

    /// Another object, which differs in one place, or is the same after all.
    pub(super) fn changed(&self, place: u64, new: &Model) -> Self {
        let mut dice = Dice::new(place);
        let mut changed = self.clone();
        changed.change(&mut dice, new);
        changed
    }

    fn change(&mut self, dice: &mut Dice, new: &Model) {
        match self {
            Self::Object(members) if !members.is_empty() => {
                let at = dice.below(members.len());
                let next = (at + 1) % members.len();
                match dice.below(8) {
                    0 => members.swap(at, next),
                    1 => members[at].0 = members[next].0.clone(),
                    2 => members[at].0.push(0x61),
                    3 => drop(members.remove(at)),
                    4 => members.push(members[at].clone()),
                    5 => members[at].1 = new.clone(),
                    _ => members[at].1.change_inside(dice, new),
                }
            }
            Self::Object(members) => members.push((Text::new(), new.clone())),
            Self::Array(items) if !items.is_empty() => {
                let at = dice.below(items.len());
                let next = (at + 1) % items.len();
                match dice.below(6) {
                    0 => items.swap(at, next),
                    1 => drop(items.remove(at)),
                    2 => items.push(items[at].clone()),
                    3 => items[at] = Self::Array(vec![items[at].clone()]),
                    _ => items[at].change_inside(dice, new),
                }
            }
            Self::Text(text) if !text.is_empty() => {
                let at = dice.below(text.len());
                match dice.below(3) {
                    0 => drop(text.remove(at)),
                    1 => text.push(text[at]),
                    _ => text[at] ^= 1,
                }
            }
            Self::Array(_) | Self::Text(_) | Self::Bare(_) => *self = new.clone(),
        }
    }

    fn change_inside(&mut self, dice: &mut Dice, new: &Model) {
        match dice.below(4) {
            0 => *self = new.clone(),
            1 => *self = Self::Array(vec![self.clone()]),
            _ => self.change(dice, new),
        }
    }

    /// The text of it; how it is spelled, the dice say.
    pub(super) fn render(&self, dice: &mut Dice) -> String {
        let mut out = String::new();
        self.write(dice, &mut out);
        out
    }

    fn write(&self, dice: &mut Dice, out: &mut String) {
        space(dice, out);
        match self {
            Self::Bare(spelled) => out.push_str(spelled),
            Self::Text(text) => spell(text, dice, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    item.write(dice, out);
                }
                space(dice, out);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                let mut left: Vec<&(Text, Model)> = members.iter().collect();
                while !left.is_empty() {
                    // The first one of a key goes first.
                    let key = &left[dice.below(left.len())].0;
                    let first = left.iter().position(|member| member.0 == *key).unwrap();
                    let (key, value) = left.remove(first);
                    space(dice, out);
                    spell(key, dice, out);
                    space(dice, out);
                    out.push(':');
                    value.write(dice, out);
                    out.push_str(if left.is_empty() { "" } else { "," });
                }
                space(dice, out);
                out.push('}');
            }
        }
        space(dice, out);
    }
}

fn space(dice: &mut Dice, out: &mut String) {
    out.push_str(["", "", "", " ", "\n", "\r\n\t"][dice.below(6)]);
}

fn spell(text: &[u16], dice: &mut Dice, out: &mut String) {
    out.push('"');
    // Few strings are spelled carefully: long ones should often go as they stand.
    let odd = dice.below(3) == 1;
    for char in char::decode_utf16(text.iter().copied()) {
        let escaped = odd && dice.below(3) == 1;
        match char {
            Ok(char) if !escaped => match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\u{8}' => out.push_str("\\b"),
                '/' if odd => out.push_str("\\/"),
                ..' ' => escape(char as u16, dice, out),
                _ => out.push(char),
            },
            Ok(char) => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escape(*unit, dice, out)),
            Err(half) => escape(half.unpaired_surrogate(), dice, out),
        }
    }
    out.push('"');
}

fn escape(unit: u16, dice: &mut Dice, out: &mut String) {
    let escape = if dice.below(2) == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
    out.push_str(&escape);
}

/// Chance that can be had again.
pub(super) struct Dice(Option<u64>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Some(seed))
    }

    /// Always 0: the shortest spelling, in the order of the model.
    pub(super) fn plain() -> Self {
        Self(None)
    }

    fn below(&mut self, bound: usize) -> usize {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(STEP);
        usize::try_from(below(scramble(*state), bound as u64)).unwrap()
    }
}
