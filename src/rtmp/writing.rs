//! Writing to a peer as slowly as it takes it, but not for ever.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a peer may take nothing of what waits for it. An encoder's answers fit into any socket buffer; a player that
/// stands still for this long has lost its stream anyway.
const STANDSTILL_MAX: Duration = Duration::from_secs(10);
/// How long the answers to an encoder, or to whoever has not said what it wants, may take in all: while they wait, nothing
/// is read and no deadline looked at.
pub(super) const ANSWER_PATIENCE: Duration = STANDSTILL_MAX;
/// How long what a player took out of its ring at once may take. A quarter of a mebibyte in this time is 35 kb/s, less than
/// any picture. Higher lets whoever reads a byte now and then keep a place; lower cuts players on bad links.
pub(super) const PLAYER_PATIENCE: Duration = Duration::from_secs(60);

/// Writes all of `output` within `patience`, as long as the peer does not stand still.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    output: &mut Bytes,
    patience: Duration,
) -> io::Result<()> {
    let writing = async {
        while !output.is_empty() {
            if timeout(STANDSTILL_MAX, stream.write_buf(output)).await?? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        // TLS keeps what it has not yet put into a record.
        timeout(STANDSTILL_MAX, stream.flush()).await?
    };
    timeout(patience, writing).await?
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// How long a write of 1,000 bytes lasts, and how it ends, for a peer that takes one byte in each `interval`.
    async fn outlasts(patience: Duration, interval: Duration) -> (Duration, Option<io::ErrorKind>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1);
        let started = Instant::now();
        let reading = async {
            loop {
                sleep(interval).await;
                theirs.read_u8().await.expect("there is more");
            }
        };
        let mut output = Bytes::from(vec![7; 1_000]);
        let written = tokio::select! {
            written = write(&mut ours, &mut output, patience) => written,
            () = reading => unreachable!("it reads for ever"),
        };
        (started.elapsed(), written.err().map(|error| error.kind()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_given_up() {
        let timed_out = Some(io::ErrorKind::TimedOut);
        assert_eq!(outlasts(PLAYER_PATIENCE, Duration::from_secs(9)).await, (PLAYER_PATIENCE, timed_out));
        assert_eq!(outlasts(PLAYER_PATIENCE, Duration::from_secs(11)).await, (STANDSTILL_MAX, timed_out));
        assert_eq!(outlasts(ANSWER_PATIENCE, Duration::from_secs(1)).await, (ANSWER_PATIENCE, timed_out));
        let (lasted, error) = outlasts(PLAYER_PATIENCE, Duration::from_millis(50)).await;
        assert!(error.is_none() && lasted < PLAYER_PATIENCE, "slow is allowed: {lasted:?}");
    }
}
