//! Watching over WHEP (draft-ietf-wish-whep): whether an offer can be taken, and the viewer that it becomes.
//!
//! In: a caller who may watch, an offer. Out: the answer, and a viewer of the room's main picture, which is mixed for it if it is a
//! call's. The HTTP around it is
//! [`crate::whx`]'s.

use std::sync::Arc;

use telstar_sfu::offer::{Direction, Offer};
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::wire::call::Mode;

use crate::api::error::{Code, Problem};
use crate::calls::Viewer;
use crate::rooms::{RoomEntry, ViewerGuard, ViewerKey, ViewerKind};
use crate::state::AppState;

pub use super::hls::access::{Viewing, admit};

/// A viewer over WebRTC. Dropping it ends it.
pub struct View {
    viewer: Viewer,
    /// Counts it as a viewer of the room.
    _counted: ViewerGuard,
}

/// Whether an offer can be taken: to receive, over one transport.
pub fn check(offer: &Offer) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::UnacceptableOffer, detail));
    if !offer.bundles_all {
        return refuse("All media sections must be bundled (max-bundle).");
    }
    if offer.setup_active {
        return refuse("a=setup must be actpass.");
    }
    let mut media = offer.sections.iter().filter(|section| section.kind.is_some()).peekable();
    if media.peek().is_none() {
        return refuse("There is no media section.");
    }
    for section in media {
        if !section.active || !matches!(section.direction, Direction::RecvOnly | Direction::SendRecv) {
            return refuse("Every media section must be recvonly.");
        }
        if !section.rtcp_mux {
            return refuse("Every media section must have a=rtcp-mux.");
        }
        if !section.known_codec {
            return refuse("Of video, H.264, VP8, VP9 and AV1 can be received, and of audio Opus.");
        }
    }
    Ok(())
}

impl View {
    /// Begins to watch: the answer to the offer.
    pub async fn begin(
        state: &AppState,
        room: &Arc<RoomEntry>,
        key: ViewerKey,
        sdp: String,
    ) -> Result<(View, String), Problem> {
        if room.mode() == Mode::P2p {
            return Err(ErrorCode::WrongMode.into());
        }
        state.mixes.demand(room);
        let (viewer, answer) = Viewer::begin(&state.calls, room, sdp).await?;
        Ok((View { viewer, _counted: room.viewer(key, ViewerKind::Media) }, answer))
    }

    /// Offers the same media with other ICE credentials: the answer.
    pub async fn restart(&mut self, sdp: String) -> Result<String, Problem> {
        Ok(self.viewer.restart(sdp).await?)
    }

    /// A candidate of the peer; empty for the end of them.
    pub fn candidate(&mut self, candidate: String) {
        self.viewer.candidate(candidate);
    }

    /// Completes when there is nothing to watch any more, or no way to it. Cancel-safe.
    pub async fn over(&mut self) {
        self.viewer.over().await;
    }

    /// Goes.
    pub async fn leave(self) {
        self.viewer.leave().await;
    }
}
