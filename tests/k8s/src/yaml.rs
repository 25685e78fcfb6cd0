//! YAML, read into the one tree that all the rest looks at.

use serde_json::Value;

/// The documents of `text` that are not empty; in words, what is wrong with it.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let read: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    Ok(read.into_iter().filter(|document| !document.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_documents_are_left_out() {
        let read = documents("---\na: 1\n---\n---\nb: [x, \"1\"]\n").unwrap();
        assert_eq!(read, [serde_json::json!({"a": 1}), serde_json::json!({"b": ["x", "1"]})]);
    }
}
