//! Text with variables in it, as `spin.toml` has it: `redis://{{ redis_host }}:6379`.

use std::fmt;

/// Why a template has no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unrendered {
    /// `{{` without `}}`.
    Unclosed,
    /// No such variable.
    Unknown(String),
}

impl fmt::Display for Unrendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("a `{{` without its `}}`"),
            Self::Unknown(name) => write!(f, "the variable `{name}` has no value"),
        }
    }
}

/// Puts values in the place of names.
pub(super) fn render(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, Unrendered> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(Unrendered::Unclosed)?;
        let name = name.trim();
        text.push_str(before);
        text.push_str(&value(name).ok_or_else(|| Unrendered::Unknown(name.to_owned()))?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_become_their_values() {
        let value = |name: &str| (name != "none").then(|| format!("<{name}>"));
        let unknown = Err(Unrendered::Unknown("none".to_owned()));
        for (template, text) in [
            ("plain", Ok("plain".to_owned())),
            ("{{a}}", Ok("<a>".to_owned())),
            ("x{{ a }}y{{  b}}z", Ok("x<a>y<b>z".to_owned())),
            ("{a} }}", Ok("{a} }}".to_owned())),
            ("{{ none }}", unknown),
            ("{{ a", Err(Unrendered::Unclosed)),
        ] {
            assert_eq!(render(template, value), text, "{template}");
        }
    }
}
