//! What this machine is called and how its network reaches it.

use std::net::IpAddr;

/// The name of this machine without its domain.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost").to_ascii_lowercase()
}

/// The addresses of this machine's interfaces without loopback and link-local ones; IPv4 first, because people read
/// it aloud.
pub fn lan_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces
        .iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(if_addrs::Interface::ip)
        .collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    addresses
}

/// The address to print for people in the same network: the first of [`lan_addresses`], or loopback.
pub fn best_address() -> IpAddr {
    lan_addresses().first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

/// A host as it stands in a URL: IPv6 in brackets (RFC 3986 §3.2.2).
pub fn url_host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
