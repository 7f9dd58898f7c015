//! Publishing over WHIP (RFC 9725): whether an offer can be taken, and the ingest that it becomes.
//!
//! In: a caller who may publish, an offer. Out: the answer, and an ingest of the room that takes part in its call. The HTTP
//! around it is [`crate::whx`]'s.

use std::sync::Arc;

use telstar_sfu::Kind;
use telstar_sfu::offer::{Direction, Offer, OfferedSection};
use telstar_signaling::room::KickReason;
use telstar_signaling::wire::call::{LeaveReason, Mode, TrackKind, TrackSource};
use telstar_signaling::wire::{ErrorCode, Layer, Mid, Name, PublishedTrack};
use telstar_units::TrackId;

use crate::api::error::{Code, Problem};
use crate::auth::{Caller, Holder, Standing};
use crate::calls::{Publisher, ingest_joining, kind_of};
use crate::rooms::{IngestHandle, IngestRequest, IngestVia, PublishRefusal, RoomEntry};
use crate::state::AppState;

/// Simulcast encodings of one picture. Browsers send three at most, OBS four.
const LAYERS_MAX: usize = 4;

/// Somebody who may publish into a room.
pub struct Entrant {
    /// Who.
    pub caller: Caller,
    /// Where.
    pub room: Arc<RoomEntry>,
    /// What the encoder calls itself.
    pub encoder: Option<String>,
}

/// An ingest over WebRTC. Dropping it ends it.
pub struct Publication {
    publisher: Publisher,
    handle: IngestHandle,
}

/// Finds out what an offer brings: one picture, one sound, or both.
pub fn tracks_of(offer: &Offer) -> Result<Vec<PublishedTrack>, Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::UnacceptableOffer, detail));
    if !offer.bundles_all {
        return refuse("All media sections must be bundled (max-bundle).");
    }
    // Whoever offers one role in DTLS is answered the other (RFC 8842 §5.3): ffmpeg 8 offers to be passive.
    if offer.streams > 1 {
        return refuse("There can be one MediaStream.");
    }
    let mut tracks: Vec<PublishedTrack> = Vec::new();
    for section in &offer.sections {
        let kind = match section.kind {
            Some(Kind::Audio) => TrackKind::Audio,
            Some(Kind::Video) => TrackKind::Video,
            None => return refuse("There can be no data channel."),
        };
        if !section.active || !matches!(section.direction, Direction::SendOnly | Direction::SendRecv) {
            return refuse("Every media section must be sendonly.");
        }
        if !section.rtcp_mux {
            return refuse("Every media section must have a=rtcp-mux.");
        }
        if !section.known_codec {
            return refuse("Of video, H.264, VP8, VP9 and AV1 can be sent, and of audio Opus.");
        }
        if section.rids.len() > LAYERS_MAX {
            return refuse("There can be four simulcast encodings.");
        }
        if tracks.iter().any(|track| track.kind == kind) {
            return refuse("There can be one video track and one audio track.");
        }
        tracks.push(track_of(section, kind)?);
    }
    if tracks.is_empty() { refuse("There is no media section.") } else { Ok(tracks) }
}

fn track_of(section: &OfferedSection, kind: TrackKind) -> Result<PublishedTrack, Problem> {
    let name =
        |text: &String| Mid::parse(text.clone()).ok_or_else(|| Problem::new(Code::BadSdp, "A name is too long."));
    let source = if kind == TrackKind::Video { TrackSource::Camera } else { TrackSource::Microphone };
    let layer = |rid: &String| Ok(Layer { rid: name(rid)?, width: 0, height: 0, frame_rate: 0, bitrate_bps: 0 });
    let layers = lowest_first(&section.rids).iter().map(layer).collect::<Result<Vec<_>, Problem>>()?;
    Ok(PublishedTrack { mid: name(&section.mid)?, kind, source, name: Name::default(), muted: false, layers })
}

