//! The model that a query or an urlencoded form names, and its place.
//!
//! What a caller may ask for is decided by this reading, while the upstream goes by its own: where another reader could
//! find another model, it is refused.

use std::borrow::Cow;
use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::dialect::multipart::{is_almost_model, is_plain_charset};
use crate::refusal::Refusal;

/// Names that stand for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `model`, in a form.
    OfForm,
    /// Also `deployment`, as Azure's SDKs write it, in a query.
    OfQuery,
}

/// A model, and where its name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) model: String,
    pub(crate) span: Range<usize>,
}

/// Whether the `content-type` says of an urlencoded form nothing that two readers could take for different things: no
/// parameter but a charset that spells ASCII as it is.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let is_form =
        parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    is_form
        && parts.filter(|part| !part.is_empty()).all(|part| {
            part.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset") && is_plain_charset(value.trim_matches('"').as_bytes())
            })
        })
}

/// The model that `text` names; `None` where it names none.
pub(crate) fn model(text: &str, names: Names) -> Result<Option<Named>, Refusal> {
    let mut found = None;
    let mut start = 0;
    for pair in text.split('&') {
        let at = start;
        start += pair.len() + 1;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name);
        if name == "_charset_" && names == Names::OfForm && !is_plain_charset(decoded(value).as_bytes()) {
            return Err(Refusal::Ambiguous { problem: "the form names a charset other than UTF-8" });
        }
        if !names.has(&name) {
            // Some take a semicolon for the end of a pair.
            let parts = pair.split(';').map(|part| decoded(part.split('=').next().unwrap_or_default()));
            if parts.into_iter().any(|part| names.has(&part) || names.has_almost(&part)) {
                return Err(invalid("a field's name is almost this one"));
            }
            continue;
        }
        if value.contains(';') {
            return Err(invalid("a field's name is almost this one"));
        }
        let span = at + pair.len() - value.len()..at + pair.len();
        if found.replace(Named { model: decoded(value).into_owned(), span }).is_some() {
            return Err(invalid("it is given twice"));
        }
    }
    if let Some(Named { model, .. }) = &found {
        crate::dialect::call::check_model(model)?;
    }
    Ok(found)
}

/// `text` with the model at `span` called `model`; no other byte is changed, and none at all where it is called so
/// already.
pub(crate) fn renamed(text: &str, span: &Range<usize>, model: &str) -> String {
    let (Some(before), Some(value), Some(behind)) =
        (text.get(..span.start), text.get(span.clone()), text.get(span.end..))
    else {
        return text.to_owned();
    };
    if decoded(value) == model {
        return text.to_owned();
    }
    format!("{before}{}{behind}", encoded(model))
}

/// A value as it stands in a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn decoded(text: &str) -> Cow<'_, str> {
    let is_plain = !text.bytes().any(|byte| matches!(byte, b'%' | b'+'));
    if is_plain {
        return Cow::Borrowed(text);
    }
    // One pair without `=` or `&` is one name.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    let name = form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned());
    Cow::Owned(name.unwrap_or_default())
}

fn invalid(problem: &str) -> Refusal {
    Refusal::InvalidParameter { param: "model".into(), problem: problem.into() }
}

impl Names {
    fn has(self, name: &str) -> bool {
        match self {
            Self::OfForm => name == "model",
            Self::OfQuery => name == "model" || name == "deployment",
        }
    }

    fn has_almost(self, name: &str) -> bool {
        is_almost_model(name.as_bytes()) || (self == Self::OfQuery && name.eq_ignore_ascii_case("deployment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_in_one_way_or_not_at_all() {
        let twice = || Err("it is given twice".to_owned());
        let almost = || Err("a field's name is almost this one".to_owned());
        for (text, expected) in [
            ("", Ok(None)),
            ("a=1&b", Ok(None)),
            ("models=x&xmodel=y&model_id=z", Ok(None)),
            ("a=1&model=m%2F1+b&c", Ok(Some("m/1 b"))),
            ("mode%6C=m", Ok(Some("m"))),
            ("model=a=b", Ok(Some("a=b"))),
            ("deployment=m", Ok(Some("m"))),
            ("model=m&deployment=m", twice()),
            ("model=a&model=a", twice()),
            ("Model=a", almost()),
            ("%4Dodel=a", almost()),
            ("model[]=a", almost()),
            ("model%5B0%5D=a", almost()),
            ("+model=a", almost()),
            ("a=1;model=b", almost()),
            ("model=a;b=1", almost()),
            ("model", Err("it is empty".to_owned())),
            ("model=", Err("it is empty".to_owned())),
        ] {
            let found = model(text, Names::OfQuery).map(|named| named.map(|named| named.model));
            let found = found.map_err(|refusal| match refusal {
                Refusal::InvalidParameter { problem, .. } => problem,
                other => other.message(),
            });
            assert_eq!(found, expected.map(|model| model.map(ToOwned::to_owned)), "{text}");
        }
        assert_eq!(model("deployment=m", Names::OfForm).unwrap(), None);
    }

    #[test]
    fn a_renamed_model_changes_nothing_else() {
        for (text, renamed_to, expected) in [
            ("a=%41&model=m&b", "org/x y", "a=%41&model=org%2Fx+y&b"),
            ("a=%41&model=%6d&b", "m", "a=%41&model=%6d&b"),
            ("model=m", "n", "model=n"),
        ] {
            let named = model(text, Names::OfForm).unwrap().unwrap();
            assert_eq!(renamed(text, &named.span, renamed_to), expected);
        }
    }
}
