//! Two calls, eight clients, ingests and viewers that do anything at any time. Each client believes only what it hears.

use super::*;
use crate::call::media_api::FedTracks;

const CLIENTS: u64 = 8;
/// The connections of ingests and of viewers.
const INGESTS: std::ops::Range<u64> = 100..103;
const VIEWERS: std::ops::Range<u64> = 200..204;

#[derive(Clone, Debug)]
enum Step {
    Join {
        room: usize,
        client: u64,
        identity: u8,
        grants: u8,
    },
    Publish(u64),
    Unpublish {
        client: u64,
        track: u64,
    },
    Mute {
        client: u64,
        track: u64,
        muted: bool,
    },
    Rename(u64),
    Grant {
        client: u64,
        target: u64,
        grants: u8,
    },
    Remove {
        client: u64,
        target: u64,
    },
    Data {
        client: u64,
        to: Option<u64>,
    },
    Subscribe {
        client: u64,
        track: u64,
    },
    Leave(u64),
    Gone(u64),
    Presence(u64, bool),
    Rights {
        client: u64,
        grants: Option<u8>,
    },
    /// The media thread answers its oldest offer, or refuses it.
    Answer(bool),
    Fail(u64),
    Wait(u8),
    Close(usize),
    Ingest {
        room: usize,
        client: u64,
    },
    IngestPublish(u64),
    Fed {
        client: u64,
        video: bool,
        audio: bool,
    },
    IngestGone(u64),
    View {
        room: usize,
        client: u64,
    },
    ViewerGone(u64),
    EndViewers(usize),
    /// The media thread has lost everything of a call.
    MediaLost(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    // Ids are small numbers, so that guesses often hit, in the other room as well.
    let id = || 0..20_u64;
    prop_oneof![
        30 => (0..2_usize, client(), 0..5_u8, 0..16_u8)
            .prop_map(|(room, client, identity, grants)| Step::Join { room, client, identity, grants }),
        20 => client().prop_map(Step::Publish),
        6 => (client(), id()).prop_map(|(client, track)| Step::Unpublish { client, track }),
        10 => (client(), id(), any::<bool>()).prop_map(|(client, track, muted)| Step::Mute { client, track, muted }),
        5 => client().prop_map(Step::Rename),
        8 => (client(), id(), 0..16_u8).prop_map(|(client, target, grants)| Step::Grant { client, target, grants }),
        4 => (client(), id()).prop_map(|(client, target)| Step::Remove { client, target }),
        10 => (client(), prop::option::of(id())).prop_map(|(client, to)| Step::Data { client, to }),
        5 => (client(), id()).prop_map(|(client, track)| Step::Subscribe { client, track }),
        5 => client().prop_map(Step::Leave),
        4 => client().prop_map(Step::Gone),
        6 => (client(), any::<bool>()).prop_map(|(client, away)| Step::Presence(client, away)),
        4 => (client(), prop::option::of(0..16_u8)).prop_map(|(client, grants)| Step::Rights { client, grants }),
        20 => prop::bool::weighted(0.8).prop_map(Step::Answer),
        3 => id().prop_map(Step::Fail),
        5 => (0..12_u8).prop_map(Step::Wait),
        1 => (0..2_usize).prop_map(Step::Close),
        8 => (0..2_usize, INGESTS).prop_map(|(room, client)| Step::Ingest { room, client }),
        6 => INGESTS.prop_map(Step::IngestPublish),
        8 => (INGESTS, any::<bool>(), any::<bool>()).prop_map(|(client, video, audio)| Step::Fed { client, video, audio }),
        3 => INGESTS.prop_map(Step::IngestGone),
        10 => (0..2_usize, VIEWERS).prop_map(|(room, client)| Step::View { room, client }),
        3 => VIEWERS.prop_map(Step::ViewerGone),
        1 => (0..2_usize).prop_map(Step::EndViewers),
        1 => (0..2_usize).prop_map(Step::MediaLost),
    ]
}

fn grants(bits: u8) -> CallGrants {
    let bit = |index: u8| bits & (1 << index) != 0;
    CallGrants { publish: bit(0), subscribe: bit(1), chat: bit(2), admin: bit(3) }
}

/// What a client knows of the call that it is in.
struct Known {
    room: usize,
    own: Value,
    offset: u64,
    participants: BTreeMap<String, Value>,
}

/// What a media thread has of a call, as it was told.
#[derive(Default)]
struct Media {
    sources: BTreeSet<TrackId>,
    /// What each viewer wants.
    viewers: BTreeMap<PeerNumber, BTreeSet<TrackId>>,
    fed: FedTracks,
}

struct World {
    now: Instant,
    ids: SequentialIds,
    calls: [Call; 2],
    clients: BTreeMap<u64, Known>,
    /// Which ingests and viewers are in which call, as they were told.
    ingests: BTreeMap<u64, usize>,
    viewers: BTreeMap<u64, usize>,
    /// Where each viewer asks: it is made for one room.
    asked: BTreeMap<u64, usize>,
    media: [Media; 2],
    /// Requests without a reply, by ticket.
    open: BTreeMap<u64, u64>,
    tickets: u64,
    offers: VecDeque<(usize, PeerNumber, u64)>,
}

impl World {
    fn new() -> World {
        let call = || {
            let config = CallConfig { participants_max: 4, tracks_max: 3, log_events_max: 10, ..CallConfig::default() };
            Call::new(config, room(Mode::Sfu), 1)
        };
        World {
            now: Instant::now(),
            ids: SequentialIds::default(),
            calls: [call(), call()],
            clients: BTreeMap::new(),
            ingests: BTreeMap::new(),
            viewers: BTreeMap::new(),
            asked: BTreeMap::new(),
            media: Default::default(),
            open: BTreeMap::new(),
            tickets: 0,
            offers: VecDeque::new(),
        }
    }

