//! What is kept: looked up before the upstream call, and told to the client.

pub(crate) mod answer;
pub(crate) mod lookup;
