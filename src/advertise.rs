//! The addresses that WebRTC peers are told, and whether they are reached as they stand.
//!
//! In: the configuration, where the media port is bound, this machine's interfaces, what `public_url` resolves to. Out:
//! candidates with the address on this machine that packets for each arrive at.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use telstar_sfu::{LocalCandidate, Transport};

use crate::config::{Advertised, Config, IceLite};
use crate::machine;

/// Addresses that peers are told at most. Each costs every peer a check with each of its own. A server has one or two in
/// each family; containers and VPNs add some.
const ADDRESSES_MAX: usize = 12;

/// What peers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Each address over UDP and TCP.
    pub candidates: Vec<LocalCandidate>,
    /// The peers alone check connectivity (RFC 8445 §2.5).
    pub ice_lite: bool,
}

/// What this machine says of itself.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The addresses of its interfaces, without loopback and link-local ones.
    pub addresses: Vec<IpAddr>,
    /// What `public_url` resolves to.
    pub public: Vec<IpAddr>,
}

impl Machine {
    /// Asks the system. Waits for the resolver, if the interfaces' addresses do not say how this machine is reached.
    pub fn look(config: &Config) -> Machine {
        let addresses = machine::lan_addresses();
        let needs_public = config.media.advertise.is_empty() && addresses.iter().all(|ip| !is_global(*ip));
        let host = config.general.public_url.fixed().and_then(crate::addresses::host_of_origin);
        let resolved = host.filter(|_| needs_public).and_then(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host, 0).to_socket_addrs().ok()
        });
        Machine { addresses, public: resolved.into_iter().flatten().map(|address| address.ip()).collect() }
    }
}

/// The candidates of a media port that is bound at `bound`.
pub fn candidates(config: &Config, bound: SocketAddr, machine: &Machine) -> Candidates {
    let media = &config.media;
    let own = own_addresses(bound, machine);
    let mut told: Vec<(SocketAddr, SocketAddr)> = Vec::new();
    let mut tell = |advertised: SocketAddr| {
        // Behind a NAT the packets arrive at an address of ours in the same family, which the router knows.
        let same_family = || own.iter().find(|ip| ip.is_ipv4() == advertised.is_ipv4()).copied();
        let base = if own.contains(&advertised.ip()) { Some(advertised.ip()) } else { same_family() };
        let Some(base) = base.map(|ip| SocketAddr::new(ip, bound.port())) else { return };
        if told.len() < ADDRESSES_MAX && told.iter().all(|(known, _)| *known != advertised) {
            told.push((advertised, base));
        }
    };
    for advertised in &media.advertise {
        tell(match advertised {
            Advertised::Ip(ip) => SocketAddr::new(*ip, bound.port()),
            Advertised::Address(address) => *address,
        });
    }
    if media.advertise.is_empty() {
        machine.public.iter().for_each(|ip| tell(SocketAddr::new(*ip, bound.port())));
        own.iter().for_each(|ip| tell(SocketAddr::new(*ip, bound.port())));
    }
    let ice_lite = match media.ice_lite {
        IceLite::On => true,
        IceLite::Off => false,
        IceLite::Auto => told.iter().all(|(advertised, base)| advertised == base),
    };
    let both = |(advertised, base): (SocketAddr, SocketAddr)| {
        [Transport::Udp, Transport::Tcp].map(|transport| LocalCandidate { transport, base, advertised })
    };
    Candidates { candidates: told.into_iter().flat_map(both).collect(), ice_lite }
}

/// The addresses that a socket bound at `bound` hears on, the most useful first. Loopback is one of them where no address
/// is public: on a laptop, and in tests.
fn own_addresses(bound: SocketAddr, machine: &Machine) -> Vec<IpAddr> {
    let ip = bound.ip().to_canonical();
    if !ip.is_unspecified() {
        return vec![ip];
    }
    let hears = |ip: &IpAddr| bound.is_ipv6() || ip.is_ipv4();
    let mut own: Vec<IpAddr> = machine.addresses.iter().copied().filter(hears).collect();
    own.sort_by_key(|ip| !is_global(*ip));
    if !own.iter().any(|ip| is_global(*ip)) {
        own.extend(
            [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)].iter().filter(|ip| hears(ip)),
        );
    }
    own
}

