//! Timelines of ingests and of those who watch them.

use super::*;
use crate::call::media_api::{FedTracks, NewSource};
use crate::wire::call::{ParticipantKind, TrackKind};

/// The connections of an ingest and of viewers.
const ENCODER: u64 = 100;
const VIEWER: u64 = 200;

impl Rig {
    fn ingest(&mut self, connection: u64) -> ParticipantId {
        self.tickets += 1;
        let id = self.ids.participant();
        let grants = CallGrants { publish: true, ..CallGrants::default() };
        let joining = Joining { kind: ParticipantKind::Ingest, ingest: Some(id), ..joining("alice", grants) };
        self.call.handle_join(self.now, &mut self.ids, ConnectionId(connection), Ticket(self.tickets), joining);
        self.drain();
        id
    }

    fn fed(&mut self, connection: u64, video: bool, audio: bool) {
        self.call.handle_fed(&mut self.ids, ConnectionId(connection), video, audio);
        self.drain();
    }

    fn view(&mut self, connection: u64) {
        self.tickets += 1;
        let (connection, ticket) = (ConnectionId(connection), Ticket(self.tickets));
        self.call.handle_view(self.now, &mut self.ids, connection, ticket, "o".into());
        self.drain();
    }

    /// The peer and the number of the last offer.
    fn last_offer(&self) -> (PeerNumber, u64) {
        let offer = self.media.iter().rev().find_map(|command| match command {
            MediaCommand::Offer { peer, ticket, .. } => Some((*peer, *ticket)),
            _ => None,
        });
        offer.expect("an offer went to the media thread")
    }

    fn answer(&mut self) -> PeerNumber {
        let (peer, ticket) = self.last_offer();
        self.tell(MediaEvent::Answer { peer, ticket, sdp: "a".into() });
        peer
    }

    fn sources(&self) -> Vec<NewSource> {
        let sources = self.media.iter().filter_map(|command| match command {
            MediaCommand::AddSource { source, .. } => Some(*source),
            _ => None,
        });
        sources.collect()
    }

    /// What was said last of what is fed.
    fn feed(&self) -> Option<FedTracks> {
        self.media.iter().rev().find_map(|command| match command {
            MediaCommand::Feed(fed) => Some(*fed),
            _ => None,
        })
    }

    /// The tracks that this connection was subscribed to, and those that it was not any more.
    fn wishes(&self, of: PeerNumber) -> (Vec<TrackId>, Vec<TrackId>) {
        let wish = |wanted: bool| {
            let wishes = self.media.iter().filter_map(move |command| match command {
                MediaCommand::Subscribe { peer, track, subscription } => {
                    (*peer == of && subscription.enabled == wanted).then_some(*track)
                }
                _ => None,
            });
            wishes.collect::<Vec<TrackId>>()
        };
        (wish(true), wish(false))
    }

    fn unpublished(&self) -> Vec<TrackId> {
        let ended = self.media.iter().filter_map(|command| match command {
            MediaCommand::Unpublish { track } => Some(*track),
            _ => None,
        });
        ended.collect()
    }
}

#[test]
fn what_comes_as_frames_is_a_participant_with_tracks_and_a_hidden_alternate() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.forget();
    let id = rig.ingest(ENCODER);
    rig.fed(ENCODER, true, true);
    assert_eq!(rig.kinds_of(1), ["participant-joined", "track-published", "track-published"]);
    assert!(rig.events.is_empty(), "an ingest hears nothing");
    assert_eq!(rig.facts, ["joined", "published", "published"]);
    let sources = rig.sources();
    let [video, audio, alternate] = &sources[..] else { panic!("three sources: {sources:?}") };
    assert_eq!((video.kind, audio.kind), (TrackKind::Video, TrackKind::Audio));
    assert_eq!(alternate.alternate_of, Some(video.track));
    let fed = FedTracks { video: Some(video.track), audio: Some(audio.track), alternate: Some(alternate.track) };
    assert_eq!(rig.feed(), Some(fed));
    let shown = rig.call.participant(id).expect("it takes part");
    assert_eq!((shown.info.kind, shown.tracks.len()), (ParticipantKind::Ingest, 2));
    assert_eq!(rig.call.count(), 2, "alice in the browser stays, whoever the encoder is");

    // The picture goes, and comes back as another track.
    rig.forget();
    rig.fed(ENCODER, false, true);
    assert_eq!(rig.unpublished(), [video.track, alternate.track]);
    assert_eq!(rig.feed(), Some(FedTracks { audio: Some(audio.track), ..FedTracks::default() }));
    rig.fed(ENCODER, true, true);
    assert_eq!(rig.sources().len(), 2, "a picture and what stands in for it");

    rig.forget();
    rig.call.handle_gone(ConnectionId(ENCODER), LeaveReason::Left);
    rig.drain();
    assert_eq!(rig.feed(), Some(FedTracks::default()));
    assert_eq!(rig.unpublished().len(), 3);
    assert_eq!(rig.kinds_of(1), ["participant-left"]);
    assert!(rig.overs.is_empty(), "it went by itself");
}

