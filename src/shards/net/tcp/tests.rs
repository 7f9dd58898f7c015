use std::net::Ipv4Addr;

use super::super::tests::{count, request};
use super::*;
use crate::shards::commands::ShardWaker;

struct Ground {
    address: SocketAddr,
    shared: Arc<NetShared>,
    commands: CommandQueue,
    tasks: Tasks,
}

async fn ground(connections_max: u32, connections_per_address_max: u32) -> Ground {
    let waker = ShardWaker::for_tests();
    let shared = Arc::new(NetShared::new(Vec::new(), [Arc::clone(&waker)], Arc::default()));
    shared.name("known".to_owned(), 0);
    let commands = CommandQueue::new(waker);
    let tasks = Tasks::new(Arc::default());
    let limits = TcpLimits { connections_max, connections_per_address_max };
    let server = IceTcp::new(Arc::clone(&shared), [commands.clone()].into(), limits, tasks.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    server.listen(listener);
    Ground { address, shared, commands, tasks }
}

impl Ground {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// A connection that has shown whom it is for, and the thread's way to it.
    async fn opened(&self) -> (TcpStream, Path, Arc<TcpWay>) {
        let (stream, path, way) = self.shown().await;
        way.take_over();
        (stream, path, way)
    }

    /// Likewise, but the thread has not looked at it yet.
    async fn shown(&self) -> (TcpStream, Path, Arc<TcpWay>) {
        let mut stream = self.connect().await;
        stream.write_all(&framed(&request("known"))).await.expect("sent");
        match self.command().await {
            Command::TcpOpened { path, way } => (stream, path, way),
            other => panic!("{other:?}"),
        }
    }

    async fn command(&self) -> Command {
        loop {
            if let Some(command) = self.commands.take() {
                return command;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn datagrams(&self, wanted: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while datagrams.len() < wanted {
            match self.shared.inboxes[0].take() {
                Some(crossing) => datagrams.extend(crossing.datagrams().map(|(_, datagram)| datagram.to_vec())),
                None => tokio::task::yield_now().await,
            }
        }
        datagrams
    }

    fn refused(&self) -> u64 {
        count(&self.shared.counters.tcp_refused_connections)
    }
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(write_frame(datagram, &mut bytes));
    bytes
}

/// The other end closes, whether or not it still had something to read.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn frames_become_datagrams_and_answers_become_frames() {
    let ground = ground(10, 10).await;
    let (mut stream, path, way) = ground.opened().await;
    assert_eq!(path.transport, Transport::Tcp);
    assert_eq!((path.local, path.remote), (ground.address, stream.local_addr().expect("connected")));
    assert_eq!(ground.datagrams(1).await, [request("known")]);
    // Three frames of which the second is cut in the middle, and an empty one.
    let bytes = [framed(b"one"), framed(b"two"), framed(b""), framed(b"three")].concat();
    stream.write_all(&bytes[..7]).await.expect("sent");
    let mut got = ground.datagrams(1).await;
    stream.write_all(&bytes[7..]).await.expect("sent");
    got.extend(ground.datagrams(2).await);
    assert_eq!(got, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    assert_eq!(way.push(b"answer".to_vec()), 0);
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.expect("it comes");
    assert_eq!(&answer, b"\0\x06answer");
    drop(stream);
    assert!(matches!(ground.command().await, Command::TcpClosed { path: closed } if closed == path));
}

#[tokio::test(start_paused = true)]
async fn no_request_overtakes_the_way_that_its_answer_takes() {
    let ground = ground(10, 10).await;
    let (_stream, _, way) = ground.shown().await;
    tokio::time::sleep(FIRST_FRAME_DEADLINE / 2).await;
    assert!(ground.shared.inboxes[0].is_empty(), "the thread does not know the way yet");
    way.take_over();
    assert_eq!(ground.datagrams(1).await, [request("known")]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_thread_never_takes_over_is_closed() {
    let ground = ground(10, 10).await;
    let (mut stream, path, _way) = ground.shown().await;
    assert!(is_closed(&mut stream).await);
    assert!(matches!(ground.command().await, Command::TcpClosed { path: closed } if closed == path));
}

#[tokio::test]
async fn whoever_does_not_begin_with_a_request_for_one_of_ours_is_closed() {
    let ground = ground(100, 100).await;
    let hostile = [
        framed(&request("nobody")),
        framed(b"GET / HTTP/1.1"),
        framed(&[0x80; 20]),
        vec![0xff; 2_000],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        let mut stream = ground.connect().await;
        stream.write_all(bytes).await.expect("sent");
        assert!(is_closed(&mut stream).await);
        assert_eq!(ground.refused(), number as u64 + 1);
    }
    assert!(ground.commands.is_empty() && ground.shared.inboxes[0].is_empty());
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_an_open_connection() {
    let ground = ground(10, 10).await;
    let (mut stream, path, _way) = ground.opened().await;
    stream.write_all(&[0xff, 0xff, 1]).await.expect("sent");
    assert!(is_closed(&mut stream).await);
    assert!(matches!(ground.command().await, Command::TcpClosed { path: closed } if closed == path));
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_a_byte_now_and_then_is_closed_in_time() {
    let ground = ground(10, 10).await;
    let start = tokio::time::Instant::now();
    let mut silent = ground.connect().await;
    assert!(is_closed(&mut silent).await);
    assert!(start.elapsed() < FIRST_FRAME_DEADLINE * 2);
    let mut slow = ground.connect().await;
    let frame = framed(&request("known"));
    for byte in &frame {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(is_closed(&mut slow).await);
    assert_eq!(ground.refused(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_answered_is_closed_however_much_it_sends() {
    let ground = ground(10, 10).await;
    let (mut stream, _, _way) = ground.opened().await;
    let start = tokio::time::Instant::now();
    while stream.write_all(&framed(b"noise")).await.is_ok() {
        tokio::time::advance(Duration::from_secs(1)).await;
        ground.shared.inboxes[0].take();
        assert!(start.elapsed() < UNANSWERED_MAX * 2);
    }
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed_from_one_address() {
    let ground = ground(10, 2).await;
    let first = ground.opened().await;
    let _second = ground.opened().await;
    let mut third = ground.connect().await;
    assert!(is_closed(&mut third).await);
    assert_eq!(ground.refused(), 1);
    drop(first);
    assert!(matches!(ground.command().await, Command::TcpClosed { .. }));
    while ground.shared.counters.tcp_connections.load(Ordering::Relaxed) > 1 {
        tokio::task::yield_now().await;
    }
    let _again = ground.opened().await;
}

#[tokio::test]
async fn a_slow_connection_loses_its_oldest_frames_and_holds_nobody_up() {
    let way = TcpWay::new();
    let lost: u64 = (0..FRAMES_MAX + 5).map(|number| way.push(vec![number as u8])).sum();
    assert_eq!((lost, way.frames.len()), (5, FRAMES_MAX));
    assert_eq!(way.frames.pop(), Some(vec![5]));
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let ground = ground(10, 10).await;
    let (mut stream, ..) = ground.opened().await;
    assert_eq!(ground.tasks.drain(Duration::from_secs(5)).await, crate::tasks::Drained::Cleanly);
    assert!(is_closed(&mut stream).await);
}
