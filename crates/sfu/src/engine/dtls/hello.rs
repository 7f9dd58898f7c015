//! What a peer's first DTLS message says of the versions it speaks.

/// Content type of a handshake record (RFC 6347 §4.1).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The extension in which versions above 1.2 are offered (RFC 8446 §4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_3: u16 = 0xfefc;

/// The longest that is put together. One with a key share of ML-KEM and everything else a browser offers has 2 KiB.
const BYTES_MAX: usize = 8 * 1024;
/// GStreamer cuts its 266 bytes into two pieces; a browser's hello takes two datagrams.
const PIECES_MAX: usize = 64;

/// What a peer offers at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    /// DTLS 1.2 or less.
    UpTo12,
    /// DTLS 1.3, or what we could not read.
    More,
}

/// A `ClientHello` that comes in pieces (RFC 6347 §4.2.3).
#[derive(Debug, Default)]
pub(crate) struct Hello {
    bytes: Vec<u8>,
    /// Where the pieces that came lie in it.
    pieces: Vec<(usize, usize)>,
}

impl Hello {
    /// Takes a datagram of the peer. `None`: more of the hello has to come.
    pub(crate) fn read(&mut self, datagram: &[u8]) -> Option<Offers> {
        let mut records = Reader(datagram);
        loop {
            if self.piece(&mut records).is_none() {
                return Some(Offers::More);
            }
            if self.is_whole() {
                let is_newer = offers_1_3(&self.bytes).unwrap_or(true);
                return Some(if is_newer { Offers::More } else { Offers::UpTo12 });
            }
            if records.0.is_empty() {
                return None;
            }
        }
    }

    /// One record. `None`: it is no piece of the hello that we know, or there are too many.
    fn piece(&mut self, records: &mut Reader<'_>) -> Option<()> {
        let content = records.u8()?;
        records.skip(2)?;
        let epoch = records.u16()?;
        records.skip(6)?;
        let length = records.length(2)?;
        let mut message = Reader(records.take(length)?);
        let kind = message.u8()?;
        let whole = message.length(3)?;
        message.skip(2)?;
        let (at, length) = (message.length(3)?, message.length(3)?);
        let bytes = message.take(length)?;
        let is_first = self.pieces.is_empty();
        if (content, epoch, kind) != (HANDSHAKE, 0, CLIENT_HELLO)
            || whole > BYTES_MAX
            || !(is_first || whole == self.bytes.len())
            || self.pieces.len() == PIECES_MAX
        {
            return None;
        }
        self.bytes.resize(whole, 0);
        self.bytes.get_mut(at..at + length)?.copy_from_slice(bytes);
        self.pieces.push((at, at + length));
        self.pieces.sort_unstable();
        Some(())
    }

    fn is_whole(&self) -> bool {
        let reached =
            self.pieces.iter().fold(0, |reached, (from, to)| if *from <= reached { reached.max(*to) } else { reached });
        reached == self.bytes.len()
    }
}

/// Whether a whole `ClientHello` offers DTLS 1.3. `None`: it cannot be read.
fn offers_1_3(hello: &[u8]) -> Option<bool> {
    let mut hello = Reader(hello);
    // Version and random; then session id, cookie, cipher suites, compression methods.
    hello.skip(2 + 32)?;
    for width in [1, 1, 2, 1] {
        let length = hello.length(width)?;
        hello.skip(length)?;
    }
    if hello.0.is_empty() {
        // It may end here (RFC 5246 §7.4.1.2).
        return Some(false);
    }
    let length = hello.length(2)?;
    let mut extensions = Reader(hello.take(length)?);
    while let Some(kind) = extensions.u16() {
        let length = extensions.length(2)?;
        let mut body = Reader(extensions.take(length)?);
        if kind == SUPPORTED_VERSIONS {
            let length = body.length(1)?;
            let mut versions = Reader(body.take(length)?);
            return Some(std::iter::from_fn(|| versions.u16()).any(|version| version == DTLS_1_3));
        }
    }
    Some(false)
}

/// Whether a datagram holds records of application data and nothing else.
pub(super) fn is_application_data(datagram: &[u8]) -> bool {
    const APPLICATION_DATA: u8 = 23;
    let mut records = Reader(datagram);
    while let Some(content) = records.u8() {
        let body = records.skip(10).and_then(|()| records.length(2)).and_then(|length| records.skip(length));
        if content != APPLICATION_DATA || body.is_none() {
            return false;
        }
    }
    true
}

