//! Rules about assets: everything there is of one was fetched, so that averages, ends and cuts can be judged.

use std::collections::BTreeSet;

use super::Findings;
use crate::client::mp4::Sample;
use crate::client::multivariant::{Entry, Multivariant};
use crate::client::record::MediaKind;
use crate::client::session::{Log, Session};

/// Apple 3: so near are the rates of an asset to what is said of them.
const RATE_ROOM: f64 = 0.1;
/// §4.4.6.2: the peak is taken over segments of at least half a target duration.
const PEAK_SHARE: f64 = 0.5;
/// Apple 1.13.
const KEYFRAME_SECS_MAX: f64 = 2.0;
/// Decimal fractions in playlists.
const ROUNDING_SECS: f64 = 0.002;
/// Apple 1: variants have one shape, as far as even numbers of pixels have.
const SHAPE_PIXELS: f64 = 2.0;
/// Apple 1.6: what a client of unknown means begins with, in bits a second of pictures.
const FIRST_BPS: u64 = 2_000_000;
/// Apple 1.6, H.264: short side, bits a second of the higher of two. Below 360 lines it names 145,000 to 365,000, which hard content
/// cannot do with.
const LADDER: &[(u64, u64)] = &[
    (240, 400_000),
    (360, 1_100_000),
    (480, 2_000_000),
    (540, 2_000_000),
    (720, 4_500_000),
    (1_080, 7_800_000),
    (1_440, 14_000_000),
    (2_160, 24_000_000),
];
/// A rung of content that is hard may take so much more than what is recommended of most.
const LADDER_ROOM: f64 = 1.25;
/// Caps are over a decoder's buffer, which a short asset begins with.
const BUFFER_SECS: f64 = 2.0;

/// The multivariant playlist of an asset; nothing of a live stream.
fn asset(session: &Session) -> Option<&Multivariant> {
    session.multivariants.last().map(|(_, list)| list).filter(|_| session.is_asset())
}

fn log_of<'a>(session: &'a Session, entry: &Entry) -> Option<&'a Log> {
    session.logs.iter().find(|log| Some(&log.rendition.url) == entry.url.as_ref())
}

fn secs(log: &Log) -> f64 {
    log.seen.first().map_or(0.0, |seen| seen.list.listed_secs())
}

/// Bytes and seconds of each segment.
fn sizes(log: &Log) -> Vec<(f64, f64)> {
    let whole = log.history.values().filter_map(|segment| segment.whole.as_ref());
    whole
        .filter_map(|(resource, secs)| {
            let fetched = log.media.get(resource).filter(|fetched| fetched.is_there())?;
            Some((fetched.exchange.body.len() as f64, *secs))
        })
        .collect()
}

/// Average and peak in bits a second.
fn rates(log: &Log) -> (f64, f64) {
    let sizes = sizes(log);
    let (bytes, secs) = sizes.iter().fold((0.0, 0.0), |(bytes, secs), (len, lasts)| (bytes + len, secs + lasts));
    let least = log.seen.first().map_or(0.0, |seen| seen.list.target_secs()) * PEAK_SHARE;
    let peak = sizes.iter().filter(|(_, secs)| *secs >= least).map(|(len, secs)| len * 8.0 / secs).fold(0.0, f64::max);
    let average = if secs > 0.0 { bytes * 8.0 / secs } else { 0.0 };
    (average, peak.max(average))
}

/// M1: languages, defaults and ranges of what can be chosen.
pub fn tracks(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    let groups: BTreeSet<(&str, &str)> = list
        .media
        .iter()
        .filter_map(|media| Some((media.attributes.text("TYPE")?, media.attributes.text("GROUP-ID")?)))
        .collect();
    for (kind, group) in groups {
        let members: Vec<&Entry> = list
            .media
            .iter()
            .filter(|media| {
                media.attributes.text("TYPE") == Some(kind) && media.attributes.text("GROUP-ID") == Some(group)
            })
            .collect();
        let evidence = || members.iter().map(|media| media.text.as_str()).collect::<Vec<_>>().join("\n");
        let names: BTreeSet<_> = members.iter().filter_map(|media| media.attributes.text("NAME")).collect();
        found.check(names.len() == members.len(), || format!("two of {group} have one NAME"), evidence);
        let defaults = members.iter().filter(|media| media.attributes.text("DEFAULT") == Some("YES")).count();
        found.check(defaults <= 1, || format!("{defaults} defaults in {group}"), evidence);
        found.check(kind != "AUDIO" || defaults == 1, || format!("no default in {group}"), evidence);
    }
    let ranges: Vec<bool> = pictures(list).map(|variant| variant.attributes.has("VIDEO-RANGE")).collect();
    found.check(
        ranges.iter().all(|has| *has) || !ranges.iter().any(|has| *has),
        || "VIDEO-RANGE stands at some variants and not at others".into(),
        || list.variants.iter().map(|variant| variant.text.as_str()).collect::<Vec<_>>().join("\n"),
    );
}