#[test]
fn what_comes_as_packets_gets_an_alternate_once_it_is_answered() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.ingest(ENCODER);
    rig.publish(ENCODER, "video");
    let sources = rig.sources();
    let [alternate] = &sources[..] else { panic!("one source: {sources:?}") };
    assert_eq!(rig.feed(), Some(FedTracks { alternate: Some(alternate.track), ..FedTracks::default() }));
    rig.forget();
    let subscribes =
        |command: &MediaCommand| matches!(command, MediaCommand::AddPeer { role: PeerRole::Subscriber, .. });
    assert!(!rig.media.iter().any(subscribes), "it receives nothing");
    rig.call.handle_gone(ConnectionId(ENCODER), LeaveReason::Left);
    rig.drain();
    assert_eq!(rig.unpublished(), [alternate.track], "its own tracks end with its connection");
    assert!(rig.call.is_empty());
}

#[test]
fn an_ingest_ends_with_its_media_and_is_told_why() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "bob", CallGrants::ALL);
    for (how, reason) in [
        ("media", LeaveReason::Timeout),
        ("removed", LeaveReason::Removed),
        ("grants", LeaveReason::Removed),
        ("closed", LeaveReason::RoomDeleted),
    ] {
        rig.forget();
        let id = rig.ingest(ENCODER);
        rig.publish(ENCODER, "video");
        let (peer, _) = rig.last_offer();
        match how {
            "media" => rig.tell(MediaEvent::Failed { peer, fault: MediaFault::NoPath }),
            "removed" => rig.call.admin_remove(id).expect("it is there"),
            "grants" => {
                let change = crate::wire::ParticipantChange { grants: Some(Vec::new()), ..Default::default() };
                drop(rig.call.admin_update(&mut rig.ids, id, change));
            }
            _ => rig.call.handle_close(LeaveReason::RoomDeleted),
        }
        rig.drain();
        assert_eq!(rig.overs, [(ENCODER, reason)], "{how}");
        assert!(rig.call.participant(id).is_none(), "{how}");
    }
    assert!(rig.call.is_empty());
}

#[test]
fn a_viewer_gets_the_main_picture_and_is_nobody_in_the_call() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.publish(1, "video");
    rig.forget();
    rig.ingest(ENCODER);
    rig.fed(ENCODER, true, true);
    let main: Vec<TrackId> =
        rig.sources().iter().filter(|source| source.alternate_of.is_none()).map(|one| one.track).collect();
    rig.forget();
    rig.view(VIEWER);
    let peer = rig.answer();
    assert!(matches!(&rig.replies[..], [(VIEWER, Ok(CallReply::Watching { sdp }))] if sdp == "a"));
    assert_eq!(rig.wishes(peer), (main.clone(), vec![]));
    assert!(rig.events.is_empty() && rig.facts.is_empty());
    assert_eq!((rig.call.count(), rig.call.viewer_count()), (2, 1));

    // A restart that is refused leaves it as it is; a candidate goes its way.
    rig.forget();
    rig.view(VIEWER);
    let (_, ticket) = rig.last_offer();
    rig.tell(MediaEvent::Rejected { peer, ticket: Some(ticket), fault: MediaFault::BadSdp });
    assert_eq!(rig.verdict(), "bad_sdp");
    rig.call.handle_viewer_candidate(ConnectionId(VIEWER), "candidate:1".into());
    rig.drain();
    assert!(rig.media.contains(&MediaCommand::Candidate { peer, candidate: "candidate:1".into() }));

    // The ingest changes: what is new is shown, what has ended goes by itself.
    rig.forget();
    rig.fed(ENCODER, false, true);
    assert!(!rig.call.viewers_wait());
    rig.fed(ENCODER, true, true);
    let shown = rig.wishes(peer).0;
    assert_eq!(shown.len(), 1);
    assert!(!main.contains(&shown[0]));
    rig.call.handle_gone(ConnectionId(ENCODER), LeaveReason::Left);
    rig.drain();
    assert!(rig.call.viewers_wait());
    rig.forget();
    rig.ingest(ENCODER + 1);
    rig.fed(ENCODER + 1, true, false);
    assert_eq!(rig.wishes(peer).0.len(), 1, "the next ingest is seen without asking");
    assert!(!rig.call.viewers_wait());

    rig.forget();
    rig.call.end_viewers(LeaveReason::Left);
    rig.drain();
    assert_eq!(rig.overs, [(VIEWER, LeaveReason::Left)]);
    assert!(rig.media == [MediaCommand::RemovePeer { peer }]);
}

