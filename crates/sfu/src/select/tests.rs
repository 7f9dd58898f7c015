use super::*;
use crate::descriptor::{PictureId, Tl0};
use crate::rewrite::{Incoming, Rewriter};

/// A publisher of simulcast VP8 with three temporal layers, as libvpx makes it: every frame knows what it refers to.
struct Publisher {
    rungs: Vec<Encoder>,
}

#[derive(Default)]
struct Encoder {
    sequence: u64,
    position: u64,
    frame: u64,
    /// The newest frame of each temporal layer.
    newest: [u64; 3],
    tl0: u8,
    key_asked: bool,
    paused: bool,
}

struct Sent {
    sequence: u64,
    descriptor: Descriptor,
    /// Its frame within its rung, and the frames that it refers to.
    frame: u64,
    refers: Vec<u64>,
}

impl Encoder {
    /// The next frame, of `packets` packets.
    fn encode(&mut self, packets: u64) -> Vec<Sent> {
        let key = self.key_asked || self.frame == 0;
        if key {
            (self.position, self.key_asked) = (0, false);
        }
        self.frame += 1;
        let temporal = [0usize, 2, 1, 2][(self.position % 4) as usize];
        let sync = temporal > 0 && self.position % 8 < 3;
        let refers = match (key, sync) {
            (true, _) => vec![],
            (false, true) => vec![self.newest[0]],
            (false, false) => self.newest[..=temporal].to_vec(),
        };
        self.newest[temporal] = self.frame;
        if key {
            self.newest = [self.frame; 3];
        }
        self.position += 1;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        let picture_id = Some(PictureId { at: 0, value: self.frame as u16 & 0x7fff, wide: true });
        let one = |index| {
            self.sequence += 1;
            let descriptor = Descriptor {
                key_start: key && index == 0,
                key,
                start: index == 0,
                end: index + 1 == packets,
                temporal: temporal as u8,
                switch_up: if sync { SwitchUp::Here } else { SwitchUp::No },
                picture_id,
                tl0: Some(Tl0 { at: 2, value: self.tl0 }),
                contiguous_ids: true,
                ..Descriptor::default()
            };
            Sent { sequence: self.sequence, descriptor, frame: self.frame, refers: refers.clone() }
        };
        (0..packets).map(one).collect()
    }
}

/// What a viewer gets: every frame's references were sent before, and no number shows where the stream was put together.
struct Viewer {
    rewriter: Rewriter,
    rung: Option<u8>,
    frames: Vec<u64>,
    /// Sequence number, picture id, TL0PICIDX and time of the last packet.
    last: Option<(u64, u16, u8, u32)>,
}

impl Viewer {
    fn new() -> Viewer {
        Viewer { rewriter: Rewriter::new(90_000, 1, 1), rung: None, frames: vec![], last: None }
    }

    fn take(&mut self, now: Instant, rung: u8, sent: &Sent, switched: bool, seed: u64) {
        if switched {
            assert!(sent.descriptor.key_start, "seed {seed}: a source begins with a keyframe");
            (self.rung, self.frames) = (Some(rung), vec![]);
            self.rewriter.switch();
        }
        assert_eq!(self.rung, Some(rung), "seed {seed}: layers change only with a switch");
        for frame in &sent.refers {
            assert!(self.frames.contains(frame), "seed {seed}: frame {} needs {frame}", sent.frame);
        }
        if sent.descriptor.start {
            self.frames.push(sent.frame);
        }
        assert!(self.frames.contains(&sent.frame), "seed {seed}: a frame is sent from its first packet on");
        self.check_numbers(now, sent, seed);
    }

    fn check_numbers(&mut self, now: Instant, sent: &Sent, seed: u64) {
        let out = self.rewriter.forward(now, &incoming(sent)).expect("nothing is lost here");
        let value = sent.descriptor.picture_id.expect("VP8").value | 0x8000;
        let mut payload = [(value >> 8) as u8, value as u8, sent.descriptor.tl0.expect("VP8").value];
        out.patches.apply(&mut payload);
        let (picture, tl0) = (u16::from_be_bytes([payload[0], payload[1]]) & 0x7fff, payload[2]);
        if let Some((sequence, last_picture, last_tl0, time)) = self.last {
            assert_eq!(out.sequence, sequence + 1, "seed {seed}");
            let starts = sent.descriptor.start;
            assert_eq!(picture, (last_picture + u16::from(starts)) & 0x7fff, "seed {seed}: frame {}", sent.frame);
            let base = starts && sent.descriptor.temporal == 0;
            assert_eq!(tl0, last_tl0.wrapping_add(u8::from(base)), "seed {seed}: frame {}", sent.frame);
            assert_eq!(out.time.wrapping_sub(time) as i32 > 0, starts, "seed {seed}: frame {}", sent.frame);
        }
        self.last = Some((out.sequence, picture, tl0, out.time));
    }

