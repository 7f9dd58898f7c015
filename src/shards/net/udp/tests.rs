use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;

/// Generous: loopback takes microseconds.
const PATIENCE: Duration = Duration::from_secs(10);

fn client() -> UdpSocket {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client
}

fn socket(address: &str) -> Option<(Socket, SocketAddr)> {
    let socket = UdpSocket::bind(address).ok()?;
    let port = socket.local_addr().expect("bound").port();
    Some((Socket::new(socket).expect("it takes every option"), (Ipv4Addr::LOCALHOST, port).into()))
}

/// Receives until `count` datagrams are there.
fn receive(receiver: &mut Receiver, socket: &Socket, count: usize) -> Vec<(Received, Vec<u8>)> {
    let mut all = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while all.len() < count {
        assert!(std::time::Instant::now() < deadline, "{} of {count} came", all.len());
        match receiver.receive(socket) {
            Ok(_) => all.extend(receiver.datagrams().flatten().map(|(received, bytes)| (received, bytes.to_vec()))),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    all
}

#[test]
fn a_batch_comes_with_both_addresses_and_goes_back_from_the_one_it_came_to() {
    // Both families, IPv4 alone, and one address.
    for bound in ["[::]:0", "0.0.0.0:0", "127.0.0.1:0"] {
        // A container may have no IPv6.
        let Some((socket, address)) = socket(bound) else { continue };
        let (client, mut receiver, mut sender) = (client(), Receiver::new(), Sender::new());
        let from = client.local_addr().expect("bound");
        for number in 0..40_u8 {
            client.send_to(&[number; 3], address).expect("sent");
        }
        let all = receive(&mut receiver, &socket, 40);
        for (number, (received, bytes)) in all.iter().enumerate() {
            assert_eq!(
                (received.remote, received.local, &bytes[..]),
                (from, address, &[number as u8; 3][..]),
                "{bound}"
            );
        }
        let (first, second) = ([IoSlice::new(b"one")], [IoSlice::new(b"two")]);
        let messages = [(from, &first[..]), (from, &second[..])];
        let call = Call { local: address.ip(), segment: 0, messages: &messages };
        assert_eq!(sender.send(&socket, &call).expect("sent"), 2, "{bound}");
        for expect in [b"one", b"two"] {
            let mut bytes = [0; 8];
            let (length, whence) = client.recv_from(&mut bytes).expect("it comes");
            assert_eq!((&bytes[..length], whence), (&expect[..], address), "{bound}");
        }
    }
}

#[test]
fn the_kernel_cuts_a_message_into_datagrams_for_each_of_many() {
    for bound in ["[::]:0", "0.0.0.0:0", "127.0.0.1:0"] {
        let Some((socket, address)) = socket(bound) else { continue };
        let mut sender = Sender::new();
        let clients = [client(), client()];
        let pieces = [vec![1; 1_000], vec![2; 1_000], vec![3; 10]];
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let messages: Vec<_> =
            clients.iter().map(|client| (client.local_addr().expect("bound"), &slices[..])).collect();
        let call = Call { local: address.ip(), segment: 1_000, messages: &messages };
        assert_eq!(sender.send(&socket, &call).expect("the loopback cuts"), 2, "{bound}");
        for client in &clients {
            for piece in &pieces {
                let mut bytes = [0; 2_000];
                let length = client.recv(&mut bytes).expect("it comes");
                assert_eq!(&bytes[..length], &piece[..], "{bound}");
            }
        }
    }
}

#[test]
fn a_datagram_that_is_too_long_is_left_out_and_its_neighbours_are_not() {
    let (socket, address) = socket("127.0.0.1:0").expect("IPv4 is there");
    let (client, mut receiver) = (client(), Receiver::new());
    client.send_to(&[1; DATAGRAM_BYTES_MAX + 1], address).expect("sent");
    client.send_to(&[2; DATAGRAM_BYTES_MAX], address).expect("sent");
    client.send_to(&[], address).expect("sent");
    let all = receive(&mut receiver, &socket, 2);
    assert_eq!(all.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [DATAGRAM_BYTES_MAX, 0]);
}

#[test]
fn an_address_that_the_socket_cannot_reach_is_an_error_and_nothing_else() {
    let (socket, address) = socket("127.0.0.1:0").expect("IPv4 is there");
    let mut sender = Sender::new();
    let slices = [IoSlice::new(b"x")];
    let client = client();
    let alien: SocketAddr = "[2001:db8::1]:9".parse().expect("an address");
    let fine = client.local_addr().expect("bound");
    let messages = [(fine, &slices[..]), (alien, &slices[..])];
    let call = |messages| Call { local: address.ip(), segment: 0, messages };
    assert_eq!(sender.send(&socket, &call(&messages)).expect("the first goes"), 1);
    assert!(sender.send(&socket, &call(&messages[1..])).is_err());
}