#[test]
fn a_call_is_watched_as_its_mix_until_an_ingest_is_there_and_while_anybody_is() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.view(VIEWER);
    assert_eq!(rig.verdict(), "not_found", "nobody is there");
    rig.join(1, "alice", member());
    rig.forget();
    rig.view(VIEWER);
    let peer = rig.answer();
    let mix = rig.sources();
    let [video, audio, alternate] = &mix[..] else { panic!("three sources: {mix:?}") };
    assert!(mix.iter().all(|source| source.for_viewers) && alternate.alternate_of == Some(video.track));
    let fed = FedTracks { video: Some(video.track), audio: Some(audio.track), alternate: Some(alternate.track) };
    assert_eq!(rig.feed(), Some(fed));
    assert_eq!(rig.wishes(peer), (vec![video.track, audio.track], vec![]));
    assert!(rig.events.is_empty() && !rig.call.viewers_wait(), "those in the call hear nothing of it");
    assert_eq!((rig.call.count(), rig.call.stage().viewers), (1, 1));
    rig.forget();
    rig.view(VIEWER + 1);
    assert!(rig.sources().is_empty(), "there is one for all");
    rig.call.handle_mix_begun();
    rig.drain();
    assert_eq!(rig.feed(), Some(fed), "told again when the room is there");

    rig.forget();
    rig.ingest(ENCODER);
    rig.fed(ENCODER, true, false);
    assert!(rig.call.stage().has_ingest);
    let ended = rig.unpublished();
    assert!(mix.iter().all(|source| ended.contains(&source.track)));
    let main = rig.sources()[0].track;
    assert_eq!(rig.wishes(peer).0, [main]);
    rig.call.handle_gone(ConnectionId(ENCODER), LeaveReason::Left);
    rig.drain();
    assert!(rig.call.viewers_wait(), "it may come back");
    rig.forget();
    rig.view(VIEWER + 2);
    let again: Vec<TrackId> = rig.sources().iter().map(|source| source.track).collect();
    assert_eq!(rig.wishes(peer).0, again[..2], "whoever waited sees the call as well");
    rig.call.handle_gone(ConnectionId(1), LeaveReason::Left);
    rig.drain();
    assert!(again.iter().all(|track| rig.unpublished().contains(track)));
    assert_eq!(rig.feed(), Some(FedTracks::default()));
}