fn pictures(list: &Multivariant) -> impl Iterator<Item = &Entry> {
    list.variants.iter().filter(|variant| variant.attributes.has("RESOLUTION"))
}

/// The most that one of the sounds takes that go with a variant, average and peak.
fn sound_rates(session: &Session, list: &Multivariant, variant: &Entry) -> (f64, f64) {
    let group = variant.attributes.text("AUDIO");
    let sounds = list.media.iter().filter(|media| group.is_some() && media.attributes.text("GROUP-ID") == group);
    let rates = sounds.filter_map(|media| log_of(session, media)).map(rates);
    rates.fold((0.0, 0.0), |most, rates| (most.0.max(rates.0), most.1.max(rates.1)))
}

/// M2.
pub fn bandwidth(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    for variant in &list.variants {
        let Some(log) = log_of(session, variant) else { continue };
        let group = variant.attributes.text("AUDIO");
        let sounds = list.media.iter().filter(|media| group.is_some() && media.attributes.text("GROUP-ID") == group);
        let sounds: Vec<(f64, f64)> = sounds.filter_map(|media| log_of(session, media)).map(rates).collect();
        let most = |pick: fn(&(f64, f64)) -> f64| sounds.iter().map(pick).fold(0.0, f64::max);
        let (average, peak) = rates(log);
        let measured =
            [("AVERAGE-BANDWIDTH", average + most(|rates| rates.0)), ("BANDWIDTH", peak + most(|rates| rates.1))];
        for (name, measured) in measured {
            let Some(said) = variant.attributes.integer(name) else { continue };
            found.check(
                (measured - said as f64).abs() <= said as f64 * RATE_ROOM,
                || format!("{name} is {said}, {measured:.0} bit/s are there"),
                || variant.text.clone(),
            );
        }
    }
    for variant in &list.i_frames {
        let Some(log) = log_of(session, variant) else { continue };
        let (average, _) = rates(log);
        let Some(said) = variant.attributes.integer("AVERAGE-BANDWIDTH") else { continue };
        found.check(
            (average - said as f64).abs() <= said as f64 * RATE_ROOM,
            || format!("AVERAGE-BANDWIDTH of I-frames is {said}, {average:.0} bit/s are there"),
            || variant.text.clone(),
        );
    }
}

/// All samples of a rendition, each with its segment's number.
fn samples(log: &Log) -> Vec<(u64, Vec<Sample>, f64)> {
    super::media::segments(log).map(|(segment, samples, timescale)| (segment.msn, samples, timescale as f64)).collect()
}

/// M3.
pub fn keyframes(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    for variant in pictures(list).filter(|_| session.record.options.keyframes_in_time) {
        let Some(log) = log_of(session, variant) else { continue };
        let mut keys = Vec::new();
        let (mut end, mut frame) = (0.0, 0.0_f64);
        for (_, samples, hz) in samples(log) {
            keys.extend(samples.iter().filter(|sample| sample.sync).map(|sample| sample.pts as f64 / hz));
            end = samples.iter().map(|sample| (sample.pts + sample.duration) as f64 / hz).fold(end, f64::max);
            frame = samples.iter().map(|sample| sample.duration as f64 / hz).fold(frame, f64::max);
        }
        keys.push(end);
        let longest = keys.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        found.check(
            longest <= KEYFRAME_SECS_MAX + frame + ROUNDING_SECS,
            || format!("{longest:.3} s between two keyframes"),
            || log.rendition.url.clone(),
        );
    }
}

/// M5.
pub fn whole(session: &Session, found: &mut Findings<'_>) {
    if !session.is_asset() {
        return;
    }
    for seen in session.all_lists() {
        let evidence = || super::excerpt(seen, &["PLAYLIST-TYPE", "ENDLIST", "MEDIA-SEQUENCE"]);
        found.check(seen.list.playlist_type.as_deref() == Some("VOD"), || "not of type VOD".into(), evidence);
        found.check(seen.list.ended, || "no EXT-X-ENDLIST".into(), evidence);
    }
    for fetched in session.logs.iter().flat_map(|log| log.media.values()) {
        found.check(fetched.is_there(), || "what is listed is not there".into(), || fetched.exchange.summary());
    }
    let Some(longest) = session.logs.iter().map(secs).reduce(f64::max) else { return };
    for log in &session.logs {
        // The last frame of sound may end before the last picture does, and an asset may have sound without pictures at its end.
        let frame = samples(log)
            .iter()
            .flat_map(|(_, samples, hz)| samples.iter().map(move |s| s.duration as f64 / hz))
            .fold(0.0, f64::max);
        let missing = longest - secs(log);
        found.check(
            missing <= frame + 0.05,
            || format!("it ends {missing:.3} s before another"),
            || log.rendition.url.clone(),
        );
    }
}

