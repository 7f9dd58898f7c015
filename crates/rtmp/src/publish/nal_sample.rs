//! Access units of NAL units (H.264, H.265) as ISO samples: 4-byte lengths, and no parameter sets, which the
//! configuration carries.

use bytes::{BufMut, Bytes, BytesMut};
use telstar_media::codec::nal_units;

/// Bytes of a NAL unit length in the hub and, before any record came, on the wire.
pub(super) const LENGTH_SIZE: u8 = 4;

/// Units at the front of an access unit that are looked at for parameter sets. Real ones have at most a dozen before
/// their first slice; comparing millions of tiny ones with each other would take minutes.
pub(super) const FRONT_UNITS_MAX: usize = 64;

/// What a NAL unit is to a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A delimiter or a parameter set.
    Leaves,
    /// A slice.
    Picture,
    /// Everything else.
    Stays,
}

/// What one walk over an access unit finds.
#[derive(Default)]
struct Facts {
    kept: usize,
    kept_bytes: usize,
    leaves_behind_front: bool,
    has_picture: bool,
}

/// The access unit as a sample; `None` when a length overruns or no picture is left. Copied only when something behind
/// the front must go. `picture` is shown each slice in order.
pub(super) fn iso_sample(
    payload: &Bytes,
    length_size: u8,
    role: fn(&[u8]) -> Role,
    picture: &mut dyn FnMut(&[u8]),
) -> Option<Bytes> {
    let mut facts = Facts::default();
    let mut front = 0;
    let mut position = 0;
    for unit in nal_units(payload, length_size) {
        let unit = unit.ok()?;
        position += usize::from(length_size) + unit.len();
        match role_of(unit, role) {
            Role::Leaves if facts.kept == 0 => front = position,
            Role::Leaves => facts.leaves_behind_front = true,
            kept => {
                facts.kept += 1;
                facts.kept_bytes += unit.len();
                if kept == Role::Picture {
                    facts.has_picture = true;
                    picture(unit);
                }
            }
        }
    }
    if !facts.has_picture {
        return None;
    }
    let rest = payload.slice(front..);
    let copies = length_size != LENGTH_SIZE || facts.leaves_behind_front;
    Some(if copies { copy_kept(&rest, length_size, role, &facts) } else { rest })
}

fn role_of(unit: &[u8], role: fn(&[u8]) -> Role) -> Role {
    if unit.is_empty() { Role::Leaves } else { role(unit) }
}

fn copy_kept(payload: &[u8], length_size: u8, role: fn(&[u8]) -> Role, facts: &Facts) -> Bytes {
    let mut sample = BytesMut::with_capacity(facts.kept_bytes + facts.kept * usize::from(LENGTH_SIZE));
    for unit in nal_units(payload, length_size).map_while(Result::ok) {
        if role_of(unit, role) != Role::Leaves {
            sample.put_u32(u32::try_from(unit.len()).expect("a message is shorter than 4 GiB"));
            sample.put_slice(unit);
        }
    }
    sample.freeze()
}

/// Replaces the set with the same id or appends; false when nothing changed.
pub(super) fn put_parameter_set<'a>(sets: &mut Vec<&'a [u8]>, unit: &'a [u8], id_of: fn(&[u8]) -> Option<u32>) -> bool {
    if sets.contains(&unit) {
        return false;
    }
    let Some(id) = id_of(unit) else { return false };
    match sets.iter_mut().find(|set| id_of(set) == Some(id)) {
        Some(set) => *set = unit,
        None => sets.push(unit),
    }
    true
}
