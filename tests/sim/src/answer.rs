//! What a client gets: whose answer it is, whether it is whole, and how it ends.

use weir::dialect::endpoint::Form;

use crate::client::{End, Seen, reader};
use crate::order::{Order, Purpose};
use crate::paper::{DONE, Paper};
use crate::provider::Call;
use crate::request::Fate;
use crate::setup;
use crate::world::World;

/// Judges all that a client has seen of its answer.
pub(crate) fn judge_answer(world: &World, number: usize, seen: &Seen) {
    let (order, purpose) = {
        let request = world.request(number);
        (request.order().clone(), request.arrival.purpose)
    };
    world.judge.note(|| {
        let Seen { status, body, end, .. } = seen;
        let (cache, bytes) = (seen.header("x-cache"), body.len());
        let text = String::from_utf8_lossy(&body[..body.len().min(160)]).into_owned();
        format!("request {number} has seen {status} {cache:?}, {bytes} bytes, {end:?}: {text}")
    });
    if purpose == Purpose::Proof && (seen.status != 200 || seen.end != End::Clean) {
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        let status = seen.status;
        world.judge.broken(15, format!("the faults have stopped, and {order:?} gets {status}: {text}"));
    }
    match seen.status {
        0 => {}
        200 => judge_good(world, number, &order, seen),
        _ => judge_refusal(world, &order, seen),
    }
    if seen.header("x-weir-degraded") == "store" && world.plan.outages.is_empty() {
        world.judge.broken(1, format!("request {number} is told that the store is lost, and it is not"));
    }
}

fn judge_refusal(world: &World, order: &Order, seen: &Seen) {
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    world.count(|tally| tally.refused += 1);
    match seen.status {
        // 408, 409 and 425 of the upstream's own making come back as they are; a repeat has a 409 of the gateway's.
        400 | 404 | 408 | 409 | 425 | 429 | 502 | 503 | 504 => {}
        500 if world.tally.borrow().panicked > 0 => {}
        status => return world.judge.broken(11, format!("{order:?} gets {status}: {text}")),
    }
    let is_error = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|body| {
        let has = |key| body.pointer(key).is_some();
        ["/error/message", "/error/type", "/error/param", "/error/code"].into_iter().all(has)
    });
    let is_read = seen.end == End::Clean;
    if is_read && !is_error {
        world.judge.broken(11, format!("{} comes with {text:?}", seen.status));
    }
}

fn judge_good(world: &World, number: usize, order: &Order, seen: &Seen) {
    let cache = seen.header("x-cache");
    let is_replayed = seen.header("idempotent-replayed") == "true";
    if seen.body.is_empty() {
        if seen.end == End::Clean {
            world.judge.broken(11, format!("request {number} gets an answer with nothing in it"));
        }
        return;
    }
    let Some(call) = Paper::call_of(&seen.body).and_then(|call| world.calls.get(call)) else {
        // The error may have come before anything else.
        if !is_error_event(&seen.body) {
            world.judge.broken(11, format!("request {number} gets what no upstream has sent"));
        }
        return;
    };
    let Some(paper) = call.paper else {
        return world
            .judge
            .broken(11, format!("request {number} gets an answer of {call:?}, which has none"));
    };
    let asked = world.request(call.request).order().clone();
    if (asked.tenant(), asked.canonical()) != (order.tenant(), order.canonical()) {
        world.judge.broken(8, format!("{order:?} is given the answer to {asked:?}"));
    }
    let is_own = call.request == number;
    let may_be_others = is_replayed || matches!(cache, "HIT" | "STALE" | "COALESCED");
    if !is_own && !may_be_others {
        world.judge.broken(8, format!("request {number} is {cache:?}, and gets the answer of {call:?}"));
    }
    judge_directives(world, number, order, seen, is_replayed);
    world.count(|tally| match cache {
        "COALESCED" => tally.shared += 1,
        "HIT" | "STALE" => tally.from_cache += 1,
        _ => tally.answered += 1,
    });
    let is_kept = matches!(cache, "HIT" | "STALE") || is_replayed;
    if is_kept && !call.is_complete() {
        world.judge.broken(7, format!("request {number} is given what was kept of {call:?}"));
    }
    match (order.form, paper.form) {
        (Form::Whole, Form::Whole) => judge_whole(world, number, seen, &call, &paper),
        (Form::Events, Form::Events) => {
            judge_events(world, number, seen, &call, &paper.events(reader(order.form, order.usage)));
        }
        (Form::Whole, Form::Events) | (Form::Events, Form::Whole) => {
            judge_told(world, number, seen, order.form, &paper);
        }
    }
}

