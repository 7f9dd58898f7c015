//! The multivariant playlist of an asset: which renditions there are, and what goes with what.

use std::collections::HashMap;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ClosedCaptionGroupId, MasterPlaylist, QuotedOrUnquoted, Resolution,
    VariantStream,
};

use super::{MEDIA_PLAYLIST, VERSION, VodKind, VodRendition, bandwidth, pictures, written};
use crate::playlist::PICTURES_PLAYLIST;

const AUDIO_GROUP: &str = "audio";
const SURROUND_GROUP: &str = "surround";
const SUBTITLES_GROUP: &str = "subtitles";
/// Apple's authoring specification: the variant that is listed first is played first, and should have about so many bits per second.
const FIRST_BPS: u64 = 2_000_000;

/// The multivariant playlist of whatever can be played.
pub fn multivariant(renditions: &[VodRendition]) -> String {
    let of = |wanted: fn(&VodKind) -> bool| -> Vec<&VodRendition> {
        renditions.iter().filter(|one| wanted(&one.kind) && !one.segments.is_empty()).collect()
    };
    let videos = of(|kind| matches!(kind, VodKind::Video { .. }));
    let sounds = of(|kind| matches!(kind, VodKind::Audio { .. }));
    let subtitles = of(|kind| matches!(kind, VodKind::Subtitles { .. }));
    let (has_stereo, has_surround) =
        (sounds.iter().any(|one| !is_surround(one)), sounds.iter().any(|one| is_surround(one)));
    let (stereo, surround) = (group(&sounds, false), group(&sounds, true));
    let groups: Vec<(Option<&str>, &[&VodRendition])> = match (has_stereo, has_surround) {
        (false, false) => vec![(None, &[])],
        (true, false) => vec![(Some(AUDIO_GROUP), &stereo)],
        (false, true) => vec![(Some(SURROUND_GROUP), &surround)],
        (true, true) => vec![(Some(AUDIO_GROUP), &stereo), (Some(SURROUND_GROUP), &surround)],
    };
    let mut variants = Vec::new();
    if videos.is_empty() {
        let first = sounds.iter().filter(|one| is_default(one) && !is_surround(one));
        let first = first.chain(sounds.iter().filter(|one| is_default(one) && is_surround(one)));
        variants.extend(first.map(|sound| sound_alone(sound, &subtitles)));
    }
    for video in first_to_play(&videos) {
        variants.extend(groups.iter().map(|(group, sounds)| variant(video, *group, sounds, &subtitles)));
    }
    variants.extend(videos.iter().filter_map(|video| pictures_variant(video)));
    let named =
        groups.iter().filter(|_| !videos.is_empty()).filter_map(|(group, sounds)| group.map(|group| (group, sounds)));
    let alternatives = named
        .flat_map(|(group, sounds)| sounds.iter().map(move |sound| (group, *sound)))
        .chain(subtitles.iter().map(|text| (SUBTITLES_GROUP, *text)))
        .filter_map(|(group, one)| alternative(group, one))
        .collect();
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        variants,
        independent_segments: true,
        alternatives,
        ..MasterPlaylist::default()
    };
    written(|text| playlist.write_to(text))
}

fn is_default(one: &VodRendition) -> bool {
    matches!(&one.kind, VodKind::Audio { label, .. } if label.is_default)
}

fn is_surround(one: &VodRendition) -> bool {
    matches!(&one.kind, VodKind::Audio { channels: 3.., .. })
}

/// Each sound track once, in surround where that is wanted and there, else in stereo, or the other way round: groups of
/// one type have the same members (RFC 8216bis §4.4.6.1.1), so that no language is missing beside any picture.
fn group<'a>(sounds: &[&'a VodRendition], wants_surround: bool) -> Vec<&'a VodRendition> {
    let name = |one: &VodRendition| match &one.kind {
        VodKind::Audio { label, .. } => label.name.clone(),
        VodKind::Video { .. } | VodKind::Subtitles { .. } => String::new(),
    };
    let mut members: Vec<&VodRendition> = Vec::new();
    for sound in sounds {
        match members.iter_mut().find(|member| name(member) == name(sound)) {
            Some(member) if is_surround(member) != wants_surround => *member = sound,
            Some(_) => {}
            None => members.push(sound),
        }
    }
    members
}

/// The one that is nearest to what most can play at once, then from the best on.
fn first_to_play<'a>(videos: &[&'a VodRendition]) -> Vec<&'a VodRendition> {
    let mut order = videos.to_vec();
    order.sort_by_key(|video| std::cmp::Reverse(video.bandwidth().0));
    // H.264 is what everybody decodes.
    let first = (0..order.len())
        .filter(|at| order[*at].codecs.starts_with("avc1"))
        .min_by_key(|at| order[*at].bandwidth().1.abs_diff(FIRST_BPS));
    if let Some(first) = first {
        order[..=first].rotate_right(1);
    }
    order
}

