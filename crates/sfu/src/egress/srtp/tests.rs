//! Vectors of the RFCs, and another implementation at the other end. Its keys serve the tests of the egress as well.

use std::collections::HashSet;

use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::derive::derive;
use super::replay::SENDERS_MAX;
use super::*;

const PROFILES: [Profile; 3] = [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];
/// A compound packet: an empty receiver report.
const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn array<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    unhex(text).try_into().expect("the vector has its length")
}

/// Keys of both directions, the client's first, from bytes that count up.
pub(in crate::egress) fn keys(profile: Profile) -> (Keys, Keys) {
    let material: Vec<u8> = (0..profile.material_bytes()).map(|byte| byte as u8).collect();
    Keys::split(profile, &material).expect("the length is right")
}

fn pair(profile: Profile) -> (Sealer, Opener) {
    let (client, _) = keys(profile);
    (Sealer::new(&client), Opener::new(&client))
}

fn opened(opener: &mut Opener, packet: &[u8]) -> Option<Vec<u8>> {
    let mut into = vec![1, 2, 3];
    let is_open = opener.open_rtcp(packet, &mut into);
    assert!(is_open || into.is_empty());
    is_open.then_some(into)
}

/// The other implementation, with the same keys.
pub(in crate::egress) fn other(keys: &Keys) -> Context {
    let profile = match keys.profile {
        Profile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let provider = rtc_srtp::crypto::default_provider().expect("ring is there");
    Context::new(keys.key(), keys.salt(), profile, None, None, provider.crypto()).expect("a context")
}

fn rtp(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x10, 0]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_b2() {
    let cipher =
        Cipher::counter(&unhex("2B7E151628AED2A6ABF7158809CF4F3C"), &[0; 20], &array("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
    let mut packet = vec![0; 0xff02 * 16];
    cipher.seal_rtp(&mut packet, 0, 0, 0);
    let block = |number: usize| packet[number * 16..][..16].to_vec();
    assert_eq!(block(0), unhex("E03EAD0935C95E80E166B16DD92B4EB4"));
    assert_eq!(block(1), unhex("D23513162B02D0F72A43A2FE4A5F97AB"));
    assert_eq!(block(2), unhex("41E95B3BB0A2E8DD477901E4FCA894C0"));
    assert_eq!(block(0xfeff), unhex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
    assert_eq!(block(0xff00), unhex("362B7C3C6773516318A077D7FC5073AE"));
    assert_eq!(block(0xff01), unhex("6A2CC3787889374FBEB4C81B17BA6C44"));
}

#[test]
fn keys_derive_as_in_rfc_3711_b3() {
    let keys = Keys::new(
        Profile::Aes128CmSha1_80,
        &unhex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &unhex("0EC675AD498AFEEBB6960B3AABE6"),
    );
    assert_eq!(derive::<16>(&keys, Label::RTP.cipher), array("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive::<14>(&keys, Label::RTP.salt), array("30CBBC08863D8C85D49DB34A9AE1"));
    let authentication = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7227098\
                          6371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2";
    assert_eq!(derive::<94>(&keys, Label::RTP.authentication).to_vec(), unhex(authentication));
}

const GCM_128: &str = "000102030405060708090a0b0c0d0e0f";
const GCM_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const GCM_SALT: &str = "517569642070726f2071756f";

#[test]
fn rtp_is_sealed_as_in_rfc_7714_16() {
    let clear = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 \
                 73207472 6573";
    let expect = [
        (
            GCM_128,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b \
             36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            GCM_256,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f \
             1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ];
    for (key, sealed) in expect {
        let mut packet = unhex(clear);
        Cipher::gcm(&unhex(key), &array(GCM_SALT)).seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(packet, unhex(sealed));
    }
}

#[test]
fn rtcp_is_sealed_and_opened_as_in_rfc_7714_17() {
    // What sections 17.1 to 17.4 seal; the packet in front of them is another one.
    let clear = unhex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef \
         deadbeef",
    );
    let expect = [
        (
            GCM_128,
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 \
             86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        ),
        (
            GCM_256,
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 \
             c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        ),
    ];
    for (key, sealed) in expect {
        let cipher = || Cipher::gcm(&unhex(key), &array(GCM_SALT));
        let mut packet = clear.clone();
        let mut sealer = Sealer { rtp: cipher(), rtcp: cipher(), profile: Profile::AeadAes128Gcm };
        sealer.seal_rtcp(&mut packet, 0x5d4);
        assert_eq!(packet, unhex(sealed));
        let mut opener = Opener { rtcp: cipher(), profile: Profile::AeadAes128Gcm, senders: Senders::default() };
        assert_eq!(opened(&mut opener, &packet), Some(clear.clone()));
    }
    // §17.3: authentic, but not encrypted.
    let tagged = unhex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef \
         deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
    );
    let rtcp = Cipher::gcm(&unhex(GCM_128), &array(GCM_SALT));
    let mut opener = Opener { rtcp, profile: Profile::AeadAes128Gcm, senders: Senders::default() };
    assert_eq!(opened(&mut opener, &tagged), None);
}

#[test]
fn the_exported_material_is_split_as_dtls_orders_it() {
    for profile in PROFILES {
        let (key, salt) = (profile.key_bytes(), profile.salt_bytes());
        let material = [vec![1; key], vec![2; key], vec![3; salt], vec![4; salt]].concat();
        let (client, server) = Keys::split(profile, &material).expect("the length is right");
        assert_eq!((client.key(), client.salt()), (&vec![1; key][..], &vec![3; salt][..]));
        assert_eq!((server.key(), server.salt()), (&vec![2; key][..], &vec![4; salt][..]));
        assert!(Keys::split(profile, &material[1..]).is_none());
        assert!(Keys::split(profile, &[&material[..], &[0]].concat()).is_none());
        assert_eq!(format!("{client:?}"), format!("Keys {{ profile: {profile:?}, .. }}"));
        let mut sealed = REPORT.to_vec();
        Sealer::new(&server).seal_rtcp(&mut sealed, 0);
        assert_eq!(opened(&mut Opener::new(&client), &sealed), None);
        assert!(opened(&mut Opener::new(&server), &sealed).is_some());
    }
}

#[test]
fn another_implementation_opens_our_rtp_over_a_roll_over() {
    for profile in PROFILES {
        let (_, server) = keys(profile);
        let (mut sealer, mut other) = (Sealer::new(&server), other(&server));
        for index in 65_000_u64..66_100 {
            let clear = rtp(index as u16, 7, &vec![index as u8; index as usize % 1_200]);
            let mut packet = clear.clone();
            sealer.seal_rtp(&mut packet, 12, 7, index);
            assert_eq!(packet.len(), clear.len() + profile.tag_bytes());
            assert_eq!(packet[..12], clear[..12]);
            assert_eq!(other.decrypt_rtp(&packet).expect("it opens"), clear, "{profile:?} {index}");
        }
    }
}

#[test]
fn another_implementation_opens_our_rtcp_and_we_open_its() {
    for profile in PROFILES {
        let (client, server) = keys(profile);
        let (mut sealer, mut reader) = (Sealer::new(&server), other(&server));
        let (mut opener, mut writer) = (Opener::new(&client), other(&client));
        for index in 0..200_u32 {
            let words = index as u8 % 60;
            let clear =
                [&[0x80, 204, 0, words + 2, 0, 0, 0, 7], &b"name"[..], &vec![9; usize::from(words) * 4]].concat();
            let mut packet = clear.clone();
            sealer.seal_rtcp(&mut packet, index);
            assert_eq!(reader.decrypt_rtcp(&packet).expect("it opens"), clear, "{profile:?} {index}");
            let theirs = writer.encrypt_rtcp(&clear).expect("it is RTCP");
            assert_eq!(opened(&mut opener, &theirs), Some(clear), "{profile:?} {index}");
        }
    }
}

#[test]
fn sealing_allocates_nothing_where_there_is_room() {
    for profile in PROFILES {
        let (mut sealer, _) = pair(profile);
        let mut packet = Vec::with_capacity(1_200 + OVERHEAD_MAX);
        packet.resize(1_200, 5);
        let (place, capacity) = (packet.as_ptr(), packet.capacity());
        sealer.seal_rtp(&mut packet, 28, 7, 9);
        packet.truncate(1_200);
        sealer.seal_rtcp(&mut packet, 9);
        assert_eq!((packet.as_ptr(), packet.capacity()), (place, capacity));
        assert!(packet.len() <= 1_200 + OVERHEAD_MAX);
    }
}

#[test]
fn the_highest_index_of_rtcp_opens() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        for index in [0, ENCRYPTED - 1, ENCRYPTED - 2] {
            let mut packet = REPORT.to_vec();
            sealer.seal_rtcp(&mut packet, index);
            assert_eq!(opened(&mut opener, &packet), Some(REPORT.to_vec()));
        }
    }
}

#[test]
fn a_forged_packet_takes_no_place_in_the_window() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let mut packet = REPORT.to_vec();
        sealer.seal_rtcp(&mut packet, 5);
        let mut forged = packet.clone();
        forged[2] ^= 1;
        assert_eq!(opened(&mut opener, &forged), None);
        assert_eq!(opener.senders.len(), 0);
        assert_eq!(opened(&mut opener, &packet), Some(REPORT.to_vec()));
    }
}

#[test]
fn the_sender_silent_for_longest_is_forgotten_and_no_other() {
    let mut senders = Senders::default();
    for ssrc in 0..SENDERS_MAX as u32 {
        senders.handle_opened(ssrc, 100);
    }
    senders.handle_opened(0, 101);
    senders.handle_opened(1_000, 100);
    assert_eq!(senders.len(), SENDERS_MAX);
    assert!(senders.is_new(1, 100));
    for ssrc in (2..SENDERS_MAX as u32).chain([0, 1_000]) {
        assert!(!senders.is_new(ssrc, 100), "{ssrc}");
    }
}

fn any_profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(PROFILES.to_vec())
}

