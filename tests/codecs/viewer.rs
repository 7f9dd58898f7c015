//! What a viewer would have fetched, and how FFmpeg reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_hls::{Budget, Effect, HlsConfig, Packager, Snapshot};
use telstar_media::MediaKind;
use telstar_units::{Epoch, WallTime};

use crate::encoder::Published;
use crate::source::{Packet, dump, is_key, number, probe};

const UNIX_SECS: u64 = 1_795_270_942;
const KINDS: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

/// The multivariant playlist, and each rendition's init segment and finished segments.
#[derive(Default)]
pub struct Viewed {
    pub multivariant: String,
    renditions: [Rendition; 2],
}

#[derive(Default)]
struct Rendition {
    inits: BTreeMap<u32, Vec<u8>>,
    segments: BTreeMap<u64, Vec<u8>>,
}

/// Packages everything that was published, at the times at which it came.
pub fn watch(published: &Published) -> Viewed {
    let begin = Instant::now();
    let mut packager = Packager::new(HlsConfig::default(), Budget::new(64 << 20), UNIX_SECS, UNIX_SECS);
    let wall = WallTime(UNIX_SECS as i64 * 1_000_000);
    packager.start_epoch(begin, Epoch(UNIX_SECS), wall, published.infos());
    let mut viewed = Viewed::default();
    let mut last = Duration::ZERO;
    for (at, track, frame) in &published.frames {
        packager.handle_frame(begin + *at, *track, frame);
        viewed.take(&mut packager);
        last = *at;
    }
    packager.finish(begin + last);
    viewed.take(&mut packager);
    assert_eq!(packager.counters().frames_dropped, 0, "every frame is of use");
    viewed
}

impl Viewed {
    fn take(&mut self, packager: &mut Packager) {
        while let Some(effect) = packager.poll_effect() {
            match effect {
                Effect::Snapshot(snapshot) => self.collect(&snapshot),
                Effect::Warning(warning) => panic!("{warning:?}"),
                Effect::KeyframeIntervalMended => {}
                // Nothing is kept on disk here.
                other => panic!("{other:?}"),
            }
        }
    }

    fn collect(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(multivariant) = &snapshot.multivariant {
            self.multivariant = String::from_utf8(multivariant.text().to_vec()).expect("text");
        }
        for (kind, rendition) in KINDS.into_iter().zip(&mut self.renditions) {
            let Some(view) = snapshot.rendition(kind) else { continue };
            for segment in view.segments().iter().filter(|segment| segment.duration_secs.is_some()) {
                let init = || view.init(segment.epoch, segment.init).expect("listed").to_vec();
                rendition.inits.entry(segment.init).or_insert_with(init);
                let bytes = || segment.chunks().flat_map(|chunk| chunk.iter().copied()).collect();
                rendition.segments.entry(segment.msn).or_insert_with(bytes);
            }
        }
    }

    /// The rendition as one file. There was one configuration, and so there is one init segment.
    pub fn file(&self, index: usize) -> Vec<u8> {
        let Rendition { inits, segments } = &self.renditions[index];
        assert_eq!(inits.len(), 1, "one configuration");
        inits.values().chain(segments.values()).flatten().copied().collect()
    }
}

/// A rendition as ffprobe reads it.
pub struct Output {
    pub codec: String,
    pub tag: String,
    pub timescale: i64,
    pub packets: Vec<Packet>,
}

impl Output {
    pub fn read(file: &Path) -> Output {
        let probed = probe(file, "0");
        let stream = &probed["streams"][0];
        let text = |name: &str| stream[name].as_str().expect("named").to_owned();
        let (_, timescale) = stream["time_base"].as_str().and_then(|base| base.split_once('/')).expect("a time base");
        let packets = probed["packets"].as_array().expect("packets").iter().map(|packet| {
            let ticks = |name: &str| packet[name].as_i64().unwrap_or_else(|| number(&packet[name]) as i64);
            Packet { dts: ticks("dts"), pts: ticks("pts"), key: is_key(packet), data: dump(&packet["data"]) }
        });
        Output {
            codec: text("codec_name"),
            tag: text("codec_tag_string"),
            timescale: timescale.parse().expect("a number"),
            packets: packets.collect(),
        }
    }
}
