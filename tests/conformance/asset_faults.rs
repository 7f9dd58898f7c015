//! What an asset can do wrong, one rule each: a right one is taken from the server, and what was seen of it is changed.
//!
//! In: the record of an asset that breaks no rule. Out: for each fault, whether the rule it breaks says so.

use bytes::Bytes;

use crate::client::{MediaKind, Record, Session, What, judge};

/// A change to what was seen, and the rule that it breaks.
pub struct AssetFault {
    pub rule: &'static str,
    pub name: &'static str,
    apply: fn(&mut Record),
}

const fn fault(rule: &'static str, name: &'static str, apply: fn(&mut Record)) -> AssetFault {
    AssetFault { rule, name, apply }
}

/// Every fault.
pub const ASSET_FAULTS: &[AssetFault] = &[
    fault("M1", "two tracks of one name", |record| multivariant(record, |text| text.replacen("한국어", "English", 9))),
    fault("M1", "no default", |record| multivariant(record, |text| text.replace("DEFAULT=YES", "DEFAULT=NO"))),
    fault("M1", "a range at one variant alone", |record| {
        multivariant(record, |text| text.replacen("RESOLUTION=", "VIDEO-RANGE=SDR,RESOLUTION=", 1));
    }),
    fault("M2", "averages are too high", |record| multivariant(record, |text| scaled(text, "AVERAGE-BANDWIDTH=", 1.2))),
    fault("M2", "peaks are too high", |record| multivariant(record, |text| scaled(text, ":BANDWIDTH=", 1.2))),
    fault("M3", "half of the keyframes are none", |record| media(record, MediaKind::Segment, without_keyframes)),
    fault("M4", "no I-frames", |record| {
        multivariant(record, |text| lines(text, |line| !line.starts_with("#EXT-X-I-FRAME-STREAM-INF")));
    }),
    fault("M5", "it may still grow", |record| {
        playlists(record, |_, text| text.replace("PLAYLIST-TYPE:VOD", "PLAYLIST-TYPE:EVENT"));
    }),
    fault("M5", "it has no end", |record| playlists(record, |_, text| text.replace("#EXT-X-ENDLIST\n", ""))),
    fault("M5", "one ends before the others", |record| {
        playlists(record, |index, text| if index == 0 { without_last(text) } else { text });
    }),
    fault("M6", "cuts differ", |record| {
        playlists(record, |index, text| if index == 1 { without_first(text) } else { text });
    }),
    fault("M6", "another shape", |record| {
        multivariant(record, |text| text.replace("RESOLUTION=426x240", "RESOLUTION=320x240"))
    }),
    fault("M6", "no stereo", |record| multivariant(record, |text| text.replace("CHANNELS=\"2\"", "CHANNELS=\"6\""))),
    fault("M7", "a smaller rung takes more", |record| {
        multivariant(record, |text| {
            let is_small = |line: &str| line.contains("RESOLUTION=426x240");
            let line = |line: &str| {
                if is_small(line) { scaled(line.to_owned(), "AVERAGE-BANDWIDTH=", 40.0) } else { line.to_owned() }
            };
            text.lines().map(|text| line(text) + "\n").collect()
        });
    }),
    fault("M8", "words without a clock", |record| words(record, |text| text.replace("X-TIMESTAMP-MAP", "X-OTHER"))),
    fault("M8", "formats of another language", |record| words(record, |text| text.replace("One", "{\\an8}One"))),
    fault("M8", "words end before the pictures", |record| {
        playlists(record, |_, text| if text.contains(".vtt") { without_last(text) } else { text });
    }),
    fault("M9", "another type", |record| {
        for exchange in &mut record.exchanges {
            if matches!(exchange.what, What::Media(_, MediaKind::Segment, _)) {
                exchange.headers.insert("content-type", "text/plain".parse().expect("a header"));
            }
        }
    }),
];

/// Each fault is caught by the rule that it breaks.
#[track_caller]
pub fn each_is_caught(record: &Record) {
    let mut wrong = Vec::new();
    for AssetFault { rule, name, apply } in ASSET_FAULTS {
        let mut broken = record.clone();
        apply(&mut broken);
        let report = judge(&Session::read(broken));
        if !report.broken().contains(rule) {
            wrong.push(format!("\"{name}\" is not caught by {rule}: {report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn change(record: &mut Record, picks: impl Fn(&What) -> bool, change: impl Fn(&What, String) -> String) {
    for exchange in record.exchanges.iter_mut().filter(|exchange| picks(&exchange.what)) {
        exchange.body = Bytes::from(change(&exchange.what, exchange.text()));
    }
}

fn multivariant(record: &mut Record, with: impl Fn(String) -> String) {
    change(record, |what| matches!(what, What::Multivariant), |_, text| with(text));
}

/// `with` is told the rendition's number.
fn playlists(record: &mut Record, with: impl Fn(usize, String) -> String) {
    change(
        record,
        |what| matches!(what, What::Playlist(..)),
        |what, text| match what {
            What::Playlist(index, _) => with(*index, text),
            _ => text,
        },
    );
}

fn words(record: &mut Record, with: impl Fn(String) -> String) {
    let is_words = |what: &What| matches!(what, What::Media(_, _, resource) if resource.url.contains(".vtt"));
    change(record, is_words, |_, text| with(text));
}

fn media(record: &mut Record, kind: MediaKind, with: fn(&[u8]) -> Vec<u8>) {
    for exchange in &mut record.exchanges {
        if matches!(&exchange.what, What::Media(_, of, _) if *of == kind) {
            exchange.body = Bytes::from(with(&exchange.body));
        }
    }
}

fn lines(text: String, keeps: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| keeps(line)).map(|line| format!("{line}\n")).collect()
}

/// Every number behind `name`, times `factor`.
fn scaled(text: String, name: &str, factor: f64) -> String {
    let mut parts = text.split(name);
    let mut found = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let number = part[..digits].parse::<f64>().expect("a number") * factor;
        found.push_str(&format!("{name}{number:.0}{}", &part[digits..]));
    }
    found
}

/// Without the tags and the address of its last segment.
fn without_last(text: String) -> String {
    let at = text.rfind("#EXTINF").expect("it has segments");
    format!("{}#EXT-X-ENDLIST\n", &text[..at])
}

/// Without those of its first.
fn without_first(text: String) -> String {
    let mut at = text.match_indices("#EXTINF").map(|(at, _)| at);
    let (Some(first), Some(second)) = (at.next(), at.next()) else { panic!("it has two segments") };
    format!("{}{}", &text[..first], &text[second..])
}

/// Pictures of which only the first of a segment can be shown without others: the flags of all fragments behind it are changed.
fn without_keyframes(segment: &[u8]) -> Vec<u8> {
    /// ISO/IEC 14496-12 §8.8.3.1: depends on no other, and the flags of one that does.
    const SYNC: [u8; 4] = [2, 0, 0, 0];
    const OTHER: [u8; 4] = [1, 1, 0, 0];
    let mut bytes = segment.to_vec();
    let moofs: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, four)| four == b"moof").map(|(at, _)| at).collect();
    for at in moofs.into_iter().skip(1) {
        let len = u32::from_be_bytes(bytes[at - 4..at].try_into().expect("four bytes")) as usize;
        let end = (at - 4 + len).min(bytes.len());
        for place in at..end.saturating_sub(3) {
            if bytes[place..place + 4] == SYNC {
                bytes[place..place + 4].copy_from_slice(&OTHER);
            }
        }
    }
    bytes
}
