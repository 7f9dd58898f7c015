//! Parameter sets that came in the stream, by their ids, and whether some must have been lost.

/// Sets of one kind that are kept. Encoders use one or two; a seventeenth puts out the oldest.
const SETS_MAX: usize = 16;
/// The longest set kept. Those of real encoders stay below 300 bytes.
const SET_LEN_MAX: usize = 4 * 1_024;

/// The newest parameter set of each id.
#[derive(Debug, Default)]
pub(crate) struct ParameterSetsById(Vec<(u32, Vec<u8>)>);

impl ParameterSetsById {
    /// Whether `unit` says something else than before. A set without an id or beyond the limit is ignored.
    pub(crate) fn put(&mut self, id: Option<u32>, unit: &[u8]) -> bool {
        let Some(id) = id.filter(|_| unit.len() <= SET_LEN_MAX) else { return false };
        let known = self.0.iter_mut().find(|(known, _)| *known == id);
        if known.as_ref().is_some_and(|(_, set)| set == unit) {
            return false;
        }
        match known {
            Some((_, set)) => *set = unit.to_vec(),
            None => {
                if self.0.len() == SETS_MAX {
                    self.0.remove(0);
                }
                self.0.push((id, unit.to_vec()));
            }
        }
        true
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn units(&self) -> Vec<&[u8]> {
        self.0.iter().map(|(_, unit)| &unit[..]).collect()
    }
}

/// Whether a sender repeats its parameter sets before each key picture.
#[derive(Debug, Default)]
pub(crate) struct Repetition {
    /// The picture under way brought some.
    seen: bool,
    /// The last key picture did, as far as can be told.
    usual: bool,
}

impl Repetition {
    /// The picture under way brings parameter sets.
    pub(crate) fn note(&mut self) {
        self.seen = true;
    }

    /// The picture is over. Whether its parameter sets were lost, which may have said something new: it is a key
    /// picture behind a hole, without those that others had.
    pub(crate) fn were_lost(&mut self, key: bool, behind_hole: bool) -> bool {
        let seen = std::mem::take(&mut self.seen);
        if key && (seen || !behind_hole) {
            self.usual = seen;
        }
        key && behind_hole && !seen && self.usual
    }
}
