//! The frame of a lossy data message, on its way in and on its way out (docs/protocol.md).
//!
//! Up: `u8 count, count x u32 participant number, payload`; down: `u32 sender, payload`; all big endian. Numbers on
//! this wire are 32 bits wide; participants are numbered from 1 within a process, so that a real one always fits.

use bytes::Bytes;
use telstar_units::ParticipantId;

use crate::DataMessage;

/// The most bytes of payload. Higher costs memory in every subscriber's buffer of SCTP; lower breaks applications that
/// were written against LiveKit, whose data packets may have 15 KiB. 1,100 fit into one datagram.
pub const DATA_PAYLOAD_LEN_MAX: usize = 16 * 1024;
/// The most receivers that one message names; the count's byte allows no more. Whoever wants more sends to everybody.
pub const DATA_RECEIVERS_MAX: usize = u8::MAX as usize;
/// A participant's number.
const NUMBER_LEN: usize = size_of::<u32>();

/// Why a data message is not taken or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The frame ends within its head.
    #[error("the data message is truncated")]
    Truncated,
    /// More than [`DATA_PAYLOAD_LEN_MAX`].
    #[error("the data message's payload is too long")]
    TooLong,
    /// More than [`DATA_RECEIVERS_MAX`].
    #[error("the data message names too many receivers")]
    TooManyReceivers,
    /// A participant's number that 32 bits do not hold.
    #[error("the participant's number does not fit the data message")]
    Number,
}

/// Reads what a publisher sent. The payload is a view into `frame`. A receiver named twice is in the list once.
pub fn read_up(frame: &Bytes) -> Result<DataMessage, DataError> {
    let count = usize::from(*frame.first().ok_or(DataError::Truncated)?);
    let payload_at = 1 + count * NUMBER_LEN;
    let numbers = frame.get(1..payload_at).ok_or(DataError::Truncated)?;
    if frame.len() - payload_at > DATA_PAYLOAD_LEN_MAX {
        return Err(DataError::TooLong);
    }
    let (numbers, _) = numbers.as_chunks::<NUMBER_LEN>();
    let mut to: Vec<_> = numbers.iter().map(|number| ParticipantId(u64::from(u32::from_be_bytes(*number)))).collect();
    to.sort_unstable();
    to.dedup();
    Ok(DataMessage { to, payload: frame.slice(payload_at..) })
}

/// Writes what a publisher sends; an empty `to` means everybody.
pub fn write_up(to: &[ParticipantId], payload: &[u8]) -> Result<Vec<u8>, DataError> {
    let count = u8::try_from(to.len()).map_err(|_| DataError::TooManyReceivers)?;
    check_len(payload)?;
    let mut frame = Vec::with_capacity(1 + to.len() * NUMBER_LEN + payload.len());
    frame.push(count);
    for receiver in to {
        frame.extend_from_slice(&number(*receiver)?);
    }
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// Writes what a subscriber is sent.
pub fn write_down(from: ParticipantId, payload: &[u8]) -> Result<Vec<u8>, DataError> {
    check_len(payload)?;
    Ok([&number(from)?, payload].concat())
}

/// Reads what a subscriber was sent: the sender and the payload, a view into `frame`.
pub fn read_down(frame: &Bytes) -> Result<(ParticipantId, Bytes), DataError> {
    let (number, payload) = frame.split_first_chunk::<NUMBER_LEN>().ok_or(DataError::Truncated)?;
    check_len(payload)?;
    Ok((ParticipantId(u64::from(u32::from_be_bytes(*number))), frame.slice(NUMBER_LEN..)))
}

fn check_len(payload: &[u8]) -> Result<(), DataError> {
    if payload.len() > DATA_PAYLOAD_LEN_MAX { Err(DataError::TooLong) } else { Ok(()) }
}

fn number(participant: ParticipantId) -> Result<[u8; NUMBER_LEN], DataError> {
    u32::try_from(participant.0).map(u32::to_be_bytes).map_err(|_| DataError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_to_two_reads_as_the_protocol_describes_it() {
        let frame = Bytes::from_static(b"\x02\0\0\0\x07\0\0\x01\0hi");
        let message = read_up(&frame).expect("the frame is the one of the description");
        assert_eq!(message.to, [ParticipantId(7), ParticipantId(256)]);
        assert_eq!(&message.payload[..], b"hi");
        assert_eq!(write_up(&message.to, b"hi"), Ok(frame.to_vec()));
        assert_eq!(write_down(ParticipantId(7), b"hi").as_deref(), Ok(&b"\0\0\0\x07hi"[..]));
    }

    #[test]
    fn a_head_truncated_at_every_byte_is_refused() {
        let frame = Bytes::from_static(b"\x02\0\0\0\x07\0\0\x01\0");
        for len in 0..frame.len() {
            assert_eq!(read_up(&frame.slice(..len)), Err(DataError::Truncated), "{len} bytes");
        }
        assert!(read_up(&frame).is_ok_and(|message| message.payload.is_empty()), "nothing is missing");
        for len in 0..NUMBER_LEN {
            assert_eq!(read_down(&frame.slice(..len)), Err(DataError::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn the_longest_payload_passes_and_one_byte_more_does_not() {
        let payload = vec![0; DATA_PAYLOAD_LEN_MAX + 1];
        let most = &payload[1..];
        let up = write_up(&[], most).expect("it is not too long");
        assert_eq!(read_up(&up.into()).map(|message| message.payload).as_deref(), Ok(most));
        let down = write_down(ParticipantId(1), most).expect("it is not too long");
        assert_eq!(read_down(&down.into()).map(|(_, payload)| payload).as_deref(), Ok(most));
        assert_eq!(write_up(&[], &payload), Err(DataError::TooLong));
        assert_eq!(write_down(ParticipantId(1), &payload), Err(DataError::TooLong));
        let mut frame = vec![0];
        frame.extend_from_slice(&payload);
        assert_eq!(read_up(&frame.into()), Err(DataError::TooLong));
    }

    #[test]
    fn what_the_frame_cannot_say_is_refused() {
        assert_eq!(write_up(&[ParticipantId(1); 256], b""), Err(DataError::TooManyReceivers));
        assert_eq!(write_up(&[ParticipantId(1 << 32)], b""), Err(DataError::Number));
        assert_eq!(write_down(ParticipantId(1 << 32), b""), Err(DataError::Number));
    }

    #[test]
    fn a_receiver_named_a_hundred_times_gets_one_message() {
        let frame = write_up(&[ParticipantId(3); 100], b"x").expect("a frame may name so many");
        assert_eq!(read_up(&frame.into()).map(|message| message.to), Ok(vec![ParticipantId(3)]));
    }

    proptest! {
        #[test]
        fn what_was_written_reads_the_same(
            to in proptest::collection::btree_set(any::<u32>(), 0..=255),
            payload in proptest::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let to: Vec<_> = to.into_iter().map(|number| ParticipantId(number.into())).collect();
            let frame = write_up(&to, &payload).expect("it is within the limits");
            prop_assert_eq!(read_up(&frame.into()), Ok(DataMessage { to, payload: payload.into() }));
        }
    }
}
