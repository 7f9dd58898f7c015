//! What a caller may subscribe to.

use telstar_signaling::wire::ErrorCode;
use telstar_signaling::{Audience, TopicName};

use super::topics::Grant;
use crate::auth::{Action, Caller, RoomFacts, authorise};
use crate::rooms::Rooms;

/// The view of a topic that the rules give this caller. What it may not see is answered like what does not exist.
pub(super) async fn grant(caller: &Caller, topic: &TopicName, rooms: &Rooms) -> Result<Grant, ErrorCode> {
    match topic {
        TopicName::Rooms => {
            authorise(caller, Action::ListRooms, None).map_err(|_| ErrorCode::NotFound)?;
            let (account, _) = caller.account_role().ok_or(ErrorCode::NotFound)?;
            Ok(Grant::Rooms(account))
        }
        TopicName::Room(name) => {
            let entry = rooms.get(name).await.map_err(|_| ErrorCode::Unavailable)?;
            let facts = entry.as_ref().map(|entry| RoomFacts::from(&*entry.facts()));
            authorise(caller, Action::ReadRoom, facts.as_ref()).map_err(|_| ErrorCode::NotFound)?;
            let entry = entry.ok_or(ErrorCode::NotFound)?;
            let administers = authorise(caller, Action::ReadIngest, facts.as_ref()).is_ok();
            Ok(Grant::Room(entry, if administers { Audience::Admin } else { Audience::Public }))
        }
    }
}