    fn ticket(&mut self, client: u64) -> Ticket {
        self.tickets += 1;
        self.open.insert(self.tickets, client);
        Ticket(self.tickets)
    }

    fn ask(&mut self, client: u64, value: Value) {
        // A client that is in no call asks one that it is not in.
        let room = self.clients.get(&client).map_or(0, |known| known.room);
        let ticket = self.ticket(client);
        self.calls[room].handle_request(self.now, &mut self.ids, ConnectionId(client), ticket, request(value));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join { room, client, identity, grants: bits } => {
                if self.clients.get(&client).is_none_or(|known| known.room == room) {
                    let joining = joining(&identity.to_string(), grants(bits));
                    let ticket = self.ticket(client);
                    self.calls[room].handle_join(self.now, &mut self.ids, ConnectionId(client), ticket, joining);
                }
            }
            Step::Publish(client) => self.ask(
                client,
                json!({ "type": "publish", "sdp": "o", "tracks": [{ "mid": "0", "kind": "audio", "source": "other" }] }),
            ),
            Step::Unpublish { client, track } => {
                self.ask(client, json!({ "type": "unpublish", "track": format!("t{track}") }));
            }
            Step::Mute { client, track, muted } => {
                self.ask(client, json!({ "type": "mute", "track": format!("t{track}"), "muted": muted }));
            }
            Step::Rename(client) => self.ask(client, json!({ "type": "update-participant", "name": "new" })),
            Step::Grant { client, target, grants: bits } => {
                let list = grants(bits).list();
                let value = json!({ "type": "update-participant", "participant": format!("p{target}") });
                let mut value = value;
                value["grants"] = serde_json::to_value(list).expect("JSON");
                self.ask(client, value);
            }
            Step::Remove { client, target } => {
                self.ask(client, json!({ "type": "remove", "participant": format!("p{target}") }));
            }
            Step::Data { client, to } => {
                let to = to.map(|to| [format!("p{to}")]);
                self.ask(client, json!({ "type": "send-data", "to": to, "data": client }));
            }
            Step::Subscribe { client, track } => {
                self.ask(client, json!({ "type": "update-subscription", "track": format!("t{track}") }));
            }
            Step::Leave(client) => self.ask(client, json!({ "type": "leave" })),
            Step::Gone(client) => {
                if let Some(known) = self.clients.remove(&client) {
                    self.calls[known.room].handle_gone(ConnectionId(client), LeaveReason::Timeout);
                }
            }
            Step::Presence(client, away) => {
                self.calls.iter_mut().for_each(|call| call.handle_presence(ConnectionId(client), away));
            }
            Step::Rights { client, grants: bits } => {
                for call in &mut self.calls {
                    call.handle_grants(&mut self.ids, ConnectionId(client), bits.map(grants));
                }
            }
            Step::Answer(good) => {
                if let Some((room, peer, ticket)) = self.offers.pop_front() {
                    let event = if good {
                        MediaEvent::Answer { peer, ticket, sdp: "a".into() }
                    } else {
                        MediaEvent::Rejected { peer, ticket: Some(ticket), fault: MediaFault::BadSdp }
                    };
                    self.calls[room].handle_media(self.now, event);
                }
            }
            Step::Fail(peer) => {
                self.media.iter_mut().for_each(|media| drop(media.viewers.remove(&PeerNumber(peer))));
                for call in &mut self.calls {
                    call.handle_media(self.now, MediaEvent::Failed { peer: PeerNumber(peer), fault: MediaFault::NoPath });
                }
            }
            Step::Wait(secs) => {
                self.now += Duration::from_secs(secs.into());
                self.calls.iter_mut().for_each(|call| call.handle_timeout(self.now));
            }
            Step::Close(room) => self.calls[room].handle_close(LeaveReason::RoomDeleted),
            Step::Ingest { room, client } => {
                if !self.ingests.contains_key(&client) {
                    let grants = CallGrants { publish: true, ..CallGrants::default() };
                    let joining = Joining { ingest: Some(self.ids.participant()), ..joining("1", grants) };
                    let ticket = self.ticket(client);
                    self.calls[room].handle_join(self.now, &mut self.ids, ConnectionId(client), ticket, joining);
                }
            }
            Step::IngestPublish(client) => {
                if let Some(room) = self.ingests.get(&client).copied() {
                    let ticket = self.ticket(client);
                    let track = json!({ "mid": "0", "kind": "video", "source": "camera" });
                    let request = request(json!({ "type": "publish", "sdp": "o", "tracks": [track] }));
                    self.calls[room].handle_request(self.now, &mut self.ids, ConnectionId(client), ticket, request);
                }
            }
            Step::Fed { client, video, audio } => {
                if let Some(room) = self.ingests.get(&client).copied() {
                    self.calls[room].handle_fed(&mut self.ids, ConnectionId(client), video, audio);
                }
            }
            Step::IngestGone(client) => {
                if let Some(room) = self.ingests.remove(&client) {
                    self.calls[room].handle_gone(ConnectionId(client), LeaveReason::Left);
                }
            }
            Step::View { room, client } => {
                let room = *self.asked.entry(client).or_insert(room);
                let ticket = self.ticket(client);
                self.calls[room].handle_view(self.now, &mut self.ids, ConnectionId(client), ticket, "o".into());
            }
            Step::ViewerGone(client) => {
                self.viewers.remove(&client);
                self.asked.remove(&client);
                self.calls.iter_mut().for_each(|call| call.handle_viewer_gone(ConnectionId(client)));
            }
            Step::EndViewers(room) => self.calls[room].end_viewers(LeaveReason::Left),
            Step::MediaLost(room) => {
                self.offers.retain(|(of, ..)| *of != room);
                let lost = std::mem::take(&mut self.media[room]);
                let peers: Vec<PeerNumber> =
                    self.calls[room].peers.keys().copied().chain(lost.viewers.into_keys()).collect();
                for peer in peers {
                    let event = MediaEvent::Failed { peer, fault: MediaFault::Internal };
                    self.calls[room].handle_media(self.now, event);
                }
                self.calls[room].handle_media_lost(&mut self.ids);
            }
        }
        for room in 0..2 {
            self.drain(room);
            self.check(room);
        }
    }

