//! The signalling core: what is said on `/ws`, and what a connection and a topic decide. `docs/protocol.md` is its manual.
//!
//! In: text messages of a client, the answers of the shell (who is this, may it subscribe), events of topics, `now`.
//! Out: text messages, effects for the shell, deadlines.
//! This crate knows no socket, no clock, no task, no store and no rights: it asks the shell through [`Effect`]s.

mod bucket;
pub mod call;
mod connection;
pub mod limits;
mod outbox;
pub mod room;
mod sent;
mod timer;
mod topic;
mod topic_name;
pub mod wire;

pub use connection::{Answer, Connection, Effect, Output, Principal, Resume, Ticket, Token};
pub use limits::{Limits, TopicLimits};
pub use topic::{Audience, Event, ListTopic, Snapshot, StateTopic, Update, Version};
pub use topic_name::{TOPIC_NAME_LEN_MAX, TopicName, TopicNameError};
