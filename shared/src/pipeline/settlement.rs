//! What is done beside an answer and behind it, run by the shell on its own: it outlives a client that leaves.
//!
//! The books of one admitted request are closed exactly once, whatever happens to it. Its [`Trail`] travels with the
//! request; wherever that ends, or is dropped, the trail hands over the record.
//!
//! [`Trail`]: crate::pipeline::accounting::Trail

use futures_util::future::join;

use super::accounting::task::{Settlement, Task};
use crate::platform::Platform;

impl<P: Platform> Settlement<P> {
    /// Waits for the request's end, then closes its books. It has to run beside the answer, from the beginning: it says
    /// meanwhile that the call is still under way, without which its places and its key are free after
    /// [`crate::limits::account::HELD`], and makes the call where calls are shared.
    pub async fn run(self) {
        let Self { platform, task } = self;
        // Refused before it was admitted, and charged by then: nothing is owed.
        let Ok(task) = task.await else { return };
        match task {
            // Only where something is held is there room for it.
            Task::Hold(held, books) => Box::pin(held.beside(books)).await,
            task
            @ (Task::Close(_) | Task::Charge(_) | Task::Lead(_) | Task::Relay(..) | Task::Session(_)) => {
                task.end(&platform).await;
            }
        }
    }
}

impl<P: Platform> Task<P> {
    async fn end(self, platform: &P) {
        match self {
            Self::Close(left) => left.close(platform, None).await,
            // Where the store is lost, so is this.
            Self::Charge(charge) => drop(charge.make(platform).await),
            Self::Lead(lead) => {
                // Most requests lead no call, and a call is large.
                let (books, pilot) = Box::pin(lead.fly()).await;
                // Its books come from the call that has just ended.
                let Ok(Self::Close(left)) = books.task.await else { return };
                left.close(platform, Some(pilot)).await;
            }
            Self::Relay(relay, books) => {
                let close = async {
                    // Whoever asked for it first may leave before its end.
                    if let Ok(Self::Close(left)) = books.task.await {
                        left.close(platform, None).await;
                    }
                };
                Box::pin(join(relay.run(), close)).await;
            }
            Self::Session(session) => {
                let books = Box::pin(session.run()).await;
                if let Ok(Self::Close(left)) = books.task.await {
                    left.close(platform, None).await;
                }
            }
            // It is said before anything else, once.
            Self::Hold(..) => {}
        }
    }
}
