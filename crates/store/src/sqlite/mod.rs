//! The SQLite backend: one file, one writer thread with group commit, a few readers.
//!
//! - `backend`: opening, the threads' lives, and the trait's methods, each handed to a thread;
//! - `threads`: the writer's and the readers' loops;
//! - `migrate`: the schema's numbered steps;
//! - `accounts`, `rooms`, `keys`, `bearers`, `events`, `invites`, `webhooks`, `uploads`, `assets`, `jobs`: the operations, plain functions on a connection.
//!
//! Only this module knows SQL.

mod accounts;
mod assets;
mod attempts;
mod backend;
mod bearers;
mod events;
mod invites;
mod jobs;
mod keys;
mod migrate;
mod rooms;
mod threads;
mod uploads;
mod webhooks;

#[cfg(test)]
mod tests;

pub use backend::SqliteStore;
