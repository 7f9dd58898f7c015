//! A caller: what our client libraries do on `/ws`, and a model of the call that believes only what it hears.
//!
//! In: messages of its socket. Out: requests, and the first rule that was broken: an event lost, doubled or out of order, a reply to
//! nothing or two to one request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::format::Codec;
use str0m::media::Mid;
use telstar_sfu::{Kind, PeerId, Role};
use telstar_signaling::Output;
use telstar_units::TrackId;

use crate::call::ONE;
use crate::camera::Camera;
use crate::decoder::Decoder;
use crate::hub::{Hub, LineId, Upward};
use crate::world::World;

/// What a caller's camera sends: little, because everybody sends it to everybody.
const CAMERA_BPS: u64 = 80_000;

/// A caller.
pub struct Caller {
    /// What it is called.
    pub name: String,
    line: Option<LineId>,
    /// When it tries again.
    pub opens_at: Option<Instant>,
    session: Option<(String, String)>,
    /// Whether it waits for the answer to `resume`, before which it says nothing else: what it says now would overtake what has to
    /// be said again.
    resuming: bool,
    /// How often it had to join anew.
    pub joins: u32,
    seq: u64,
    offset: u64,
    epoch: u64,
    next_id: u64,
    pending: BTreeMap<u64, Value>,
    /// Who it is in the call.
    pub me: Option<String>,
    /// Everybody, by their ids, as it was told.
    pub model: BTreeMap<String, Value>,
    /// Numbered messages of others, the last of each.
    heard: BTreeMap<String, u64>,
    said: u64,
    publish: Option<PeerId>,
    subscribe: Option<PeerId>,
    camera: Option<Camera>,
    /// The sections that it was told of last.
    pub slots: Vec<Value>,
    /// A receiver for each.
    pub screens: BTreeMap<String, (Decoder, u32)>,
}

impl Caller {
    /// A caller that has not called.
    pub fn new(name: String) -> Caller {
        Caller {
            name,
            line: None,
            opens_at: None,
            session: None,
            resuming: false,
            joins: 0,
            seq: 0,
            offset: 0,
            epoch: 0,
            next_id: 1,
            pending: BTreeMap::new(),
            me: None,
            model: BTreeMap::new(),
            heard: BTreeMap::new(),
            said: 0,
            publish: None,
            subscribe: None,
            camera: None,
            slots: Vec::new(),
            screens: BTreeMap::new(),
        }
    }

    /// Whether nothing it asked is unanswered, and it has a socket.
    pub fn is_settled(&self) -> bool {
        self.line.is_some() && self.pending.is_empty() && self.me.is_some()
    }

    /// The last change of state that it knows.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Opens a socket and comes back, or joins.
    pub fn open(&mut self, now: Instant, hub: &mut Hub, world: &mut World) {
        let line = hub.open(now, &self.name);
        self.line = Some(line);
        self.opens_at = None;
        match self.session.clone() {
            Some((session, secret)) => {
                let pending: Vec<u64> = self.pending.keys().copied().collect();
                self.resuming = false;
                let resume = json!({ "type": "resume", "session": session, "secret": secret, "seq": self.seq,
                    "pending": pending });
                self.ask(now, hub, resume);
                self.resuming = true;
            }
            None => self.join(now, hub, world),
        }
    }

    /// Its socket breaks; it opens another after a while.
    pub fn lose(&mut self, now: Instant, hub: &mut Hub, is_noticed: bool, after: Duration) {
        if let Some(line) = self.line.take() {
            hub.cut(now, line, is_noticed);
        }
        // A resume that was not answered was never asked: the next one asks again, with what the old secret still opens.
        self.pending.retain(|_, request| request["type"] != "resume");
        self.opens_at = Some(now + after);
    }

    fn join(&mut self, now: Instant, hub: &mut Hub, world: &mut World) {
        for peer in [self.publish.take(), self.subscribe.take()].into_iter().flatten() {
            world.remove_client(peer);
        }
        let joins = self.joins + 1;
        *self =
            Caller { line: self.line, joins, next_id: self.next_id, said: self.said, ..Caller::new(self.name.clone()) };
        self.ask(now, hub, json!({ "type": "join", "room": "storm", "name": self.name }));
        let peer = world.add_seat(Role::Publisher);
        let client = world.client(peer);
        let (sdp, mids) = client.offer(&[(TrackId(0), Kind::Video, &[])]);
        let layers = [(ONE[0].0, CAMERA_BPS)];
        self.publish = Some(peer);
        self.camera = Some(Camera::new(peer, mids[0], &layers));
        let tracks = json!([{ "mid": mid_text(mids[0]), "kind": "video", "source": "camera" }]);
        self.ask(now, hub, json!({ "type": "publish", "sdp": sdp, "tracks": tracks }));
    }

