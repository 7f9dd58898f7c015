//! The gateway: sockets of clients on one side, signalling connections on the other.
//!
//! In: upgrade requests for `/ws`. Out: one task per connection that moves bytes between its socket, its core
//! (`telstar_signaling::Connection`), its topics and the rules. What is said on the wire only the core knows.
//!
//! - `ws`: the route: who may open a socket, and how many may;
//! - `session`: one connection's task;
//! - `holder`: what its credential says;
//! - `line`: its socket of the moment;
//! - `sessions`: where a client that lost its socket is found again;
//! - `pump`: a socket and a core, without ever waiting for a slow reader;
//! - `rights`: what a caller may subscribe to;
//! - `topics`: events, serialised once and handed to every subscriber.

mod admission;
mod holder;
mod line;
mod pump;
mod rights;
mod session;
mod sessions;
mod topics;
mod ws;

pub use ws::{Gateway, router};
