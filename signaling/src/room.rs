//! The room core: who publishes the main picture, and what happens when the encoder goes.
//!
//! In: an encoder asks, becomes playable, goes; `now`. Out: an admission at once, and [`RoomEffect`]s for the shell.
//! It alone decides who is there; media threads and the store only carry out. It knows no protocol and no media.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telstar_units::ParticipantId;

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
    /// The encoder was lost and may come back.
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
    playable: bool,
    /// Until when a vanished encoder may come back.
    away_until: Option<Instant>,
    phase: RoomPhase,
    effects: VecDeque<RoomEffect>,
}

impl Room {
    /// A room in which nobody publishes.
    pub fn new(config: RoomConfig) -> Room {
        let (phase, effects) = (RoomPhase::Offline, VecDeque::new());
        Room { config, publisher: None, playable: false, away_until: None, phase, effects }
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
    pub fn handle_publish(&mut self, participant: ParticipantId) -> Admission {
        let continues = self.playable || self.away_until.is_some();
        if let Some(first) = self.publisher {
            if self.config.second_publisher == SecondPublisher::Refuse {
                return Admission::Refused;
            }
            self.effects.push_back(RoomEffect::Kick { participant: first, reason: KickReason::TakenOver });
        }
        self.publisher = Some(participant);
        self.away_until = None;
        self.update_phase();
        Admission::Admitted { continues }
    }

    /// The publisher's stream can be watched now.
    pub fn handle_playable(&mut self, participant: ParticipantId) {
        if self.publisher == Some(participant) {
            self.playable = true;
            self.update_phase();
        }
    }

    /// A participant's connection is gone. Ignored unless it is the publisher: a replaced one goes late.
    pub fn handle_gone(&mut self, now: Instant, participant: ParticipantId) {
        if self.publisher != Some(participant) {
            return;
        }
        self.publisher = None;
        if self.playable {
            self.away_until = Some(now + self.config.reconnect_window);
        } else {
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
        self.finish();
    }

    /// When [`Room::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.away_until
    }

    /// Ends the stream if the encoder stayed away too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.away_until.is_some_and(|until| until <= now) {
            self.finish();
        }
    }

    /// The next effect, until `None`.
    pub fn poll_effect(&mut self) -> Option<RoomEffect> {
        self.effects.pop_front()
    }

    fn finish(&mut self) {
        self.playable = false;
        self.away_until = None;
        self.effects.push_back(RoomEffect::FinishStream);
        self.update_phase();
    }

    fn update_phase(&mut self) {
        let phase = match (self.publisher, self.playable, self.away_until) {
            (Some(_), true, _) => RoomPhase::Live,
            (Some(_), false, _) => RoomPhase::Waiting,
            (None, _, Some(_)) => RoomPhase::Reconnecting,
            (None, _, None) => RoomPhase::Offline,
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
        assert_eq!(room.handle_publish(A), Admission::Admitted { continues: false });
        room.handle_playable(A);
        room.handle_gone(now, A);
        assert_eq!(room.phase(), RoomPhase::Reconnecting);
        room.handle_timeout(now + WINDOW - Duration::from_millis(1));
        assert_eq!(room.handle_publish(B), Admission::Admitted { continues: true });
        assert_eq!(room.phase(), RoomPhase::Live);
        assert_eq!(effects(&mut room), [RoomEffect::PhaseChanged; 4]);
    }

    #[test]
    fn an_encoder_that_stays_away_ends_the_stream() {
        let now = Instant::now();
        let mut room = room(SecondPublisher::Refuse);
        room.handle_publish(A);
        room.handle_playable(A);
        room.handle_gone(now, A);
        effects(&mut room);
        room.handle_timeout(now + WINDOW);
        assert_eq!(effects(&mut room), [RoomEffect::FinishStream, RoomEffect::PhaseChanged]);
        assert_eq!(room.handle_publish(B), Admission::Admitted { continues: false });
    }

    #[test]
    fn a_second_encoder_is_refused_or_takes_over_as_configured() {
        let mut first_stays = room(SecondPublisher::Refuse);
        first_stays.handle_publish(A);
        assert_eq!(first_stays.handle_publish(B), Admission::Refused);
        assert_eq!(first_stays.publisher(), Some(A));

        let mut newcomer_wins = room(SecondPublisher::TakeOver);
        newcomer_wins.handle_publish(A);
        newcomer_wins.handle_playable(A);
        effects(&mut newcomer_wins);
        assert_eq!(newcomer_wins.handle_publish(B), Admission::Admitted { continues: true });
        assert_eq!(effects(&mut newcomer_wins), [RoomEffect::Kick { participant: A, reason: KickReason::TakenOver }]);
        newcomer_wins.handle_gone(Instant::now(), A);
        assert_eq!(newcomer_wins.publisher(), Some(B), "the replaced one's end is no news");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Publish(u64),
        Playable(u64),
        Gone(u64),
        Close,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..4).prop_map(Step::Publish),
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
                        if let Admission::Admitted { continues } = room.handle_publish(ParticipantId(id)) {
                            prop_assert!(!continues || unfinished);
                            here.push(ParticipantId(id));
                            unfinished = true;
                        }
                    }
                    Step::Publish(_) => {}
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
                        RoomEffect::PhaseChanged => {}
                    }
                }
                prop_assert!(here.len() <= 1);
                prop_assert_eq!(here.first().copied(), room.publisher());
                prop_assert_eq!(room.phase() == RoomPhase::Offline, !unfinished);
            }
        }
    }
}
