//! Memory of datagrams, used again: one is needed for every packet and viewer, and given back within the same turn.
//!
//! In: buffers of datagrams that left. Out: empty ones with room for any packet.

/// As many as one turn collects before it sends (`src/shards/net/outbox.rs`). Higher keeps more memory, 1.5 kB each, lower takes new
/// memory in turns that send much.
const BUFFERS_MAX: usize = 1_024;
/// Room for any packet with its header and tag. One that grew beyond twice that is not kept.
const BYTES: usize = 1_536;

/// Buffers that wait to be used.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    /// An empty one.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(BYTES))
    }

    /// One that is not used any more.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < BUFFERS_MAX && (BYTES..=BYTES * 2).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_comes_again_empty_and_no_more_than_the_limit_is_kept() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take();
        assert!(buffer.is_empty() && buffer.capacity() >= BYTES);
        buffer.extend_from_slice(b"secret");
        let memory = buffer.as_ptr();
        buffers.give_back(buffer);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        (0..BUFFERS_MAX * 2).for_each(|_| buffers.give_back(Vec::with_capacity(BYTES)));
        assert_eq!(buffers.0.len(), BUFFERS_MAX);
        let mut few = Buffers::default();
        few.give_back(Vec::with_capacity(10));
        few.give_back(Vec::with_capacity(BYTES * 3));
        assert!(few.0.is_empty(), "too small or too large");
    }
}
