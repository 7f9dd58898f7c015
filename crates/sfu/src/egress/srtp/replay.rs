//! Which SRTCP packets were here before (RFC 3711 §3.3.2).
//!
//! In: SSRC and index of packets, those that opened. Out: whether one is new.

/// How many packets back one may come late and is still told from a replay. RFC 3711's least, and more than reports ever
/// overtake each other.
const WINDOW: u32 = u64::BITS;
/// Senders that are remembered. Chrome reports with one SSRC, Firefox with one per stream it receives, so it is more than a
/// connection has sections. More cost 16 bytes each; with fewer, one that was forgotten could be replayed.
pub(super) const SENDERS_MAX: usize = 64;

/// What came of one sender.
#[derive(Clone, Copy)]
struct Sender {
    ssrc: u32,
    /// The highest index.
    highest: u32,
    /// Bit n: the packet n below the highest has come.
    seen: u64,
}

/// What came of each sender, the one heard last in front.
#[derive(Default)]
pub(super) struct Senders(Vec<Sender>);

impl Senders {
    /// No packet like this has opened, and it is not older than the window.
    pub(super) fn is_new(&self, ssrc: u32, index: u32) -> bool {
        let Some(sender) = self.0.iter().find(|sender| sender.ssrc == ssrc) else { return true };
        match sender.highest.checked_sub(index) {
            None => true,
            Some(back) => back < WINDOW && sender.seen & (1 << back) == 0,
        }
    }

    /// A packet that is new opened. Beyond [`SENDERS_MAX`] the sender that was silent for longest is forgotten: only who has
    /// the keys gets here, so strangers cannot push anyone out.
    pub(super) fn handle_opened(&mut self, ssrc: u32, index: u32) {
        let place = self.0.iter().position(|sender| sender.ssrc == ssrc).unwrap_or_else(|| {
            self.0.truncate(SENDERS_MAX - 1);
            self.0.push(Sender { ssrc, highest: index, seen: 0 });
            self.0.len() - 1
        });
        self.0[..=place].rotate_right(1);
        let sender = &mut self.0[0];
        if let Some(ahead) = index.checked_sub(sender.highest) {
            sender.seen = sender.seen.checked_shl(ahead).unwrap_or(0) | 1;
            sender.highest = index;
        } else {
            sender.seen |= 1_u64.checked_shl(sender.highest - index).unwrap_or(0);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
