//! The pipe between server and worker, from a worker that was taken over and the other way round: however the bytes are
//! cut, the messages are the same, and what was read is written alike.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use telstar_transcode::{FromWorker, Message, Reader, ToWorker, WireError, Writer};

fn read<M: Message>(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<M>, Option<WireError>) {
    let (mut reader, mut messages) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.handle_bytes(piece.as_ref());
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn check<M: Message + Debug + PartialEq>(cut: u8, stream: &[u8]) {
    let whole = read::<M>(std::iter::once(stream));
    let pieces = read::<M>(stream.chunks(usize::from(cut).max(1)));
    assert_eq!(whole, pieces);
    let (mut writer, mut bytes) = (Writer::default(), Vec::new());
    for message in &whole.0 {
        writer.write(message, &mut bytes).expect("what was read is short enough");
    }
    assert_eq!(read::<M>(std::iter::once(&bytes)), (whole.0, None));
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    check::<ToWorker>(*cut, stream);
    check::<FromWorker>(*cut, stream);
});
