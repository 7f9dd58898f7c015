//! The room core: who publishes the main picture, and what happens when the encoder goes.
//!
//! In: an encoder asks, becomes playable, goes; `now`. Out: an admission at once, and [`RoomEffect`]s for the shell.
//! It alone decides who is there; media threads and the store only carry out. It knows no protocol and no media.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telstar_units::ParticipantId;

/// How long a returned encoder may take at least until there is something to watch again, however short the window is:
/// until its first keyframe, which OBS by default sends within 10 s. Longer leaves viewers at a frozen picture, shorter
/// cuts streams whose encoder came back.
pub const PLAYABLE_WAIT_MIN: Duration = Duration::from_secs(12);

/// The answer to a second encoder while one is publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// The first one stays.
    Refuse,
    /// The newcomer replaces it: for encoders that come back before their old connection is noticed to be dead.
    TakeOver,
}

/// How a room treats its encoders.
#[derive(Clone, Copy, Debug)]
pub struct RoomConfig {
    /// How long a vanished encoder may stay away until the stream ends. Longer keeps viewers waiting at a frozen
    /// picture, shorter ends the stream on a short loss of network.
    pub reconnect_window: Duration,
    /// The answer to a second encoder.
    pub second_publisher: SecondPublisher,
}

/// What the main picture of a room is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomPhase {
    /// Nobody publishes.
    Offline,
    /// An encoder is connected; there is nothing to watch yet.
    Waiting,
    /// There is something to watch.
    Live,
    /// The encoder was lost and may come back, or has come back and there is nothing new to watch yet.
    Reconnecting,
}

/// What the shell must carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomEffect {
    /// Close this participant's connection.
    Kick {
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: KickReason,
    },
    /// End the stream: write the end of the playlist and release the media.
    FinishStream,
    /// End the stream as [`RoomEffect::FinishStream`] does, but keep the publisher: what it brings is a stream of its own.
    RestartStream,
    /// [`Room::phase`] is another one now.
    PhaseChanged,
}

/// Why a participant is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KickReason {
    /// Another encoder took its place.
    TakenOver,
    /// Its stream key was revoked.
    KeyRevoked,
    /// The room was deleted.
    RoomDeleted,
    /// A moderator removed it.
    Removed,
    /// The server goes away.
    Shutdown,
}

/// The answer to an encoder that wants to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; the stream begins or, if somebody published within the window, goes on behind a discontinuity.
    Admitted {
        /// The stream goes on.
        continues: bool,
    },
    /// Somebody else is publishing.
    Refused,
}

/// One room. Drain rule: after each `handle_*` call [`Room::poll_effect`] until it returns `None`.
#[derive(Debug)]
pub struct Room {
    config: RoomConfig,
    publisher: Option<ParticipantId>,
    /// The publisher is the mix of the room's call, which gives way to any encoder.
    is_mix: bool,
    /// Something of the stream could be watched: it is ended by an effect.
    has_begun: bool,
    /// What the publisher sends now can be watched.
    playable: bool,
    /// Until when a stream that has begun must be playable again.
    stalled_until: Option<Instant>,
    /// A returned encoder was given its time. The next one gets no more, or a flapping one would hold the picture for ever.
    was_extended: bool,
    phase: RoomPhase,
    effects: VecDeque<RoomEffect>,
}

impl Room {
    /// A room in which nobody publishes.
    pub fn new(config: RoomConfig) -> Room {
        let (phase, effects) = (RoomPhase::Offline, VecDeque::new());
        let (publisher, stalled_until) = (None, None);
        let (has_begun, playable, was_extended) = (false, false, false);
        let is_mix = false;
        Room { config, publisher, is_mix, has_begun, playable, stalled_until, was_extended, phase, effects }
    }

    /// What the main picture is doing.
    pub fn phase(&self) -> RoomPhase {
        self.phase
    }

    /// Who publishes.
    pub fn publisher(&self) -> Option<ParticipantId> {
        self.publisher
    }

