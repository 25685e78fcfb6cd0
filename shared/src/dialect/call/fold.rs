//! Names of fields that are another to one reader and the same to the next.
//!
//! Go's `encoding/json` takes a name for a field's that is equal to it under simple case folding, and of several the last
//! one counts. So a body in which a name is almost one that the gateway reads would be judged by one value and answered
//! by another.

use crate::dialect::defaults;

/// Names at the top level of a body that something here depends on: where it goes, what it costs, how it is answered.
const OF_CALL: &[&str] = &[
    "background",
    "conversation",
    "fallbacks",
    "input",
    "instructions",
    "messages",
    "model",
    "models",
    "n",
    "previous_response_id",
    "prompt",
    "route",
    "session",
    "stream",
    "stream_options",
    "temperature",
    "tools",
    "user",
];

/// The same of a body that passes through, of which no more is read.
const OF_PASSTHROUGH: &[&str] = &["model", "models", "session", "stream"];

/// How much of a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Call,
    Passthrough,
}

/// The name that is read, if `key` is another and yet the same to some reader.
pub(super) fn almost(key: &str, reading: Reading) -> Option<&'static str> {
    if !key.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        return None;
    }
    let (names, longest) = match reading {
        Reading::Call => (OF_CALL, &defaults::LONGEST[..]),
        Reading::Passthrough => (OF_PASSTHROUGH, &[][..]),
    };
    names.iter().chain(longest).copied().find(|name| is_same(key, name))
}

/// Whether `key` is `name`, which is in lower-case ASCII, under simple case folding.
pub(super) fn is_same(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|letter| match letter {
        // The two letters beside ASCII that fold into it: the long s and the Kelvin sign.
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    });
    folded.eq(name.chars())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_almost_another_in_any_case_of_its_letters() {
        for (key, expected) in [
            ("model", None),
            ("Model", Some("model")),
            ("MODELS", Some("models")),
            ("\u{17f}tream", Some("stream")),
            ("max_to\u{212a}ens", Some("max_tokens")),
            ("MAX_TO\u{212a}EN\u{17f}", Some("max_tokens")),
            ("N", Some("n")),
            ("m\u{f6}del", None),
            ("Modell", None),
            ("User", Some("user")),
        ] {
            assert_eq!(almost(key, Reading::Call), expected, "{key}");
        }
    }

    #[test]
    fn of_what_passes_through_only_the_names_of_models_are_judged() {
        assert_eq!(almost("Model", Reading::Passthrough), Some("model"));
        assert_eq!(almost("Input", Reading::Passthrough), None);
    }

    proptest! {
        #[test]
        fn every_case_of_a_name_is_found_and_the_name_itself_is_not(
            name in proptest::sample::select(OF_CALL.to_vec()), cases in proptest::collection::vec(any::<bool>(), 24),
        ) {
            let key: String = name
                .chars()
                .zip(cases)
                .map(|(letter, up)| match letter {
                    's' if up => '\u{17f}',
                    letter if up => letter.to_ascii_uppercase(),
                    letter => letter,
                })
                .collect();
            let expected = Some(name).filter(|name| *name != key);
            prop_assert_eq!(almost(&key, Reading::Call), expected);
        }
    }
}