    fn skip(&mut self, rung: u8, sent: &Sent, seed: u64) {
        assert_eq!(self.rung, Some(rung), "seed {seed}: only the current source is skipped");
        assert_eq!(self.rewriter.skip(&incoming(sent)), None, "seed {seed}: nothing comes late here");
    }
}

fn incoming(sent: &Sent) -> Incoming<'_> {
    // Each encoder's clock begins somewhere else.
    let time = sent.frame as u32 * 2_970;
    Incoming { sequence: sent.sequence, time, wall: None, descriptor: Some(&sent.descriptor) }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One seed, one run: targets change, rungs pause and come back; the keyframes that are asked for come after a while.
fn simulate(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut publisher = Publisher { rungs: (0..3).map(|_| Encoder::default()).collect() };
    let (mut selector, mut viewer, start) = (Selector::new(Shape::Simulcast), Viewer::new(), Instant::now());
    let mut asked: Vec<(u64, u8)> = vec![];
    for tick in 0..900u64 {
        let now = start + Duration::from_millis(tick * 33);
        let faults = tick < 600;
        if faults && random.below(40) == 0 {
            let layer = Layer { rung: random.below(3) as u8, temporal: random.below(3) as u8 };
            selector.set_target((random.below(6) > 0).then_some(layer));
        }
        if faults && random.below(60) == 0 {
            let rung = random.below(3) as usize;
            publisher.rungs[rung].paused ^= true;
        }
        if tick == 600 {
            publisher.rungs.iter_mut().for_each(|rung| rung.paused = false);
            selector.set_target(Some(Layer { rung: random.below(3) as u8, temporal: random.below(3) as u8 }));
        }
        if let Some(rung) = selector.keyframe_wanted(now) {
            asked.push((tick + 1 + random.below(4), rung));
        }
        asked.retain(|(due, rung)| {
            publisher.rungs[usize::from(*rung)].key_asked |= *due == tick;
            *due > tick
        });
        for rung in 0..3u8 {
            let encoder = &mut publisher.rungs[usize::from(rung)];
            if encoder.paused {
                continue;
            }
            for sent in encoder.encode(1 + u64::from(rung)) {
                match selector.handle_packet(now, rung, sent.sequence, &sent.descriptor) {
                    Verdict::Forward { switched, .. } => viewer.take(now, rung, &sent, switched, seed),
                    Verdict::Skip => viewer.skip(rung, &sent, seed),
                    Verdict::Ignore => {}
                }
            }
        }
    }
    assert_eq!(selector.current(), selector.target(), "seed {seed}: the target is reached when faults stop");
    assert_eq!(selector.keyframe_wanted(start + Duration::from_secs(30)), None, "seed {seed}");
}

#[test]
fn decoders_are_always_fed_from_a_keyframe_and_reach_their_target() {
    (1..=300).for_each(simulate);
}

fn key(rung: u8, temporal: u8) -> Descriptor {
    Descriptor { key_start: true, key: true, start: true, spatial: rung, temporal, end: true, ..Descriptor::default() }
}

fn delta(temporal: u8) -> Descriptor {
    Descriptor { start: true, end: true, temporal, ..Descriptor::default() }
}

const FORWARD: Verdict = Verdict::Forward { switched: false, set_marker: false };
const SWITCHED: Verdict = Verdict::Forward { switched: true, set_marker: false };

#[test]
fn the_old_layer_goes_on_until_the_new_one_has_a_keyframe() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    assert_eq!(selector.handle_packet(now, 0, 1, &key(0, 0)), Verdict::Ignore, "nothing is wanted");
    selector.set_target(Some(Layer::whole(0)));
    assert_eq!(selector.keyframe_wanted(now), Some(0));
    assert_eq!(selector.handle_packet(now, 0, 2, &delta(0)), Verdict::Ignore, "no keyframe yet");
    assert_eq!(selector.handle_packet(now, 0, 3, &key(0, 0)), SWITCHED);
    assert_eq!(selector.handle_packet(now, 2, 1, &key(0, 0)), Verdict::Ignore);
    assert_eq!(selector.keyframe_wanted(now), None);
    selector.set_target(Some(Layer::whole(2)));
    assert_eq!(selector.keyframe_wanted(now), Some(2));
    assert_eq!(selector.handle_packet(now, 0, 4, &delta(0)), FORWARD);
    assert_eq!(selector.handle_packet(now, 2, 2, &delta(0)), Verdict::Ignore);
    assert_eq!(selector.handle_packet(now, 2, 3, &key(0, 0)), SWITCHED);
    assert_eq!(selector.handle_packet(now, 0, 5, &delta(0)), Verdict::Ignore);
}

