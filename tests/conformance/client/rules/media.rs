//! Rules about the bytes: parts and their segment, clocks, keyframes, what durations and dates say of them.

use super::Findings;
use crate::client::mp4::Sample;
use crate::client::playlist::Segment;
use crate::client::record::{Carries, MediaKind};
use crate::client::session::{Log, Session};

/// Room for decimal fractions in playlists, in seconds.
const ROUNDING_SECS: f64 = 0.002;
/// Dates are written in milliseconds, and clocks of sound and pictures differ by fractions of a frame.
const DATE_ROOM_SECS: f64 = 0.05;

fn frame_secs(samples: &[Sample], timescale: u64) -> f64 {
    samples.iter().map(|sample| sample.duration).max().unwrap_or(0) as f64 / timescale as f64
}

fn secs(samples: &[Sample], timescale: u64) -> f64 {
    samples.iter().map(|sample| sample.duration).sum::<i64>() as f64 / timescale as f64
}

/// When the first of these samples is shown, in seconds.
pub fn shown_at(samples: &[Sample], timescale: u64) -> f64 {
    samples.iter().map(|sample| sample.pts).min().unwrap_or(0) as f64 / timescale as f64
}

/// Segments that are whole, with their samples and clock.
pub fn segments(log: &Log) -> impl Iterator<Item = (&Segment, Vec<Sample>, u64)> {
    log.history.values().filter_map(|segment| {
        let (samples, timescale) = log.segment_samples(segment)?;
        Some((segment, samples, timescale))
    })
}

/// L6: the parts of a segment hold the same samples with the same times as the segment.
pub fn parts_are_the_segment(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (segment, samples, timescale) in segments(log) {
            if !log.with_all_parts.contains(&segment.msn) || segment.parts.iter().any(|part| part.gap) {
                continue;
            }
            let of_parts: Option<Vec<Vec<Sample>>> =
                segment.parts.iter().map(|part| log.samples(&part.resource, segment.map.as_ref())).collect();
            let Some(of_parts) = of_parts else { continue };
            let of_parts = of_parts.concat();
            let same = of_parts == samples;
            found.check(
                same,
                || difference(&of_parts, &samples),
                || segment.whole.as_ref().map(|(resource, _)| resource.url.clone()).unwrap_or_default(),
            );
            let (parts, whole) = (segment.parts_secs(), segment.secs());
            // Each part's duration is rounded for itself.
            let room = frame_secs(&samples, timescale) + ROUNDING_SECS;
            found.check(
                (parts - whole).abs() <= room,
                || format!("parts last {parts:.4} s, their segment {whole:.4} s"),
                || format!("segment {}", segment.msn),
            );
        }
    }
}

fn difference(parts: &[Sample], whole: &[Sample]) -> String {
    if parts.len() != whole.len() {
        return format!("{} samples in the parts, {} in the segment", parts.len(), whole.len());
    }
    let at = parts.iter().zip(whole).position(|(part, whole)| part != whole).unwrap_or(0);
    let facts = |sample: &Sample| (sample.dts, sample.pts, sample.duration, sample.sync, sample.payload.len());
    format!("sample {at} is {:?} in its part and {:?} in the segment", facts(&parts[at]), facts(&whole[at]))
}

/// L6: a segment begins with an independent frame, and EXT-X-INDEPENDENT-SEGMENTS is true.
pub fn independent_segments(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (segment, samples, _) in segments(log) {
            let begins = samples.first().is_some_and(|sample| sample.sync);
            let evidence = || format!("segment {} of {}", segment.msn, log.rendition.url);
            if session.record.options.keyframes_in_time {
                let what = || "a segment does not begin with an independent frame (Apple 7.4)".into();
                found.check(begins, what, evidence);
            }
            let promised = log.seen.iter().any(|seen| {
                seen.list.independent_segments && seen.list.segments.iter().any(|listed| listed.msn == segment.msn)
            });
            found.check(begins || !promised, || "EXT-X-INDEPENDENT-SEGMENTS is not true of it".into(), evidence);
        }
    }
}

