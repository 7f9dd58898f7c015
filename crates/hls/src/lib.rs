//! Low-latency HLS (RFC 8216bis) as a core without I/O: frames in, playlists and CMAF parts out.
//!
//! [`Packager`] takes the frames of one room's main picture and emits an immutable [`Snapshot`] whenever viewers see
//! something new. [`request`] answers HTTP requests from a snapshot alone. Payloads are shared, never copied.
//! This crate knows no socket, clock, file or protocol of ingest; `now` and the wall time come in as arguments.
//!
//! How times become playlists:
//! - *One timeline.* `tfdt` is the participant's own time, for both renditions, shifted by whole seconds only if it
//!   begins below zero. There is no edit list: a stream with B-frames begins with a positive composition offset, and its
//!   first picture is shown that much after its sound begins, exactly as the encoder said.
//! - *Presentation times are exact.* Decode times are exact but for the first sample of a video part whose predecessor
//!   was closed on a predicted duration; see `video.rs`. Sample durations always add up to the next `tfdt`.
//! - *Three renditions at most.* The picture decides where segments end; sound, and the alternate (the same picture in H.264 while
//!   somebody may need it), end theirs there.
//! - *Parts leave with their last frame* while video comes evenly, else with the next frame. With a variable frame rate a
//!   part may therefore miss 85 % of the part target, and a frame that lasts longer than the part target makes a part
//!   that does too: nothing but re-encoding could cut it.
//! - *The target duration never changes* while a playlist goes on, not even for a new epoch (RFC 8216bis §6.2.1). A
//!   longer group of pictures is cut there; the next keyframe begins a segment again.

mod audio;
mod budget;
mod cadence;
mod config;
mod follower;
mod lane;
mod listing;
mod multivariant;
mod packager;
mod pictures;
mod playlist;
mod prelude;
mod rendered;
mod rendition;
pub mod request;
mod segment;
mod shelf;
mod snapshot;
mod video;
pub mod vod;

pub use budget::Budget;
pub use config::{DvrWindow, HlsConfig};
pub use multivariant::CodecFacts;
pub use packager::{Counters, Effect, KeptInit, KeptListing, Numbers, Packager, Warning};
pub use playlist::{PartId, RenditionId, rendition_name};
pub use rendered::{Rendered, gzip};
pub use rendition::Init;
pub use segment::{Content, KeyPicture, Part, Segment, SegmentId};
pub use snapshot::{RenditionView, Snapshot, State};
pub use telstar_fmp4::{InitError, init_segment};