#[test]
fn a_new_viewer_takes_a_lower_keyframe_that_comes_first() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(2)));
    selector.handle_packet(now, 2, 1, &delta(0));
    assert_eq!(selector.handle_packet(now, 0, 1, &key(0, 0)), SWITCHED);
    assert_eq!(selector.keyframe_wanted(now), Some(2));
    assert_eq!(selector.handle_packet(now, 1, 1, &key(0, 0)), Verdict::Ignore, "one that is not the goal");
}

#[test]
fn a_layer_that_its_publisher_paused_is_left_for_the_best_one_below() {
    let (mut selector, start) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(2)));
    for rung in 0..3 {
        selector.handle_packet(start, rung, 1, &key(0, 0));
    }
    assert_eq!(selector.current(), Some(Layer::whole(2)));
    let mut now = start;
    for frame in 2..30 {
        now = start + Duration::from_millis(frame * 33);
        selector.handle_packet(now, 0, frame, &delta(0));
        selector.handle_packet(now, 1, frame, &delta(0));
    }
    assert!(selector.is_stopped(now, 2) && !selector.is_stopped(now, 1));
    assert_eq!(selector.keyframe_wanted(now), Some(1));
    assert_eq!(selector.handle_packet(now, 1, 30, &key(0, 0)), SWITCHED);
    // It comes back: up again at its keyframe.
    assert_eq!(selector.handle_packet(now, 2, 2, &delta(0)), Verdict::Ignore);
    assert_eq!(selector.keyframe_wanted(now), Some(2));
    assert_eq!(selector.handle_packet(now, 2, 3, &key(0, 0)), SWITCHED);
}

#[test]
fn a_dearer_layer_goes_on_for_a_second_at_most_when_the_lower_one_does_not_begin() {
    let (mut selector, start) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(2)));
    for rung in 0..3 {
        selector.handle_packet(start, rung, 1, &key(0, 0));
    }
    let at = |selector: &mut Selector, millis| {
        selector.handle_packet(start + Duration::from_millis(millis), 0, millis, &delta(0));
        selector.handle_packet(start + Duration::from_millis(millis), 2, millis, &delta(0))
    };
    assert_eq!(at(&mut selector, 33), FORWARD);
    selector.set_target(Some(Layer::whole(0)));
    assert_eq!(at(&mut selector, 100), FORWARD);
    selector.set_target(Some(Layer::whole(2)));
    assert_eq!(at(&mut selector, 900), FORWARD);
    selector.set_target(Some(Layer::whole(0)));
    assert_eq!(at(&mut selector, 1_000), FORWARD);
    assert_eq!(at(&mut selector, 1_990), FORWARD, "it is a fall of its own");
    assert_eq!(at(&mut selector, 2_000), Verdict::Ignore);
    let now = start + Duration::from_millis(2_033);
    assert_eq!((selector.current(), selector.keyframe_wanted(now)), (None, Some(0)));
    assert_eq!(selector.handle_packet(now, 0, 3_000, &key(0, 0)), SWITCHED);
}

#[test]
fn a_still_screen_does_not_look_like_a_stopped_layer() {
    let (mut selector, start) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(1)));
    for second in 0..20u64 {
        let now = start + Duration::from_secs(second);
        for rung in 0..2 {
            selector.handle_packet(now, rung, second, &if second == 0 { key(0, 0) } else { delta(0) });
            assert!(!selector.is_stopped(now, 1));
        }
    }
    assert_eq!(selector.current(), Some(Layer::whole(1)));
}

#[test]
fn a_publisher_that_falls_silent_altogether_is_not_a_stopped_layer() {
    let (mut selector, start) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(0)));
    selector.handle_packet(start, 0, 1, &key(0, 0));
    let later = start + Duration::from_secs(60);
    assert!(!selector.is_stopped(later, 0));
    assert_eq!(selector.keyframe_wanted(later), None);
    assert_eq!(selector.handle_packet(later, 0, 2, &delta(0)), FORWARD);
}

