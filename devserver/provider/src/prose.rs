//! The words of an answer: readable, plainly simulated, and fixed by the prompt.

use crate::seed::Seed;

const SUBJECTS: &[&str] = &[
    "The river",
    "A careful reader",
    "The lock keeper",
    "An older bridge",
    "The next request",
    "A quiet harbour",
    "The upper pool",
    "A small boat",
    "The morning tide",
    "The gauge",
];
const VERBS: &[&str] = &[
    "carries",
    "measures",
    "remembers",
    "follows",
    "turns toward",
    "waits for",
    "answers",
    "holds back",
    "lets through",
    "shares",
];
const OBJECTS: &[&str] = &[
    "the slow water",
    "a steady current",
    "every passing barge",
    "the whole valley",
    "a letter from upstream",
    "the evening light",
    "one number at a time",
    "the long way home",
    "a map of the delta",
    "what the rain began",
];
const ENDINGS: &[&str] = &[
    "without hurry",
    "before the gates close",
    "until the level settles",
    "as it always did",
    "and keeps count",
    "in plain sight",
    "when the season changes",
    "for anyone who asks",
];

/// How many of the caller's words the answer repeats.
const QUOTED_WORDS: usize = 8;
/// The longest of those words, in characters.
const QUOTED_LETTERS: usize = 24;

/// How long a text shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Exactly(usize),
    /// At least this, and on to the end of the sentence.
    About(usize),
}

/// An answer to `question`, one token an item. A token is a word with the space before it.
pub(crate) fn answer(seed: &Seed, question: &str, length: Length) -> Vec<String> {
    let quoted: Vec<String> = question
        .split_whitespace()
        .take(QUOTED_WORDS)
        .map(|word| word.chars().take(QUOTED_LETTERS).collect())
        .collect();
    let opening = if quoted.is_empty() {
        "This is a simulated answer.".to_owned()
    } else {
        format!("This is a simulated answer to \"{}\".", quoted.join(" "))
    };
    tokens(opening, seed.branch("answer"), length)
}

/// What a model says to itself before it answers.
pub(crate) fn reasoning(seed: &Seed, length: Length) -> Vec<String> {
    tokens("The caller wants a simulated answer.".to_owned(), seed.branch("reasoning"), length)
}

/// One sentence, for the strings of structured answers.
pub(crate) fn sentence(seed: &mut Seed) -> String {
    let mut pick = |among: &[&'static str]| {
        let place = seed.below(among.len());
        among.get(place).copied().unwrap_or_default()
    };
    format!("{} {} {} {}.", pick(SUBJECTS), pick(VERBS), pick(OBJECTS), pick(ENDINGS))
}

fn tokens(opening: String, mut seed: Seed, length: Length) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut sentence_of = opening;
    loop {
        for word in sentence_of.split_whitespace() {
            if let Length::Exactly(wanted) = length
                && tokens.len() >= wanted
            {
                return tokens;
            }
            let space = if tokens.is_empty() { "" } else { " " };
            tokens.push(format!("{space}{word}"));
        }
        if let Length::About(wanted) = length
            && tokens.len() >= wanted
        {
            return tokens;
        }
        sentence_of = sentence(&mut seed);
    }
}

/// Cuts a text into pieces of the size of a token, as a model emits JSON.
pub(crate) fn fragments(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_quotes_the_question_and_repeats_itself_for_the_same_seed() {
        let seed = Seed::of([b"x".as_slice()]);
        let said = answer(&seed, "why do rivers bend?", Length::About(30)).concat();
        assert!(said.starts_with("This is a simulated answer to \"why do rivers bend?\"."));
        assert_eq!(said, answer(&seed, "why do rivers bend?", Length::About(30)).concat());
        assert!(said.ends_with('.'));
    }

    #[test]
    fn an_exact_length_is_kept() {
        for wanted in [0, 1, 7, 500] {
            let said = answer(&Seed::of([]), "hello", Length::Exactly(wanted));
            assert_eq!(said.len(), wanted);
        }
    }

    #[test]
    fn fragments_join_to_the_whole() {
        let text = "{\"città\":\"Zürich\"}";
        assert_eq!(fragments(text).concat(), text);
    }
}
