//! The ledger against the upstream's own account: each admitted request closes its books once, and what
//! stands in them is what the upstream says that it used.

use weir::dialect::endpoint::Form;
use weir::ledger::cache_status::Status;
use weir::ledger::record::Ending;
use weir::ledger::usage::Source;
use weir::store::protocol::{Closing, Held};

use crate::paper::Reports;
use crate::plan::NARROW;
use crate::provider::{Call, State};
use crate::request::Reserved;
use crate::setup;
use crate::weather::Fate;
use crate::world::World;

/// Judges a record as it is written.
pub(crate) fn judge_record(world: &World, closing: &Closing) {
    let number = world.current();
    let record = &closing.record;
    world.judge.note(|| {
        let (ending, usage) = (record.ending, record.usage);
        format!("request {number} closes: {ending:?}, {usage:?}, cache {:?}", record.cache)
    });
    let mut request = world.request_mut(number);
    request.closed += 1;
    if record.trace_id != trace_id(number) {
        world.judge.broken(4, format!("request {number} closes the books of {}", record.trace_id));
    }
    if request.closed > 1 {
        world.judge.broken(4, format!("request {number} closes its books {} times", request.closed));
    }
    let id = closing.reservation.want.id;
    if closing.reservation.held == Held::InStore && request.reservations.get(&id) != Some(&Reserved::Open) {
        let known = request.reservations.get(&id);
        world.judge.broken(4, format!("request {number} settles {id:x} in the store, where it is {known:?}"));
    }
    let calls: Vec<Call> = request.calls.iter().filter_map(|call| world.calls.get(*call)).collect();
    let usage = &record.usage;
    let is_free = matches!(record.cache, Some(Status::Hit | Status::Coalesced));
    if is_free && (usage.source != Source::Nothing || !calls.is_empty()) {
        let text =
            format!("request {number} is {:?}, and uses {usage:?} by {} calls", record.cache, calls.len());
        world.judge.broken(4, text);
    }
    let Some(last) = calls.last() else {
        if usage.source != Source::Nothing {
            world.judge.broken(4, format!("request {number} was at no upstream, and uses {usage:?}"));
        }
        return;
    };
    let Some(paper) = last.paper else {
        if usage.source != Source::Nothing {
            world.judge.broken(4, format!("request {number} got no answer, and uses {usage:?}"));
        }
        return;
    };
    let said = (usage.input.0, usage.output.0);
    let is_wrong = match usage.source {
        Source::Reported => {
            let reports = paper.reports != Reports::Nothing;
            !reports || said != (paper.prompt_tokens(), paper.tokens)
        }
        Source::Counted => match paper.form {
            Form::Events if paper.width == NARROW => usage.output.0 != last.tokens_taken(),
            Form::Events => usage.output.0 < last.tokens_taken(),
            Form::Whole => usage.output.0 == 0,
        },
        // Nothing of it was read, or nothing of it came to be an answer.
        Source::Nothing => record.ending == Ending::Complete && record.cache != Some(Status::Stale),
    };
    if is_wrong {
        let taken = last.tokens_taken();
        world.judge.broken(4, format!("request {number} says {usage:?}; {taken} were taken of {last:?}"));
    }
    let is_good = last.state == State::Complete || matches!(last.fate, Fate::Answer(_));
    if record.ending == Ending::Complete && !is_good && record.cache != Some(Status::Stale) {
        world.judge.broken(7, format!("request {number} is complete, and its call is {last:?}"));
    }
    let is_whole = last.state == State::Complete && record.ending == Ending::Complete && record.status == 200;
    let is_missing = closing.keeping.cache.is_some() && closing.keeping.entry.is_none();
    let most = setup::kept(&world.plan.config).max_entry;
    if is_whole && is_missing && last.handed as u64 <= most {
        world.judge.broken(8, format!("request {number} is complete, and its answer is not kept"));
    }
}

/// As a request names its trace.
pub(crate) fn trace_id(request: usize) -> String {
    format!("{:032x}", request + 1)
}
