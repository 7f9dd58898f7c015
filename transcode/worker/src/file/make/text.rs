//! Text of subtitle packets as the payload of WebVTT cues.
//!
//! Of styles what WebVTT has is kept (bold, italics, underlined); the rest is left out, as is everything that only
//! draws.

use ffmpeg::codec::Id;
use ffmpeg_next as ffmpeg;

/// Bytes of one cue that are looked at: what is longer is no subtitle.
const CUE_BYTES_MAX: usize = 16 * 1_024;
/// Commas before the text of an ASS event as Matroska has it: ReadOrder, Layer, Style, Name, three margins, Effect.
const ASS_FIELDS: usize = 8;
/// Tags that SubRip and WebVTT share.
const TAGS: [&str; 6] = ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>"];

/// Names of tags that WebVTT has (§4.2.2).
const CUE_TAGS: [&str; 8] = ["b", "c", "i", "lang", "rt", "ruby", "u", "v"];

/// The payload of a cue; none where there is nothing to read.
pub fn cue(format: Id, packet: &[u8]) -> Option<String> {
    let packet = &packet[..packet.len().min(CUE_BYTES_MAX)];
    if format == Id::MOV_TEXT {
        return payload(escaped(&timed_text(packet)?));
    }
    payload(match format {
        Id::ASS | Id::SSA => ass(&read(packet))?,
        Id::SUBRIP => sub_rip(&read(packet)),
        Id::WEBVTT => web_vtt(&read(packet)),
        _ => escaped(&read(packet)),
    })
}

