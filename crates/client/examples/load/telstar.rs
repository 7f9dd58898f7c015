//! Telstar's signalling, by its own client. In: a participant. Out: its connections' descriptions, to and from the threads.

use std::net::IpAddr;

use telstar_client::wire::{NewTrack, Published, Request};
use telstar_client::{Client, Credential, Direction, Event, JoinOptions, Kind, Layer, Signal, Source};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::peer::Fallible;
use crate::stream::Plan;
use crate::threads::{Command, Threads};
use crate::{Context, Participant, local_ip};

pub async fn join(context: &Context, who: &Participant, tasks: &mut JoinSet<()>) -> Fallible<()> {
    let client = Client::connect(&context.url, Credential::Token(who.token.clone())).await?;
    let join = JoinOptions { auto_subscribe: who.subscribes, ..JoinOptions::default() };
    let (signal, events, _) = client.join_signalling(&who.room, join).await?;
    let ip = local_ip(signal.peer().ok_or("the server's address is known")?)?;
    if who.publishes {
        let (reply, offer) = oneshot::channel();
        let publish = Command::Publish(who.publishing(), ip, context.tracks.clone(), reply);
        context.threads.send(who.publishing(), publish);
        let (sdp, mids) = offer.await??;
        let tracks = context.tracks.iter().zip(mids).map(|(plans, mid)| describe(plans, mid)).collect();
        let reply = signal.request(Request::Publish { sdp, tracks }).await?;
        let published: Published = serde_json::from_value(reply)?;
        context.threads.send(who.publishing(), Command::Accept(who.publishing(), published.sdp));
    }
    tasks.spawn(follow(signal, events, who.clone(), ip, context.threads.clone()));
    Ok(())
}

/// Does what a participant must do while it is in the call.
async fn follow(signal: Signal, mut events: mpsc::Receiver<Event>, who: Participant, ip: IpAddr, threads: Threads) {
    let id = who.id;
    while let Some(event) = events.recv().await {
        match event {
            Event::Offer { version, sdp } => {
                let (reply, answer) = oneshot::channel();
                let subscribe = Command::Subscribe(who.subscribing(), ip, who.begin, sdp, reply);
                threads.send(who.subscribing(), subscribe);
                match answer.await {
                    Ok(Ok(sdp)) => {
                        let _ = signal.send(Request::Answer { version, sdp }); // the socket is gone: so is the call
                    }
                    Ok(Err(error)) => eprintln!("the offer to {id}: {error}"),
                    Err(_) => return,
                }
            }
            Event::Candidate { connection, candidate } if !candidate.is_empty() => {
                let peer = if connection == Direction::Subscribe { who.subscribing() } else { who.publishing() };
                threads.send(peer, Command::Candidate(peer, candidate));
            }
            Event::Left { reason } => return eprintln!("{id} left: {reason}"),
            Event::MediaFailed { connection, reason } => eprintln!("{id}: {connection:?} failed: {reason}"),
            _ => {}
        }
    }
    eprintln!("{id}: the connection is over");
}

fn describe(plans: &[Plan], mid: String) -> NewTrack {
    let audio = plans[0].is_audio();
    let layer = |plan: &Plan| Layer {
        rid: plan.rid.to_owned(),
        width: plan.width,
        height: plan.height,
        frame_rate: 30,
        bitrate_bps: plan.bps.into(),
    };
    NewTrack {
        mid,
        kind: if audio { Kind::Audio } else { Kind::Video },
        source: if audio { Source::Microphone } else { Source::Camera },
        name: String::new(),
        muted: false,
        layers: if plans.len() > 1 { plans.iter().map(layer).collect() } else { vec![] },
    }
}