    fn ask(&mut self, now: Instant, hub: &mut Hub, mut request: Value) {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = json!(id);
        if let Some(line) = self.line.filter(|_| !self.resuming) {
            hub.send(now, line, Upward::Text(request.to_string()));
        }
        self.pending.insert(id, request);
    }

    /// Says something to everybody, numbered.
    pub fn say(&mut self, now: Instant, hub: &mut Hub) {
        if self.me.is_some() {
            self.said += 1;
            let data = json!({ "number": self.said });
            self.ask(now, hub, json!({ "type": "send-data", "data": data }));
        }
    }

    /// Changes its name.
    pub fn rename(&mut self, now: Instant, hub: &mut Hub, name: u64) {
        if self.me.is_some() {
            self.ask(now, hub, json!({ "type": "update-participant", "name": format!("name{name}") }));
        }
    }

    /// The next frame.
    pub fn shoot(&mut self, world: &mut World) {
        if let Some(camera) = &mut self.camera
            && world.clients.get(&camera.publisher).is_some_and(|client| client.connected)
        {
            camera.shoot(world);
        }
    }

    /// Takes what came, by signalling and by media.
    pub fn turn(&mut self, now: Instant, hub: &mut Hub, world: &mut World) -> Result<(), String> {
        if self.opens_at.is_some_and(|at| at <= now) {
            self.open(now, hub, world);
        }
        if let Some(line) = self.line {
            match hub.receive(now, line) {
                Some(outputs) => {
                    for output in outputs {
                        self.take(now, hub, world, output).map_err(|rule| format!("{}: {rule}", self.name))?;
                    }
                }
                // The server closed it.
                None => self.lose(now, hub, true, Duration::from_millis(200)),
            }
        }
        self.watch(now, world).map_err(|rule| format!("{}: {rule}", self.name))
    }

    fn take(&mut self, now: Instant, hub: &mut Hub, world: &mut World, output: Output) -> Result<(), String> {
        let text = match output {
            Output::Text(text) => text,
            Output::Ping(payload) => {
                if let Some(line) = self.line {
                    hub.send(now, line, Upward::Pong(payload));
                }
                return Ok(());
            }
            Output::Close(_, reason) => {
                if !reason.is_empty() && self.line.is_some() {
                    self.lose(now, hub, true, Duration::from_millis(200));
                }
                return Ok(());
            }
        };
        let message: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match message["re"].as_u64() {
            Some(id) => self.replied(now, hub, world, id, &message),
            None => self.told(now, hub, world, &message),
        }
    }

