//! Recordings of providers' answers, sent through a running gateway and compared with what comes out.
//!
//! A recording holds no more than the events of a stream, or a whole answer. What should become of it is worked out
//! here from its JSON alone, simply and strictly, and with nothing of the gateway's own code: a judge that shared the
//! code would share its errors. Each recording goes through in several cuttings; its bytes, its ending, its metered
//! usage, and what the cache gives again in both forms are compared, and so is the recording cut at half.

mod content;
mod exchange;
mod expectation;
mod judge;
mod recording;
mod report;
mod responses;
mod wire;

use std::path::Path;

pub use self::exchange::{Exchange, Part};
pub use self::judge::differences;
pub use self::recording::{Api, Dialect, Form, Line, Recording, Trouble};
pub use self::report::{Report, Verdict};
pub use self::wire::Cutting;

/// Sends every recording below `folder` through one gateway.
pub async fn run(folder: &Path) -> Result<Report, Trouble> {
    let recordings = recording::all_below(folder)?;
    let exchanges = exchange::all(&recordings).await;
    let verdicts = recordings.iter().zip(&exchanges).map(|(recording, exchanges)| {
        let verdict = match recording.dialect {
            Dialect::NotSpoken(name) => Verdict::NotSpoken(name),
            Dialect::Spoken(_) => match differences(recording, exchanges) {
                faults if faults.is_empty() => Verdict::Same(judge::summary(recording)),
                faults => Verdict::Differs(faults),
            },
        };
        (recording.name.clone(), verdict)
    });
    Ok(Report { verdicts: verdicts.collect() })
}
