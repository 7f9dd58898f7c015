//! RTCP in the clear: what a subscriber tells, and the reports it gets (RFC 3550 §6, RFC 4585, RFC 5104,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! In: compound packets of a peer; what was sent of each stream. Out: messages, in the order they stand; compound packets.
//!
//! Nothing is copied and nothing allocated while reading: a message borrows from the packet. All work is bounded by the
//! packet's length, that of transport feedback by [`STATUSES_MAX`].

#[cfg(test)]
mod tests;
mod transport;
mod write;

use std::iter;
use std::slice::ChunksExact;

pub(crate) use transport::TransportFeedback;
pub(crate) use write::{REPORTS_MAX, SenderReport, write_bye, write_reports};

/// Bytes before what a packet says: version, padding bit, count, type, length (RFC 3550 §6.4.1).
const HEADER: usize = 4;
/// The version of RTP.
const VERSION: u8 = 2;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// Feedback below the codec, and of it (RFC 4585 §6.1); the count tells which.
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
/// Bytes of an SSRC, of a sender report's own part behind it, of a report block, of FIR's entry.
const SSRC: usize = 4;
const SENDER_INFO: usize = 20;
const BLOCK: usize = 24;
const FIR_ENTRY: usize = 8;
/// Bytes of an entry of a NACK: a sequence number, and a bit for each of the sixteen behind it.
const NACK_ENTRY: usize = 4;

/// So many packets the transport feedback of one compound packet tells of. A few bytes can tell of 65,535, and fifty such
/// fit a datagram, each number of which would be looked up. Higher serves nobody: less is remembered of what was sent.
const STATUSES_MAX: u16 = 16_384;

/// What a subscriber says.
#[derive(Clone, Debug)]
pub(crate) enum Message<'a> {
    /// A report block of a sender or receiver report.
    Receiver(Block),
    /// Packets of a stream are missing (RFC 4585 §6.2.1).
    Nack {
        /// The stream.
        ssrc: u32,
        /// Which.
        lost: NackNumbers<'a>,
    },
    /// A picture is missing (RFC 4585 §6.3.1).
    Pli {
        /// The stream.
        ssrc: u32,
    },
    /// A keyframe is wanted (RFC 5104 §4.3.1); one message for each stream that is named.
    Fir {
        /// The stream.
        ssrc: u32,
    },
    /// What arrived when, of all streams.
    Transport(TransportFeedback<'a>),
    /// Its sources end (RFC 3550 §6.6).
    Bye,
}

/// How one stream is received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The stream.
    pub(crate) ssrc: u32,
    /// Share lost since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Packets lost since the beginning; negative with duplicates. 24 bits.
    pub(crate) cumulative_lost: i32,
    /// The highest sequence number, with the roll-overs above it.
    pub(crate) highest: u32,
    /// In units of the stream's clock.
    pub(crate) jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report that came; 0: none.
    pub(crate) last_report: u32,
    /// How long ago that was, in 65,536ths of a second.
    pub(crate) delay: u32,
}

impl Block {
    fn read(bytes: &[u8]) -> Option<Block> {
        let word = |at: usize| word(bytes, at);
        let lost = word(4)?;
        Some(Block {
            ssrc: word(0)?,
            fraction_lost: (lost >> 24) as u8,
            // Up and down again takes the sign along.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest: word(8)?,
            jitter: word(12)?,
            last_report: word(16)?,
            delay: word(20)?,
        })
    }
}

/// The sequence numbers of a NACK, in the order it names them, some perhaps twice. At most seventeen for four of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct NackNumbers<'a> {
    entries: ChunksExact<'a, u8>,
    /// The number that the lowest bit of `bits` stands for, and which follow it.
    next: u16,
    bits: u32,
}

impl Iterator for NackNumbers<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.bits == 0 {
            let &[a, b, c, d] = self.entries.next()? else { return None };
            self.next = u16::from_be_bytes([a, b]);
            // The number itself is in front of its mask.
            self.bits = u32::from(u16::from_be_bytes([c, d])) << 1 | 1;
        }
        let skip = self.bits.trailing_zeros();
        let number = self.next.wrapping_add(skip as u16);
        self.bits >>= skip + 1;
        self.next = number.wrapping_add(1);
        Some(number)
    }
}

