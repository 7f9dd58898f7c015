//! The other end of one peer connection: str0m in a thread of its own with a socket of its own.
//! In: [`Command`]s. Out: [`Report`]s.

use std::net::UdpSocket;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};

/// How often the thread looks for commands.
const TURN: Duration = Duration::from_millis(5);

pub enum Command {
    /// Answers an offer.
    Offer(String, mpsc::Sender<Result<String, String>>),
    /// Offers one video section for sending, at the first time, and restarts ICE at every further one.
    MakeOffer(mpsc::Sender<String>),
    /// The answer to it.
    Answer(String),
    /// A candidate of the client.
    Candidate(String),
    /// Asks for a keyframe of a layer.
    Keyframe(String, Option<&'static str>),
    /// Sends a packet that another connection received.
    Rtp(Arc<RtpPacket>),
    /// Sends on the channel `lossy`.
    Data(Vec<u8>),
}

pub enum Report {
    Connected,
    Rtp(Arc<RtpPacket>, Option<Rid>),
    Data(Vec<u8>),
    KeyframeRequest,
}

#[derive(Clone)]
pub struct MediaPeer(mpsc::Sender<Command>);

impl MediaPeer {
    pub fn start(report: impl Fn(Report) + Send + 'static) -> MediaPeer {
        let (sender, commands) = mpsc::channel();
        thread::spawn(move || Thread::new(Box::new(report)).run(&commands));
        MediaPeer(sender)
    }

    pub fn send(&self, command: Command) {
        let _ = self.0.send(command); // the test is over
    }

    pub fn answer_to(&self, offer: String) -> Result<String, String> {
        let (reply, answer) = mpsc::channel();
        self.send(Command::Offer(offer, reply));
        answer.recv().expect("the thread runs")
    }

    pub fn offer(&self) -> String {
        let (reply, offer) = mpsc::channel();
        self.send(Command::MakeOffer(reply));
        offer.recv().expect("the thread runs")
    }
}

struct Thread {
    rtc: Rtc,
    socket: UdpSocket,
    report: Box<dyn Fn(Report) + Send>,
    pending: Option<SdpPendingOffer>,
    mid: Option<Mid>,
    channel: Option<ChannelId>,
}

impl Thread {
    fn new(report: Box<dyn Fn(Report) + Send>) -> Thread {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
        let mut rtc = Rtc::builder().set_rtp_mode(true).set_ice_lite(true).build(Instant::now());
        let address = socket.local_addr().expect("it is bound");
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        Thread { rtc, socket, report, pending: None, mid: None, channel: None }
    }

    fn run(mut self, commands: &mpsc::Receiver<Command>) {
        let mut buffer = [0; 2000];
        loop {
            let deadline = self.drain();
            match commands.try_recv() {
                Ok(command) => {
                    self.take(command);
                    continue;
                }
                Err(mpsc::TryRecvError::Disconnected) => return,
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let wait = deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), TURN);
            self.socket.set_read_timeout(Some(wait)).expect("a time above zero");
            let input = match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let destination = self.socket.local_addr().expect("it is bound");
                    let Ok(contents) = buffer[..length].try_into() else { continue };
                    Input::Receive(Instant::now(), Receive { proto: Protocol::Udp, source, destination, contents })
                }
                Err(_) => Input::Timeout(Instant::now()),
            };
            self.rtc.handle_input(input).expect("the engine takes any input");
        }
    }

    fn drain(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().expect("the engine works") {
                Output::Timeout(at) => return at,
                Output::Transmit(packet) => {
                    let _ = self.socket.send_to(&packet.contents, packet.destination); // as on a network
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => (self.report)(Report::Connected),
            Event::RtpPacket(packet) => {
                let ssrc = packet.header.ssrc;
                let rid = self.rtc.direct_api().stream_rx(&ssrc).and_then(|stream| stream.rid());
                (self.report)(Report::Rtp(Arc::new(packet), rid));
            }
            Event::ChannelOpen(id, label) if label == "lossy" => self.channel = Some(id),
            Event::ChannelData(data) => (self.report)(Report::Data(data.data)),
            Event::KeyframeRequest(_) => (self.report)(Report::KeyframeRequest),
            _ => {}
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Offer(offer, reply) => {
                let offer = SdpOffer::from_sdp_string(&offer).map_err(|error| error.to_string());
                let answer = offer.and_then(|offer| self.rtc.sdp_api().accept_offer(offer).map_err(|e| e.to_string()));
                let _ = reply.send(answer.map(|answer| answer.to_sdp_string()));
            }
            Command::MakeOffer(reply) => {
                let mut change = self.rtc.sdp_api();
                if self.mid.is_none() {
                    self.mid = Some(change.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
                    let reliability = Reliability::MaxRetransmits { retransmits: 0 };
                    let label = "lossy".to_owned();
                    change.add_channel_with_config(ChannelConfig {
                        label,
                        ordered: false,
                        reliability,
                        ..Default::default()
                    });
                } else {
                    change.ice_restart(true);
                }
                let (offer, pending) = change.apply().expect("there is a change");
                self.pending = Some(pending);
                let _ = reply.send(offer.to_sdp_string());
            }
            Command::Answer(answer) => {
                let answer = SdpAnswer::from_sdp_string(&answer).expect("an answer");
                let pending = self.pending.take().expect("an offer came before");
                self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer to the offer");
            }
            Command::Candidate(candidate) => {
                if let Ok(candidate) = Candidate::from_sdp_string(&candidate) {
                    self.rtc.add_remote_candidate(candidate);
                }
            }
            Command::Keyframe(mid, rid) => {
                let mut api = self.rtc.direct_api();
                if let Some(stream) = api.stream_rx_by_mid(mid.as_str().into(), rid.map(Rid::from)) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                }
            }
            Command::Rtp(packet) => self.forward(&packet),
            Command::Data(data) => {
                if let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) {
                    channel.write(true, &data).expect("the channel is open");
                }
            }
        }
    }

    fn forward(&mut self, packet: &RtpPacket) {
        let Some(mid) = self.mid else { return };
        let vp8 = self.rtc.codec_config().find(|params| params.spec().codec == Codec::Vp8).map(|params| params.pt());
        let mut api = self.rtc.direct_api();
        let (Some(stream), Some(pt)) = (api.stream_tx_by_mid(mid, None), vp8) else { return };
        let write = str0m::rtp::RtpWrite::new(
            pt,
            packet.seq_no,
            packet.header.timestamp,
            packet.timestamp,
            packet.payload.clone(),
        );
        stream.write_rtp(write.marker(packet.header.marker).nackable(true));
    }
}
