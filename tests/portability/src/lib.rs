//! The core's contract, on a shell that is as unlike a server as can be.
//!
//! [`Shell`] implements [`weir::Platform`] out of `Rc`, `RefCell` and `Cell`: nothing in it is `Send`, and no
//! runtime crate is near. That this crate compiles, for the host, for `wasm32-wasip2` and for
//! `wasm32-unknown-unknown`, is the proof that the core forces no `Send` on a shell; the line below keeps the
//! shell from becoming `Send` by accident, which would make the proof worth nothing.
//!
//! Time is a [`Clock`] that stands still until nothing else can happen, upstreams follow a script, and whatever
//! is sent, booked and counted is kept for the tests in `tests/` to look at. A [`Visit`] polls one request by
//! hand, so a test can leave at any poll. Panics are how this crate tells that a test's own set-up is wrong.

mod clock;
mod crowd;
mod flow;
mod request;
pub mod samples;
mod shell;
mod socket;
mod surroundings;
mod upstream;
mod visit;

pub use crate::clock::{Clock, Sleep};
pub use crate::crowd::{all_to_the_end, stir};
pub use crate::flow::{Beat, End, Flow, Progress, State};
pub use crate::request::{get, post, request};
pub use crate::shell::{Kind, Rolls, Shell};
pub use crate::socket::Socket;
pub use crate::surroundings::{Here, config};
pub use crate::upstream::{Act, Answer, Sent};
pub use crate::visit::{Reply, Step, Visit, exchange};

const _: () = {
    trait Both<Marker> {
        fn is() {}
    }
    impl<T> Both<()> for T {}
    struct IsSend;
    impl<T: Send> Both<IsSend> for T {}
    // Were the shell `Send`, both would fit and neither could be chosen.
    let _ = <Shell as Both<_>>::is;
};
