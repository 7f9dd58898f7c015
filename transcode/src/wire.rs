//! Messages as bytes: a version byte first, then for each message its length (32 bits), its kind (8 bits) and its fields.
//! Numbers are big endian.

mod fields;
mod kinds;

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};

use fields::Fields;

/// The first byte of each side. Both executables come from one build, so that another version is a mistake of whoever
/// installed them, and is refused.
pub const PROTOCOL_VERSION: u8 = 3;
/// The longest message, without its length. It holds any picture that an ingest takes (16 MiB, the longest RTMP message).
/// Higher: a worker that was taken over makes the server hold more. Lower: large pictures are not converted.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024 + 32 * 1_024;
/// The longest log line or reason. Higher floods the server's log; lower cuts what libraries say.
pub const LOG_BYTES_MAX: usize = 1_024;
/// Length and kind.
const HEADER_LEN: usize = 5;

/// Why the other side's bytes are no messages. Nothing can be read behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The other side is of another build.
    #[error(
        "protocol version {0} is not the {PROTOCOL_VERSION} of this build: install both executables from one build"
    )]
    Version(u8),
    /// A message that is longer than any.
    #[error("a message of {0} bytes is too long")]
    TooLong(u64),
    /// A kind that does not exist, or not in this direction.
    #[error("there is no message of kind {0}")]
    Kind(u8),
    /// A message ends before its fields do.
    #[error("a message of kind {0} is truncated")]
    Truncated(u8),
    /// A field holds what it cannot.
    #[error("a message of kind {0} has an invalid field")]
    Invalid(u8),
}

/// What one side says: [`crate::ToWorker`] or [`crate::FromWorker`].
pub trait Message: Sized {
    /// Which kind it is.
    #[doc(hidden)]
    fn kind(&self) -> u8;
    /// Appends its fields.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the fields of a kind.
    #[doc(hidden)]
    fn read(kind: u8, fields: &mut Fields) -> Result<Self, WireError>;
}

/// Messages into bytes.
#[derive(Debug)]
pub struct Writer<M> {
    has_begun: bool,
    message: PhantomData<fn(M)>,
}

impl<M> Default for Writer<M> {
    fn default() -> Self {
        Writer { has_begun: false, message: PhantomData }
    }
}

impl<M: Message> Writer<M> {
    /// Appends a message to `out`. One that is too long is not written, and an error.
    pub fn write(&mut self, message: &M, out: &mut Vec<u8>) -> Result<(), WireError> {
        let undo = out.len();
        if !self.has_begun {
            out.push(PROTOCOL_VERSION);
        }
        let start = out.len();
        out.extend([0, 0, 0, 0, message.kind()]);
        message.write(out);
        let len = out.len() - start - 4;
        if len > MESSAGE_BYTES_MAX {
            out.truncate(undo);
            return Err(WireError::TooLong(len as u64));
        }
        out[start..start + 4].copy_from_slice(&(len as u32).to_be_bytes());
        self.has_begun = true;
        Ok(())
    }
}

/// Bytes into messages. After each [`handle_bytes`](Self::handle_bytes) drain [`next_message`](Self::next_message): what it
/// holds is then less than one message.
#[derive(Debug)]
pub struct Reader<M> {
    held: BytesMut,
    has_begun: bool,
    failed: Option<WireError>,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Reader<M> {
    fn default() -> Self {
        Reader { held: BytesMut::new(), has_begun: false, failed: None, message: PhantomData }
    }
}

impl<M: Message> Reader<M> {
    /// Takes bytes, however they are cut.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The next message that is there in whole. An error is for good.
    pub fn next_message(&mut self) -> Result<Option<M>, WireError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read().inspect_err(|error| {
            self.failed = Some(*error);
            self.held = BytesMut::new();
        })
    }

    fn read(&mut self) -> Result<Option<M>, WireError> {
        if !self.has_begun {
            match self.held.first() {
                None => return Ok(None),
                Some(&PROTOCOL_VERSION) => self.held.advance(1),
                Some(&version) => return Err(WireError::Version(version)),
            }
            self.has_begun = true;
        }
        let Some(&[l0, l1, l2, l3, kind]) = self.held.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if len > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLong(len as u64));
        }
        if len == 0 {
            return Err(WireError::Truncated(kind));
        }
        if self.held.len() < 4 + len {
            return Ok(None);
        }
        self.held.advance(HEADER_LEN);
        let mut fields = Fields::new(kind, self.held.split_to(len - 1).freeze());
        let message = M::read(kind, &mut fields)?;
        fields.end()?;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests;
