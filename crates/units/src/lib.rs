//! The values that every other crate speaks in: ids, names, media time, wall time, bitrate.
//!
//! Nothing flows in or out: these are plain values with checked construction.
//! This crate knows no protocol, no I/O and no clock.

mod id;
mod name;
mod opaque;
mod time;

pub use id::{AccountId, Epoch, LayerId, ParticipantId, TrackId};
pub use name::{NameError, ROOM_NAME_LEN_MAX, ROOM_TITLE_CHARS_MAX, RoomName};
pub use opaque::{AssetName, BlobName, OPAQUE_NAME_LEN, OpaqueNameError, UploadName};
pub use time::{Timescale, WallTime, rescale};

/// A bitrate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// The rate in bits per second.
    pub const fn bps(self) -> u64 {
        self.0
    }
}