    fn drain(&mut self, room: usize) {
        while let Some(effect) = self.calls[room].poll_effect() {
            match effect {
                CallEffect::Reply { connection, ticket, reply } => {
                    assert_eq!(self.open.remove(&ticket.0), Some(connection.0), "a reply comes once, to who asked");
                    self.hear_reply(room, connection.0, reply);
                }
                CallEffect::Event { to, event } => {
                    let value: Value = serde_json::from_str(&format!("{{{}", event.tail)).expect("JSON");
                    to.iter().for_each(|to| self.hear(room, to.0, &value));
                }
                CallEffect::Over { connection, .. } => {
                    // A viewer that was not answered yet is told by the reply.
                    let known = self.ingests.remove(&connection.0).or_else(|| self.viewers.remove(&connection.0));
                    assert!(known == Some(room) || VIEWERS.contains(&connection.0));
                }
                CallEffect::Media(command) => self.carry_out(room, command),
                CallEffect::Fact(_) => {}
            }
        }
    }

    fn carry_out(&mut self, room: usize, command: MediaCommand) {
        let media = &mut self.media[room];
        match command {
            MediaCommand::Offer { peer, ticket, .. } => self.offers.push_back((room, peer, ticket)),
            MediaCommand::AddPeer { peer, role: PeerRole::Viewer, .. } => {
                assert!(media.viewers.insert(peer, BTreeSet::new()).is_none());
            }
            MediaCommand::RemovePeer { peer } => {
                media.viewers.remove(&peer);
            }
            MediaCommand::Subscribe { peer, track, subscription } => {
                if let Some(wanted) = media.viewers.get_mut(&peer) {
                    if subscription.enabled {
                        wanted.insert(track)
                    } else {
                        wanted.remove(&track)
                    };
                }
            }
            MediaCommand::AddSource { source, .. } => assert!(media.sources.insert(source.track), "ids are new"),
            MediaCommand::Unpublish { track } => {
                media.sources.remove(&track);
            }
            MediaCommand::Feed(fed) => media.fed = fed,
            _ => {}
        }
    }