/// L6: bytes are whole boxes, and within a stretch each segment begins where the one before ended.
pub fn continuous(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (resource, init) in log.inits() {
            found.check(init.is_ok(), || init.clone().err().unwrap_or_default(), || resource.url.clone());
        }
        for segment in log.history.values() {
            if let Some(picture) = log.picture(segment).filter(|_| log.rendition.carries == Carries::IFrames) {
                let evidence = || format!("segment {} of {}", segment.msn, log.rendition.url);
                found.check(picture.is_ok(), || picture.clone().err().unwrap_or_default(), evidence);
                continue;
            }
            let parts = segment.parts.iter().map(|part| &part.resource);
            for resource in parts.chain(segment.whole.as_ref().map(|(resource, _)| resource)) {
                if let Some(Err(error)) = log.fragments(resource, segment.map.as_ref()) {
                    found.check(false, || error, || resource.url.clone());
                }
            }
        }
        let whole: Vec<_> = segments(log).collect();
        for pair in whole.windows(2) {
            let [(before, ended, clock), (after, begun, other)] = pair else { continue };
            let stretch = |segment: &Segment| (segment.discontinuity_sequence, segment.map.clone());
            if after.msn != before.msn + 1 || stretch(before) != stretch(after) || clock != other {
                continue;
            }
            let (Some(last), Some(first)) = (ended.last(), begun.first()) else { continue };
            let gap = first.dts - (last.dts + last.duration);
            found.check(
                gap.abs() * 2 <= last.duration.max(2),
                || format!("{gap} ticks between segments {} and {}", before.msn, after.msn),
                || log.rendition.url.clone(),
            );
        }
    }
}

/// L12: a date goes with the media time of its segment, and from one segment to the next by EXTINF.
pub fn dates(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        let whole: Vec<_> = segments(log).filter(|(segment, ..)| segment.date.is_some()).collect();
        for pair in whole.windows(2) {
            let [(before, ended, timescale), (after, begun, _)] = pair else { continue };
            if after.msn != before.msn + 1 || before.discontinuity_sequence != after.discontinuity_sequence {
                continue;
            }
            let dated = (after.date.unwrap_or(0) - before.date.unwrap_or(0)) as f64 / 1e6;
            let shown = shown_at(begun, *timescale) - shown_at(ended, *timescale);
            let evidence = || format!("segments {} and {} of {}", before.msn, after.msn, log.rendition.url);
            found.check(
                (dated - before.secs()).abs() <= DATE_ROOM_SECS,
                || format!("dates are {dated:.3} s apart, EXTINF says {:.3} s", before.secs()),
                evidence,
            );
            found.check(
                (dated - shown).abs() <= DATE_ROOM_SECS,
                || format!("dates are {dated:.3} s apart, the media {shown:.3} s"),
                evidence,
            );
        }
    }
}

/// M3: what is listed of a duration is within one frame of its samples.
pub fn durations(session: &Session, found: &mut Findings<'_>) {
    // An I-frame lasts until the next one, which is not in its bytes.
    for log in session.playing() {
        for segment in log.history.values() {
            let parts = segment.parts.iter().map(|part| (&part.resource, part.duration));
            let whole = segment.whole.iter().map(|(resource, secs)| (resource, *secs));
            let timescale =
                log.init(segment.map.as_ref()).and_then(|init| init.as_ref().ok()).map(|init| init.timescale);
            let Some(timescale) = timescale else { continue };
            for (resource, listed) in parts.chain(whole) {
                let Some(samples) = log.samples(resource, segment.map.as_ref()) else { continue };
                let held = secs(&samples, timescale);
                found.check(
                    (held - listed).abs() <= frame_secs(&samples, timescale) + ROUNDING_SECS,
                    || format!("{listed:.4} s are listed, the samples last {held:.4} s"),
                    || resource.url.clone(),
                );
            }
        }
    }
}

/// M6: parameter sets are in the sample entry (avc1, hvc1), and media is never somewhere else.
pub fn entries(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (resource, init) in log.inits() {
            let Ok(init) = init else { continue };
            found.check(
                !matches!(init.codec.as_str(), "avc3" | "hev1" | "dvhe"),
                || format!("sample entry {}: parameter sets belong into the init segment", init.codec),
                || resource.url.clone(),
            );
        }
        for fetched in log.media.values().filter(|fetched| fetched.kind != MediaKind::Hint) {
            let status = fetched.exchange.status;
            found.check(!(300..400).contains(&status), || "media is redirected".into(), || fetched.exchange.summary());
        }
    }
}