fn address(one: &VodRendition, file: &str) -> String {
    format!("{}/{file}{}", one.name, one.query)
}

fn variant(
    video: &VodRendition,
    group: Option<&str>,
    sounds: &[&VodRendition],
    subtitles: &[&VodRendition],
) -> VariantStream {
    let VodKind::Video { width, height, fps, range } = video.kind else { unreachable!("only pictures are variants") };
    // RFC 8216bis §4.4.6.2: with the largest of the sounds that may play beside it.
    let (peak, average) = sounds.iter().map(|sound| sound.bandwidth()).max().unwrap_or_default();
    let (own_peak, own_average) = video.bandwidth();
    let mut codecs = vec![video.codecs.as_str()];
    for sound in sounds {
        if !codecs.contains(&sound.codecs.as_str()) {
            codecs.push(&sound.codecs);
        }
    }
    VariantStream {
        uri: address(video, MEDIA_PLAYLIST),
        bandwidth: own_peak + peak,
        average_bandwidth: Some(own_average + average),
        codecs: Some(codecs.join(",")),
        resolution: Some(Resolution { width: width.into(), height: height.into() }),
        frame_rate: Some(fps),
        audio: group.map(str::to_owned),
        subtitles: (!subtitles.is_empty()).then(|| SUBTITLES_GROUP.to_owned()),
        closed_captions: Some(ClosedCaptionGroupId::None),
        other_attributes: unquoted(range.map(|range| ("VIDEO-RANGE", range))),
        ..VariantStream::default()
    }
}

fn sound_alone(sound: &VodRendition, subtitles: &[&VodRendition]) -> VariantStream {
    let (peak, average) = sound.bandwidth();
    VariantStream {
        uri: address(sound, MEDIA_PLAYLIST),
        bandwidth: peak,
        average_bandwidth: Some(average),
        codecs: Some(sound.codecs.clone()),
        subtitles: (!subtitles.is_empty()).then(|| SUBTITLES_GROUP.to_owned()),
        ..VariantStream::default()
    }
}

fn pictures_variant(video: &VodRendition) -> Option<VariantStream> {
    let VodKind::Video { width, height, range, .. } = video.kind else { return None };
    let pictures = pictures(video);
    if pictures.is_empty() {
        return None;
    }
    let (peak, average) = bandwidth(pictures.iter().map(|picture| (picture.len, picture.secs)));
    Some(VariantStream {
        is_i_frame: true,
        uri: address(video, PICTURES_PLAYLIST),
        bandwidth: peak,
        average_bandwidth: Some(average),
        codecs: Some(video.codecs.clone()),
        resolution: Some(Resolution { width: width.into(), height: height.into() }),
        other_attributes: unquoted(range.map(|range| ("VIDEO-RANGE", range))),
        ..VariantStream::default()
    })
}

fn alternative(group: &str, one: &VodRendition) -> Option<AlternativeMedia> {
    let (media_type, label, channels, forced, hearing_impaired) = match &one.kind {
        VodKind::Audio { channels, label } => {
            (AlternativeMediaType::Audio, label, Some(channels.to_string()), false, false)
        }
        VodKind::Subtitles { label, forced, hearing_impaired } => {
            (AlternativeMediaType::Subtitles, label, None, *forced, *hearing_impaired)
        }
        VodKind::Video { .. } => return None,
    };
    // Apple's authoring specification §4: what describes sounds says so.
    let characteristics = hearing_impaired.then(|| {
        "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound".to_owned()
    });
    Some(AlternativeMedia {
        media_type,
        uri: Some(address(one, MEDIA_PLAYLIST)),
        group_id: group.to_owned(),
        language: Some(quotable(&label.language)),
        name: quotable(&label.name),
        default: label.is_default,
        // Forced text is chosen by the language of the sound (RFC 8216bis §4.4.6.1).
        autoselect: true,
        forced,
        characteristics,
        channels,
        ..AlternativeMedia::default()
    })
}

/// RFC 8216bis §4.2: a quoted string has no line breaks and no quotes.
fn quotable(text: &str) -> String {
    text.chars()
        .map(|character| if character == '"' { '\'' } else { character })
        .filter(|character| !character.is_control())
        .collect()
}

fn unquoted<'a>(named: Option<(&'a str, &'a str)>) -> Option<HashMap<String, QuotedOrUnquoted>> {
    named.map(|(name, value)| HashMap::from([(name.into(), QuotedOrUnquoted::Unquoted(value.into()))]))
}
