//! A simulated OpenAI-compatible provider with faults that its model names ask for.
//!
//! The gateway starts it in its own process on a loopback port, so that a first request works
//! without an account, every fault can be tried by hand, and a test needs no second program. It
//! speaks HTTP/1.1 and HTTP/2 on a real socket, because a fault has to be real on the wire: a
//! reset is a TCP RST, a cut is a clean end.
//!
//! It serves chat completions, text completions, embeddings, responses and models under `/v1`
//! and, where Azure has them, under `/openai/deployments/{model}`. Any other path under `/v1` is
//! an echo. [`MODELS`] has the names worth knowing and [`Script`] what a name can say. Answers
//! are fixed by their requests, but for the time in them.
//!
//! It refuses to be more than a test double: no request changes what a later one gets, except
//! the count that `flaky` keeps, and every credential but `invalid` is taken.
//!
//! ```no_run
//! # async fn start() -> std::io::Result<()> {
//! let simulated = weir_provider::bind(([127, 0, 0, 1], 0).into()).await?;
//! println!("http://{}/v1", simulated.addr());
//! simulated.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod call;
mod chat;
mod completions;
mod conversation;
mod echo;
mod embeddings;
mod fields;
mod flaky;
mod form;
mod models;
mod playback;
mod prompt;
mod prose;
mod provider;
mod refusal;
mod reply;
mod responses;
mod route;
mod sample;
mod score;
mod script;
mod seed;
mod server;
mod usage;
mod wire;

pub use models::MODELS;
pub use script::{Script, ScriptError};
pub use server::{Simulated, bind};
