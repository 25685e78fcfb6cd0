//! What an answer says was made, and whose it is from then on. It is remembered before its maker hears of it.

use std::collections::VecDeque;
use std::future::poll_fn;

use bytes::Bytes;
use http::{StatusCode, header, response};

use super::answer::{Answer, dressed, is_json};
use super::failure::Failure;
use crate::cache::fingerprint::{self, Fingerprint};
use crate::dialect::call;
use crate::ledger::record::Ending;
use crate::limits::OnStoreLoss;
use crate::pipeline::answer_stream::{Course, Step};
use crate::pipeline::sent::{Makes, Owner};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::protocol::{Ownership, StoreLost};
use crate::wire::headers::{self, Returned};

/// Bytes of an answer that are read for what it says was made; a longer one goes on unread.
const MOST_READ: usize = 1 << 20;

/// Whether there is something to be read in an answer.
pub(super) fn reads(owner: Owner, head: &response::Parts) -> bool {
    owner.makes != Makes::Nothing
        && matches!(head.status, StatusCode::OK | StatusCode::CREATED)
        && headers::media_type(&head.headers).is_some_and(|kind| is_json(&kind))
}

/// Reads what an answer that passes through says was made, and remembers it. `course` reads bytes, decoded.
pub(super) async fn read<P: Platform>(
    owner: Owner,
    platform: &P,
    head: response::Parts,
    mut course: Box<Course<P>>,
    returned: Returned<'_>,
) -> Result<Answer<P>, Failure> {
    let (mut held, mut size) = (VecDeque::new(), 0);
    loop {
        match poll_fn(|cx| course.poll_step(cx)).await {
            Step::Bytes { bytes, .. } => {
                size += bytes.len();
                held.push_back(bytes);
                if size > MOST_READ {
                    return Ok(Answer::Flowing { head: dressed(head, returned), held, course });
                }
            }
            Step::End { ending: Ending::Complete, .. } => break,
            Step::End { ending, .. } => return Err(Failure::ended(&head, ending, &mut course)),
        }
    }
    let bytes: Bytes = held.into_iter().collect::<Vec<_>>().concat().into();
    let mut made = call::made_objects(&bytes);
    if owner.makes == Makes::Others && !made.is_empty() && names_itself(&bytes) {
        made.remove(0);
    }
    if remember(owner, platform, &made).await.is_err() && owner.on_store_loss != OnStoreLoss::Open {
        return Err(Failure::of_client(Refusal::OwnersUnknown, Ending::Rejected));
    }
    let mut head = dressed(head, returned);
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Answer::Whole { head, bytes, untold: None, course })
}

/// What the answer to a call that is understood says was made.
pub(super) fn made_by<P: Platform>(owner: Owner, answer: &Answer<P>) -> Vec<String> {
    match answer {
        _ if owner.makes == Makes::Nothing => Vec::new(),
        Answer::Whole { bytes, untold, .. } => call::made_objects(untold.as_ref().unwrap_or(bytes)),
        Answer::Flowing { held, .. } => {
            let begun = held.iter().map(Bytes::as_ref).collect::<Vec<_>>().concat();
            call::made_by_stream(&begun).unwrap_or_else(|| call::made_objects(&begun))
        }
        Answer::Switched { .. } => Vec::new(),
    }
}

/// Remembers what was made by a call that is understood. Should the store be lost, its answer is given all the same:
/// it is its maker's, and what was made is nobody's from then on.
pub(super) async fn note<P: Platform>(owner: Owner, platform: &P, made: Vec<String>) {
    // What is not noted is nobody's.
    let _ = remember(owner, platform, &made).await;
}

async fn remember<P: Platform>(owner: Owner, platform: &P, made: &[String]) -> Result<(), StoreLost> {
    if made.is_empty() {
        return Ok(());
    }
    let made: Vec<Fingerprint> = made.iter().map(|id| fingerprint::of_provider_object(id)).collect();
    platform.own(Ownership { tenant: owner.tenant, named: &[], made: &made }).await.map(drop)
}

fn names_itself(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|answer| answer["id"].is_string())
}
