//! What a viewer received of a clip, packet for packet, and what can be shown of it.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use telstar_client::clip::Video;
use telstar_client::{RemoteTrack, RtpPacket};
use tokio::sync::watch;
use tokio::time::timeout;

/// Picture ids are 15 bits wide, or 7 (RFC 7741 §4.2): as the publisher writes them, who begins with the short ones.
const PICTURE_IDS: u16 = 1 << 15;
const SHORT_PICTURE_IDS: u16 = 1 << 7;

/// How many packets come between two looks at what was shown, while something is waited for.
const LOOK_PACKETS: usize = 30;

/// A recording that goes on.
pub struct Recording {
    seen: watch::Receiver<Vec<(Instant, RtpPacket)>>,
}

impl Recording {
    pub fn of(mut track: RemoteTrack) -> Recording {
        let (sender, seen) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut lacking = Lacking::default();
            while let Some(packet) = track.recv().await {
                let now = Instant::now();
                let has_waited = lacking.note(now, packet.header.sequence_number);
                sender.send_modify(|seen| seen.push((now, packet)));
                if has_waited {
                    // A call that ends meanwhile has no keyframes any more.
                    let _ = track.request_keyframe().await;
                }
            }
            assert_eq!(track.dropped(), 0, "the recorder keeps up");
        });
        Recording { seen }
    }

    /// Waits until the last so many pictures that were shown are of this layer.
    #[track_caller]
    pub fn until_layer(
        &mut self,
        clip: &[Video],
        layer: usize,
        pictures: usize,
        patience: Duration,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let came = async {
                let mut count = 0;
                while self.seen.wait_for(|seen| seen.len() >= count + LOOK_PACKETS).await.is_ok() {
                    count = self.seen.borrow().len();
                    let judged = self.judge(clip);
                    let mut last = judged.shown.iter().rev().take(pictures);
                    if judged.shown.len() >= pictures && last.all(|one| one.layer == layer) {
                        return true;
                    }
                }
                false
            };
            let came = timeout(patience, came).await;
            assert_eq!(came, Ok(true), "{caller}: no {pictures} pictures of layer {layer} one after another");
        }
    }

    /// What has come until now, judged by what was sent.
    pub fn judge(&self, clip: &[Video]) -> Judged {
        Judged::of(self.seen.borrow().clone(), clip)
    }
}

/// How long a viewer waits for a packet before it asks for a keyframe instead, as browsers do: three rounds of requests of
/// the engine, which makes one each 100 ms.
const LACKS_MAX: Duration = Duration::from_millis(300);

/// The packets that a viewer lacks.
#[derive(Default)]
struct Lacking {
    highest: Option<u16>,
    since: HashMap<u16, Instant>,
}

impl Lacking {
    /// A packet came. True: another has not for so long that only a keyframe helps.
    fn note(&mut self, now: Instant, number: u16) -> bool {
        let highest = *self.highest.get_or_insert(number);
        let ahead = number.wrapping_sub(highest);
        if ahead < 1 << 15 {
            self.since.extend((1..ahead).map(|step| (highest.wrapping_add(step), now)));
            self.highest = Some(number);
        } else {
            self.since.remove(&number);
        }
        let is_over = self.since.values().any(|since| now.duration_since(*since) >= LACKS_MAX);
        if is_over {
            self.since.clear();
        }
        is_over
    }
}

/// The number of a picture, below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PictureId {
    number: u16,
    end: u16,
}

impl PictureId {
    fn is_followed_by(self, next: PictureId) -> bool {
        let end = self.end.min(next.end);
        (self.number + 1) % end == next.number % end
    }
}

/// A packet's share of a picture, behind the payload descriptor (RFC 7741 §4.2).
struct Part<'a> {
    begins: bool,
    picture_id: PictureId,
    data: &'a [u8],
}

impl Part<'_> {
    fn of(packet: &RtpPacket) -> Option<Part<'_>> {
        let (first, mut rest) = packet.payload.split_first()?;
        // The publisher gives every picture an id, and no other extension.
        let (extensions, after) = rest.split_first()?;
        assert_eq!((first & 0x80, *extensions), (0x80, 0x80), "the descriptor is the publisher's: {packet}");
        let [id, low, ..] = *after else { return None };
        let is_long = id & 0x80 != 0;
        let picture_id = match is_long {
            true => PictureId { number: u16::from_be_bytes([id, low]) % PICTURE_IDS, end: PICTURE_IDS },
            false => PictureId { number: id.into(), end: SHORT_PICTURE_IDS },
        };
        rest = &after[1 + usize::from(is_long)..];
        Some(Part { begins: first & 0x17 == 0x10, picture_id, data: rest })
    }
}

/// A picture that arrived whole and could be decoded: which one of the clip, and when it could be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub at: Instant,
    pub layer: usize,
    pub index: usize,
    pub keyframe: bool,
    timestamp: u32,
    picture_id: PictureId,
    /// The unwrapped sequence number of its last packet.
    last: i64,
}

/// A recording in the order of its sequence numbers.
pub struct Judged {
    pub shown: Vec<Shown>,
    /// Packets that never came, as the relay would name them.
    pub missing: Vec<(u32, u16)>,
}

