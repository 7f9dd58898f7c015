//! Rules about the multivariant playlist and I-frame playlists (Apple's authoring specification).

use std::collections::BTreeMap;

use super::{Findings, excerpt};
use crate::client::multivariant::{Entry, Multivariant};
use crate::client::record::Carries;
use crate::client::session::{Log, Session};

/// Apple 3: peaks of live segments stay below this share of BANDWIDTH.
const LIVE_PEAK_MAX: f64 = 1.25;
/// Shorter segments say nothing about a peak (§4.4.6.2 counts from half a target duration).
const PEAK_SECS_MIN: f64 = 0.5;
/// Apple 1: at most so many frames a second.
const FRAME_RATE_MAX: f64 = 60.0;

const PICTURE_CODECS: &[&str] = &["avc1", "avc3", "hvc1", "hev1", "dvh1", "av01", "vp09"];

fn has_pictures(entry: &Entry) -> bool {
    let codecs = entry.attributes.text("CODECS").unwrap_or("");
    codecs.split(',').any(|codec| PICTURE_CODECS.iter().any(|known| codec.trim().starts_with(known)))
}

/// M1.
pub fn attributes(session: &Session, found: &mut Findings<'_>) {
    for (_, list) in &session.multivariants {
        for variant in &list.variants {
            let attributes = &variant.attributes;
            let mut wanted = vec!["CODECS", "AVERAGE-BANDWIDTH"];
            if has_pictures(variant) {
                wanted.extend(["RESOLUTION", "FRAME-RATE", "CLOSED-CAPTIONS"]);
            }
            for name in wanted {
                found.check(attributes.has(name), || format!("a variant without {name}"), || variant.text.clone());
            }
            let (average, peak) = (attributes.integer("AVERAGE-BANDWIDTH"), attributes.integer("BANDWIDTH"));
            found.check(average <= peak, || "AVERAGE-BANDWIDTH above BANDWIDTH".into(), || variant.text.clone());
            if let Some(rate) = attributes.float("FRAME-RATE") {
                found.check(
                    rate <= FRAME_RATE_MAX + 0.01,
                    || format!("{rate} frames a second"),
                    || variant.text.clone(),
                );
            }
            let group = attributes.text("AUDIO");
            let there = |group: &str| list.media.iter().any(|media| media.attributes.text("GROUP-ID") == Some(group));
            found.check(group.is_none_or(there), || "a group that does not exist".into(), || variant.text.clone());
        }
        for media in &list.media {
            let attributes = &media.attributes;
            if attributes.text("TYPE") != Some("VIDEO") {
                found.check(
                    attributes.has("LANGUAGE"),
                    || "EXT-X-MEDIA without LANGUAGE".into(),
                    || media.text.clone(),
                );
            }
            if attributes.text("TYPE") == Some("AUDIO") {
                found.check(
                    attributes.has("CHANNELS"),
                    || "EXT-X-MEDIA without CHANNELS".into(),
                    || media.text.clone(),
                );
            }
        }
        independent_segments(session, list, found);
    }
    codecs_of_the_bytes(session, found);
}

/// EXT-X-INDEPENDENT-SEGMENTS stands here if it is true of every playlist (Apple 7.4).
fn independent_segments(session: &Session, list: &Multivariant, found: &mut Findings<'_>) {
    if session.record.options.keyframes_in_time {
        found.check(list.independent_segments, || "no EXT-X-INDEPENDENT-SEGMENTS".into(), String::new);
    }
}

/// CODECS names what the init segments hold.
fn codecs_of_the_bytes(session: &Session, found: &mut Findings<'_>) {
    let Some((_, list)) = session.multivariants.last() else { return };
    for variant in &list.variants {
        let codecs = variant.attributes.text("CODECS").unwrap_or("").to_owned();
        let logs = session.playing().filter(|log| {
            let own = Some(&log.rendition.url) == variant.url.as_ref();
            own || (log.rendition.carries == Carries::Sound && variant.attributes.has("AUDIO"))
        });
        for init in logs.filter_map(Log::any_init) {
            found.check(
                codecs.split(',').any(|codec| codec.trim().starts_with(&init.codec)),
                || format!("CODECS=\"{codecs}\", but the bytes are {}", init.codec),
                || variant.text.clone(),
            );
        }
    }
}

