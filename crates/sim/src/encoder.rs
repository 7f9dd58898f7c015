//! A source: what a push of RTMP becomes on its way to the SFU. Nobody can ask it for a keyframe.
//!
//! In: time, who watches. Out: packets of pictures and of sound with times from one zero, only while somebody watches. What lies there
//! when that begins comes first, as the hub's newest group does.

use std::time::Duration;

use str0m::format::Codec as EngineCodec;
use telstar_media::Codec;
use telstar_sfu::{Command, FeedFormat, FeedPacket, Kind, NewSource, RoomId, Source};
use telstar_units::{ParticipantId, TrackId};

use crate::camera::{FRAME_TICKS, FRAMES_PER_SEC, PART_BYTES, part_of};
use crate::world::World;

/// Ticks of a packet of sound: 20 ms at 48 kHz.
const SOUND_TICKS: i64 = 960;

/// A push: 30 pictures a second, and sound.
pub struct Encoder {
    /// The track of its pictures.
    pub picture: TrackId,
    /// The track of its sound.
    pub sound: TrackId,
    /// What the pictures are.
    pub codec: EngineCodec,
    /// Pictures from one keyframe to the next.
    pub every: u32,
    /// Bits per second of the pictures.
    pub bps: u64,
    frame: u32,
    sounds: u64,
    numbers: u64,
    /// Since the last keyframe.
    ring: Vec<FeedPacket>,
    is_fed: bool,
}

impl Encoder {
    /// One of H.264 with a keyframe every two seconds, of a participant in room 1.
    pub fn new(world: &mut World, participant: u64, picture: TrackId, sound: TrackId) -> Encoder {
        for (track, kind) in [(picture, Kind::Video), (sound, Kind::Audio)] {
            let source = NewSource { track, kind, source: Source::Person, alternate_of: None, for_viewers: false };
            let (room, participant) = (RoomId(1), ParticipantId(participant));
            world.command(Command::AddSource { room, participant, source });
        }
        Encoder::of(picture, sound)
    }

    fn of(picture: TrackId, sound: TrackId) -> Encoder {
        Encoder {
            picture,
            sound,
            codec: EngineCodec::H264,
            every: 60,
            bps: 600_000,
            frame: 0,
            sounds: 0,
            numbers: 1,
            ring: Vec::new(),
            is_fed: false,
        }
    }

    /// The same pictures in VP8, as a worker makes them, for whoever does not decode `of`.
    pub fn alternate(world: &mut World, participant: u64, picture: TrackId, of: TrackId) -> Encoder {
        let source = NewSource {
            track: picture,
            kind: Kind::Video,
            source: Source::Person,
            alternate_of: Some(of),
            for_viewers: false,
        };
        world.command(Command::AddSource { room: RoomId(1), participant: ParticipantId(participant), source });
        // Nobody watches a track that is not there.
        Encoder { codec: EngineCodec::Vp8, ..Encoder::of(picture, TrackId(u64::MAX)) }
    }

    /// What its pictures are, in the server's words.
    ///
    /// # Panics
    ///
    /// If that is none of the four.
    pub fn format(&self) -> FeedFormat {
        let codec = match self.codec {
            EngineCodec::H264 => Codec::H264,
            EngineCodec::Vp8 => Codec::Vp8,
            EngineCodec::Vp9 => Codec::Vp9,
            EngineCodec::Av1 => Codec::Av1,
            _ => panic!("an encoder has one of four codecs"),
        };
        let profile_level_id = (codec == Codec::H264).then_some([0x64, 0x00, 0x1f]);
        FeedFormat { codec, profile_level_id }
    }

    /// The next picture, and the sound up to it.
    pub fn shoot(&mut self, world: &mut World) {
        let key = self.frame.is_multiple_of(self.every);
        if key {
            self.ring.clear();
        }
        let before = self.ring.len();
        let bytes = (self.bps / FRAMES_PER_SEC / 8) as usize;
        let parts = bytes.div_ceil(PART_BYTES).max(1);
        for part in 0..parts {
            let place = (part == 0, part + 1 == parts);
            let mut payload = part_of(self.codec, key, place, self.frame as u16 & 0x7fff, bytes / parts);
            payload.extend_from_slice(&self.frame.to_be_bytes());
            payload.push(0);
            self.ring.push(FeedPacket {
                sequence: self.numbers,
                time: i64::from(self.frame) * i64::from(FRAME_TICKS),
                marker: place.1,
                key: key && place.0,
                payload: payload.into(),
            });
            self.numbers += 1;
        }
        self.frame += 1;
        let wanted = world.fed.get(&self.picture).copied().unwrap_or(false);
        let from = if self.is_fed { before } else { 0 };
        self.is_fed = wanted;
        if wanted {
            world.sfu.handle_feed(world.now, self.picture, self.format(), &self.ring[from..]);
        }
        self.speak(world);
    }

    fn speak(&mut self, world: &mut World) {
        let until = i64::from(self.frame) * i64::from(FRAME_TICKS) * 48 / 90;
        while (self.sounds as i64 + 1) * SOUND_TICKS <= until {
            let time = self.sounds as i64 * SOUND_TICKS;
            let payload = [&[7; 60], &time.to_be_bytes()[..]].concat().into();
            let packet = FeedPacket { sequence: self.sounds, time, marker: false, key: true, payload };
            self.sounds += 1;
            if world.fed.get(&self.sound).copied().unwrap_or(false) {
                let format = FeedFormat { codec: Codec::Opus, profile_level_id: None };
                world.sfu.handle_feed(world.now, self.sound, format, &[packet]);
            }
        }
    }

    /// Numbers of pictures are lost on the way to the server, to the next keyframe.
    pub fn lose(&mut self, numbers: u64) {
        self.numbers += numbers;
    }

    /// Films for a while.
    pub fn film(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while world.now < end {
            self.shoot(world);
            // 30 pictures a second, to the microsecond: what the times say.
            let due = world.start + Duration::from_micros(u64::from(self.frame) * 1_000_000 / FRAMES_PER_SEC);
            world.run(due.saturating_duration_since(world.now).max(Duration::from_micros(1)));
        }
    }
}
