//! Durable records: accounts, rooms, credentials, and the trait that every backend implements.
//!
//! Domain operations go in ([`Store`]), each one transaction; a [`Pending`] comes back and is fulfilled after the
//! commit, by threads of the store's own, so that it can be awaited on any runtime or waited for without one.
//! Secrets come in hashed or sealed: this crate knows no secret, no cryptography, no clock and no HTTP, and it
//! decides nobody's rights.
//!
//! ```
//! use telstar_store::{Founding, NewApiKey, NewRoom, NewStreamKey, RoomMode, SecretHash, SqliteStore, Store};
//! use telstar_units::{RoomName, WallTime};
//!
//! let store = SqliteStore::in_memory().expect("memory is there");
//! let founding = Founding {
//!     admin: "admin".into(),
//!     api_key: NewApiKey { id: "ak_1".into(), label: "server".into(), sealed_secret: vec![1; 48] },
//!     room: NewRoom {
//!         name: RoomName::parse("demo").expect("a slug"),
//!         title: "Demo".into(),
//!         open: true,
//!         mode: RoomMode::Sfu,
//!     },
//!     stream_key: NewStreamKey {
//!         label: String::new(),
//!         hint: "sk_ab…".into(),
//!         locator: "abcdefgh".into(),
//!         hash: SecretHash([7; 32]),
//!     },
//! };
//! let founded = store.found(founding, WallTime(0)).wait().expect("an empty store takes its first account");
//! assert!(founded.fresh);
//! ```

mod asset;
mod blobs;
mod error;
mod invite;
pub mod job;
mod pending;
mod record;
mod sqlite;
mod store;
mod webhook;

#[cfg(test)]
mod conformance;

pub use asset::*;
pub use blobs::{BlobError, BlobReader, BlobWriter, Blobs, LocalBlobs};
pub use error::StoreError;
pub use invite::*;
pub use pending::{Pending, Promise};
pub use record::*;
pub use sqlite::SqliteStore;
pub use store::Store;
pub use webhook::*;