/// When each segment begins, in seconds.
fn starts(log: &Log) -> Vec<f64> {
    samples(log).iter().map(|(_, samples, hz)| super::media::shown_at(samples, 1) / hz).collect()
}

/// M6: cuts are the same everywhere, shapes too, and everybody can hear something.
pub fn aligned(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    let reference = pictures(list).find_map(|variant| log_of(session, variant)).map(|log| (log, starts(log)));
    for log in session.playing() {
        let Some((first, cuts)) = &reference else { continue };
        let own = starts(log);
        let is_sound = log
            .any_init()
            .is_some_and(|init| matches!(init.codec.as_str(), "mp4a" | "ac-3" | "ec-3" | "Opus" | "fLaC"));
        found.check(
            own.len() == cuts.len(),
            || format!("{} segments, another has {}", own.len(), cuts.len()),
            || format!("{}\n{}", log.rendition.url, first.rendition.url),
        );
        let frame = samples(log)
            .iter()
            .flat_map(|(_, samples, hz)| samples.iter().map(move |s| s.duration as f64 / hz))
            .fold(0.0, f64::max);
        // Pictures of a lower rate have not all of the others' times, and sound has its own.
        let room = if is_sound { frame } else { frame / 2.0 } + 0.001;
        for (number, (own, cut)) in own.iter().zip(cuts).enumerate() {
            found.check(
                (own - cut).abs() <= room || (is_sound && number == 0),
                || format!("segment {number} begins at {own:.4} s, another's at {cut:.4} s"),
                || format!("{}\n{}", log.rendition.url, first.rendition.url),
            );
        }
    }
    let shapes: Vec<(f64, f64)> =
        pictures(list).filter_map(|variant| variant.attributes.text("RESOLUTION")).filter_map(size).collect();
    if let Some((width, height)) = shapes.first() {
        for (other_width, other_height) in &shapes {
            let wanted = other_width * height / width;
            found.check(
                (wanted - other_height).abs() <= SHAPE_PIXELS.max(SHAPE_PIXELS * height / width),
                || format!("{other_width}x{other_height} has another shape than {width}x{height}"),
                String::new,
            );
        }
    }
    let stereo = |media: &&Entry| matches!(media.attributes.text("CHANNELS"), Some("1" | "2"));
    let has_sound = list.media.iter().any(|media| media.attributes.text("TYPE") == Some("AUDIO"));
    found.check(!has_sound || list.media.iter().any(|media| stereo(&media)), || "no stereo".into(), String::new);
    let is_aac = |variant: &Entry| variant.attributes.text("CODECS").is_some_and(|codecs| codecs.contains("mp4a.40"));
    found.check(!has_sound || list.variants.iter().any(is_aac), || "no AAC".into(), String::new);
    let sdr = |variant: &Entry| matches!(variant.attributes.text("VIDEO-RANGE"), None | Some("SDR"));
    found.check(
        pictures(list).next().is_none() || pictures(list).any(sdr),
        || "nothing for displays without HDR".into(),
        String::new,
    );
}

fn size(text: &str) -> Option<(f64, f64)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// M7: rates of pictures fall with their sizes and are near what is recommended, and the first variant is the one that is nearest to
/// what clients of unknown means begin with.
pub fn ladder(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    let avc = |variant: &&Entry| variant.attributes.text("CODECS").is_some_and(|codecs| codecs.starts_with("avc1"));
    let mut rungs: Vec<(u64, u64)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut first = None;
    let lasts = session.logs.iter().map(secs).fold(0.0, f64::max).max(1.0);
    for variant in pictures(list).filter(avc) {
        let Some(said) = variant.attributes.integer("AVERAGE-BANDWIDTH") else { continue };
        let Some((width, height)) = variant.attributes.text("RESOLUTION").and_then(size) else { continue };
        // What it says has sound in it, the recommendation has none.
        let rung = (width.min(height) as u64, said.saturating_sub(sound_rates(session, list, variant).0 as u64));
        first.get_or_insert(rung.1);
        // Each stands there once for each group of sound.
        if seen.insert(variant.url.as_deref()) {
            rungs.push(rung);
        }
    }
    rungs.sort_unstable();
    let evidence = || format!("{rungs:?}");
    for pair in rungs.windows(2) {
        let ((smaller, less), (larger, more)) = (pair[0], pair[1]);
        found.check(smaller == larger || less < more, || "a smaller rung takes more than a larger".into(), evidence);
    }
    // The largest may be the source as it came.
    for (side, bps) in rungs.iter().rev().skip(1) {
        let Some((_, most)) = LADDER.iter().find(|(known, _)| side <= known) else { continue };
        found.check(
            *bps as f64 <= *most as f64 * LADDER_ROOM * (1.0 + BUFFER_SECS / lasts),
            || format!("{side} lines take {bps} bit/s, {most} are recommended"),
            evidence,
        );
    }
    let away = |bps: u64| bps.abs_diff(FIRST_BPS) as f64;
    let nearest = rungs.iter().map(|(_, bps)| away(*bps)).fold(f64::MAX, f64::min);
    if let Some(first) = first {
        found.check(
            away(first) <= nearest + FIRST_BPS as f64 * RATE_ROOM,
            || format!("the first variant takes {first} bit/s, and one is nearer to {FIRST_BPS}"),
            evidence,
        );
    }
}