/// A compound packet of any sender.
fn any_report() -> impl Strategy<Value = Vec<u8>> {
    (any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(ssrc, rest)| {
        let mut packet = vec![0x80, 201, 0, 1];
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend(rest);
        packet
    })
}

proptest! {
    #[test]
    fn what_is_sealed_opens_once(profile in any_profile(), report in any_report(), index in 0..ENCRYPTED) {
        let (mut sealer, mut opener) = pair(profile);
        let mut packet = report.clone();
        sealer.seal_rtcp(&mut packet, index);
        prop_assert_eq!(packet.len(), report.len() + RTCP_INDEX + profile.tag_bytes());
        prop_assert_eq!(opened(&mut opener, &packet), Some(report));
        prop_assert_eq!(opened(&mut opener, &packet), None);
    }

    #[test]
    fn nothing_opens_that_was_changed_or_cut(
        profile in any_profile(), report in any_report(), index in 0..ENCRYPTED,
        at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let (mut sealer, mut opener) = pair(profile);
        let mut packet = report;
        sealer.seal_rtcp(&mut packet, index);
        for cut in 0..packet.len() {
            prop_assert_eq!(opened(&mut opener, &packet[..cut]), None);
        }
        let at = at.index(packet.len());
        packet[at] ^= 1_u8 << bit;
        prop_assert_eq!(opened(&mut opener, &packet), None);
    }

    #[test]
    fn no_bytes_open_or_panic(profile in any_profile(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut opener) = pair(profile);
        prop_assert_eq!(opened(&mut opener, &bytes), None);
    }

    #[test]
    fn each_index_is_new_once_and_not_behind_the_window(indices in prop::collection::vec((0..3_u32, 0..300_u32), 0..400)) {
        let mut senders = Senders::default();
        let mut came = HashSet::new();
        let mut highest = [0; 3];
        for (ssrc, index) in indices {
            let is_new = senders.is_new(ssrc, index);
            let expect = !came.contains(&(ssrc, index)) && index + 64 > highest[ssrc as usize];
            prop_assert_eq!(is_new, expect);
            if is_new {
                senders.handle_opened(ssrc, index);
                came.insert((ssrc, index));
                highest[ssrc as usize] = index.max(highest[ssrc as usize]);
            }
        }
    }
}
