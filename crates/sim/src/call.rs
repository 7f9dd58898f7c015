//! A call of publishers and viewers whose decoders are judged all the time.
//!
//! In: who takes part, and time. Out: what each viewer saw, and the first rule that was broken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use str0m::format::Codec;
use str0m::media::Mid;
use telstar_sfu::{Command, Event, Flow, Kind, PeerId, Subscription};
use telstar_units::TrackId;

use crate::camera::Camera;
use crate::client::Packet;
use crate::decoder::Decoder;
use crate::world::{World, config};

/// Between two frames.
const FRAME: Duration = Duration::from_micros(33_333);
/// Nothing that a run does takes longer to connect.
const CONNECT: Duration = Duration::from_secs(8);
/// A keyframe is so many times longer than another frame.
const KEY_SCALE: usize = 4;
/// Sound's bytes per packet, which no picture's packet has.
const SOUND_BYTES: usize = 60;
/// Sound's time per packet of 20 ms, in the clock of 48 kHz.
const SOUND_TICKS: u32 = 960;

/// Who sends.
pub struct Sender {
    /// The connection.
    pub peer: PeerId,
    /// The picture.
    pub track: TrackId,
    /// What films it.
    pub camera: Camera,
    /// The sound's section, if there is one, and how many packets of it were sent.
    sound: Option<(Mid, u32)>,
    /// Whether the client has vanished.
    pub is_gone: bool,
}

/// Who watches.
pub struct Viewer {
    /// The connection.
    pub peer: PeerId,
    /// A receiver for each section with pictures, with the stream that it last came in.
    pub screens: BTreeMap<String, (Decoder, u32)>,
    /// What it asked for, when that is not everything.
    pub wishes: BTreeMap<TrackId, Subscription>,
}

/// A call.
pub struct Call {
    /// The server and the network.
    pub world: World,
    /// Who sends.
    pub senders: Vec<Sender>,
    /// Who watches.
    pub viewers: Vec<Viewer>,
    codec: Codec,
}

/// The layers that a camera of a run sends: what browsers send, at half the rates, because a run costs what it carries.
pub const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 80_000), (Some("m"), 250_000), (Some("h"), 800_000)];
/// A camera without layers.
pub const ONE: [(Option<&str>, u64); 1] = [(None, 300_000)];

impl Call {
    /// A call in which nobody is.
    pub fn new(seed: u64, now: Instant, codec: Codec) -> Call {
        Call { world: World::new(config(), seed, now), senders: Vec::new(), viewers: Vec::new(), codec }
    }