#[test]
fn screens_come_first_then_who_speaks_and_the_others_stay_where_they_were() {
    let mut rig = Rig::new(Mode::Sfu);
    (1..=3).for_each(|client| rig.join(client, &format!("p{client}"), member()));
    let people: Vec<ParticipantId> = rig.call.participants().iter().map(|one| one.info.id.0).collect();
    (1..=3).for_each(|client| {
        rig.publish(client, "video");
        rig.publish(client, "audio");
    });
    let order = |rig: &Rig| {
        let stage = rig.call.stage();
        let place = |of: ParticipantId| people.iter().position(|id| *id == of).expect("one of them") + 1;
        let pictures: Vec<usize> = stage.pictures.iter().map(|picture| place(picture.participant)).collect();
        let sounds: Vec<usize> = stage.sounds.iter().map(|sound| place(sound.participant)).collect();
        (pictures, sounds, stage.featured)
    };
    assert_eq!(order(&rig), (vec![1, 2, 3], vec![1, 2, 3], false), "nobody has spoken");
    let speaks = |rig: &mut Rig, who: usize| {
        rig.tell(MediaEvent::Speakers { speakers: vec![(people[who - 1], 20), (ParticipantId(77), 1)] });
    };
    speaks(&mut rig, 3);
    assert_eq!(order(&rig), (vec![3, 1, 2], vec![3, 1, 2], true));
    speaks(&mut rig, 2);
    assert_eq!(order(&rig), (vec![2, 1, 3], vec![2, 3, 1], true));
    rig.tell(MediaEvent::Speakers { speakers: vec![] });
    assert_eq!(order(&rig).0, [2, 1, 3], "the last one stays");
    rig.call.handle_gone(ConnectionId(2), LeaveReason::Left);
    rig.drain();
    assert_eq!(order(&rig), (vec![3, 1], vec![3, 1], true));
}

#[test]
fn a_viewer_that_is_not_answered_or_has_no_way_is_nobodys() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.ingest(ENCODER);
    rig.fed(ENCODER, true, false);
    rig.forget();
    rig.view(VIEWER);
    rig.now += OFFER_TIMEOUT;
    assert_eq!(rig.call.poll_timeout(), Some(rig.now));
    rig.call.handle_timeout(rig.now);
    rig.drain();
    assert_eq!(rig.verdict(), "unavailable");
    assert_eq!(rig.call.viewer_count(), 0);
    rig.view(VIEWER);
    let (peer, ticket) = rig.last_offer();
    rig.tell(MediaEvent::Rejected { peer, ticket: Some(ticket), fault: MediaFault::NoCodec });
    assert_eq!((rig.verdict().as_str(), rig.call.viewer_count()), ("no_codec", 0));
    rig.view(VIEWER);
    let peer = rig.answer();
    rig.forget();
    rig.tell(MediaEvent::Failed { peer, fault: MediaFault::NoPath });
    assert_eq!(rig.overs, [(VIEWER, LeaveReason::Timeout)]);
    assert_eq!(rig.call.viewer_count(), 0);
    rig.call.config.viewers_max = 1;
    rig.view(VIEWER);
    rig.replies.clear();
    rig.view(VIEWER + 1);
    assert_eq!(rig.verdict(), "room_full");
}

#[test]
fn neither_is_in_a_room_whose_browsers_send_to_each_other() {
    let mut rig = Rig::new(Mode::P2p);
    rig.ingest(ENCODER);
    assert_eq!(rig.verdict(), "wrong_mode");
    rig.view(VIEWER);
    assert_eq!(rig.verdict(), "wrong_mode");
    assert!(rig.call.is_empty() && rig.media.is_empty());
}

#[test]
fn what_is_fed_begins_anew_when_the_media_thread_has_lost_it() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.ingest(ENCODER);
    rig.fed(ENCODER, true, true);
    let before: Vec<TrackId> = rig.sources().iter().map(|source| source.track).collect();
    rig.forget();
    rig.call.handle_media_lost(&mut rig.ids);
    rig.drain();
    let after = rig.sources();
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|source| !before.contains(&source.track)));
    assert!(rig.feed().is_some_and(|fed| fed.video.is_some() && fed.audio.is_some() && fed.alternate.is_some()));
    assert_eq!(rig.facts, ["unpublished", "unpublished", "published", "published"]);
}

#[test]
fn messages_are_not_for_an_ingest() {
    let mut rig = Rig::new(Mode::Sfu);
    rig.join(1, "alice", member());
    rig.join(2, "bob", member());
    let id = rig.ingest(ENCODER);
    rig.forget();
    rig.ask(1, json!({ "type": "send-data", "data": 1 }));
    assert_eq!((rig.verdict().as_str(), rig.kinds_of(2)), ("ok", vec!["data".to_owned()]));
    assert!(rig.events.is_empty());
    rig.ask(1, json!({ "type": "send-data", "to": [format!("p{id}")], "data": 1 }));
    assert_eq!(rig.verdict(), "not_found");
}