    /// An encoder with a good credential wants to publish.
    pub fn handle_publish(&mut self, now: Instant, participant: ParticipantId) -> Admission {
        let continues = self.has_begun;
        if let Some(first) = self.publisher {
            if self.config.second_publisher == SecondPublisher::Refuse && !self.is_mix {
                return Admission::Refused;
            }
            self.effects.push_back(RoomEffect::Kick { participant: first, reason: KickReason::TakenOver });
        }
        (self.publisher, self.is_mix) = (Some(participant), false);
        self.playable = false;
        if continues && !self.was_extended {
            self.was_extended = true;
            self.stalled_until = Some(now + self.config.reconnect_window.max(PLAYABLE_WAIT_MIN));
        }
        self.update_phase();
        Admission::Admitted { continues }
    }

    /// The room's call is to be mixed, because somebody wants to watch it. Not while an encoder publishes or may come back:
    /// what it brings is the main picture.
    pub fn handle_mix(&mut self, participant: ParticipantId) -> Admission {
        if self.publisher.is_some() || self.has_begun {
            return Admission::Refused;
        }
        (self.publisher, self.is_mix) = (Some(participant), true);
        self.update_phase();
        Admission::Admitted { continues: false }
    }

    /// The publisher's stream can be watched now.
    pub fn handle_playable(&mut self, participant: ParticipantId) {
        if self.publisher == Some(participant) {
            (self.has_begun, self.playable) = (true, true);
            (self.stalled_until, self.was_extended) = (None, false);
            self.update_phase();
        }
    }

    /// A participant's connection is gone. Ignored unless it is the publisher: a replaced one goes late.
    pub fn handle_gone(&mut self, now: Instant, participant: ParticipantId) {
        if self.publisher != Some(participant) {
            return;
        }
        self.publisher = None;
        if std::mem::take(&mut self.is_mix) {
            // Nobody wants it any more, or there is nothing left to mix: it does not come back by itself.
            return self.finish(RoomEffect::FinishStream);
        }
        if self.playable {
            self.playable = false;
            self.stalled_until = Some(now + self.config.reconnect_window);
        } else if !self.has_begun {
            // Nobody has seen anything of it, so nobody waits for it.
            self.effects.push_back(RoomEffect::FinishStream);
        }
        self.update_phase();
    }

    /// Sends the publisher away and ends the stream, without a window.
    pub fn handle_close(&mut self, reason: KickReason) {
        if let Some(participant) = self.publisher.take() {
            self.effects.push_back(RoomEffect::Kick { participant, reason });
        }
        self.is_mix = false;
        self.finish(RoomEffect::FinishStream);
    }