    fn hear_reply(&mut self, room: usize, client: u64, reply: Result<CallReply, ErrorCode>) {
        match reply {
            Ok(CallReply::Joined { .. }) if INGESTS.contains(&client) => {
                assert!(self.ingests.insert(client, room).is_none());
            }
            Ok(CallReply::Watching { .. }) => {
                let before = self.viewers.insert(client, room);
                assert!(before.is_none_or(|before| before == room));
            }
            Ok(CallReply::Joined { participant, version, state, .. }) => {
                let state: Value = serde_json::from_str(state.get()).expect("JSON");
                let all = state["participants"].as_array().expect("a list").clone();
                let participants = all.into_iter().map(|one| (text(&one["id"]), one)).collect();
                let own = json!(format!("p{participant}"));
                let known = Known { room, own, offset: version.offset, participants };
                assert!(self.clients.insert(client, known).is_none(), "nobody is in two calls");
            }
            Ok(CallReply::Left) => assert!(self.clients.remove(&client).is_some()),
            _ => {}
        }
    }

    fn hear(&mut self, room: usize, client: u64, event: &Value) {
        let known = self.clients.get_mut(&client).expect("only members hear anything");
        assert_eq!(known.room, room, "and only of their own call");
        if let Some(offset) = event["offset"].as_u64() {
            assert_eq!(offset, known.offset + 1, "no change is lost or doubled: {event}");
            known.offset = offset;
        }
        let id = || text(&event["participant"]);
        let tracks = |known: &mut Known| {
            let participant = known.participants.get_mut(&id()).expect("somebody known");
            std::mem::take(participant["tracks"].as_array_mut().expect("a list"))
        };
        match event["type"].as_str().expect("a type") {
            "participant-joined" => {
                let participant = event["participant"].clone();
                assert!(known.participants.insert(text(&participant["id"]), participant).is_none());
            }
            "participant-updated" => {
                let mut participant = event["participant"].clone();
                let before = &known.participants[&text(&participant["id"])];
                participant["tracks"] = before["tracks"].clone();
                known.participants.insert(text(&participant["id"]), participant);
            }
            "participant-left" => assert!(known.participants.remove(&id()).is_some()),
            "track-published" => {
                let mut all = tracks(known);
                all.push(event["track"].clone());
                known.participants.get_mut(&id()).expect("known")["tracks"] = json!(all);
            }
            "track-updated" => {
                let mut all = tracks(known);
                let track = all.iter_mut().find(|track| track["id"] == event["track"]["id"]).expect("a known track");
                *track = event["track"].clone();
                known.participants.get_mut(&id()).expect("known")["tracks"] = json!(all);
            }
            "track-unpublished" => {
                let mut all = tracks(known);
                all.retain(|track| track["id"] != event["track"]);
                known.participants.get_mut(&id()).expect("known")["tracks"] = json!(all);
            }
            "data" => {
                assert_ne!(event["from"], known.own, "nobody hears itself");
                let sender = &known.participants[&text(&event["from"])];
                assert!(may(sender, "chat") || may(sender, "publish"));
            }
            "left" => {
                self.clients.remove(&client);
            }
            _ => {}
        }
    }

