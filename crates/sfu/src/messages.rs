//! Lossy messages: from one participant's data channel to the others'.

use bytes::Bytes;

use crate::data::{read_up, write_down};
use crate::demux::Key;
use crate::sfu::Sfu;

impl Sfu {
    /// Hands a message on to whom it names, or to everybody else in the room. Whoever has no room for it goes without.
    pub(crate) fn spread(&mut self, from: Key, frame: Vec<u8>) {
        let Some(sender) = self.peers.get(from) else { return };
        let (room, participant) = (sender.room, sender.participant);
        let Ok(message) = read_up(&Bytes::from(frame)) else {
            self.counters.malformed += 1;
            return;
        };
        let Ok(out) = write_down(participant, &message.payload) else { return };
        let Some(room) = self.rooms.get(&room) else { return };
        let wanted = |key: &Key| {
            self.peers.get(*key).is_some_and(|peer| {
                let named = message.to.is_empty() || message.to.contains(&peer.participant);
                named && peer.participant != participant && peer.as_subscriber().is_some() && peer.channel.is_some()
            })
        };
        let receivers: Vec<Key> = room.peers.iter().copied().filter(wanted).collect();
        for key in receivers {
            let sent = self.touch(key, |sfu, peer| {
                let sent = peer.channel.is_some_and(|channel| peer.engine.send_message(channel, &out));
                peer.engine.advance(sfu.now);
                sent
            });
            if sent != Some(true) {
                self.counters.messages_dropped += 1;
            }
        }
    }
}
