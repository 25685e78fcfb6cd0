//! The one question before the upstream call, asked of the objects, and taken back where nobody waits for the
//! answer.

use std::rc::Rc;

use weir::store::durable::Opening;
use weir::store::protocol::{Ask, Opened, StoreLost};

use crate::objects::{Answers, Untold};
use crate::platform::{Edge, now};

/// Asks what the cache has, then every object that has to say something: all at the same time, or the
/// tenant's before the others where the call has waited for another's answer.
pub(crate) async fn open(edge: &Edge, ask: Ask<'_>) -> Result<Opened, StoreLost> {
    let recalled = match ask.recall {
        Some(recall) => edge.cache().recall(recall).await,
        None => None,
    };
    let isolate = edge.isolate();
    let opening = Opening::new(ask, recalled, now())
        .heeding(&isolate.denials.borrow(), now())
        .believing(&isolate.beliefs.borrow(), now());
    let mut open = Open { edge, opening, answers: Answers::none(), late: Vec::new(), stage: Stage::Asking };
    while !open.opening.asked().is_empty() {
        open.answers = edge.objects().ask(open.opening.asked());
        let said = (&mut open.answers).await;
        open.late.extend(open.answers.untold());
        open.opening.hear(&said, now());
    }
    let joined = open.opening.join(&isolate.store.borrow(), now());
    open.stage = Stage::Joined;
    if let Ok(opened) = &joined.opened {
        isolate.denials.borrow_mut().note(ask, opened, now());
        open.opening.teach(&mut isolate.beliefs.borrow_mut(), opened, now());
    }
    edge.tell(&joined.mends);
    joined.opened
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asking,
    Joined,
}

/// Dropped, it sees to it that nothing stays reserved by an answer that nobody has read: the client has left,
/// or the answer came too late.
struct Open<'a> {
    edge: &'a Edge,
    opening: Opening<'a>,
    answers: Answers,
    late: Vec<Untold>,
    stage: Stage,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Asking {
            self.edge.tell(&self.opening.take_back(now()));
        }
        self.late.extend(self.answers.untold());
        if self.late.is_empty() {
            return;
        }
        let abandoned = Rc::new(self.opening.abandon());
        for untold in self.late.drain(..) {
            let (edge, abandoned) = (self.edge.clone(), Rc::clone(&abandoned));
            self.edge.outlive(async move {
                let object = untold.object.clone();
                let Ok(answer) = untold.answer().await else { return };
                if let Some(mend) = abandoned.belated(&object, &answer, now()) {
                    edge.objects().ask_one(&mend).await.ok();
                }
            });
        }
    }
}
