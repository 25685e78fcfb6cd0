//! Every model that any reader of a form might find in it.
//!
//! Written without a look at the gateway's reading, and as free as hand-written servers are: the boundary counts
//! wherever it stands, lines end somehow, and what a disposition says is taken apart in four ways at once.

/// The values of all that may be a `model` field.
pub(crate) fn models(body: &[u8], boundary: &str) -> Vec<Vec<u8>> {
    split(body, format!("--{boundary}").as_bytes()).into_iter().filter_map(model).collect()
}

/// The value of a piece between boundaries, if it is a model's.
fn model(piece: &[u8]) -> Option<Vec<u8>> {
    let mut rest = piece;
    let mut head: Vec<Vec<u8>> = Vec::new();
    // What is left of the boundary's line; before the first one there is none.
    if !rest.starts_with(b"Content") {
        (_, rest) = line(rest)?;
    }
    loop {
        let (text, behind) = line(rest)?;
        rest = behind;
        match head.last_mut() {
            _ if text.is_empty() => break,
            Some(last) if text.starts_with(b" ") || text.starts_with(b"\t") => last.extend_from_slice(text),
            _ => head.push(text.to_vec()),
        }
    }
    let value = rest.strip_suffix(b"\n").unwrap_or(rest);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    head.iter().any(|header| is_models(header)).then(|| value.to_vec())
}

/// Up to the next line's end, and what is behind it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| b"\r\n".contains(byte))?;
    let length = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
    Some((&text[..end], &text[end + length..]))
}

fn is_models(header: &[u8]) -> bool {
    let header = String::from_utf8_lossy(header).to_ascii_lowercase();
    let Some((key, value)) = header.split_once(':') else { return false };
    key.trim() == "content-disposition"
        && [Quotes::None, Quotes::Plain, Quotes::Escaped, Quotes::Single]
            .into_iter()
            .any(|quotes| parameters(value, quotes).iter().any(|parameter| names_model(parameter)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Plain,
    Escaped,
    Single,
}

fn parameters(value: &str, quotes: Quotes) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut open, mut escaped) = (None, false);
    for sign in value.chars() {
        let last = all.last_mut().unwrap();
        if sign == ';' && open.is_none() {
            all.push(String::new());
            continue;
        }
        last.push(sign);
        if escaped {
            escaped = false;
        } else if sign == '\\' && quotes == Quotes::Escaped {
            escaped = true;
        } else if open == Some(sign) {
            open = None;
        } else if open.is_none()
            && quotes != Quotes::None
            && (sign == '"' || sign == '\'' && quotes == Quotes::Single)
        {
            open = Some(sign);
        }
    }
    all
}

fn names_model(parameter: &str) -> bool {
    let Some((key, value)) = parameter.split_once('=') else { return false };
    let key = key.split('*').next().unwrap_or_default();
    let value = value.rsplit("''").next().unwrap_or_default().replace('\\', "");
    let value = value.replace("%6d", "m").replace("%65", "e");
    let value = value.trim().trim_matches(['"', '\'']).trim();
    key.trim() == "name" && value.split('[').next() == Some("model")
}

/// At every place where `needle` stands.
fn split<'a>(text: &'a [u8], needle: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut from, mut at) = (Vec::new(), 0, 0);
    while at + needle.len() <= text.len() {
        if text[at..].starts_with(needle) {
            pieces.push(&text[from..at]);
            at += needle.len();
            from = at;
        } else {
            at += 1;
        }
    }
    pieces.push(&text[from..]);
    pieces
}