/// The internet can reach it, as far as the address says (RFC 6890).
pub fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::PublicUrl;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn machine(addresses: &[&str], public: &[&str]) -> Machine {
        let list = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect();
        Machine { addresses: list(addresses), public: list(public) }
    }

    /// What is told over UDP, with where it arrives.
    fn told(config: &Config, bound: &str, machine: &Machine) -> (Vec<(String, String)>, bool) {
        let Candidates { candidates, ice_lite } = candidates(config, address(bound), machine);
        let (udp, tcp): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| candidate.transport == Transport::Udp);
        assert_eq!(udp.len(), tcp.len());
        let pairs = udp.iter().map(|udp| (udp.advertised.to_string(), udp.base.to_string())).collect();
        (pairs, ice_lite)
    }

    fn pairs(expect: &[(&str, &str)]) -> Vec<(String, String)> {
        expect.iter().map(|(told, base)| ((*told).to_owned(), (*base).to_owned())).collect()
    }

    #[test]
    fn a_laptop_tells_its_addresses_and_loopback() {
        let config = Config::default();
        let expect = pairs(&[("192.168.1.5:10000", "192.168.1.5:10000"), ("127.0.0.1:10000", "127.0.0.1:10000")]);
        assert_eq!(told(&config, "0.0.0.0:10000", &machine(&["192.168.1.5", "fd00::5"], &[])), (expect, true));
    }

    #[test]
    fn a_public_server_tells_no_loopback() {
        let config = Config::default();
        let (told, ice_lite) = told(&config, "[::]:10000", &machine(&["10.0.0.5", "198.51.100.7"], &[]));
        let expect = [("198.51.100.7:10000", "198.51.100.7:10000"), ("10.0.0.5:10000", "10.0.0.5:10000")];
        assert_eq!((told, ice_lite), (pairs(&expect), true));
    }

    #[test]
    fn behind_a_nat_the_advertised_address_arrives_at_ours_and_both_sides_check() {
        let mut config = Config::default();
        config.media.advertise =
            vec![Advertised::Ip(ip("203.0.113.7")), Advertised::Address(address("203.0.113.8:4000"))];
        let machine = machine(&["10.0.0.5", "fd00::5"], &[]);
        let expect = [("203.0.113.7:10000", "10.0.0.5:10000"), ("203.0.113.8:4000", "10.0.0.5:10000")];
        assert_eq!(told(&config, "[::]:10000", &machine), (pairs(&expect), false));
        config.media.ice_lite = IceLite::On;
        assert!(told(&config, "[::]:10000", &machine).1);
    }

    #[test]
    fn what_public_url_resolves_to_is_told_where_all_addresses_are_private() {
        let mut config = Config::default();
        config.general.public_url = PublicUrl::Fixed("https://live.example.org".to_owned());
        let (told, ice_lite) = told(&config, "0.0.0.0:10000", &machine(&["10.0.0.5"], &["203.0.113.7"]));
        assert_eq!(told[0], ("203.0.113.7:10000".to_owned(), "10.0.0.5:10000".to_owned()));
        assert!(told.contains(&("10.0.0.5:10000".to_owned(), "10.0.0.5:10000".to_owned())) && !ice_lite);
    }

    #[test]
    fn a_port_on_one_address_tells_that_one() {
        let config = Config::default();
        let expect = pairs(&[("127.0.0.1:4711", "127.0.0.1:4711")]);
        assert_eq!(told(&config, "127.0.0.1:4711", &machine(&["192.168.1.5"], &[])), (expect, true));
    }

    #[test]
    fn the_addresses_that_are_told_are_few() {
        let many: Vec<String> = (1..100).map(|number| format!("10.0.0.{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(told(&Config::default(), "0.0.0.0:1", &machine(&many, &[])).0.len(), ADDRESSES_MAX);
    }
}
