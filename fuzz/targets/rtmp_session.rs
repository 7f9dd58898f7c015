//! A whole RTMP connection after its handshake, fed in pieces of any size. Every publish is accepted, so that media is reached.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use telstar_rtmp::session::{Config, Event, Session};

/// C0 and C1 of the plain handshake, and C2, which nobody checks (RTMP 1.0 §5.2).
const HANDSHAKE_LEN: usize = 1 + 1_536 + 1_536;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, data)) = data.split_first() else { return };
    let now = Instant::now();
    let mut session = Session::new(Config::new([7; 32]), now);
    let mut hello = [0; HANDSHAKE_LEN];
    hello[0] = 3;
    session.handle_input(now, &hello);
    drain(&mut session, now);
    for chunk in data.chunks(usize::from(piece).max(1)) {
        session.handle_input(now, chunk);
        drain(&mut session, now);
    }
    session.handle_disconnect();
    drain(&mut session, now);
});

fn drain(session: &mut Session, now: Instant) {
    loop {
        while session.poll_output().is_some() {}
        match session.poll_event() {
            Some(Event::PublishRequested(_)) => session.accept_publish(now),
            Some(_) => {}
            None => return,
        }
    }
}
