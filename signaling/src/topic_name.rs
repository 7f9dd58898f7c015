//! What a client can subscribe to.

use std::fmt;

use telstar_units::{ROOM_NAME_LEN_MAX, RoomName};

const ROOM_PREFIX: &str = "room:";
const ROOMS: &str = "rooms";

/// The longest topic name, in bytes.
pub const TOPIC_NAME_LEN_MAX: usize = ROOM_PREFIX.len() + ROOM_NAME_LEN_MAX;

/// A topic, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicName {
    /// `rooms`: the rooms of the principal that asks. Two principals mean different things by it.
    Rooms,
    /// `room:{name}`: one room.
    Room(RoomName),
}

/// The text names no topic that this server knows. Clients are told the same for a topic that they may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such topic")]
pub struct TopicNameError;

impl TopicName {
    /// Checks a name that came from outside.
    pub fn parse(text: &str) -> Result<TopicName, TopicNameError> {
        if text == ROOMS {
            return Ok(TopicName::Rooms);
        }
        let name = text.strip_prefix(ROOM_PREFIX).ok_or(TopicNameError)?;
        RoomName::parse(name).map(TopicName::Room).map_err(|_| TopicNameError)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicName::Rooms => formatter.write_str(ROOMS),
            TopicName::Room(name) => write!(formatter, "{ROOM_PREFIX}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_round_trip_and_others_are_refused() {
        let longest = format!("room:{}", "a".repeat(ROOM_NAME_LEN_MAX));
        assert_eq!(longest.len(), TOPIC_NAME_LEN_MAX);
        for good in ["rooms", "room:demo", &longest] {
            assert_eq!(TopicName::parse(good).map(|name| name.to_string()).as_deref(), Ok(good));
        }
        let too_long = format!("{longest}a");
        for bad in ["", "room", "room:", "rooms:", "Room:demo", "room:De", "room:sk_a", "room:a/b", " rooms", &too_long]
        {
            assert_eq!(TopicName::parse(bad), Err(TopicNameError), "{bad:?}");
        }
    }
}