/// Reads numbers in network byte order.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(|_| ())
    }

    /// A length that is this many bytes wide.
    fn length(&mut self, width: usize) -> Option<usize> {
        self.take(width).map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of a hello with these extensions.
    fn body(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&[0xfe, 0xfd][..], &[7; 32], &[0, 0], &[0, 2, 0xc0, 0x2b], &[1, 0]].concat();
        let listed: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, bytes)| [&kind.to_be_bytes()[..], &(bytes.len() as u16).to_be_bytes(), bytes].concat())
            .collect();
        body.extend((listed.len() as u16).to_be_bytes());
        body.extend(listed);
        body
    }

    /// A part of it as a record.
    fn record(body: &[u8], from: usize, to: usize) -> Vec<u8> {
        let u24 = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let piece = [vec![1], u24(body.len()), vec![0, 0], u24(from), u24(to - from), body[from..to].to_vec()].concat();
        [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..], &(piece.len() as u16).to_be_bytes(), &piece].concat()
    }

    fn whole(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let body = body(extensions);
        record(&body, 0, body.len())
    }

    fn read(datagram: &[u8]) -> Option<Offers> {
        Hello::default().read(datagram)
    }

    const USE_SRTP: (u16, &[u8]) = (14, &[0, 2, 0, 7, 0]);

    #[test]
    fn who_offers_1_3_says_so_in_an_extension() {
        assert_eq!(read(&whole(&[USE_SRTP])), Some(Offers::UpTo12));
        assert_eq!(read(&whole(&[USE_SRTP, (43, &[2, 0xfe, 0xfd])])), Some(Offers::UpTo12));
        assert_eq!(read(&whole(&[(43, &[4, 0xfe, 0xfc, 0xfe, 0xfd]), USE_SRTP])), Some(Offers::More));
        assert_eq!(read(&whole(&[(43, &[4, 0xfe, 0xfd, 0xfe, 0xfc])])), Some(Offers::More));
        let bare = body(&[])[..34 + 1 + 1 + 4 + 2].to_vec();
        assert_eq!(read(&record(&bare, 0, bare.len())), Some(Offers::UpTo12));
    }

    /// As GStreamer 1.22 sends it.
    #[test]
    fn pieces_come_in_any_order_and_more_than_once() {
        let body = body(&[USE_SRTP, (43, &[2, 0xfe, 0xfd])]);
        let (first, rest) = (record(&body, 0, 40), record(&body, 40, body.len()));
        for order in [[&first, &first, &rest], [&rest, &rest, &first]] {
            let mut hello = Hello::default();
            assert_eq!(order.map(|piece| hello.read(piece)), [None, None, Some(Offers::UpTo12)]);
        }
        assert_eq!(read(&[first, rest].concat()), Some(Offers::UpTo12));
    }

    #[test]
    fn what_is_no_hello_is_for_the_engine() {
        let whole = whole(&[USE_SRTP, (43, &[2, 0xfe, 0xfd])]);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Some(Offers::More), "cut at {end}");
        }
        // Another kind of record, an epoch, another message, a piece that lies outside.
        for (at, value) in [(0, 23), (0, 20), (4, 1), (13, 2), (19, 1)] {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(read(&other), Some(Offers::More), "{at}: {value}");
        }
    }

    #[test]
    fn what_is_put_together_has_an_end() {
        let body = vec![0; BYTES_MAX + 1];
        assert_eq!(read(&record(&body, 0, 100)), Some(Offers::More));
        let mut hello = Hello::default();
        let offers: Vec<_> = (0..=PIECES_MAX).map(|_| hello.read(&record(&body[1..], 0, 100))).collect();
        assert_eq!((offers[PIECES_MAX - 1], offers[PIECES_MAX]), (None, Some(Offers::More)));
        let mut hello = Hello::default();
        assert_eq!(hello.read(&record(&body[1..], 0, 100)), None);
        assert_eq!(hello.read(&record(&body[2..], 0, 100)), Some(Offers::More), "a piece of another one");
    }

    #[test]
    fn a_datagram_of_data_holds_nothing_else() {
        let data = [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 3][..], b"abc"].concat();
        let [two, mixed] = [[&data[..], &data].concat(), [&data[..], &whole(&[])].concat()];
        assert!(is_application_data(&data) && is_application_data(&two));
        assert!(!is_application_data(&mixed) && !is_application_data(&data[..15]));
    }

    proptest! {
        #[test]
        fn neither_other_extensions_nor_where_it_is_cut_matter(
            before in prop::collection::vec(any::<u8>(), 0..40), newer: bool, cuts in prop::collection::vec(0_usize..100, 0..6),
        ) {
            let version: &[u8] = if newer { &[2, 0xfe, 0xfc] } else { &[2, 0xfe, 0xfd] };
            let body = body(&[(16, &before), (43, version), USE_SRTP]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).chain([0, body.len()]).collect();
            cuts.sort_unstable();
            let mut hello = Hello::default();
            let offers: Vec<_> = cuts.windows(2).map(|ends| hello.read(&record(&body, ends[0], ends[1]))).collect();
            let expected = if newer { Offers::More } else { Offers::UpTo12 };
            prop_assert_eq!(offers.iter().flatten().next(), Some(&expected));
        }

        #[test]
        fn nothing_makes_it_panic(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let mut hello = Hello::default();
            for bytes in datagrams {
                let _ = (hello.read(&bytes), is_application_data(&bytes));
            }
        }
    }
}
