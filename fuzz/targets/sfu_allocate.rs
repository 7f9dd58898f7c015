//! Allocation over changing estimates, tracks and layers: never more than the path carries.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use telstar_sfu::allocate::{Allocator, LayerOption, Wanted};
use telstar_sfu::select::Layer;
use telstar_sfu::{Source, Subscription};
use telstar_units::TrackId;

/// Numbers out of the fuzzer's bytes; zeros behind their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// Mostly rates as they occur, now and then one that nobody has.
    fn rate(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => 0,
            byte => u64::from(byte) * 20_000,
        }
    }
}

fn wanted(bytes: &mut Bytes<'_>) -> Wanted {
    let (track, flags, count) = (bytes.byte() % 16, bytes.byte(), bytes.byte() % 9);
    let options = (0..count).map(|_| {
        let (layer, size) = (bytes.byte(), bytes.byte());
        LayerOption {
            layer: Layer { rung: layer & 3, temporal: layer >> 2 & 3 },
            width: u16::from(size) * 16,
            height: u16::from(size) * 9,
            frame_rate: layer >> 4,
            bitrate_bps: bytes.rate(),
        }
    });
    let options = options.collect();
    let subscription = Subscription {
        enabled: flags & 1 == 0,
        paused: flags & 2 != 0,
        width: u16::from(bytes.byte()) * 16,
        height: u16::from(bytes.byte()) * 9,
        frame_rate: flags >> 4,
        priority: bytes.byte(),
    };
    let source = if flags & 4 != 0 { Source::Screen } else { Source::Person };
    Wanted { track: TrackId(track.into()), source, subscription, options }
}

fuzz_target!(|data: &[u8]| {
    let (mut bytes, mut now) = (Bytes(data), Instant::now());
    let (mut allocator, mut tracks) = (Allocator::new(), Vec::new());
    while !bytes.0.is_empty() {
        now += Duration::from_millis(u64::from(bytes.byte()) * 20);
        if bytes.byte() & 3 == 0 {
            tracks = (0..bytes.byte() % 12).map(|_| wanted(&mut bytes)).collect();
        }
        let (estimate, audio) = (bytes.rate(), bytes.rate() / 16);
        let mut twin = allocator.clone();
        let allocation = allocator.allocate(now, estimate, audio, &tracks);
        assert!(allocation.total_bps <= estimate.max(audio));
        assert!(allocation.total_bps <= allocation.desired_bps);
        assert_eq!(allocation, twin.allocate(now, estimate, audio, &tracks), "the same again");
        for (wanted, (track, layer)) in tracks.iter().zip(&allocation.assigned) {
            assert_eq!(wanted.track, *track);
            assert!(layer.is_none() || wanted.subscription.enabled && !wanted.subscription.paused);
            assert!(layer.is_none_or(|layer| wanted.options.iter().any(|option| option.layer == layer)));
        }
    }
});
