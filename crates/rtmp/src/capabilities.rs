//! What a client says it can of Enhanced RTMP, and what this server answers (Enhanced RTMP v2, "Enhancing NetConnection
//! connect Command").
//!
//! In: the command object of `connect`, in every form that was seen: lists as strict arrays or as objects, `*` for all.
//! Out: which codecs a player takes, whether an encoder can be asked to reconnect, and the server's own maps.

use crate::amf::Value;

/// `FourCcInfoMask`.
const CAN_DECODE: u32 = 1;
const CAN_ENCODE: u32 = 2;
const CAN_FORWARD: u32 = 4;
const CAN_ALL: u32 = CAN_DECODE | CAN_ENCODE | CAN_FORWARD;
/// `CapsExMask`.
const RECONNECT: u32 = 1;
const MULTITRACK: u32 = 2;
const MOD_EX: u32 = 4;
const TIMESTAMP_NANO_OFFSET: u32 = 8;
/// What is true of this server: it asks to reconnect at its end, keeps every track, reads ModEx and its nanoseconds.
const SERVER_CAPS_EX: u32 = RECONNECT | MULTITRACK | MOD_EX | TIMESTAMP_NANO_OFFSET;
/// What the hub carries, so that the server can forward it.
const VIDEO: [&[u8; 4]; 5] = [b"avc1", b"hvc1", b"av01", b"vp09", b"vp08"];
const AUDIO: [&[u8; 4]; 6] = [b"mp4a", b"Opus", b"fLaC", b".mp3", b"ac-3", b"ec-3"];
/// Stands for every codec.
const WILDCARD: &str = "*";

/// What a client announced in `connect`. The default is a client that knows nothing of Enhanced RTMP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// It said something of Enhanced RTMP, so that it is answered in kind.
    is_enhanced: bool,
    /// Of the codecs that the server forwards, those that the client takes.
    takes: Vec<[u8; 4]>,
    caps_ex: u32,
}

impl Capabilities {
    pub(crate) fn of_connect(object: &Value) -> Capabilities {
        let list = object.get("fourCcList");
        let maps = [object.get("videoFourCcInfoMap"), object.get("audioFourCcInfoMap")];
        let caps_ex = object.get("capsEx").and_then(Value::as_number);
        let is_enhanced = list.is_some() || caps_ex.is_some() || maps.iter().any(Option::is_some);
        let named: Vec<(&str, u32)> = [list].into_iter().chain(maps).flatten().flat_map(entries).collect();
        // The wildcard overrides what stands beside it, and adds to it (Enhanced RTMP v2, `videoFourCcInfoMap`).
        let takes = |four_cc: &[u8; 4]| {
            let mut flags = named.iter().filter(|(name, _)| *name == WILDCARD || name.as_bytes() == four_cc);
            flags.any(|(_, flags)| flags & (CAN_DECODE | CAN_FORWARD) != 0)
        };
        let takes = VIDEO.into_iter().chain(AUDIO).filter(|four_cc| takes(four_cc)).copied().collect();
        // A number that is no mask (NaN, negative, too large) becomes the nearest mask.
        Capabilities { is_enhanced, takes, caps_ex: caps_ex.map_or(0, |number| number as u32) }
    }

    /// Whether a player takes this codec in Enhanced RTMP's bodies.
    pub(crate) fn takes(&self, four_cc: &[u8; 4]) -> bool {
        self.takes.contains(four_cc)
    }

    /// Whether the client follows `NetConnection.Connect.ReconnectRequest`.
    pub(crate) fn reconnects(&self) -> bool {
        self.caps_ex & RECONNECT != 0
    }

    /// What the server adds to its answer; nothing for a client that knows nothing of it.
    pub(crate) fn answer(&self) -> Vec<(&'static str, Value)> {
        if !self.is_enhanced {
            return Vec::new();
        }
        vec![
            ("videoFourCcInfoMap", forwards(&VIDEO)),
            ("audioFourCcInfoMap", forwards(&AUDIO)),
            ("capsEx", f64::from(SERVER_CAPS_EX).into()),
        ]
    }
}