    /// Somebody publishes pictures, and sound if so asked.
    pub fn add_sender(&mut self, layers: &[(Option<&'static str>, u64)], has_sound: bool) -> PeerId {
        let number = self.senders.len() as u64 + 1;
        let peer = self.world.publisher(number);
        let track = TrackId(number);
        let rids: Vec<&str> = layers.iter().filter_map(|(rid, _)| *rid).collect();
        let mut tracks = vec![(track, Kind::Video, &rids[..])];
        if has_sound {
            tracks.push((TrackId(100 + number), Kind::Audio, &[]));
        }
        let mids = self.world.publish(peer, &tracks);
        let mut camera = Camera::new(peer, mids[0], layers);
        (camera.codec, camera.key_scale) = (self.codec, KEY_SCALE);
        let sound = mids.get(1).map(|mid| (*mid, 0));
        self.senders.push(Sender { peer, track, camera, sound, is_gone: false });
        peer
    }

    /// Somebody watches everything.
    pub fn add_viewer(&mut self) -> PeerId {
        let peer = self.world.subscriber(10 + self.viewers.len() as u64);
        self.viewers.push(Viewer { peer, screens: BTreeMap::new(), wishes: BTreeMap::new() });
        peer
    }

    /// Waits until everybody is connected.
    pub fn connect(&mut self) -> Result<(), String> {
        let senders = self.senders.iter().map(|sender| sender.peer);
        let everybody: Vec<PeerId> = senders.chain(self.viewers.iter().map(|viewer| viewer.peer)).collect();
        match self.world.run_until(CONNECT, |world| world.is_connected(&everybody)) {
            true => Ok(()),
            false => Err("not everybody connected".to_owned()),
        }
    }

    /// A viewer wants a track in another way.
    pub fn wish(&mut self, viewer: usize, track: TrackId, subscription: Subscription) {
        let viewer = &mut self.viewers[viewer];
        viewer.wishes.insert(track, subscription);
        self.world.command(Command::Subscribe { peer: viewer.peer, track, subscription });
    }

    /// The next frame of every camera, and what comes of it. Fails when a rule is broken.
    pub fn frame(&mut self) -> Result<(), String> {
        for sender in self.senders.iter_mut().filter(|sender| !sender.is_gone) {
            sender.camera.obey(&self.world, sender.track);
            sender.camera.shoot(&mut self.world);
            if let Some((mid, sent)) = &mut sender.sound {
                let packet = Packet {
                    codec: Codec::Opus,
                    time: sent.wrapping_mul(SOUND_TICKS),
                    marker: false,
                    payload: &[7; SOUND_BYTES],
                    audio_level: Some(-30),
                };
                *sent += 1;
                self.world.send(sender.peer, *mid, None, packet);
            }
        }
        self.world.run(FRAME);
        self.watch();
        self.judge()
    }

    /// Films for a while.
    pub fn film(&mut self, time: Duration) -> Result<(), String> {
        let end = self.world.now + time;
        while self.world.now < end {
            self.frame()?;
        }
        Ok(())
    }

    /// Hands what came to the decoders.
    fn watch(&mut self) {
        let (now, has_all) = (self.world.now, self.world.is_unspoilt());
        for viewer in &mut self.viewers {
            let Some(client) = self.world.clients.get_mut(&viewer.peer) else { continue };
            for got in std::mem::take(&mut client.got) {
                // Sound has no decoder here: its numbers are judged on the wire.
                if got.payload.len() == SOUND_BYTES {
                    continue;
                }
                let new = || (Decoder::new(self.codec), got.ssrc);
                let (decoder, ssrc) = viewer.screens.entry(got.mid.clone()).or_insert_with(new);
                *ssrc = got.ssrc;
                decoder.take(got);
            }
            for (decoder, ssrc) in viewer.screens.values_mut() {
                decoder.has_all = has_all;
                if decoder.advance(now) {
                    client.ask_keyframe(*ssrc);
                }
            }
            self.world.drive(viewer.peer);
        }
    }

    fn judge(&self) -> Result<(), String> {
        if let Some(rule) = &self.world.wire.broken {
            return Err(rule.clone());
        }
        for viewer in &self.viewers {
            for (mid, (decoder, _)) in &viewer.screens {
                if let Some(rule) = &decoder.broken {
                    return Err(format!("the decoder of {:?}, section {mid}: {rule}", viewer.peer));
                }
            }
        }
        match self.world.sfu.counters().panics {
            0 => Ok(()),
            panics => Err(format!("{panics} panics")),
        }
    }

    /// The layer that a viewer was told of for a track, and the decoder of its section.
    pub fn screen(&self, viewer: usize, track: TrackId) -> Option<(Flow, Option<u8>, &Decoder)> {
        let viewer = &self.viewers[viewer];
        let slot = self.world.slots(viewer.peer).into_iter().find(|slot| slot.track == Some(track))?;
        let (decoder, _) = viewer.screens.get(&slot.mid)?;
        Some((slot.flow, slot.layer, decoder))
    }

    /// Connections that the server gave up.
    pub fn failed(&self) -> Vec<PeerId> {
        let failed = |event: &Event| match event {
            Event::Failed { peer, .. } => Some(*peer),
            _ => None,
        };
        self.world.events.iter().filter_map(|(_, event)| failed(event)).collect()
    }
}