/// The messages of a compound packet. Ends at what cannot be read, and at transport feedback beyond [`STATUSES_MAX`]; kinds
/// that are not known are passed over.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let (mut rest, mut statuses_left) = (bytes, STATUSES_MAX);
    iter::from_fn(move || {
        let messages = Packet::split(&mut rest)?.messages(&mut statuses_left);
        // What cannot be read may as well have a wrong length, so nothing behind it is believed.
        if messages.is_none() {
            rest = &[];
        }
        messages
    })
    .flatten()
}

/// One packet of a compound one.
struct Packet<'a> {
    /// The five bits behind the version: how many items it has, or its format.
    count: u8,
    kind: u8,
    /// What is behind the header, without padding.
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes the first packet off. None: the end, or not RTCP.
    fn split(rest: &mut &'a [u8]) -> Option<Packet<'a>> {
        let &[first, kind, high, low] = rest.first_chunk::<HEADER>()?;
        if first >> 6 != VERSION {
            return None;
        }
        // The length counts words beyond the first.
        let words = usize::from(u16::from_be_bytes([high, low])) + 1;
        let (packet, behind) = rest.split_at_checked(words * 4)?;
        let mut body = &packet[HEADER..];
        if first & 0b10_0000 != 0 {
            let padding = usize::from(*body.last()?);
            // At least the byte that counts (RFC 3550 §6.4.1).
            body = body.get(..body.len().checked_sub(padding.max(1))?)?;
        }
        *rest = behind;
        Some(Packet { count: first & 0b1_1111, kind, body })
    }

    /// What it says. None: it cannot be read, or tells of more packets than are left.
    fn messages(&self, statuses_left: &mut u16) -> Option<Messages<'a>> {
        let items = usize::from(self.count);
        Some(match (self.kind, self.count) {
            (SENDER_REPORT, _) => Messages::blocks(self.body.get(SSRC + SENDER_INFO..)?, items)?,
            (RECEIVER_REPORT, _) => Messages::blocks(self.body.get(SSRC..)?, items)?,
            (BYE, _) => Messages::One(Some(Message::Bye)),
            (TRANSPORT_FEEDBACK, FORMAT_NACK) => {
                let entries = self.body.get(2 * SSRC..)?.chunks_exact(NACK_ENTRY);
                let lost = NackNumbers { entries, next: 0, bits: 0 };
                Messages::One(Some(Message::Nack { ssrc: word(self.body, SSRC)?, lost }))
            }
            (TRANSPORT_FEEDBACK, FORMAT_TRANSPORT) => {
                let feedback = TransportFeedback::read(self.body.get(2 * SSRC..)?)?;
                *statuses_left = statuses_left.checked_sub(feedback.count())?;
                Messages::One(Some(Message::Transport(feedback)))
            }
            (PAYLOAD_FEEDBACK, FORMAT_PLI) => Messages::One(Some(Message::Pli { ssrc: word(self.body, SSRC)? })),
            (PAYLOAD_FEEDBACK, FORMAT_FIR) => Messages::Firs(self.body.get(2 * SSRC..)?.chunks_exact(FIR_ENTRY)),
            _ => Messages::One(None),
        })
    }
}

/// What one packet says.
enum Messages<'a> {
    One(Option<Message<'a>>),
    Blocks(ChunksExact<'a, u8>),
    Firs(ChunksExact<'a, u8>),
}

impl<'a> Messages<'a> {
    /// So many report blocks; profile-specific extensions behind them are not read.
    fn blocks(bytes: &'a [u8], count: usize) -> Option<Messages<'a>> {
        Some(Messages::Blocks(bytes.get(..count * BLOCK)?.chunks_exact(BLOCK)))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        match self {
            Messages::One(message) => message.take(),
            Messages::Blocks(blocks) => Block::read(blocks.next()?).map(Message::Receiver),
            Messages::Firs(entries) => Some(Message::Fir { ssrc: word(entries.next()?, 0)? }),
        }
    }
}

/// 32 bits at a place.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