/// Simulcast encodings from the lowest to the highest. SDP does not say which is which (RFC 8853 §5.2 orders by preference),
/// so the names that are in use decide: `q h f` (LiveKit), `l m h`, and else the order in which they stand, which is that of
/// the browser's `sendEncodings`. OBS 32 calls the best one 0.
fn lowest_first(rids: &[String]) -> Vec<String> {
    const NAMES: [&[&str]; 5] = [
        &["3", "2", "1", "0"],
        &["q", "h", "f"],
        &["l", "m", "h"],
        &["low", "mid", "high"],
        &["low", "medium", "high"],
    ];
    let known = NAMES.iter().find(|names| rids.iter().all(|rid| names.contains(&rid.as_str())));
    let mut rids = rids.to_vec();
    if let Some(names) = known {
        rids.sort_by_key(|rid| names.iter().position(|name| name == rid));
    }
    rids
}

impl Publication {
    /// Opens the room's ingest, lets it join the call and gives the answer to its offer.
    pub async fn begin(
        state: &AppState,
        entrant: Entrant,
        sdp: String,
        tracks: Vec<PublishedTrack>,
    ) -> Result<(Publication, String), Problem> {
        let Entrant { caller, room, encoder } = entrant;
        if room.mode() == Mode::P2p {
            return Err(ErrorCode::WrongMode.into());
        }
        let key = match &caller.standing {
            Standing::StreamKey(pass) => Some(pass.key),
            _ => None,
        };
        let request = IngestRequest {
            room: room.facts().name.clone(),
            key,
            protocol: "whip",
            encoder: encoder.map(Into::into),
            via: IngestVia::Call,
        };
        let handle = state.rooms.open_ingest(request).await.map_err(|refusal| match refusal {
            PublishRefusal::InUse => Problem::new(Code::InUse, "Somebody else publishes into this room."),
            PublishRefusal::NoRoom => Problem::not_found("room"),
            PublishRefusal::Busy => Problem::new(Code::Unavailable, "The server has too much to do; try again."),
        })?;
        // The key may have been revoked while the room decided, when nobody published with it yet.
        if let Standing::StreamKey(pass) = &caller.standing
            && !state.authority.still_good(pass).await?
        {
            return Err(Problem::unauthorised());
        }
        let (identity, name) = introduction(&caller);
        let kinds: Vec<TrackKind> = tracks.iter().map(|track| track.kind).collect();
        let mids: Vec<String> = tracks.iter().map(|track| track.mid.as_str().to_owned()).collect();
        let joining = ingest_joining(handle.participant(), identity, &name);
        let mut publisher = Publisher::join(&state.calls, &room, joining, caller.token()).await?;
        let (answer, published) = publisher.publish(sdp, tracks).await?;
        let kind_at = |mid: &String| mids.iter().position(|known| known == mid).map(|index| kind_of(kinds[index]));
        let landing: Vec<(TrackId, Kind)> =
            published.iter().filter_map(|(mid, track)| Some((*track, kind_at(mid)?))).collect();
        handle.land(landing);
        Ok((Publication { publisher, handle }, answer))
    }

    /// Offers the same media with other ICE credentials: the answer.
    pub async fn restart(&mut self, sdp: String) -> Result<String, Problem> {
        Ok(self.publisher.publish(sdp, Vec::new()).await?.0)
    }

    /// A candidate of the peer; empty for the end of them.
    pub fn candidate(&mut self, candidate: String) {
        self.publisher.candidate(candidate);
    }

    /// Completes when it was sent away, or its media has ended: whether the stream is over with it. Cancel-safe.
    pub async fn over(&mut self) -> bool {
        tokio::select! {
            reason = self.handle.kicked() => reason != KickReason::TakenOver,
            reason = self.publisher.over() => reason == LeaveReason::Removed,
        }
    }

    /// Leaves the call and the room.
    pub async fn leave(self, stream_over: bool) {
        self.publisher.leave(stream_over).await;
    }
}

/// Who it is in the call, and what it is called there.
fn introduction(caller: &Caller) -> (String, String) {
    let identity = caller.principal.as_ref().map(|principal| principal.subject.clone()).unwrap_or_default();
    let name = match &caller.standing {
        Standing::StreamKey(pass) => pass.label.clone(),
        Standing::Token(pass) => match &pass.holder {
            Holder::Named { name, .. } => name.clone().unwrap_or_default(),
            Holder::Anybody => String::new(),
        },
        Standing::Anonymous | Standing::Session(..) | Standing::ApiToken(..) | Standing::AssetToken(_) => String::new(),
    };
    (identity, name)
}
