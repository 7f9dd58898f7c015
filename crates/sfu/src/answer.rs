//! Offers of peers, answered: which of their sections become what.

use crate::api::{Event, Fault, NewLayer, NewTrack, PeerId};
use crate::demux::Key;
use crate::peer::{Link, Peer, Side};
use crate::room::{Room, Track};
use crate::sdp::Sheet;
use crate::sfu::Sfu;

/// Candidates of one peer until it restarts ICE. Browsers have about ten.
const CANDIDATES_MAX: usize = 32;
/// A publisher's sections: its tracks, those it ended, the data channel.
const SPARE_SECTIONS: usize = 8;

impl Sfu {
    pub(crate) fn offered(&mut self, peer: PeerId, ticket: u64, sdp: &str, tracks: Vec<NewTrack>) {
        let Some(key) = self.key(peer) else { return };
        let limits = self.config.limits;
        let outcome = self.touch(key, |sfu, peer| {
            if !matches!(peer.side, Side::Publisher(_)) {
                return Err(Fault::BadSdp);
            }
            let mut sheet = Sheet::read(sdp, limits.tracks + SPARE_SECTIONS)?;
            sfu.check_tracks(peer, &sheet, &tracks)?;
            sheet.sections.iter_mut().for_each(crate::sdp::Section::make_one_way);
            let publisher = peer.publisher().ok_or(Fault::BadSdp)?;
            let known: Vec<String> = publisher.sections.keys().cloned().collect();
            let offer = sheet.write(|section| {
                section.kind.is_none()
                    || known.contains(&section.mid)
                    || tracks.iter().any(|track| track.mid == section.mid)
            });
            let answer = peer.engine.answer(&offer)?;
            for candidate in &sheet.candidates {
                add_candidate(peer, candidate);
            }
            let fragment = peer.engine.fragment();
            sfu.name(key, peer, fragment);
            if peer.link == Link::New {
                peer.link = Link::Connecting(sfu.now);
            }
            peer.engine.advance(sfu.now);
            let layers: Vec<Vec<NewLayer>> = tracks.iter().map(|track| layers(&sheet, track)).collect();
            Ok((sheet.in_offered_order(&answer), layers))
        });
        match outcome {
            Some(Ok((answer, layers))) => {
                for (track, layers) in tracks.into_iter().zip(layers) {
                    self.add_track(key, NewTrack { layers, ..track });
                }
                self.events.push_back(Event::Answer { peer, ticket, sdp: answer });
            }
            Some(Err(fault)) => self.events.push_back(Event::Rejected { peer, ticket: Some(ticket), fault }),
            // The connection ended over it; whoever waits for the ticket is told all the same.
            None => self.events.push_back(Event::Rejected { peer, ticket: Some(ticket), fault: Fault::BadSdp }),
        }
    }

    /// Whether the offer's sections can become these tracks.
    fn check_tracks(&self, peer: &mut Peer, sheet: &Sheet, tracks: &[NewTrack]) -> Result<(), Fault> {
        let limits = &self.config.limits;
        let publisher = peer.publisher().ok_or(Fault::BadSdp)?;
        if publisher.sections.len() + tracks.len() > limits.tracks {
            return Err(Fault::TooMany);
        }
        for track in tracks {
            let section = sheet.sections.iter().find(|section| section.mid == track.mid).ok_or(Fault::BadSdp)?;
            if section.kind != Some(track.kind) || !section.active || !section.sends() {
                return Err(Fault::BadSdp);
            }
            if !section.known_codec {
                return Err(Fault::NoCodec);
            }
            if section.rids.len().max(track.layers.len()) > limits.layers {
                return Err(Fault::TooMany);
            }
            if publisher.sections.contains_key(&track.mid) || self.tracks.contains_key(&track.track) {
                return Err(Fault::BadSdp);
            }
        }
        Ok(())
    }

    fn add_track(&mut self, key: Key, new: NewTrack) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (room, participant) = (peer.room, peer.participant);
        if let Some(publisher) = peer.publisher() {
            publisher.sections.insert(new.mid.clone(), new.track);
        }
        let (id, now, audio_slots) = (new.track, self.now, self.config.limits.audio_slots);
        self.tracks.insert(id, Track::new(now, room, key, participant, new));
        self.rooms.entry(room).or_insert_with(|| Room::new(audio_slots, now)).tracks.insert(id);
        self.assign_room(room);
    }
}

/// The layers of a track: those of the SDP, with what was announced of each. A browser that sends one encoding only
/// sends the best of those that were announced.
fn layers(sheet: &Sheet, track: &NewTrack) -> Vec<NewLayer> {
    let section = sheet.sections.iter().find(|section| section.mid == track.mid);
    let rids = section.map_or(&[][..], |section| &section.rids);
    if rids.is_empty() {
        return track.layers.last().cloned().into_iter().collect();
    }
    let announced = |rid: &String| track.layers.iter().position(|layer| layer.rid == *rid);
    let unknown = |rid: &String| NewLayer { rid: rid.clone(), width: 0, height: 0, frame_rate: 0, bitrate_bps: 0 };
    let mut rids = rids.to_vec();
    // The order of the announcement, which is from the lowest to the highest.
    rids.sort_by_key(|rid| announced(rid).unwrap_or(usize::MAX));
    rids.iter().map(|rid| announced(rid).map_or_else(|| unknown(rid), |index| track.layers[index].clone())).collect()
}

pub(crate) fn add_candidate(peer: &mut Peer, candidate: &str) {
    if !candidate.is_empty() && peer.candidates < CANDIDATES_MAX && peer.engine.add_candidate(candidate) {
        peer.candidates += 1;
    }
}
