//! The simulation that tries to break the core.
//!
//! A run is fully determined by a seed and a [`Profile`]: several replicas of the real core, some that share
//! calls and queues within their process and some that cannot, on one store that is late, lost or unheard;
//! upstreams that fail in every way there is and keep their own account; clients that come in bursts, repeat
//! themselves, read slowly and leave at any poll; replicas that die. Time is virtual, the order of polls is
//! the seed's.
//!
//! Each step is held to the invariants of `reliability.md` by their numbers, with a model of limits,
//! breakers, retry budget and cache beside the real ones that was written without a look at them:
//!
//! | invariant | where it is judged |
//! |---|---|
//! | 1 admissions | `counter`: each against the list of all before it; in sum over all processes at the end |
//! | 2 breakers, probes | `counter`: each gate and each lease; `provider`: each call |
//! | 3 attempts, retries | `provider`: each call; `counter`: each retry |
//! | 4 settlement | `ledger`: each record against the upstream's account; what was admitted, at the end |
//! | 5 permits | `provider`: calls at the same time; at the end, nothing is under way, and nobody waits |
//! | 6 bytes | `counter`: what is kept; `answer`: what is given |
//! | 7 what is kept | `counter`, `ledger`, `answer` |
//! | 8 tenants | `counter`: whatever is kept is found, by its own tenant alone; `answer`: each answer |
//! | 10 buffers | `provider`: each piece that is taken |
//! | 11 streams | `answer`: each answer |
//! | 13 panics | `run`: scripts panic inside the core's calls; all other rules hold for all others |
//! | 15 recovery | `run`: calls that come once the faults have stopped, and the longest open time is over |
//!
//! Elsewhere: 9 (secrets) in `weir-portability` and `weir-native`, where real listeners and logs are; 12
//! (jobs) where processes are killed; 14 (a bad config) in `weir`'s own tests and `weir-native`.
//!
//! What is tolerated is stated here. A call goes by the gates as they were when its books were opened: one
//! that waits for its turn, or for a store that is far away, may reach an upstream whose breaker has opened
//! meanwhile. Under store loss each process counts for itself, so a limit is exceeded by each life of each
//! process by its share, and each has its own breakers and its own retry budget. A reservation of which
//! nobody hears expires: its reply was lost, or its client had left by then. A shell can do better about
//! the second (`Opened::undone`), as the native one does and its tests say.

mod answer;
pub mod case;
mod client;
mod counter;
mod dice;
mod judge;
mod ledger;
mod model;
mod order;
mod paper;
mod plan;
mod profile;
mod provider;
mod replica;
mod report;
mod request;
mod run;
mod scheduler;
mod setup;
mod store;
mod upload;
mod weather;
mod world;

pub use crate::counter::Sabotage;
pub use crate::judge::{Trace, Violation};
pub use crate::profile::Profile;
pub use crate::report::Report;
pub use crate::run::run;
pub use crate::world::Tally;