/// M8.
pub fn captions(session: &Session, found: &mut Findings<'_>) {
    let Some(list) = asset(session) else { return };
    let video = pictures(list).find_map(|variant| log_of(session, variant));
    for media in list.media.iter().filter(|media| media.attributes.text("TYPE") == Some("SUBTITLES")) {
        let Some(log) = log_of(session, media) else { continue };
        if let Some(video) = video {
            found.check(
                (secs(log) - secs(video)).abs() <= 0.1,
                || format!("subtitles last {:.3} s, pictures {:.3} s", secs(log), secs(video)),
                || log.rendition.url.clone(),
            );
        }
        for fetched in log.media.values().filter(|fetched| fetched.kind == MediaKind::Segment) {
            let text = fetched.exchange.text();
            let wrong = wrong_webvtt(&text);
            found.check(
                wrong.is_none(),
                || wrong.clone().unwrap_or_default(),
                || format!("{}\n{text}", fetched.exchange.summary()),
            );
        }
    }
}

/// What is wrong with a segment of text (WebVTT §4, RFC 8216bis §3.1.4).
fn wrong_webvtt(text: &str) -> Option<String> {
    let mut blocks = text.split("\n\n");
    let head = blocks.next().unwrap_or("");
    if !(head == "WEBVTT" || head.starts_with("WEBVTT\n") || head.starts_with("WEBVTT ")) {
        return Some("it does not begin with WEBVTT".into());
    }
    if !head.lines().any(|line| line.starts_with("X-TIMESTAMP-MAP=")) {
        return Some("no X-TIMESTAMP-MAP".into());
    }
    for block in blocks.filter(|block| !block.trim().is_empty()) {
        let Some(line) = block.lines().find(|line| line.contains("-->")) else {
            return Some(format!("no times in {block:?}"));
        };
        let mut times = line.split("-->").map(|time| seconds(time.split_whitespace().next().unwrap_or("")));
        let (Some(Some(from)), Some(Some(to))) = (times.next(), times.next()) else {
            return Some(format!("times {line:?}"));
        };
        if from >= to {
            return Some(format!("a cue ends before it begins: {line}"));
        }
        let body: String = block.lines().skip_while(|line| !line.contains("-->")).skip(1).collect();
        if body.contains("{\\") {
            return Some(format!("formats of another language: {body}"));
        }
    }
    None
}

/// `hh:mm:ss.ttt` or `mm:ss.ttt`.
fn seconds(text: &str) -> Option<f64> {
    let parts: Vec<f64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (matches!(parts.len(), 2 | 3) && text.split('.').nth(1).is_some_and(|millis| millis.len() == 3))
        .then(|| parts.iter().fold(0.0, |secs, part| secs * 60.0 + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_strictly() {
        let head = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n";
        assert_eq!(wrong_webvtt(&format!("{head}00:00:01.000 --> 00:00:02.500\nHello\n")), None);
        assert_eq!(wrong_webvtt(head), None, "nobody speaks");
        for wrong in [
            "00:00:01.000 --> 00:00:02.500\n".to_owned(),
            "WEBVTT\n\n".to_owned(),
            format!("{head}00:00:02.000 --> 00:00:01.000\nx\n"),
            format!("{head}00:00:01,000 --> 00:00:02,000\nx\n"),
            format!("{head}x\n"),
            format!("{head}00:00:01.000 --> 00:00:02.000\n{{\\an8}}x\n"),
        ] {
            assert!(wrong_webvtt(&wrong).is_some(), "{wrong}");
        }
    }
}