    fn replied(
        &mut self,
        now: Instant,
        hub: &mut Hub,
        world: &mut World,
        id: u64,
        reply: &Value,
    ) -> Result<(), String> {
        let Some(request) = self.pending.remove(&id) else { return Err(format!("a reply to nothing: {reply}")) };
        let kind = request["type"].as_str().unwrap_or_default();
        if reply["ok"] != true {
            if kind == "resume" && reply["error"]["code"] == "gone" {
                self.join(now, hub, world);
                return Ok(());
            }
            return Err(format!("{kind} was refused: {reply}"));
        }
        match kind {
            "join" => self.joined(reply),
            "resume" => {
                self.keep_session(reply);
                self.resuming = false;
                let unknown: Vec<u64> =
                    reply["unknown"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
                if let Some(id) = unknown.iter().find(|id| !self.pending.contains_key(id)) {
                    return Err(format!("request {id} is unknown to the server and was not asked about"));
                }
                // In their old order, then what came up since.
                let again = self.pending.iter().filter(|(asked, _)| **asked > id || unknown.contains(asked));
                for (_, request) in again {
                    let Some(line) = self.line else { break };
                    hub.send(now, line, Upward::Text(request.to_string()));
                }
            }
            "publish" => {
                let peer = self.publish.ok_or("an answer to no offer")?;
                world.client(peer).accept(reply["sdp"].as_str().unwrap_or_default());
                world.drive(peer);
            }
            _ => {}
        }
        Ok(())
    }

    fn keep_session(&mut self, reply: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.session = Some((text(&reply["session"]["id"]), text(&reply["session"]["secret"])));
    }

    fn joined(&mut self, reply: &Value) {
        self.keep_session(reply);
        self.me = reply["participant"].as_str().map(str::to_owned);
        self.offset = reply["offset"].as_u64().unwrap_or_default();
        self.epoch = reply["epoch"].as_u64().unwrap_or_default();
        let participants = reply["state"]["participants"].as_array().into_iter().flatten();
        self.model = participants.map(|one| (text(&one["id"]), one.clone())).collect();
    }

    fn told(&mut self, now: Instant, hub: &mut Hub, world: &mut World, event: &Value) -> Result<(), String> {
        let seq = event["seq"].as_u64().ok_or_else(|| format!("neither reply nor event: {event}"))?;
        if seq != self.seq + 1 {
            return Err(format!("event {seq} follows event {}", self.seq));
        }
        self.seq = seq;
        if let Some(offset) = event["offset"].as_u64() {
            if offset != self.offset + 1 || event["epoch"].as_u64() != Some(self.epoch) {
                return Err(format!("change {offset} follows change {}", self.offset));
            }
            self.offset = offset;
        }
        match event["type"].as_str().unwrap_or_default() {
            "offer" => self.offered(now, hub, world, event),
            "slots" => self.slots = event["slots"].as_array().cloned().unwrap_or_default(),
            "data" => {
                let number = event["data"]["number"].as_u64().unwrap_or_default();
                let from = text(&event["from"]);
                if let Some(last) = self.heard.insert(from.clone(), number).filter(|last| number != last + 1) {
                    return Err(format!("message {number} of {from} follows message {last}"));
                }
            }
            "media-failed" | "left" => return Err(format!("the server gave it up: {event}")),
            _ => self.learn(event)?,
        }
        Ok(())
    }

    /// A change of state.
    fn learn(&mut self, event: &Value) -> Result<(), String> {
        let who = event["participant"].as_str().map(str::to_owned).unwrap_or_else(|| text(&event["participant"]["id"]));
        let known = self.model.contains_key(&who);
        let kind = event["type"].as_str().unwrap_or_default();
        match kind {
            "participant-joined" if !known => drop(self.model.insert(who, event["participant"].clone())),
            "participant-left" if known => {
                self.heard.remove(&who);
                self.model.remove(&who);
            }
            "participant-updated" if known => {
                let tracks = self.model[&who]["tracks"].clone();
                let mut next = event["participant"].clone();
                next["tracks"] = tracks;
                self.model.insert(who, next);
            }
            "track-published" | "track-updated" | "track-unpublished" if known => {
                let model = self.model.get_mut(&who).ok_or("known")?;
                let tracks = model["tracks"].as_array_mut().ok_or("a participant has tracks")?;
                let id = if kind == "track-unpublished" { &event["track"] } else { &event["track"]["id"] };
                let place = tracks.iter().position(|track| track["id"] == *id);
                match (kind, place) {
                    ("track-published", None) => tracks.push(event["track"].clone()),
                    ("track-updated", Some(place)) => tracks[place] = event["track"].clone(),
                    ("track-unpublished", Some(place)) => drop(tracks.remove(place)),
                    _ => return Err(format!("does not fit what it knows: {event}")),
                }
            }
            "participant-joined" | "participant-left" | "participant-updated" => {
                return Err(format!("does not fit what it knows: {event}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn offered(&mut self, now: Instant, hub: &mut Hub, world: &mut World, event: &Value) {
        let peer = *self.subscribe.get_or_insert_with(|| world.add_seat(Role::Subscriber));
        let sdp = world.client(peer).answer(event["sdp"].as_str().unwrap_or_default());
        world.drive(peer);
        self.ask(now, hub, json!({ "type": "answer", "version": event["version"], "sdp": sdp }));
    }

    fn watch(&mut self, now: Instant, world: &mut World) -> Result<(), String> {
        let Some(peer) = self.subscribe else { return Ok(()) };
        let Some(client) = world.clients.get_mut(&peer) else { return Ok(()) };
        for got in std::mem::take(&mut client.got) {
            let new = || (Decoder::new(Codec::Vp8), got.ssrc);
            let (decoder, ssrc) = self.screens.entry(got.mid.clone()).or_insert_with(new);
            *ssrc = got.ssrc;
            decoder.take(got);
        }
        for (decoder, ssrc) in self.screens.values_mut() {
            if decoder.advance(now) {
                client.ask_keyframe(*ssrc);
            }
            if let Some(rule) = &decoder.broken {
                return Err(rule.clone());
            }
        }
        Ok(())
    }

    /// The receiver of a track, if it was told that it flows.
    pub fn screen(&self, track: &Value) -> Option<&Decoder> {
        let slot = self.slots.iter().find(|slot| slot["track"] == *track && slot["flow"] == "active")?;
        Some(&self.screens.get(slot["mid"].as_str()?)?.0)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn mid_text(mid: Mid) -> String {
    mid.to_string()
}
