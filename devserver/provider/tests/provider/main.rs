//! The simulated provider as a client sees it: real sockets, port 0, HTTP by hand.

mod apis;
mod azure;
mod chat;
mod client;
mod echo;
mod faults;
mod http2;
mod responses;
