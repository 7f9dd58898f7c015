//! What goes wrong in a run, drawn from its seed.
//!
//! In: the scenario. Out: links that change, clients that vanish or move, viewers that want something else.

use telstar_sfu::{PeerId, Subscription};

use crate::link::Bursts;
use crate::scenario::{Run, Scenario};

/// Rate limits that are drawn, in bits per second.
const LIMITS_BPS: [u64; 5] = [200_000, 300_000, 500_000, 1_000_000, 2_000_000];

impl Run {
    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        match self.scenario {
            Scenario::Bandwidth => self.narrow(),
            Scenario::Layers => self.wish(),
            Scenario::Loss => self.lose(),
            Scenario::SlowBesideFast => self.keep_narrow(),
            Scenario::PublisherVanishes => self.vanish(),
            Scenario::Rebind => self.rebind(),
            Scenario::Everything | Scenario::Storm => match self.random.range(0, 3) {
                0 => self.narrow(),
                1 => self.wish(),
                2 => self.lose(),
                _ => self.rebind(),
            },
        }
    }

    fn viewer(&mut self) -> usize {
        self.random.range(0, self.call.viewers.len() as u64 - 1) as usize
    }

    fn narrow(&mut self) {
        let viewer = self.viewer();
        let limit = self.random.permille(700).then(|| *self.random.pick(&LIMITS_BPS));
        let peer = self.call.viewers[viewer].peer;
        self.call.world.client(peer).down.limit_bps = limit;
        self.note(if limit.is_some() { "rate limit" } else { "limit ends" });
    }

    fn keep_narrow(&mut self) {
        if self.limits[0].is_none() {
            let limit = *self.random.pick(&LIMITS_BPS[1..]);
            self.limits[0] = Some(limit);
            let peer = self.call.viewers[0].peer;
            self.call.world.client(peer).down.limit_bps = Some(limit);
            self.note("narrow for good");
        }
    }

    fn wish(&mut self) {
        let viewer = self.viewer();
        let sender = self.random.range(0, self.call.senders.len() as u64 - 1) as usize;
        let track = self.call.senders[sender].track;
        let mut subscription = Subscription { priority: self.random.range(0, 255) as u8, ..Subscription::default() };
        let what = match self.random.range(0, 4) {
            0 => {
                subscription.paused = true;
                "pause"
            }
            1 => {
                subscription.enabled = false;
                "unsubscription"
            }
            2 => {
                (subscription.width, subscription.height) = (320, 180);
                "small size"
            }
            3 => {
                (subscription.width, subscription.height) = (640, 360);
                "middle size"
            }
            _ => "full size",
        };
        self.note(what);
        self.call.wish(viewer, track, subscription);
    }

    fn lose(&mut self) {
        let peers: Vec<PeerId> = self.call.world.clients.keys().copied().collect();
        let peer = *self.random.pick(&peers);
        // Only where nothing else goes wrong: what a path takes changes the estimate for long.
        let kinds = if self.scenario == Scenario::Loss { 6 } else { 4 };
        let (kind, much) = (self.random.range(0, kinds), self.random.range(5, 80) as u32);
        let is_up = self.random.permille(500);
        let by = self.random.millis(5, 60);
        let client = self.call.world.client(peer);
        let link = if is_up { &mut client.up } else { &mut client.down };
        let what = match kind {
            0 => {
                link.loss_permille = much;
                "loss"
            }
            1 => {
                link.bursts = Bursts { begin_permille: 10, end_permille: 200, loss_permille: 10 * much };
                "loss in bursts"
            }
            2 => {
                (link.reorder_permille, link.reorder_by) = (much, by);
                "reordering"
            }
            3 => {
                link.duplicate_permille = much;
                "duplication"
            }
            4 => {
                link.calm();
                "loss ends"
            }
            5 => {
                link.jitter = by;
                "jitter"
            }
            _ => {
                link.delay = 2 * by;
                "delay"
            }
        };
        self.note(what);
    }

    fn vanish(&mut self) {
        let sender = &mut self.call.senders[1];
        if std::mem::replace(&mut sender.is_gone, true) {
            return;
        }
        let peer = sender.peer;
        self.call.world.client(peer).cut = true;
        self.note("publisher vanishes");
    }

    fn rebind(&mut self) {
        let peers: Vec<PeerId> = self.call.world.clients.keys().copied().collect();
        let peer = *self.random.pick(&peers);
        let address = std::net::Ipv4Addr::new(203, 0, 113, self.next_address);
        self.next_address = self.next_address.wrapping_add(1);
        self.moves.push((self.call.world.now, peer));
        self.note("NAT rebind");
        self.call.world.rebind(peer, (address, 40_000 + u16::from(self.next_address)).into());
    }

    /// Nothing goes wrong any more, and everybody wants everything.
    pub(crate) fn calm(&mut self) {
        for client in self.call.world.clients.values_mut() {
            client.up.calm();
            client.down.calm();
            client.down.limit_bps = None;
        }
        for viewer in 0..self.call.viewers.len() {
            let peer = self.call.viewers[viewer].peer;
            self.call.world.client(peer).down.limit_bps = self.limits[viewer];
            for track in std::mem::take(&mut self.call.viewers[viewer].wishes).into_keys() {
                self.call.wish(viewer, track, Subscription::default());
            }
        }
    }

    /// Counts what went wrong.
    fn note(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }
}
