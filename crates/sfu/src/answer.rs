//! Offers of peers, answered: which of their sections become what.
//!
//! A later offer is tried on another engine first. One that fails halfway would leave the connection neither as it was nor as it was to
//! be, and a peer whose restart of ICE fails goes on with what it had (RFC 9725 §4.3.3).

use crate::api::{Event, Fault, Kind, NewLayer, NewTrack, PeerId, Role};
use crate::demux::Key;
use crate::engine::Engine;
use crate::peer::{Link, Peer, Side};
use crate::room::{Origin, Room, Track};
use crate::sdp::{Section, Sheet};
use crate::sfu::{Chore, Sfu};
use crate::subscriber::Slot;

/// Candidates of one peer until it restarts ICE. Browsers have about ten.
const CANDIDATES_MAX: usize = 32;
/// A publisher's sections: its tracks, those it ended, the data channel.
const SPARE_SECTIONS: usize = 8;

/// What an offer became.
struct Answered {
    sdp: String,
    /// Of each new track.
    layers: Vec<Vec<NewLayer>>,
}

impl Sfu {
    pub(crate) fn offered(&mut self, peer: PeerId, ticket: u64, sdp: &str, tracks: Vec<NewTrack>) {
        let Some(key) = self.key(peer) else { return };
        let outcome = self.touch(key, |sfu, peer| match &peer.side {
            Side::Publisher(_) => sfu.answer_publisher(key, peer, sdp, &tracks),
            Side::Subscriber(subscriber) if subscriber.is_viewer => sfu.answer_viewer(key, peer, sdp, &tracks),
            Side::Subscriber(_) => Err(Fault::BadSdp),
        });
        match outcome {
            Some(Ok(Answered { sdp, layers })) => {
                for (track, layers) in tracks.into_iter().zip(layers) {
                    self.add_track(key, NewTrack { layers, ..track });
                }
                self.events.push_back(Event::Answer { peer, ticket, sdp });
            }
            Some(Err(fault)) => self.events.push_back(Event::Rejected { peer, ticket: Some(ticket), fault }),
            // The connection ended over it; whoever waits for the ticket is told all the same.
            None => self.events.push_back(Event::Rejected { peer, ticket: Some(ticket), fault: Fault::BadSdp }),
        }
    }

    fn answer_publisher(
        &mut self,
        key: Key,
        peer: &mut Peer,
        sdp: &str,
        tracks: &[NewTrack],
    ) -> Result<Answered, Fault> {
        let mut sheet = Sheet::read(sdp, self.config.limits.tracks + SPARE_SECTIONS)?;
        self.check_tracks(peer, &sheet, tracks)?;
        sheet.sections.iter_mut().for_each(Section::make_one_way);
        let publisher = peer.publisher().ok_or(Fault::BadSdp)?;
        let known: Vec<String> = publisher.sections.keys().cloned().collect();
        let keep = |section: &Section| {
            section.kind.is_none()
                || known.contains(&section.mid)
                || tracks.iter().any(|track| track.mid == section.mid)
        };
        let answer = self.answer(key, peer, &sheet, keep, tracks)?;
        let layers = tracks.iter().map(|track| layers(&sheet, track)).collect();
        Ok(Answered { sdp: sheet.in_offered_order(&answer), layers })
    }

    /// A viewer's sections become its slots, the n-th for sound and the n-th for pictures a pair. A later offer changes none of them.
    fn answer_viewer(&mut self, key: Key, peer: &mut Peer, sdp: &str, tracks: &[NewTrack]) -> Result<Answered, Fault> {
        // One more for a data channel, which it may have and which nobody uses.
        let mut sheet = Sheet::read(sdp, self.config.limits.slots + 1)?;
        check_viewing(&sheet)?;
        let is_first = peer.agreed.is_empty();
        if !tracks.is_empty() || (!is_first && sheet.sections.len() != peer.agreed.len()) {
            return Err(Fault::BadSdp);
        }
        sheet.sections.iter_mut().for_each(Section::make_viewing);
        let answer = self.answer(key, peer, &sheet, |_| true, tracks)?;
        let mut slots: Vec<(String, Kind, usize)> = Vec::new();
        for (section, kind) in sheet.viewed().filter_map(|section| Some((section, section.kind?))) {
            let pair = slots.iter().filter(|(_, other, _)| *other == kind).count();
            slots.push((section.mid.clone(), kind, pair));
        }
        let stream = |mid: &str| slots.iter().find(|(slot, ..)| slot == mid).map(|(_, _, pair)| format!("pair{pair}"));
        let answer = Sheet::with_streams(&sheet.in_offered_order(&answer), stream);
        let Peer { engine, side: Side::Subscriber(subscriber), .. } = peer else { return Err(Fault::BadSdp) };
        if is_first {
            for (mid, kind, pair) in &slots {
                let random = engine.random();
                subscriber.slots.push(Slot::new(mid.as_str().into(), *kind, *pair, random));
            }
        }
        subscriber.read_sections(engine);
        self.chores.push_back(Chore::Assign(key));
        Ok(Answered { sdp: answer, layers: Vec::new() })
    }

    /// Has the peer's engine answer, and notes what goes with it.
    fn answer(
        &mut self,
        key: Key,
        peer: &mut Peer,
        sheet: &Sheet,
        keep: impl Fn(&Section) -> bool,
        tracks: &[NewTrack],
    ) -> Result<String, Fault> {
        let offer = sheet.write(&keep);
        let needed: Vec<&str> = match &peer.side {
            Side::Publisher(_) => tracks.iter().map(|track| track.mid.as_str()).collect(),
            Side::Subscriber(_) => sheet.viewed().map(|section| section.mid.as_str()).collect(),
        };
        let answer = |engine: &mut Engine| {
            let answer = engine.answer(&offer)?;
            let has_codecs = needed.iter().all(|mid| engine.has_codec(mid));
            if has_codecs { Ok(answer) } else { Err(Fault::NoCodec) }
        };
        if !peer.agreed.is_empty() {
            if !sheet.follows(&peer.agreed) {
                return Err(Fault::BadSdp);
            }
            answer(&mut Engine::new(&self.config, Role::Publisher, self.now))?;
        }
        let before = peer.engine.fragment();
        let answer = answer(&mut peer.engine)?;
        peer.agreed = sheet.agreed(keep);
        let fragment = peer.engine.fragment();
        if fragment != before {
            peer.candidates = 0;
        }
        for candidate in &sheet.candidates {
            add_candidate(peer, candidate);
        }
        self.name(key, peer, fragment);
        if peer.link == Link::New {
            peer.link = Link::Connecting(self.now);
        }
        peer.engine.advance(self.now);
        Ok(answer)
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
        self.tracks.insert(id, Track::new(now, room, Origin::Peer(key), participant, new));
        self.rooms.entry(room).or_insert_with(|| Room::new(audio_slots, now)).tracks.insert(id);
        self.assign_room(room);
    }
}

/// Whether a viewer's offer can be answered as a whole (RFC 9725 §4.4.3: nothing of it is refused alone).
fn check_viewing(sheet: &Sheet) -> Result<(), Fault> {
    if sheet.viewed().count() == 0 || !sheet.viewed().all(Section::receives) {
        return Err(Fault::BadSdp);
    }
    if sheet.viewed().all(|section| section.known_codec) { Ok(()) } else { Err(Fault::NoCodec) }
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
