//! `POST /v1/embeddings`: unit vectors, fixed by the input.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use crate::{
    call::Call, fields::Fields, prompt::Prompt, refusal::Refusal, reply::Reply, score, seed::Seed,
    usage::Usage,
};

const DEFAULT_DIMENSIONS: usize = 256;
const MOST_DIMENSIONS: usize = 4096;

#[derive(Serialize)]
struct Embeddings<'c> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    #[serde(rename = "embedding")]
    vector: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    /// Little-endian `f32`s.
    Base64(String),
}

#[derive(Clone, Copy)]
enum Encoding {
    Floats,
    Base64,
}

pub(crate) fn answer(call: &Call<'_>) -> Result<Reply, Refusal> {
    let inputs = Prompt::list(&call.fields, "input")?;
    let dimensions = dimensions(&call.fields)?;
    let encoding = encoding(&call.fields)?;
    let embedding = |(index, input): (usize, &Prompt<'_>)| Embedding {
        object: "embedding",
        index,
        vector: encoded(unit_vector(&input.bytes(), dimensions), encoding),
    };
    let usage = Usage { prompt: inputs.iter().map(Prompt::tokens).sum(), ..Usage::default() };
    let body = Embeddings {
        object: "list",
        data: inputs.iter().enumerate().map(embedding).collect(),
        model: call.model,
        usage: call.reported(usage).map(Usage::of_embeddings),
    };
    Ok(score::whole(call.script, &body))
}

fn dimensions(fields: &Fields<'_>) -> Result<usize, Refusal> {
    match fields.count("dimensions")? {
        None => Ok(DEFAULT_DIMENSIONS),
        Some(count) if (1..=MOST_DIMENSIONS).contains(&count) => Ok(count),
        Some(_) => Err(fields.bad("dimensions", format!("it has to be from 1 to {MOST_DIMENSIONS}"))),
    }
}

fn encoding(fields: &Fields<'_>) -> Result<Encoding, Refusal> {
    match fields.text("encoding_format")? {
        None | Some("float") => Ok(Encoding::Floats),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(fields.bad("encoding_format", "it has to be float or base64")),
    }
}

fn encoded(vector: Vec<f32>, encoding: Encoding) -> Vector {
    match encoding {
        Encoding::Floats => Vector::Floats(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    }
}

fn unit_vector(input: &[u8], dimensions: usize) -> Vec<f32> {
    let mut seed = Seed::of([input]);
    let mut vector: Vec<f32> = (0..dimensions).map(|_| seed.signed_unit()).collect();
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt();
    if length == 0.0 {
        // One drawn zero in 65 536: the first axis is as good a direction as any.
        vector.splice(..1.min(dimensions), [1.0]);
        return vector;
    }
    for part in &mut vector {
        *part /= length;
    }
    vector
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vectors_have_length_one_and_belong_to_their_input() {
        for dimensions in [1, 2, 256, 1536] {
            let vector = unit_vector(b"a", dimensions);
            let length: f32 = vector.iter().map(|part| part * part).sum();
            assert!((length - 1.0).abs() < 1e-4, "{dimensions}: {length}");
            assert_eq!(vector, unit_vector(b"a", dimensions));
            assert_ne!(vector, unit_vector(b"b", dimensions.max(2)));
        }
    }

    #[test]
    fn base64_holds_the_floats_little_endian() {
        let Vector::Base64(text) = encoded(vec![1.0, -2.5], Encoding::Base64) else {
            panic!("not base64");
        };
        assert_eq!(text, "AACAPwAAIMA=");
        assert_eq!(json!(encoded(vec![0.5], Encoding::Floats)), json!([0.5]));
    }
}