fn judge_directives(world: &World, number: usize, order: &Order, seen: &Seen, is_replayed: bool) {
    let cache = seen.header("x-cache");
    let is_kept = matches!(cache, "HIT" | "STALE") && !is_replayed;
    let age = seen.header("age").parse::<u64>().unwrap_or(0);
    let policy = setup::kept(&world.plan.config);
    let is_degraded = seen.header("x-weir-degraded") == "stale";
    let said = order.cache_control.unwrap_or_default();
    let most = match said {
        "no-cache" | "no-store" => 0,
        "max-age=1" if !is_degraded => 1,
        "max-age=3" if !is_degraded => 3,
        _ => setup::life(&world.plan.config).as_secs() + 1,
    };
    if is_kept && age >= most {
        let text = format!("request {number} says {said:?}, and gets {cache} of {age} s");
        world.judge.broken(6, text);
    }
    if is_kept && cache == "HIT" && age > policy.ttl.as_secs() {
        world.judge.broken(6, format!("request {number} gets HIT, {age} s old, with {:?}", policy.ttl));
    }
    // Behind what is kept a new answer may be fetched, but nobody waits for it.
    let is_fetched = !is_kept && !world.request(number).calls.is_empty();
    if said == "only-if-cached" && order.model == "kept" && is_fetched {
        world.judge.broken(6, format!("request {number} wants nothing but what is kept, and goes upstream"));
    }
}

/// A body that is one JSON: the upstream's, byte for byte.
fn judge_whole(world: &World, number: usize, seen: &Seen, call: &Call, paper: &Paper) {
    let whole = paper.whole();
    let is_right = match seen.end {
        End::Clean => seen.body == whole && call.is_complete(),
        End::Open | End::Aborted => whole.starts_with(&seen.body),
    };
    if !is_right {
        world.judge.broken(6, format!("request {number} does not get the bytes of {call:?}"));
    }
}

/// A stream: events of one call from the first on, and then one of terminator, error event and abort.
fn judge_events(world: &World, number: usize, seen: &Seen, call: &Call, events: &[String]) {
    let (mut rest, mut taken) = (seen.body.as_slice(), 0);
    for event in events {
        let Some(behind) = rest.strip_prefix(event.as_bytes()) else { break };
        (rest, taken) = (behind, taken + 1);
    }
    let is_whole = taken == events.len();
    let is_right = match (is_whole, seen.end) {
        (true, End::Clean | End::Open) => rest.is_empty() && call.is_complete(),
        (true, End::Aborted) => false,
        (false, End::Clean) => is_error_event(rest),
        (false, End::Open) => rest.is_empty() || is_error_event(rest),
        (false, End::Aborted) => rest.is_empty(),
    };
    if !is_right {
        let tail = String::from_utf8_lossy(&rest[..rest.len().min(300)]).into_owned();
        let (end, count) = (seen.end, events.len());
        world.judge.broken(
            11,
            format!("request {number} gets {taken} of {count} events, then {tail:?}, {end:?}; {call:?}"),
        );
    }
}

/// The answer in another form than the upstream's says the same.
fn judge_told(world: &World, number: usize, seen: &Seen, form: Form, paper: &Paper) {
    if seen.end != End::Clean {
        return;
    }
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let said = match form {
        Form::Whole => serde_json::from_str::<serde_json::Value>(&body).ok().and_then(|body| {
            let text = body.pointer("/choices/0/message/content")?.as_str()?;
            Some(text.to_owned())
        }),
        Form::Events => body.strip_suffix(DONE).map(|events| {
            let data = events.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
            let values = data.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
            let words = values
                .filter_map(|value| value.pointer("/choices/0/delta/content")?.as_str().map(str::to_owned));
            words.collect()
        }),
    };
    if said.as_deref() != Some(&paper.text()) {
        world.judge.broken(6, format!("request {number} is told {said:?} for {paper:?}"));
    }
}

fn is_error_event(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.starts_with("data: {\"error\":") && text.find("\n\n").is_some_and(|end| end + 2 == text.len())
}

/// The rest of what has to be true of a request, once nothing is under way.
pub(crate) fn judge_settled(world: &World) {
    for (number, request) in world.requests().iter().enumerate() {
        let is_hurt = matches!(request.fate, Fate::Crashed | Fate::Panicked);
        let admitted = request.reservations.values().any(|state| *state != crate::request::Reserved::Unheard);
        if admitted && request.closed == 0 && !is_hurt {
            world
                .judge
                .broken(4, format!("request {number} was admitted, and its books are open: {request:?}"));
        }
        let answered = request.calls.iter().filter_map(|call| world.calls.get(*call));
        let taken = answered.map(|call| call.tokens_taken()).sum::<u64>();
        if taken > 0 && request.closed == 0 && !is_hurt {
            world.judge.broken(4, format!("{taken} tokens of request {number} stand in no books"));
        }
    }
}
