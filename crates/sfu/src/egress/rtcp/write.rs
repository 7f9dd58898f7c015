//! What a subscriber is told of its streams: sender reports, and their end (RFC 3550 §6.4.1, §6.5, §6.6).
//!
//! In: what was sent of each stream. Out: packets in the clear, behind what is in the buffer.

use super::{BYE, DESCRIPTION, RECEIVER_REPORT, SENDER_REPORT, SSRC, VERSION};

/// So many reports go into one compound packet at most, with a name of sixteen bytes or less: 1,040 bytes, which fit any path
/// beside SRTCP's own. More would be written all the same.
pub(crate) const REPORTS_MAX: usize = 20;
/// Items of one packet: its count has five bits.
const ITEMS_MAX: usize = 31;
/// The type of the one item of a description: the name (§6.5.1).
const CNAME: u8 = 1;
/// A name's bytes: their number has eight bits.
const CNAME_MAX: usize = 255;
/// Words of a sender report beyond the first.
const REPORT_WORDS: u16 = 6;

/// What was sent of one stream, and how its clock stands to the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderReport {
    /// The stream.
    pub(crate) ssrc: u32,
    /// Seconds since 1900 in 2³²ths.
    pub(crate) ntp: u64,
    /// The same moment in the stream's clock.
    pub(crate) rtp_time: u32,
    /// Packets sent, modulo 2³².
    pub(crate) packets: u32,
    /// Bytes of payload sent, modulo 2³².
    pub(crate) bytes: u32,
}

/// A compound packet: the reports, then whose they are, as each compound packet has to say (§6.1). Nothing without a report.
/// Of a name that is too long, the beginning.
pub(crate) fn write_reports(into: &mut Vec<u8>, reports: &[SenderReport], cname: &str) {
    for report in reports {
        header(into, 0, SENDER_REPORT, REPORT_WORDS);
        into.extend_from_slice(&report.ssrc.to_be_bytes());
        into.extend_from_slice(&report.ntp.to_be_bytes());
        into.extend_from_slice(&report.rtp_time.to_be_bytes());
        into.extend_from_slice(&report.packets.to_be_bytes());
        into.extend_from_slice(&report.bytes.to_be_bytes());
    }
    let mut name_end = cname.len().min(CNAME_MAX);
    while !cname.is_char_boundary(name_end) {
        name_end -= 1;
    }
    let name = &cname.as_bytes()[..name_end];
    // An item ends with at least one zero, and at a word (§6.5).
    let item_words = (2 + name.len()) / 4 + 1;
    for described in reports.chunks(ITEMS_MAX) {
        let words = described.len() * (SSRC / 4 + item_words);
        header(into, described.len(), DESCRIPTION, words as u16);
        for report in described {
            into.extend_from_slice(&report.ssrc.to_be_bytes());
            let end = into.len() + item_words * 4;
            into.extend_from_slice(&[CNAME, name.len() as u8]);
            into.extend_from_slice(name);
            into.resize(end, 0);
        }
    }
}

/// The end of these streams. At the beginning of a buffer, an empty receiver report goes before it: no compound packet begins
/// otherwise (§6.1).
pub(crate) fn write_bye(into: &mut Vec<u8>, ssrcs: &[u32]) {
    for ended in ssrcs.chunks(ITEMS_MAX) {
        if into.is_empty() {
            header(into, 0, RECEIVER_REPORT, 1);
            into.extend_from_slice(&ended[0].to_be_bytes());
        }
        header(into, ended.len(), BYE, ended.len() as u16);
        ended.iter().for_each(|ssrc| into.extend_from_slice(&ssrc.to_be_bytes()));
    }
}

/// `words`: how many follow.
fn header(into: &mut Vec<u8>, count: usize, kind: u8, words: u16) {
    let [high, low] = words.to_be_bytes();
    into.extend_from_slice(&[VERSION << 6 | count as u8, kind, high, low]);
}
