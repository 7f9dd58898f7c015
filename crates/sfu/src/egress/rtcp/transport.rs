//! Transport-wide feedback: which packets of a connection arrived, and when
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! In: a packet's bytes behind its SSRCs. Out: a status for each sequence number it covers.

/// Bytes before the chunks: base, count, reference time, the feedback's own number.
const HEADER: usize = 8;
/// Bytes of a chunk.
const CHUNK: usize = 2;
/// What the reference time counts, and a delta, in microseconds.
const REFERENCE_MICROS: i64 = 64_000;
const DELTA_MICROS: i64 = 250;

/// What arrived of so many packets in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransportFeedback<'a> {
    base: u16,
    count: u16,
    /// 24 bits.
    reference: u32,
    number: u8,
    /// Enough of them for `count`, and behind them the deltas.
    chunks: &'a [u8],
    /// Enough of them for all that arrived.
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// None unless there is a chunk for every packet and a delta for each that arrived. One pass over the chunks.
    pub(super) fn read(bytes: &'a [u8]) -> Option<TransportFeedback<'a>> {
        let &[base_high, base_low, count_high, count_low, a, b, c, number] = bytes.first_chunk::<HEADER>()?;
        let count = u16::from_be_bytes([count_high, count_low]);
        let chunks = &bytes[HEADER..];
        let (mut left, mut rest, mut delta_bytes) = (count, chunks, 0);
        while left > 0 {
            let (chunk, behind) = rest.split_first_chunk::<CHUNK>()?;
            rest = behind;
            let chunk = Chunk::read(*chunk);
            let taken = chunk.length().min(left);
            delta_bytes += chunk.delta_bytes(taken)?;
            left -= taken;
        }
        Some(TransportFeedback {
            base: u16::from_be_bytes([base_high, base_low]),
            count,
            reference: u32::from_be_bytes([0, a, b, c]),
            number,
            chunks,
            deltas: rest.get(..delta_bytes)?,
        })
    }

    /// The first sequence number it tells of.
    pub(crate) fn base(&self) -> u16 {
        self.base
    }

    /// How many it tells of.
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Its own number: where one is missing, feedback was lost.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Each sequence number from the base on, and when the packet arrived: microseconds on the receiver's clock, which
    /// begins anew after twelve days (2²⁴ × 64 ms). `None`: it had not arrived.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (u16, Option<i64>)> + use<'a> {
        Statuses {
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: Chunk::Run { symbol: Symbol::Missing, length: 0 },
            taken: 0,
            next: self.base,
            left: self.count,
            time: i64::from(self.reference) * REFERENCE_MICROS,
        }
    }
}

/// See [`TransportFeedback::statuses`].
struct Statuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    /// The chunk at hand, and how much of it was given.
    chunk: Chunk,
    taken: u16,
    next: u16,
    left: u16,
    /// Of the last that arrived.
    time: i64,
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<(u16, Option<i64>)> {
        self.left = self.left.checked_sub(1)?;
        // A run of no packets is a chunk as well.
        while self.taken == self.chunk.length() {
            let (chunk, behind) = self.chunks.split_first_chunk::<CHUNK>()?;
            (self.chunk, self.chunks, self.taken) = (Chunk::read(*chunk), behind, 0);
        }
        let symbol = self.chunk.symbol(self.taken);
        self.taken += 1;
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        let delta = match symbol {
            Symbol::Missing => return Some((sequence, None)),
            Symbol::Small => {
                let (&delta, behind) = self.deltas.split_first()?;
                self.deltas = behind;
                i64::from(delta)
            }
            Symbol::Large => {
                let (&delta, behind) = self.deltas.split_first_chunk::<2>()?;
                self.deltas = behind;
                i64::from(i16::from_be_bytes(delta))
            }
            Symbol::Reserved => return None,
        };
        self.time += delta * DELTA_MICROS;
        Some((sequence, Some(self.time)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}

/// What a packet's two bits say (§3.1.1). The value is the length of the delta.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Missing = 0,
    /// 8 bits, without a sign.
    Small = 1,
    /// 16 bits, with one.
    Large = 2,
    Reserved = 3,
}

impl Symbol {
    fn read(bits: u16) -> Symbol {
        match bits & 0b11 {
            0 => Symbol::Missing,
            1 => Symbol::Small,
            2 => Symbol::Large,
            _ => Symbol::Reserved,
        }
    }
}

/// The status of some packets in a row.
#[derive(Clone, Copy)]
enum Chunk {
    /// All the same (§3.1.3).
    Run { symbol: Symbol, length: u16 },
    /// A bit for each of fourteen: missing or small (§3.1.4).
    Bits(u16),
    /// Two bits for each of seven.
    Pairs(u16),
}

impl Chunk {
    fn read(bytes: [u8; CHUNK]) -> Chunk {
        let word = u16::from_be_bytes(bytes);
        match word >> 14 {
            0b10 => Chunk::Bits(word),
            0b11 => Chunk::Pairs(word),
            _ => Chunk::Run { symbol: Symbol::read(word >> 13), length: word & 0x1fff },
        }
    }

    fn length(self) -> u16 {
        match self {
            Chunk::Run { length, .. } => length,
            Chunk::Bits(_) => 14,
            Chunk::Pairs(_) => 7,
        }
    }

    /// Of the packet at a place below the length.
    fn symbol(self, at: u16) -> Symbol {
        match self {
            Chunk::Run { symbol, .. } => symbol,
            Chunk::Bits(word) => Symbol::read(word >> (13 - at) & 1),
            Chunk::Pairs(word) => Symbol::read(word >> (2 * (6 - at))),
        }
    }

    /// Bytes of the deltas of its first packets; None if there is a symbol that means nothing.
    fn delta_bytes(self, first: u16) -> Option<usize> {
        if let Chunk::Run { symbol, .. } = self {
            return (symbol != Symbol::Reserved || first == 0).then_some(usize::from(first) * symbol as usize);
        }
        (0..first).try_fold(0, |sum, at| match self.symbol(at) {
            Symbol::Reserved => None,
            symbol => Some(sum + symbol as usize),
        })
    }
}