/// Bytes as text; without the character that no text may have (WebVTT §4.1).
fn read(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

fn payload(text: String) -> Option<String> {
    // An empty line would end the cue, whatever ends a line.
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n");
    Some(text).filter(|text| !text.is_empty())
}

/// 3GPP TS 26.245 §5.17: a length, the text in UTF-8 or, behind a byte order mark, in UTF-16; then boxes of styles.
fn timed_text(sample: &[u8]) -> Option<String> {
    let (len, rest) = sample.split_first_chunk::<2>()?;
    let text = rest.get(..usize::from(u16::from_be_bytes(*len))).unwrap_or(rest);
    let units = |text: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = text.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match text {
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        text => read(text),
    };
    Some(text.replace('\0', ""))
}

fn ass(event: &str) -> Option<String> {
    let text = event.splitn(ASS_FIELDS + 1, ',').nth(ASS_FIELDS)?;
    let (text, draws) = without_overrides(text);
    if draws {
        return None;
    }
    Some(escaped(&text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")))
}

/// The text without what stands in braces behind a backslash, and whether that turns it into a drawing.
fn without_overrides(text: &str) -> (String, bool) {
    let (mut plain, mut draws, mut rest) = (String::with_capacity(text.len()), false, text);
    while let Some((before, behind)) = rest.split_once("{\\") {
        plain.push_str(before);
        let Some((tags, after)) = behind.split_once('}') else { return (plain, draws) };
        let draw = |tag: &str| tag.strip_prefix('p').is_some_and(|scale| scale.parse::<u32>().is_ok_and(|one| one > 0));
        draws |= tags.split('\\').any(draw);
        rest = after;
    }
    plain.push_str(rest);
    (plain, draws)
}

fn sub_rip(text: &str) -> String {
    let (text, _) = without_overrides(text);
    let (mut payload, mut rest) = (String::with_capacity(text.len()), &text[..]);
    while let Some(at) = rest.find('<') {
        payload.push_str(&escaped(&rest[..at]));
        let tag = rest[at..].find('>').map(|end| &rest[at..=at + end]);
        // Only what begins like a tag is one: "<3" is a heart.
        let is_tag = |tag: &&str| tag[1..].starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
        match tag.filter(is_tag) {
            Some(tag) => {
                let known = TAGS.iter().find(|known| known.eq_ignore_ascii_case(tag));
                payload.push_str(known.copied().unwrap_or_default());
                rest = &rest[at + tag.len()..];
            }
            None => {
                payload.push_str("&lt;");
                rest = &rest[at + 1..];
            }
        }
    }
    payload.push_str(&escaped(rest));
    payload
}

/// It is what is wanted, but for what would end the cue, and tags that are none: not every player leaves those alone.
fn web_vtt(text: &str) -> String {
    let (mut payload, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('<') {
        payload.push_str(&rest[..at]);
        let tag = rest[at + 1..].find(['<', '>']).map(|end| &rest[at..at + 2 + end]);
        let tag = tag.filter(|tag| tag.ends_with('>'));
        match tag.filter(|tag| is_cue_tag(&tag[1..tag.len() - 1])) {
            Some(tag) => payload.push_str(tag),
            None => payload.push_str(if tag.is_some() { "" } else { "&lt;" }),
        }
        rest = &rest[at + tag.map_or(1, str::len)..];
    }
    payload.push_str(rest);
    payload.replace("-->", "--&gt;")
}

/// What may stand between the brackets of a tag (WebVTT §4.2.2): a name with classes and, of some, words behind it; or a time.
fn is_cue_tag(inside: &str) -> bool {
    let (head, words) = inside.split_once([' ', '\t', '\n']).unwrap_or((inside, ""));
    let mut parts = head.strip_prefix('/').unwrap_or(head).split('.');
    let is_name = |part: &str| part.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'));
    let is_known = parts.next().is_some_and(|name| CUE_TAGS.contains(&name)) && parts.all(is_name);
    let is_time = head.starts_with(|first: char| first.is_ascii_digit())
        && head.chars().all(|letter| letter.is_ascii_digit() || matches!(letter, ':' | '.'));
    (is_known || is_time) && !words.contains(['"', '\'', '=', '&'])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_format_becomes_text_that_cannot_break_out_of_its_cue() {
        let cases: [(Id, &[u8], Option<&str>); 20] = [
            (Id::TEXT, b"a & b < c", Some("a &amp; b &lt; c")),
            (Id::SUBRIP, b"<i>Hello</i>\r\n\r\n<font color=\"red\">there</font>", Some("<i>Hello</i>\nthere")),
            (Id::SUBRIP, b"I <3 you --> here", Some("I &lt;3 you --&gt; here")),
            (Id::SUBRIP, b"{\\an8}<B>up</B>", Some("<b>up</b>")),
            (Id::SUBRIP, b"<script>alert(1)</script>", Some("alert(1)")),
            (Id::SUBRIP, b"unclosed <i", Some("unclosed &lt;i")),
            (Id::SUBRIP, b"  \r\n ", None),
            (Id::ASS, b"0,0,Default,,0,0,0,,One, two\\Nthree{\\i1}!{\\i0}", Some("One, two\nthree!")),
            (Id::ASS, b"1,0,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}", None),
            (Id::ASS, b"1,0,Default,,0,0,0,,{\\pos(1,2)}there", Some("there")),
            (Id::SSA, b"too,few", None),
            (Id::MOV_TEXT, b"\0\x05Hallo\0\0\0\x0cstyl", Some("Hallo")),
            (Id::MOV_TEXT, b"\0\x06\xfe\xff\xac\x00\xb0\x98", Some("가나")),
            (Id::MOV_TEXT, b"\0\0", None),
            (Id::WEBVTT, b"<v Ann>hi</v>\n\n00:00 --> 00:01", Some("<v Ann>hi</v>\n00:00 --&gt; 00:01")),
            (Id::WEBVTT, b"<c.red.b>a</c> <00:00:01.500>b &amp; c", Some("<c.red.b>a</c> <00:00:01.500>b &amp; c")),
            (Id::WEBVTT, b"<img src=x onerror=alert(1)><script>a</script>b", Some("ab")),
            (Id::WEBVTT, b"<b onclick=\"x\">a</b> <!ENTITY a \"b\">", Some("a</b>")),
            (Id::WEBVTT, b"1 < 2 <i>unclosed <u", Some("1 &lt; 2 <i>unclosed &lt;u")),
            (Id::TEXT, b"caf\xe9", Some("caf\u{fffd}")),
        ];
        for (format, packet, expect) in cases {
            assert_eq!(cue(format, packet).as_deref(), expect, "{format:?} {:?}", String::from_utf8_lossy(packet));
        }
    }

    #[test]
    fn a_packet_that_is_cut_off_anywhere_is_a_cue_or_none() {
        for (format, packet) in [
            (Id::SUBRIP, &b"<i>Hel\xc3\xa9o</i> <b>there</b>\r\n\r\n<font size=1>--></font> {\\an8}"[..]),
            (Id::ASS, b"0,0,Default,,0,0,0,,One, {\\i1}two\\Nthree{\\i0} {\\p1}m 0 0{\\p0}"),
            (Id::WEBVTT, b"<v Ann>hi</v>\n\n00:00 --> <00:00:01.500><c.red>b</c>"),
            (Id::MOV_TEXT, b"\0\x09Hallo <3!\0\0\0\x0cstyl"),
            (Id::MOV_TEXT, b"\0\x06\xfe\xff\xac\x00\xb0\x98"),
        ] {
            for len in 0..packet.len() {
                let Some(text) = cue(format, &packet[..len]) else { continue };
                assert!(
                    !text.is_empty() && !text.contains("-->") && !text.contains("\n\n"),
                    "{format:?} {len}: {text}"
                );
                let tags = text.split('<').skip(1).map(|tag| tag.split_once('>').map_or(tag, |(tag, _)| tag));
                assert!(tags.clone().all(is_cue_tag), "{format:?} {len}: {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_no_cue_ends_early(
            format in prop::sample::select(vec![Id::ASS, Id::SUBRIP, Id::MOV_TEXT, Id::WEBVTT, Id::TEXT]),
            packet in prop::collection::vec(prop::sample::select(b"<>&{}\\,\n\r-i/p1N \xff\xed\xa0".to_vec()), 0..60),
        ) {
            if let Some(text) = cue(format, &packet) {
                prop_assert!(!text.contains("-->") && !text.contains("\n\n") && !text.is_empty());
            }
        }
    }
}