impl Judged {
    /// Asserts on the way: no sequence number is used twice, every whole picture is one of the clip's, byte for byte, times
    /// rise, and where nothing is missing picture ids have no gap and every picture can be decoded.
    fn of(packets: Vec<(Instant, RtpPacket)>, clip: &[Video]) -> Judged {
        let (packets, missing) = in_order(packets);
        let pictures: HashMap<&[u8], (usize, usize)> = (clip.iter().enumerate())
            .flat_map(|(layer, video)| {
                (video.frames.iter().enumerate()).map(move |(i, frame)| (&frame.data[..], (layer, i)))
            })
            .collect();
        let mut shown: Vec<Shown> = Vec::new();
        let (mut before, mut from) = (None, 0);
        for (to, (number, _, packet)) in packets.iter().enumerate() {
            if packet.header.timestamp != packets[from].2.header.timestamp {
                from = to; // the end of the picture before is missing
            }
            if packet.header.marker {
                let parts = &packets[from..=to];
                from = to + 1;
                let Some((data, picture_id)) = whole(parts) else { continue };
                let found = pictures.get(&data[..]);
                let (layer, index) = *found.unwrap_or_else(|| panic!("no picture of the clip: {number} {packet}"));
                let keyframe = clip[layer].frames[index].keyframe;
                let timestamp = packet.header.timestamp;
                let at = parts.iter().map(|(_, at, _)| *at).max().expect("a picture has packets");
                let mut one = Shown { at, layer, index, keyframe, timestamp, picture_id, last: *number };
                if one.follows(before.as_ref(), parts[0].0, clip) {
                    one.wait_for(before.as_ref());
                    // What comes behind a later keyframe is not shown any more.
                    shown.truncate(shown.partition_point(|earlier| earlier.at <= one.at));
                    shown.push(one);
                    before = Some(one);
                }
            }
        }
        Judged { shown, missing }
    }

    /// The layers one after another, from a time on.
    pub fn layers(&self, from: Instant, to: Instant) -> Vec<usize> {
        let mut layers: Vec<usize> = self.between(from, to).map(|one| one.layer).collect();
        layers.dedup();
        layers
    }

    fn between(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Shown> {
        self.shown.iter().filter(move |one| (from..to).contains(&one.at))
    }

    /// How long after `from` the layer came that was there at `to`.
    pub fn settled(&self, from: Instant, to: Instant) -> Duration {
        let all: Vec<&Shown> = self.between(from, to).collect();
        let last = all.last().expect("pictures come").layer;
        let begin = all.iter().rposition(|one| one.layer != last).map_or(0, |before| before + 1);
        all[begin].at - from
    }

    /// The longest time without a picture.
    pub fn freeze(&self, from: Instant, to: Instant) -> Duration {
        let times: Vec<Instant> = self.between(from, to).map(|one| one.at).collect();
        let ends = [&[from], times.as_slice(), &[to]].concat();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Shown {
    /// A picture waits for the one that it needs.
    fn wait_for(&mut self, before: Option<&Shown>) {
        if let Some(before) = before.filter(|_| !self.keyframe) {
            self.at = self.at.max(before.at);
        }
    }

    /// Whether it can be decoded after what was shown before it.
    fn follows(&self, before: Option<&Shown>, first: i64, clip: &[Video]) -> bool {
        let Some(before) = before else { return self.keyframe };
        let next =
            before.index + 1 == self.index || (self.index == 0 && before.index + 1 == clip[before.layer].frames.len());
        let decodable = self.keyframe || (before.layer == self.layer && next);
        let later = self.timestamp.wrapping_sub(before.timestamp);
        assert!(later != 0 && later < 1 << 31, "times rise: {before:?} {self:?}");
        if before.last + 1 == first {
            assert!(decodable, "a layer begins with a keyframe, and nothing is left out of it: {before:?} {self:?}");
            assert!(before.picture_id.is_followed_by(self.picture_id), "picture ids have no gap: {before:?} {self:?}");
        }
        decodable
    }
}

/// By sequence number, each once; and the ones that are missing.
#[expect(clippy::type_complexity, reason = "it is taken apart at once")]
fn in_order(packets: Vec<(Instant, RtpPacket)>) -> (Vec<(i64, Instant, RtpPacket)>, Vec<(u32, u16)>) {
    let mut highest = i64::from(packets.first().expect("something came").1.header.sequence_number);
    let ssrc = packets[0].1.header.ssrc;
    let mut numbered: Vec<(i64, Instant, RtpPacket)> = Vec::with_capacity(packets.len());
    for (at, packet) in packets {
        assert_eq!(packet.header.ssrc, ssrc, "one stream, whichever layer it shows");
        let number = highest + i64::from(packet.header.sequence_number.wrapping_sub(highest as u16) as i16);
        highest = highest.max(number);
        numbered.push((number, at, packet));
    }
    numbered.sort_by_key(|(number, at, _)| (*number, *at));
    numbered.dedup_by(|later, earlier| {
        let again = later.0 == earlier.0;
        // What was asked for again may come twice, and is then the same.
        assert!(!again || later.2.payload == earlier.2.payload, "a sequence number is used once: {}", later.2);
        again
    });
    let missing = numbered.windows(2).flat_map(|pair| pair[0].0 + 1..pair[1].0);
    let missing = missing.map(|number| (ssrc, number as u16)).collect();
    (numbered, missing)
}

/// The picture that these packets are, if they are all of it.
fn whole(packets: &[(i64, Instant, RtpPacket)]) -> Option<(Vec<u8>, PictureId)> {
    let first = Part::of(&packets[0].2)?;
    let unbroken = packets.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0);
    if !first.begins || !unbroken {
        return None;
    }
    let mut data = Vec::new();
    for (_, _, packet) in packets {
        let part = Part::of(packet)?;
        assert_eq!(packet.header.timestamp, packets[0].2.header.timestamp, "a picture has one time");
        assert_eq!(part.picture_id, first.picture_id, "a picture has one id");
        data.extend_from_slice(part.data);
    }
    Some((data, first.picture_id))
}
