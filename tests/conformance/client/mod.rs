//! A low-latency HLS client that judges the server it watches.
//!
//! A base address goes in, what the server breaks comes out. It speaks HTTP and nothing else, and knows no server: its
//! readers of playlists and boxes are written from the standards.
//! It works in two steps. [`watch`] behaves like players do (blocking reloads, hinted parts, whole segments, removed ones)
//! and asks what only a test asks; each exchange goes into a [`Record`](record::Record). [`rules`] judge the record when
//! it is whole, so that a rule is a plain function of what was seen.
//!
//! - `line`, `date`: the grammar of playlists, `playlist` and `multivariant`: what they say;
//! - `mp4`: samples of parts and segments;
//! - `http`, `record`: exchanges;
//! - `watch`, `follow`, `probes`: what is asked, and when;
//! - `session`: the record, read;
//! - `rules`: one function for each rule of the checklist.

mod date;
mod follow;
mod http;
mod line;
mod mp4;
mod multivariant;
mod playlist;
mod probes;
mod record;
mod report;
mod rules;
mod session;
mod watch;

pub use mp4::Sample;
pub use playlist::Resource;
pub use record::{MediaKind, Record, What};
pub use report::Report;
pub use rules::{NOT_JUDGED, RULES, judge};
pub use session::{Log, Session};
pub use watch::{Course, Options, watch, watch_one};

/// Watches a stream and judges it.
pub async fn examine(options: Options) -> Report {
    judge(&Session::read(watch(options).await))
}
