//! What a caller may subscribe to.

use std::sync::Arc;

use telstar_signaling::call::CallGrants;
use telstar_signaling::wire::ErrorCode;
use telstar_signaling::{Audience, TopicName};
use telstar_units::RoomName;

use super::topics::Grant;
use crate::auth::{Action, Caller, Denied, RoomFacts, authorise, call_grants};
use crate::calls::grants;
use crate::rooms::{RoomEntry, Rooms};

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

/// The room whose call this caller may join, and what it may do there.
pub(super) async fn join(
    caller: &Caller,
    room: &str,
    rooms: &Rooms,
) -> Result<(Arc<RoomEntry>, CallGrants), ErrorCode> {
    let name = RoomName::parse(room).map_err(|_| ErrorCode::NotFound)?;
    let entry = rooms.get(&name).await.map_err(|_| ErrorCode::Unavailable)?;
    let facts = entry.as_ref().map(|entry| RoomFacts::from(&*entry.facts()));
    let granted = call_grants(caller, facts.as_ref()).map_err(|denied| match denied {
        Denied::Unauthenticated => ErrorCode::Unauthorised,
        Denied::Forbidden => ErrorCode::Forbidden,
        Denied::NotFound => ErrorCode::NotFound,
    })?;
    Ok((entry.ok_or(ErrorCode::NotFound)?, grants(granted)))
}
