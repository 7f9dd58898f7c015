//! What arrives on the subscribing connection. In: RTP of a media section and the server's `slots`. Out: RTP of a track.
//!
//! The server reuses sections: it says which track a section carries before it sends the first packet of it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use crate::wire::Slot;
use crate::{Error, RtpPacket};

/// Packets of a track that nobody has read: half a second of a big picture. When it is full, new packets are dropped
/// and counted, because a reader that far behind needs a keyframe anyway.
pub(crate) const PACKETS_MAX: usize = 512;
/// Packets of a section that came before the message which says what it carries: media and messages travel apart. More
/// are dropped, the oldest first.
const EARLY_PACKETS_MAX: usize = 64;

/// A track of somebody else.
pub struct RemoteTrack {
    id: String,
    packets: mpsc::Receiver<RtpPacket>,
    dropped: Arc<AtomicU64>,
    routes: Arc<Routes>,
}

impl RemoteTrack {
    /// Its id in the call.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next packet in the order of arrival; `None` when the track or the call has ended.
    pub async fn recv(&mut self) -> Option<RtpPacket> {
        self.packets.recv().await
    }

    /// How many packets were lost because they were not read in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Asks for a keyframe (PLI, RFC 4585 §6.3.1).
    pub async fn request_keyframe(&self) -> Result<(), Error> {
        self.routes.request_keyframe(&self.id).await
    }
}

/// Which packets go where.
#[derive(Default)]
pub(crate) struct Routes(Mutex<Table>);

#[derive(Default)]
struct Table {
    sections: HashMap<String, Section>,
    sinks: HashMap<String, Sink>,
}

#[derive(Default)]
struct Section {
    /// `None` until the server said what it carries.
    assigned: Option<Option<String>>,
    early: VecDeque<RtpPacket>,
    source: Option<Arc<dyn TrackRemote>>,
    ssrc: Arc<AtomicU32>,
}

struct Sink {
    packets: mpsc::Sender<RtpPacket>,
    dropped: Arc<AtomicU64>,
}

impl Routes {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().expect("no one panics with it")
    }

    /// A track from now on; an earlier reader of the same track ends.
    pub fn subscribe(self: &Arc<Routes>, id: &str) -> RemoteTrack {
        let (sender, packets) = mpsc::channel(PACKETS_MAX);
        let dropped = Arc::<AtomicU64>::default();
        self.table().sinks.insert(id.to_owned(), Sink { packets: sender, dropped: dropped.clone() });
        RemoteTrack { id: id.to_owned(), packets, dropped, routes: self.clone() }
    }

    /// The track is gone.
    pub fn end(&self, id: &str) {
        self.table().sinks.remove(id);
    }

    /// The call is over.
    pub fn end_all(&self) {
        *self.table() = Table::default();
    }

    /// The connection is being replaced: its sections mean nothing in the next one.
    pub fn forget_sections(&self) {
        self.table().sections.clear();
    }

    pub fn assign(&self, slots: &[Slot]) {
        let mut table = self.table();
        for slot in slots {
            let section = table.sections.entry(slot.mid.clone()).or_default();
            section.assigned = Some(slot.track.clone());
            let early = std::mem::take(&mut section.early);
            if let Some(sink) = slot.track.as_ref().and_then(|track| table.sinks.get(track)) {
                early.into_iter().for_each(|packet| sink.give(packet));
            }
        }
    }

    fn route(&self, mid: &str, packet: RtpPacket) {
        let mut table = self.table();
        let Some(section) = table.sections.get_mut(mid) else { return };
        match &section.assigned {
            None => {
                while section.early.len() >= EARLY_PACKETS_MAX {
                    section.early.pop_front();
                }
                section.early.push_back(packet);
            }
            Some(None) => {}
            Some(Some(track)) => {
                let track = track.clone();
                if let Some(sink) = table.sinks.get(&track) {
                    sink.give(packet);
                }
            }
        }
    }

    pub async fn request_keyframe(&self, id: &str) -> Result<(), Error> {
        let found = {
            let table = self.table();
            let mut sections = table.sections.values();
            let section =
                sections.find(|section| section.assigned.as_ref().is_some_and(|to| to.as_deref() == Some(id)));
            section.and_then(|section| Some((section.source.clone()?, section.ssrc.load(Ordering::Relaxed))))
        };
        // Nothing arrived yet: the server begins with a keyframe.
        let Some((source, media_ssrc)) = found else { return Ok(()) };
        Ok(source.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await?)
    }

    /// Moves the packets of one section until the connection ends.
    pub async fn forward(self: Arc<Routes>, mid: String, source: Arc<dyn TrackRemote>) {
        let ssrc = {
            let mut table = self.table();
            let section = table.sections.entry(mid.clone()).or_default();
            section.source = Some(source.clone());
            section.ssrc.clone()
        };
        while let Some(event) = source.poll().await {
            match event {
                TrackRemoteEvent::OnRtpPacket(packet) => {
                    ssrc.store(packet.header.ssrc, Ordering::Relaxed);
                    self.route(&mid, packet);
                }
                TrackRemoteEvent::OnEnded => break,
                _ => {}
            }
        }
    }
}

impl Sink {
    fn give(&self, packet: RtpPacket) {
        if self.packets.try_send(packet).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
