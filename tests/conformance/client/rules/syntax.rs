//! G: every line of every playlist, read by two readers.

use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};

use super::Findings;
use crate::client::line::ATTRIBUTES;
use crate::client::playlist::Playlist;
use crate::client::session::Session;

pub fn grammar(session: &Session, found: &mut Findings<'_>) {
    for (exchange, list) in &session.multivariants {
        found.check(list.grammar.is_empty(), || list.grammar.join("; "), || exchange.summary());
    }
    for seen in session.all_lists() {
        found.check(seen.list.grammar.is_empty(), || seen.list.grammar.join("; "), || seen.exchange.summary());
    }
}

pub fn order(session: &Session, found: &mut Findings<'_>) {
    for (exchange, list) in &session.multivariants {
        found.check(list.order.is_empty(), || list.order.join("; "), || exchange.summary());
        found.check(!list.variants.is_empty(), || "no EXT-X-STREAM-INF (§4.4.6.2)".into(), || exchange.text());
    }
    for seen in session.all_lists() {
        found.check(seen.list.order.is_empty(), || seen.list.order.join("; "), || seen.exchange.summary());
    }
}

/// quick-m3u8 reads the same, line by line.
pub fn second_reader(session: &Session, found: &mut Findings<'_>) {
    for (exchange, _) in &session.multivariants {
        let read = Second::read(&exchange.text());
        found.check(read.is_ok(), || read.err().unwrap_or_default(), || exchange.summary());
    }
    for seen in session.all_lists() {
        let ours = Second::of(&seen.list);
        let read = Second::read(&seen.exchange.text());
        found.check(
            read.as_ref().is_ok_and(|read| *read == ours),
            || match &read {
                Ok(read) => format!("two readers differ: {read:?} and {ours:?}"),
                Err(error) => error.clone(),
            },
            || seen.exchange.summary(),
        );
    }
}

/// What both readers must agree on.
#[derive(Debug, Default, PartialEq)]
struct Second {
    target_duration: Option<u64>,
    media_sequence: u64,
    part_secs: Vec<f64>,
    segments: Vec<(String, f64)>,
    hints: usize,
    reports: usize,
    ended: bool,
}

impl Second {
    fn of(list: &Playlist) -> Second {
        let parts = list.segments.iter().flat_map(|segment| &segment.parts);
        let whole = list.finished().filter_map(|segment| Some((segment.uri.clone()?, segment.secs())));
        Second {
            target_duration: list.target_duration,
            media_sequence: list.media_sequence,
            part_secs: parts.map(|part| part.duration).collect(),
            segments: whole.collect(),
            hints: list.hints.len(),
            reports: list.reports.len(),
            ended: list.ended,
        }
    }

    fn read(text: &str) -> Result<Second, String> {
        let mut reader = Reader::from_str(text, ParsingOptionsBuilder::new().with_parsing_for_all_tags().build());
        let mut read = Second::default();
        let mut secs = 0.0;
        while let Some(line) = reader.read_line().map_err(|error| format!("quick-m3u8: {error}"))? {
            match line {
                HlsLine::Uri(uri) => read.segments.push((uri.to_string(), secs)),
                // A tag that the standard does not have is none of ours; one that it has is one that cannot be read.
                HlsLine::UnknownTag(tag)
                    if ATTRIBUTES.iter().any(|(name, _)| name.trim_start_matches("EXT") == tag.name()) =>
                {
                    return Err(format!("quick-m3u8 cannot read this tag: {}", tag.name()));
                }
                HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                    Tag::Targetduration(tag) => read.target_duration = Some(tag.target_duration()),
                    Tag::MediaSequence(tag) => read.media_sequence = tag.media_sequence(),
                    Tag::Part(part) => read.part_secs.push(part.duration()),
                    Tag::Inf(inf) => secs = inf.duration(),
                    Tag::PreloadHint(_) => read.hints += 1,
                    Tag::RenditionReport(_) => read.reports += 1,
                    Tag::Endlist(_) => read.ended = true,
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(read)
    }
}