    /// Everybody knows the truth, and the truth keeps the rules.
    fn check(&self, room: usize) {
        let call = &self.calls[room];
        let truth: BTreeMap<String, Value> = call
            .participants()
            .iter()
            .map(|one| (one.info.id.to_string(), serde_json::to_value(one).expect("JSON")))
            .collect();
        let members = self.clients.values().filter(|known| known.room == room);
        let ingests = self.ingests.values().filter(|of| **of == room).count();
        assert_eq!(members.clone().count() + ingests, truth.len());
        assert!(truth.len() <= 4 + ingests);
        for known in members {
            assert_eq!(known.participants, truth);
        }
        for one in truth.values() {
            let tracks = one["tracks"].as_array().expect("a list");
            assert!(tracks.is_empty() || may(one, "publish"));
            assert!(tracks.len() <= 3);
        }
        for member in call.members.values() {
            assert!(member.publish.is_none() || member.grants.publish);
            assert!(member.subscribe.is_none() || member.grants.subscribe);
        }
        let peers = call.members.values().flat_map(|member| [member.publish, member.subscribe]).flatten().count();
        assert_eq!(call.peers.len(), peers, "no peer connection outlives its owner");
        assert_eq!(call.tracks.len(), call.members.values().map(|member| member.tracks.len()).sum::<usize>());
        assert_eq!(call.by_identity.len() + ingests, call.members.len());
        self.check_media(room);
    }

    /// What is fed belongs to an ingest that is there, and viewers get what the newest ingest brings, or the mix.
    fn check_media(&self, room: usize) {
        let (call, media) = (&self.calls[room], &self.media[room]);
        let mut sources = BTreeSet::new();
        for member in call.members.values() {
            let Some(ingest) = &member.ingest else { continue };
            sources.extend(ingest.alternate.map(|(_, track)| track));
            if ingest.is_fed {
                sources.extend(member.tracks.iter().map(|own| own.track.id.0));
            }
        }
        let mix = call.mix.unwrap_or_default();
        sources.extend([mix.video, mix.audio, mix.alternate].into_iter().flatten());
        assert_eq!(media.sources, sources);
        assert!(call.mix.is_none() || call.main().is_none() && call.stage().participants > 0);
        let fed = [media.fed.video, media.fed.audio, media.fed.alternate];
        assert!(fed.into_iter().flatten().all(|track| sources.contains(&track)), "only sources are fed");
        let main: BTreeSet<TrackId> = match call.main() {
            Some(member) => member.tracks.iter().map(|own| own.track.id.0).collect(),
            None => mix.video.into_iter().chain(mix.audio).collect(),
        };
        assert_eq!(media.viewers.len(), call.viewer_count(), "no viewer's connection outlives it");
        for wanted in media.viewers.values() {
            let wanted: BTreeSet<TrackId> = wanted
                .iter()
                .copied()
                .filter(|track| call.tracks.contains_key(track) || main.contains(track))
                .collect();
            assert_eq!(wanted, main);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn may(participant: &Value, grant: &str) -> bool {
    participant["grants"].as_array().expect("a list").iter().any(|one| one == grant)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_of_two_calls_keeps_the_promises(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        // The media thread is silent from here on.
        world.take(Step::Wait(11));
        prop_assert!(world.open.is_empty(), "every request has its reply");
    }
}
