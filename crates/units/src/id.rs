//! Newtype ids. They are issued by one owner each and never reused within a process.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

id! {
    /// A track within one room's hub.
    TrackId(u64)
}
id! {
    /// A layer of a track: 0 is the lowest quality, higher numbers are better.
    LayerId(u8)
}
id! {
    /// One connected identity in one room.
    ParticipantId(u64)
}
id! {
    /// Who signs in.
    AccountId(i64)
}
id! {
    /// One uninterrupted timeline of a room's main picture. A reconnect, a restart or a change of source
    /// starts a new one. Its number is at least the Unix time in seconds of its start and always greater than
    /// the room's previous one, so that it never goes back, not even over a restart of the server.
    Epoch(u64)
}

impl Epoch {
    /// The epoch that follows `previous` (if any) and starts at the Unix time `unix_secs`.
    pub fn next(previous: Option<Epoch>, unix_secs: u64) -> Epoch {
        match previous {
            Some(Epoch(number)) => Epoch(unix_secs.max(number + 1)),
            None => Epoch(unix_secs),
        }
    }
}
