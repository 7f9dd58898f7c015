//! How what happened is written, once, and handed to those who are to hear it.

use std::sync::Arc;

use telstar_units::ParticipantId;

use super::api::{CallEffect, CallEvent, CallSubject, ConnectionId};
use super::{Call, Member};
use crate::wire::call::ParticipantQuality;
use crate::wire::{CallEventKind, EventBody, ParticipantRef};

impl Call {
    /// A change of the call's state: everybody hears it, and it is kept.
    pub(super) fn change(&mut self, kind: CallEventKind<'_>) {
        self.version.offset += 1;
        let event = self.event(CallSubject::Once, kind, true);
        if self.log.len() >= self.config.log_events_max {
            self.log.pop_front();
        }
        self.log.push_back(event.clone());
        self.send(Arc::clone(&self.everyone), event);
    }

    /// Something of the moment for everybody.
    pub(super) fn announce(&mut self, subject: CallSubject, kind: CallEventKind<'_>) {
        let event = self.event(subject, kind, false);
        self.send(Arc::clone(&self.everyone), event);
    }

    /// Something for one connection, if it hears.
    pub(super) fn tell(&mut self, to: ConnectionId, subject: CallSubject, kind: CallEventKind<'_>) {
        let member = self.by_connection.get(&to).and_then(|id| self.members.get(id));
        if member.is_some_and(|member| !member.hears()) {
            return;
        }
        let event = self.event(subject, kind, false);
        self.send([to].into(), event);
    }

    /// Something for some connections.
    pub(super) fn tell_some(&mut self, to: Arc<[ConnectionId]>, kind: CallEventKind<'_>) {
        let event = self.event(CallSubject::Once, kind, false);
        self.send(to, event);
    }

    fn event(&self, subject: CallSubject, kind: CallEventKind<'_>, is_change: bool) -> CallEvent {
        let version = is_change.then_some(self.version);
        let (offset, epoch) = (version.map(|version| version.offset), version.map(|version| version.epoch));
        let body = EventBody { topic: &self.topic, kind, offset, epoch };
        CallEvent { subject, version, tail: body.to_tail().into() }
    }

    fn send(&mut self, to: Arc<[ConnectionId]>, event: CallEvent) {
        if !to.is_empty() {
            self.effects.push_back(CallEffect::Event { to, event });
        }
    }

    /// Who is there has changed.
    pub(super) fn count_everyone(&mut self) {
        self.everyone = self.members.values().filter(|member| member.hears()).map(|member| member.connection).collect();
    }

    /// A participant is another one than before.
    pub(super) fn change_participant(&mut self, id: ParticipantId) {
        if let Some(info) = self.members.get(&id).map(|member| member.info.clone()) {
            self.change(CallEventKind::ParticipantUpdated { participant: &info });
        }
    }

    /// Tells everybody whose quality has changed since it was told.
    pub(super) fn tell_quality(&mut self) {
        self.quality_due = None;
        let mut news = Vec::new();
        for id in std::mem::take(&mut self.quality_news) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let quality = member.worst_quality();
            if quality != member.told_quality {
                member.told_quality = quality;
                news.extend(quality_of(member));
            }
        }
        if !news.is_empty() {
            self.announce(CallSubject::Once, CallEventKind::Quality { participants: &news });
        }
    }

    /// Tells a newcomer what the others have been told.
    pub(super) fn tell_known_quality(&mut self, to: ConnectionId) {
        let known: Vec<ParticipantQuality> = self.members.values().filter_map(quality_of).collect();
        if !known.is_empty() {
            self.tell(to, CallSubject::Once, CallEventKind::Quality { participants: &known });
        }
    }
}

fn quality_of(member: &Member) -> Option<ParticipantQuality> {
    let participant: ParticipantRef = member.info.id;
    member.told_quality.map(|quality| ParticipantQuality { participant, quality })
}
