//! The Rust client of Telstar: joins calls, publishes and subscribes, sends data.
//! In: an address, a credential. Out: [`Call`], with tracks as RTP and everything else as [`Event`]s.
//!
//! ```no_run
//! # async fn example() -> Result<(), telstar_client::Error> {
//! use telstar_client::{Client, Credential, Event, JoinOptions};
//!
//! let client = Client::connect("ws://127.0.0.1:8080/ws", Credential::Token("eyJ…".into())).await?;
//! let call = client.join("demo", JoinOptions::default()).await?;
//! let mut events = call.events();
//! while let Some(event) = events.next().await {
//!     if let Event::ParticipantJoined { participant } = event {
//!         println!("{} is here", participant.identity);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Publication`] publishes over WHIP and [`View`] watches over WHEP, at this server or any other.
//!
//! Signalling is tokio-tungstenite, media is the `webrtc` crate: an implementation that the server does not share.
//!
//! Media travels over UDP only. `webrtc` 0.21 can open a TCP connection to the server's passive candidate (RFC 6544), but
//! never comes to use it: it repeats its checks, each of which the server answers, and does not connect. The server sends
//! nothing unasked over such a path (`tests/calls/tcp.rs`), and browsers hold calls over it.

mod call;
mod client;
pub mod clip;
mod error;
mod media;
mod signal;
mod whx;
pub mod wire;

pub use call::{Call, Events};
pub use client::{Client, ConnectOptions, Credential, JoinOptions};
pub use error::Error;
pub use media::engine::{Codec, media_engine};
pub use media::local::{LocalTrack, LocalTrackOptions, Sample};
pub use media::remote::RemoteTrack;
pub use signal::{Pending, Signal};
pub use whx::{Http, Publication, View, ViewedTrack, WhxOptions};
pub use wire::{Direction, Event, Kind, Layer, Participant, Source, Subscription, Track};

/// A packet of media (RFC 3550 §5.1).
pub use rtc::rtp::Packet as RtpPacket;
/// What a connection is doing: ICE and DTLS together.
pub use webrtc::peer_connection::RTCPeerConnectionState as ConnectionState;
/// What [`Call::stats`] gives: the entries of the W3C's `getStats`.
pub use webrtc::peer_connection::RTCStatsReport as Stats;

/// What one lossy message may carry. Above about 1,100 bytes it takes more than one packet and is lost more often.
pub const LOSSY_BYTES_MAX: usize = 16 * 1024;

fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u32::from_le_bytes(bytes)
}

/// At least 0, below 1.
fn random_unit() -> f64 {
    f64::from(random_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// Tasks of this crate are detached and end by themselves with what they serve: the socket, the call, a published track, a
/// section or a data channel of its connections. There are as many as of those: one each.
#[expect(clippy::disallowed_methods, reason = "a client has no app whose shutdown would wait for it")]
fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(task)
}