    /// When [`Room::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.stalled_until
    }

    /// Ends the stream if the encoder stayed away too long, or came back and brought nothing to watch.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stalled_until.is_some_and(|until| until <= now) {
            let is_here = self.publisher.is_some();
            self.finish(if is_here { RoomEffect::RestartStream } else { RoomEffect::FinishStream });
        }
    }

    /// The next effect, until `None`.
    pub fn poll_effect(&mut self) -> Option<RoomEffect> {
        self.effects.pop_front()
    }

    fn finish(&mut self, end: RoomEffect) {
        (self.has_begun, self.playable) = (false, false);
        (self.stalled_until, self.was_extended) = (None, false);
        self.effects.push_back(end);
        self.update_phase();
    }

    fn update_phase(&mut self) {
        let phase = match (self.publisher, self.playable, self.has_begun) {
            (Some(_), true, _) => RoomPhase::Live,
            (_, _, true) => RoomPhase::Reconnecting,
            (Some(_), false, false) => RoomPhase::Waiting,
            (None, _, false) => RoomPhase::Offline,
        };
        if phase != self.phase {
            self.phase = phase;
            self.effects.push_back(RoomEffect::PhaseChanged);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ParticipantId = ParticipantId(1);
    const B: ParticipantId = ParticipantId(2);
    const WINDOW: Duration = Duration::from_secs(30);

    fn room(second_publisher: SecondPublisher) -> Room {
        Room::new(RoomConfig { reconnect_window: WINDOW, second_publisher })
    }

    fn effects(room: &mut Room) -> Vec<RoomEffect> {
        std::iter::from_fn(|| room.poll_effect()).collect()
    }

    #[test]
    fn an_encoder_that_comes_back_in_time_continues_the_stream() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::Refuse);
        assert_eq!(room.handle_publish(now, A), Admission::Admitted { continues: false });
        room.handle_playable(A);
        room.handle_gone(now, A);
        assert_eq!(room.phase(), RoomPhase::Reconnecting);
        room.handle_timeout(now + WINDOW - Duration::from_millis(1));
        assert_eq!(room.handle_publish(now, B), Admission::Admitted { continues: true });
        assert_eq!(room.phase(), RoomPhase::Reconnecting, "there is nothing new to watch yet");
        room.handle_playable(A);
        assert_eq!(room.phase(), RoomPhase::Reconnecting, "what the first one sent is over");
        room.handle_playable(B);
        assert_eq!(room.phase(), RoomPhase::Live);
        assert_eq!(room.poll_timeout(), None);
        assert_eq!(effects(&mut room), [RoomEffect::PhaseChanged; 4]);
    }

    #[test]
    fn an_encoder_that_comes_back_with_nothing_to_watch_begins_anew_after_the_window() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::Refuse);
        room.handle_publish(now, A);
        room.handle_playable(A);
        room.handle_gone(now, A);
        room.handle_publish(now + Duration::from_secs(20), B);
        effects(&mut room);
        room.handle_timeout(now + WINDOW);
        assert_eq!(room.phase(), RoomPhase::Reconnecting, "the window begins anew with its return");
        room.handle_timeout(now + WINDOW + Duration::from_secs(20));
        assert_eq!(effects(&mut room), [RoomEffect::RestartStream, RoomEffect::PhaseChanged]);
        assert_eq!((room.phase(), room.publisher()), (RoomPhase::Waiting, Some(B)));
        room.handle_playable(B);
        assert_eq!(room.phase(), RoomPhase::Live);
    }

    #[test]
    fn encoders_that_come_and_go_without_a_picture_do_not_hold_the_stream_for_ever() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::TakeOver);
        room.handle_publish(now, A);
        room.handle_playable(A);
        room.handle_gone(now, A);
        let mut ended_after = None;
        for secs in 0..120 {
            let now = now + Duration::from_secs(secs);
            room.handle_publish(now, B);
            room.handle_gone(now, B);
            room.handle_timeout(now);
            if effects(&mut room).contains(&RoomEffect::FinishStream) {
                ended_after.get_or_insert(secs);
            }
        }
        assert_eq!(ended_after, Some(WINDOW.as_secs()));
    }

    #[test]
    fn an_encoder_that_stays_away_ends_the_stream() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::Refuse);
        room.handle_publish(now, A);
        room.handle_playable(A);
        room.handle_gone(now, A);
        effects(&mut room);
        room.handle_timeout(now + WINDOW);
        assert_eq!(effects(&mut room), [RoomEffect::FinishStream, RoomEffect::PhaseChanged]);
        assert_eq!(room.handle_publish(now, B), Admission::Admitted { continues: false });
    }

    #[test]
    fn a_second_encoder_is_refused_or_takes_over_as_configured() {
        let now = Instant::now();
        let mut first_stays = room(SecondPublisher::Refuse);
        first_stays.handle_publish(now, A);
        assert_eq!(first_stays.handle_publish(now, B), Admission::Refused);
        assert_eq!(first_stays.publisher(), Some(A));

        let mut newcomer_wins = room(SecondPublisher::TakeOver);
        newcomer_wins.handle_publish(now, A);
        newcomer_wins.handle_playable(A);
        effects(&mut newcomer_wins);
        assert_eq!(newcomer_wins.handle_publish(now, B), Admission::Admitted { continues: true });
        let kick = RoomEffect::Kick { participant: A, reason: KickReason::TakenOver };
        assert_eq!(effects(&mut newcomer_wins), [kick, RoomEffect::PhaseChanged]);
        assert_eq!(newcomer_wins.phase(), RoomPhase::Reconnecting);
        newcomer_wins.handle_gone(now, A);
        assert_eq!(newcomer_wins.publisher(), Some(B), "the replaced one's end is no news");
    }

    #[test]
    fn a_mix_gives_way_to_any_encoder_and_comes_only_when_none_is_waited_for() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::Refuse);
        assert_eq!(room.handle_mix(A), Admission::Admitted { continues: false });
        assert_eq!(room.handle_mix(B), Admission::Refused);
        room.handle_playable(A);
        assert_eq!(room.handle_publish(now, B), Admission::Admitted { continues: true }, "its viewers stay");
        let kick = RoomEffect::Kick { participant: A, reason: KickReason::TakenOver };
        assert!(effects(&mut room).contains(&kick));
        room.handle_gone(now, A);
        room.handle_playable(B);
        room.handle_gone(now, B);
        assert_eq!(room.handle_mix(A), Admission::Refused, "the encoder may come back");
        room.handle_timeout(now + WINDOW);
        effects(&mut room);
        assert_eq!(room.handle_mix(A), Admission::Admitted { continues: false });
        room.handle_playable(A);
        room.handle_gone(now, A);
        assert_eq!((room.phase(), room.poll_timeout()), (RoomPhase::Offline, None), "nobody waits for it");
        assert!(effects(&mut room).contains(&RoomEffect::FinishStream));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Publish(u64),
        Mix(u64),
        Playable(u64),
        Gone(u64),
        Close,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..4).prop_map(Step::Publish),
            (0u64..4).prop_map(Step::Mix),
            (0u64..4).prop_map(Step::Playable),
            (0u64..4).prop_map(Step::Gone),
            Just(Step::Close),
            (0u64..40).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// The model: admitted participants not yet kicked or gone. There is never more than one.
        #[test]
        fn at_most_one_publishes_and_every_stream_that_began_is_finished(steps in prop::collection::vec(step(), 0..60), take_over: bool) {
            let second = if take_over { SecondPublisher::TakeOver } else { SecondPublisher::Refuse };
            let mut room = room(second);
            let mut now = Instant::now();
            let (mut here, mut unfinished) = (Vec::new(), false);
            for step in steps {
                match step {
                    Step::Publish(id) if !here.contains(&ParticipantId(id)) => {
                        if let Admission::Admitted { continues } = room.handle_publish(now, ParticipantId(id)) {
                            prop_assert!(!continues || unfinished);
                            here.push(ParticipantId(id));
                            unfinished = true;
                        }
                    }
                    Step::Mix(id) if !here.contains(&ParticipantId(id)) => {
                        if room.handle_mix(ParticipantId(id)) != Admission::Refused {
                            prop_assert!(!unfinished);
                            here.push(ParticipantId(id));
                            unfinished = true;
                        }
                    }
                    Step::Publish(_) | Step::Mix(_) => {}
                    Step::Playable(id) => room.handle_playable(ParticipantId(id)),
                    Step::Gone(id) => {
                        here.retain(|who| *who != ParticipantId(id));
                        room.handle_gone(now, ParticipantId(id));
                    }
                    Step::Close => room.handle_close(KickReason::RoomDeleted),
                    Step::Wait(secs) => {
                        now += Duration::from_secs(secs);
                        room.handle_timeout(now);
                    }
                }
                while let Some(effect) = room.poll_effect() {
                    match effect {
                        RoomEffect::Kick { participant, .. } => here.retain(|who| *who != participant),
                        RoomEffect::FinishStream => unfinished = false,
                        RoomEffect::RestartStream | RoomEffect::PhaseChanged => {}
                    }
                }
                prop_assert!(here.len() <= 1);
                prop_assert_eq!(here.first().copied(), room.publisher());
                prop_assert_eq!(room.phase() == RoomPhase::Offline, !unfinished);
                // A picture that stands still has an end.
                prop_assert!(room.phase() != RoomPhase::Reconnecting || room.poll_timeout().is_some_and(|at| at > now));
            }
        }
    }
}
