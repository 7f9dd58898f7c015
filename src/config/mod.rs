//! The configuration: flags over environment over `telstar.toml` over defaults, parsed once into checked types.
//!
//! In: text from three places. Out: a [`Config`] that needs no further check, or every mistake at once, each with its
//! file, line, key and what is allowed. One file here is one section; the commented sample file is made from their
//! doc comments. Nothing here knows what the values are for.

pub mod address;
mod document;
mod general;
mod hls;
mod limits;
mod load;
mod log;
mod media;
mod play;
mod rtmp;
pub mod section;
mod shutdown;
mod tls;
mod transcode;
pub mod value;
mod vod;
mod webhooks;
mod whep;
mod whip;

pub use document::commented_file;
pub use general::General;
pub use hls::{Hls, PlaylistType};
pub use limits::Limits;
pub(crate) use load::flag_of;
pub use load::{CONFIG_VARIABLE, ConfigError, ConfigErrors, Layers, Origin, check_file, variable_of};
pub use log::{Log, LogFormat, LogLevel};
pub use media::{Advertised, IceLite, Media};
pub use play::Play;
pub use rtmp::{Rtmp, SecondPublisher};
pub use shutdown::Shutdown;
pub use tls::{Tls, TlsMode};
pub use transcode::{Sandbox, Transcode, VideoPreset};
pub use vod::{Encryption, RenditionPreset, Vod};
pub use webhooks::Webhooks;
pub use whep::Whep;
pub use whip::Whip;

use section::{Refusal, Section, SectionInfo};
use value::Raw;

/// Declares the whole configuration as a table of sections.
macro_rules! sections {
    ($( $(#[doc = $doc:literal])* $field:ident : $section:ty = $name:literal ),* $(,)?) => {
        /// Everything an operator can decide.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Config { $( $(#[doc = $doc])* pub $field: $section, )* }

        impl Config {
            /// Describes every section and key.
            pub fn describe() -> Vec<SectionInfo> {
                vec![ $( SectionInfo { name: $name, docs: <$section>::DOCS, keys: <$section>::keys() }, )* ]
            }

            /// Replaces one value; `section` is empty for the keys at the top.
            fn set(&mut self, section: &str, key: &str, raw: &Raw<'_>) -> Result<(), Refusal> {
                match section {
                    $( $name => self.$field.set(key, raw), )*
                    _ => Err(Refusal::UnknownKey),
                }
            }
        }
    };
}

sections! {
    /// The keys at the top of the file.
    general: General = "",
    /// The certificate.
    tls: Tls = "tls",
    /// What encoders may do. The table is not called `rtmp`, because that is the listener's key.
    rtmp: Rtmp = "ingest",
    /// Players over RTMP.
    play: Play = "play",
    /// Low-latency HLS out.
    hls: Hls = "hls",
    /// Calls to apps.
    webhooks: Webhooks = "webhooks",
    /// Calls.
    media: Media = "media",
    /// Publishing over WHIP.
    whip: Whip = "whip",
    /// Watching over WHEP.
    whep: Whep = "whep",
    /// Conversions.
    transcode: Transcode = "transcode",
    /// Video on demand.
    vod: Vod = "vod",
    /// The log.
    log: Log = "log",
    /// What clients may take.
    limits: Limits = "limits",
    /// How the server ends.
    shutdown: Shutdown = "shutdown",
}

/// A key's full name as it stands in messages: `hls.part_ms`, or `http` at the top.
pub(crate) fn full_name(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