#[test]
fn temporal_layers_fall_at_the_next_frame_and_rise_at_a_switching_point() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer { rung: 0, temporal: 2 }));
    selector.handle_packet(now, 0, 1, &key(0, 0));
    assert_eq!(selector.handle_packet(now, 0, 2, &Descriptor { end: false, ..delta(2) }), FORWARD);
    selector.set_target(Some(Layer { rung: 0, temporal: 0 }));
    let rest = Descriptor { start: false, ..delta(2) };
    assert_eq!(selector.handle_packet(now, 0, 3, &rest), FORWARD, "the frame under way is finished");
    assert_eq!(selector.handle_packet(now, 0, 5, &delta(0)), FORWARD);
    assert_eq!(selector.handle_packet(now, 0, 6, &delta(2)), Verdict::Skip);
    assert_eq!(selector.handle_packet(now, 0, 4, &rest), FORWARD, "a late packet from before");
    selector.set_target(Some(Layer { rung: 0, temporal: 2 }));
    let sync = |temporal| Descriptor { switch_up: SwitchUp::Here, ..delta(temporal) };
    assert_eq!(selector.handle_packet(now, 0, 7, &sync(2)), Verdict::Skip, "layer 1 comes first");
    assert_eq!(selector.handle_packet(now, 0, 8, &sync(1)), FORWARD);
    assert_eq!(selector.handle_packet(now, 0, 9, &delta(2)), Verdict::Skip);
    assert_eq!(selector.handle_packet(now, 0, 10, &sync(2)), FORWARD);
    assert_eq!(selector.current(), Some(Layer { rung: 0, temporal: 2 }));
}

#[test]
fn after_a_vp9_switching_up_point_every_layer_may_follow() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer { rung: 0, temporal: 0 }));
    selector.handle_packet(now, 0, 1, &key(0, 0));
    selector.set_target(Some(Layer { rung: 0, temporal: 2 }));
    assert_eq!(selector.handle_packet(now, 0, 2, &delta(2)), Verdict::Skip);
    let point = Descriptor { switch_up: SwitchUp::After(7), ..delta(0) };
    assert_eq!(selector.handle_packet(now, 0, 3, &point), FORWARD);
    assert_eq!(selector.handle_packet(now, 0, 4, &delta(2)), FORWARD);
}

#[test]
fn spatial_layers_rise_at_a_key_picture_and_fall_with_any() {
    let (mut selector, now) = (Selector::new(Shape::Svc), Instant::now());
    selector.set_target(Some(Layer::whole(0)));
    let layer = |spatial, read: Descriptor| Descriptor { spatial, key_start: read.key_start && spatial == 0, ..read };
    let marked = Verdict::Forward { switched: true, set_marker: true };
    assert_eq!(selector.handle_packet(now, 0, 1, &layer(0, key(0, 0))), marked, "what follows is left out");
    assert_eq!(selector.handle_packet(now, 0, 2, &layer(1, key(0, 0))), Verdict::Skip);
    selector.set_target(Some(Layer::whole(1)));
    assert_eq!(selector.keyframe_wanted(now), Some(0));
    assert_eq!(selector.handle_packet(now, 0, 4, &layer(1, delta(0))), Verdict::Skip);
    assert_eq!(selector.handle_packet(now, 0, 5, &layer(0, key(0, 0))), FORWARD);
    let top = Verdict::Forward { switched: false, set_marker: true };
    assert_eq!(selector.handle_packet(now, 0, 6, &layer(1, key(0, 0))), top);
    assert_eq!(selector.handle_packet(now, 0, 7, &layer(2, key(0, 0))), Verdict::Skip);
    selector.set_target(Some(Layer::whole(0)));
    assert_eq!(selector.handle_packet(now, 0, 8, &layer(1, delta(0))), top, "the picture under way is finished");
    assert_eq!(selector.handle_packet(now, 0, 9, &layer(0, delta(0))), top);
    assert_eq!(selector.handle_packet(now, 0, 10, &layer(1, delta(0))), Verdict::Skip);
}

#[test]
fn a_pause_holds_at_once_and_ends_with_a_keyframe() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(0)));
    selector.handle_packet(now, 0, 1, &key(0, 0));
    selector.set_target(None);
    assert_eq!(selector.handle_packet(now, 0, 2, &delta(0)), Verdict::Ignore);
    assert_eq!(selector.keyframe_wanted(now), None);
    selector.set_target(Some(Layer::whole(0)));
    assert_eq!(selector.handle_packet(now, 0, 3, &delta(0)), Verdict::Ignore);
    assert_eq!(selector.keyframe_wanted(now), Some(0));
    assert_eq!(selector.handle_packet(now, 0, 4, &key(0, 0)), SWITCHED);
}

#[test]
fn rungs_beyond_what_there_can_be_are_harmless() {
    let (mut selector, now) = (Selector::new(Shape::Simulcast), Instant::now());
    selector.set_target(Some(Layer::whole(255)));
    selector.handle_packet(now, 255, 1, &key(0, 0));
    assert!(!selector.is_stopped(now, 255));
}
