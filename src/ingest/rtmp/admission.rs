//! Who may publish: from a request of the RTMP core to a way into a room, or the reason why not.

use std::net::IpAddr;
use std::sync::Arc;

use telstar_rtmp::{PublishRequest, RejectReason};
use telstar_units::RoomName;

use crate::auth::{
    Action, AuthError, Authority, Caller, Credential, RoomFacts, Secret, Standing, StreamKeyPass, authorise,
};
use crate::door::Doorkeeper;
use crate::metrics::Metrics;
use crate::rooms::{IngestHandle, IngestRequest, IngestVia, PublishRefusal, Rooms};

/// The door for encoders. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    authority: Arc<Authority>,
    rooms: Rooms,
    metrics: Arc<Metrics>,
    doorkeeper: Arc<Doorkeeper>,
}

impl Admission {
    /// The door of one server.
    pub fn new(
        authority: Arc<Authority>,
        doorkeeper: Arc<Doorkeeper>,
        rooms: Rooms,
        metrics: Arc<Metrics>,
    ) -> Admission {
        Admission { authority, doorkeeper, rooms, metrics }
    }

    /// Lets a request in, or says why not. A wrong key, an unknown room and a key of another room are one answer.
    pub async fn decide(
        &self,
        address: IpAddr,
        protocol: &'static str,
        request: &PublishRequest,
    ) -> Result<IngestHandle, RejectReason> {
        let result = self.admit(address, protocol, request).await;
        if matches!(result, Err(RejectReason::InvalidKey | RejectReason::Revoked)) {
            self.metrics.auth_refused_requests.add(1);
        }
        result
    }

    async fn admit(
        &self,
        address: IpAddr,
        protocol: &'static str,
        request: &PublishRequest,
    ) -> Result<IngestHandle, RejectReason> {
        let key = request.key.as_ref().ok_or(RejectReason::InvalidKey)?;
        self.doorkeeper.check(address).map_err(|_| {
            self.metrics.auth_refused_requests.add(1);
            RejectReason::Busy
        })?;
        let caller = self.authenticate(address, Secret::new(key.expose().to_owned())).await?;
        let Standing::StreamKey(pass) = &caller.standing else { return Err(RejectReason::InvalidKey) };
        let room = self.room(&caller, pass, request.name.as_deref()).await?;
        let encoder = Some(request.encoder.flash_ver.clone()).filter(|name| !name.is_empty()).map(Into::into);
        let ingest = IngestRequest { room, key: Some(pass.key), protocol, encoder, via: IngestVia::Ring };
        let handle = self.rooms.open_ingest(ingest).await.map_err(|refusal| match refusal {
            PublishRefusal::InUse => RejectReason::InUse,
            PublishRefusal::NoRoom => RejectReason::InvalidKey,
            PublishRefusal::Busy => RejectReason::Busy,
        })?;
        // The key may have been revoked while the room decided, when nobody published with it yet.
        match self.authority.still_good(pass).await {
            Ok(true) => Ok(handle),
            Ok(false) => Err(RejectReason::Revoked),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn authenticate(&self, address: IpAddr, key: Secret) -> Result<Caller, RejectReason> {
        match self.authority.authenticate(Credential::StreamKey(key)).await {
            Ok(caller) => Ok(caller),
            Err(AuthError::Rejected(reason)) => {
                self.doorkeeper.refused(address, reason);
                tracing::debug!(?reason, "a stream key was refused");
                Err(RejectReason::InvalidKey)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The room that is named, or else the key's own, if the key opens it.
    async fn room(&self, caller: &Caller, pass: &StreamKeyPass, name: Option<&str>) -> Result<RoomName, RejectReason> {
        let name = match name {
            Some(name) => RoomName::parse(name).map_err(|_| RejectReason::InvalidKey)?,
            None => pass.room.clone(),
        };
        let entry = self.rooms.get(&name).await.map_err(|error| unavailable(&error))?;
        let facts = entry.map(|entry| RoomFacts::from(&*entry.facts()));
        match authorise(caller, Action::Publish, facts.as_ref()) {
            Ok(()) => Ok(name),
            Err(denied) => {
                tracing::debug!(%denied, "a publish was refused");
                Err(RejectReason::InvalidKey)
            }
        }
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> RejectReason {
    tracing::error!(%error, "cannot decide about an encoder");
    RejectReason::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Code;
    use crate::api::tests::server;
    use crate::auth::ThrottleConfig;
    use crate::client::Client;
    use crate::door;
    use crate::state::Shared;

    #[tokio::test]
    async fn wrong_stream_keys_use_up_the_budget_of_all_transports() {
        let (running, _folder) = server().await;
        let state = running.state();
        let Shared { authority, doorkeeper, rooms, metrics, .. } = Shared::clone(state);
        let admission = Admission::new(authority, doorkeeper, rooms, metrics);
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..ThrottleConfig::default().failures_max {
            let refused = admission.authenticate(address, Secret::new("sk_wrong".to_owned())).await;
            assert!(matches!(refused, Err(RejectReason::InvalidKey)));
        }
        let client = Client { address, reached_origin: "http://localhost".to_owned(), is_forwarded: false };
        let bearer = Credential::Bearer(Secret::new("tst_any".to_owned()));
        let refused = door::authenticate(state, &client, bearer).await.err().map(|problem| problem.code());
        assert_eq!(refused, Some(Code::TooManyRequests));
    }
}