/// M2: no segment has more bits than BANDWIDTH promises.
pub fn bandwidth(session: &Session, found: &mut Findings<'_>) {
    let Some((_, list)) = session.multivariants.last() else { return };
    let sounds: BTreeMap<u64, f64> = match session.logs.iter().find(|log| log.rendition.carries == Carries::Sound) {
        Some(log) => bits_per_second(log).collect(),
        None => BTreeMap::new(),
    };
    for variant in &list.variants {
        let Some(promised) = variant.attributes.integer("BANDWIDTH") else { continue };
        let log = session.logs.iter().find(|log| Some(&log.rendition.url) == variant.url.as_ref());
        for (msn, bits) in log.into_iter().flat_map(bits_per_second) {
            let all = bits + sounds.get(&msn).copied().unwrap_or(0.0);
            found.check(
                all <= LIVE_PEAK_MAX * promised as f64,
                || format!("segment {msn} has {all:.0} bit/s, BANDWIDTH is {promised}"),
                || variant.text.clone(),
            );
        }
    }
}

fn bits_per_second(log: &Log) -> impl Iterator<Item = (u64, f64)> {
    log.history.values().filter_map(|segment| {
        let (resource, secs) = segment.whole.as_ref()?;
        let fetched = log.media.get(resource).filter(|fetched| fetched.is_there())?;
        (*secs >= PEAK_SECS_MIN).then(|| (segment.msn, fetched.exchange.body.len() as f64 * 8.0 / secs))
    })
}

/// M4: an I-frame playlist for a stream with pictures.
pub fn i_frames(session: &Session, found: &mut Findings<'_>) {
    let Some((exchange, list)) = session.multivariants.last() else { return };
    let pictures = list.variants.iter().any(has_pictures);
    if session.record.options.i_frames_required && pictures {
        found.check(!list.i_frames.is_empty(), || "no EXT-X-I-FRAME-STREAM-INF".into(), || exchange.text());
    }
    for entry in &list.i_frames {
        for name in ["CODECS", "RESOLUTION", "AVERAGE-BANDWIDTH"] {
            found.check(
                entry.attributes.has(name),
                || format!("an I-frame variant without {name}"),
                || entry.text.clone(),
            );
        }
    }
    for log in session.logs.iter().filter(|log| log.rendition.carries == Carries::IFrames) {
        for segment in log.history.values() {
            let first = match log.picture(segment) {
                Some(picture) => picture.ok(),
                None => log.segment_samples(segment).and_then(|(samples, _)| samples.into_iter().next()),
            };
            let Some(first) = first else { continue };
            found.check(
                first.sync,
                || "an I-frame segment does not begin with an I-frame".into(),
                || format!("segment {} of {}", segment.msn, log.rendition.url),
            );
        }
        found.check(
            !log.history.is_empty(),
            || "an I-frame playlist without segments".into(),
            || log.rendition.url.clone(),
        );
    }
}

/// D9: I-frame playlists have I-frames only, no parts, and take `_HLS_msn`.
pub fn i_frame_playlists(session: &Session, found: &mut Findings<'_>) {
    for log in session.logs.iter().filter(|log| log.rendition.carries == Carries::IFrames) {
        for seen in &log.seen {
            let evidence = || excerpt(seen, &["EXT-X-I-FRAMES-ONLY", "SERVER-CONTROL", "EXT-X-PART"]);
            found.check(seen.list.i_frames_only, || "no EXT-X-I-FRAMES-ONLY".into(), evidence);
            found.check(!seen.list.has_parts(), || "parts in an I-frame playlist".into(), evidence);
            let blocks = seen.list.control.as_ref().is_some_and(|control| control.can_block_reload);
            found.check(blocks || seen.list.ended, || "no CAN-BLOCK-RELOAD=YES".into(), evidence);
        }
    }
}
