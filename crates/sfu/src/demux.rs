//! What a datagram is and whom it names, read without any state: RFC 7983 §7 and the USERNAME of a STUN request.
//!
//! In: bytes of a stranger. Out: a word. Nothing here allocates, so that a flood costs little.

/// Bytes of a STUN header (RFC 8489 §5).
const STUN_HEADER_BYTES: usize = 20;
/// The magic cookie of STUN (RFC 8489 §5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// A binding request (RFC 8489 §3).
const BINDING_REQUEST: [u8; 2] = [0, 1];
/// USERNAME (RFC 8489 §18.3).
const USERNAME: u16 = 0x0006;

/// What a datagram is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// STUN, of which ICE is made.
    Stun,
    /// DTLS.
    Dtls,
    /// RTP or RTCP, encrypted.
    Media,
    /// TURN's channel data, QUIC, ZRTP, noise: nothing of ours.
    Other,
}

/// Sorts a datagram by its first byte.
pub fn kind_of(datagram: &[u8]) -> Datagram {
    match datagram.first() {
        Some(0..=3) => Datagram::Stun,
        Some(20..=63) => Datagram::Dtls,
        Some(128..=191) => Datagram::Media,
        _ => Datagram::Other,
    }
}

/// The receiver's name fragment in a STUN binding request: what stands before the colon (RFC 8445 §7.2.2). Nothing is
/// proved by it.
pub fn ufrag_of(datagram: &[u8]) -> Option<&str> {
    let (header, mut attributes) = datagram.split_at_checked(STUN_HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE || length != attributes.len() {
        return None;
    }
    while let Some((head, rest)) = attributes.split_at_checked(4) {
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        if kind == USERNAME {
            let colon = value.iter().position(|byte| *byte == b':')?;
            return std::str::from_utf8(&value[..colon]).ok().filter(|ufrag| !ufrag.is_empty());
        }
        // Each attribute ends on a multiple of four (RFC 8489 §14).
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A binding request with a PRIORITY before its USERNAME.
    fn request(username: &[u8]) -> Vec<u8> {
        let padded = username.len().next_multiple_of(4);
        let mut datagram = vec![0, 1];
        datagram.extend_from_slice(&(8 + 4 + padded as u16).to_be_bytes());
        datagram.extend_from_slice(&MAGIC_COOKIE);
        datagram.extend_from_slice(&[7; 12]);
        datagram.extend_from_slice(&[0, 0x24, 0, 4, 1, 2, 3, 4]);
        datagram.extend_from_slice(&[0, 6]);
        datagram.extend_from_slice(&(username.len() as u16).to_be_bytes());
        datagram.extend_from_slice(username);
        datagram.resize(20 + 8 + 4 + padded, 0);
        datagram
    }

    #[test]
    fn a_request_names_whom_it_is_for() {
        assert_eq!(ufrag_of(&request(b"abcd:efgh")), Some("abcd"));
        assert_eq!(ufrag_of(&request(b"abcd:")), Some("abcd"));
        for wrong in [&b":efgh"[..], b"abcd", b"", b"\xff\xfe:x"] {
            assert_eq!(ufrag_of(&request(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_request_cut_at_any_byte_names_nobody() {
        let whole = request(b"abcd:efgh");
        for cut in 0..whole.len() {
            assert_eq!(ufrag_of(&whole[..cut]), None, "cut at {cut}");
        }
        let mut answer = whole.clone();
        answer[0] = 1;
        assert_eq!(ufrag_of(&answer), None, "an answer names nobody");
        let mut other = whole;
        other[5] = 0;
        assert_eq!(ufrag_of(&other), None, "no cookie");
    }

    #[test]
    fn the_first_byte_says_what_a_datagram_is() {
        for (byte, expect) in [
            (0, Datagram::Stun),
            (3, Datagram::Stun),
            (4, Datagram::Other),
            (19, Datagram::Other),
            (20, Datagram::Dtls),
            (63, Datagram::Dtls),
            (64, Datagram::Other),
            (127, Datagram::Other),
            (128, Datagram::Media),
            (191, Datagram::Media),
            (192, Datagram::Other),
            (255, Datagram::Other),
        ] {
            assert_eq!(kind_of(&[byte]), expect, "{byte}");
        }
        assert_eq!(kind_of(&[]), Datagram::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ufrag_of(&bytes);
            if bytes.len() >= STUN_HEADER_BYTES {
                let length = (bytes.len() - STUN_HEADER_BYTES) as u16;
                bytes[..2].copy_from_slice(&BINDING_REQUEST);
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
                let _ = ufrag_of(&bytes);
            }
        }
    }
}