fn forwards(codecs: &[&[u8; 4]]) -> Value {
    let name = |four_cc: &[u8; 4]| String::from_utf8_lossy(four_cc).into_owned();
    Value::Object(codecs.iter().map(|four_cc| (name(four_cc), f64::from(CAN_FORWARD).into())).collect())
}

/// Names and flags of a list or a map. A name without flags can everything.
fn entries(value: &Value) -> Vec<(&str, u32)> {
    match value {
        Value::String(name) => vec![(name, CAN_ALL)],
        Value::StrictArray(items) => items.iter().filter_map(Value::as_str).map(|name| (name, CAN_ALL)).collect(),
        Value::Object(properties) => properties
            .iter()
            .filter_map(|(key, value)| match value {
                // An array that was written as an object: its keys are numbers.
                Value::String(name) => Some((name.as_str(), CAN_ALL)),
                Value::Number(flags) => Some((key.as_str(), *flags as u32)),
                Value::Boolean(true) => Some((key.as_str(), CAN_ALL)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(properties: &[(&str, Value)]) -> Value {
        Value::Object(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn strict(names: &[&str]) -> Value {
        Value::StrictArray(names.iter().map(|name| Value::from(*name)).collect())
    }

    /// The codecs that a client takes, in the server's order.
    fn check(properties: &[(&str, Value)], expect: &[&[u8; 4]]) {
        let capabilities = Capabilities::of_connect(&object(properties));
        let takes: Vec<&[u8; 4]> = capabilities.takes.iter().collect();
        assert_eq!(takes, expect, "{properties:?}");
    }

    #[test]
    fn lists_and_maps_are_read_in_every_form() {
        check(&[], &[]);
        check(&[("fourCcList", strict(&["hvc1", "Opus", "zzzz", "long-name"]))], &[b"hvc1", b"Opus"]);
        check(&[("fourCcList", object(&[("0", "av01".into()), ("1", "fLaC".into())]))], &[b"av01", b"fLaC"]);
        check(&[("fourcclist", "vp09".into())], &[b"vp09"]);
        check(&[("fourCcList", Value::Null)], &[]);
        let map = object(&[("hvc1", 1.0.into()), ("av01", 4.0.into()), ("vp09", 2.0.into()), ("vp08", 0.0.into())]);
        check(&[("videoFourCcInfoMap", map)], &[b"hvc1", b"av01"]);
        let odd = object(&[("Opus", f64::NAN.into()), ("fLaC", (-1.0).into()), ("ac-3", 1e300.into())]);
        check(&[("audioFourCcInfoMap", odd)], &[b"ac-3"]);
    }

    #[test]
    fn the_wildcard_is_every_codec_and_adds_to_what_stands_beside_it() {
        let all: Vec<&[u8; 4]> = VIDEO.into_iter().chain(AUDIO).collect();
        check(&[("fourCcList", strict(&["*"]))], &all);
        let map = object(&[("*", 4.0.into()), ("vp09", 0.0.into())]);
        check(&[("videoFourCcInfoMap", map)], &all);
        // Who can only encode every codec takes none.
        check(&[("videoFourCcInfoMap", object(&[("*", 2.0.into())]))], &[]);
    }

    #[test]
    fn only_who_announces_something_is_answered_in_kind() {
        let plain = Capabilities::of_connect(&object(&[("app", "live".into())]));
        assert_eq!(plain, Capabilities::default());
        assert!(plain.answer().is_empty() && !plain.reconnects());
        let obs = Capabilities::of_connect(&object(&[("fourCcList", strict(&["av01"])), ("capsEx", 3.0.into())]));
        let names: Vec<&str> = obs.answer().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"]);
        assert!(obs.reconnects());
        let hevc = obs.answer()[0].1.get("hvc1").and_then(Value::as_number);
        assert_eq!((hevc, obs.answer()[2].1.as_number()), (Some(4.0), Some(15.0)));
        assert!(!Capabilities::of_connect(&object(&[("capsEx", 2.0.into())])).reconnects());
    }
}
