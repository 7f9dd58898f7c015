//! The reconnect storm: callers whose sockets break again and again, in the middle of a call with media.
//!
//! In: a seed. Out: how long it took until everybody knew the same again, or the rule that was broken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use telstar_sfu::Event;

use crate::caller::Caller;
use crate::hub::Hub;
use crate::random::Random;
use crate::scenario::{Failure, Report, Scenario};
use crate::world::{World, config};

/// How fine the clock of signalling is.
const TURN: Duration = Duration::from_millis(10);
/// A frame is filmed every so many turns.
const TURNS_PER_FRAME: u32 = 3;
/// Until everybody sees everybody.
const START: Duration = Duration::from_secs(10);
/// How long sockets break.
const STORM: Duration = Duration::from_secs(12);
/// Somebody who stays away for longer than sessions are kept (30 s).
const LONG_AWAY: Duration = Duration::from_secs(33);
/// How long it may take afterwards until everybody knows and sees everything.
const SETTLE: Duration = Duration::from_secs(15);
/// Media does not notice what signalling does: no picture may wait longer while nothing is wrong with its own path.
const FREEZE_MAX: Duration = Duration::from_millis(500);

struct Storm {
    world: World,
    hub: Hub,
    callers: Vec<Caller>,
    random: Random,
    turns: u32,
    faults: BTreeMap<&'static str, u32>,
}

/// Runs a seed.
///
/// # Errors
///
/// The first rule that was broken, and when.
pub fn run(seed: u64, now: Instant) -> Result<Report, Failure> {
    let mut random = Random::new(!seed);
    let mut world = World::new(config(), seed, now);
    world.negotiates = false;
    let hub = Hub::new(random.fork(), random.millis(2, 80));
    let callers = (0..random.range(2, 4)).map(|index| Caller::new(format!("caller{index}"))).collect();
    let mut storm = Storm { world, hub, callers, random, turns: 0, faults: BTreeMap::new() };
    let outcome = storm.whole();
    let at = storm.world.now - now;
    // Signalling has no excuse: whoever does not know the same again is a broken rule.
    let settled = outcome.map_err(|rule| Failure::Broken(rule).within(Scenario::Storm, at))?;
    Ok(Report { scenario: Scenario::Storm, settled, digest: storm.world.wire.digest, faults: storm.faults })
}

impl Storm {
    fn whole(&mut self) -> Result<Duration, String> {
        for caller in &mut self.callers {
            caller.open(self.world.now, &mut self.hub, &mut self.world);
        }
        self.settle(START)?;
        let calm = self.world.now;
        let end = calm + STORM;
        let leaves_one = self.random.permille(250);
        if leaves_one {
            let is_noticed = self.random.permille(500);
            self.callers[0].lose(self.world.now, &mut self.hub, is_noticed, LONG_AWAY);
            self.faults.insert("away too long", 1);
        }
        while self.world.now < end {
            self.act();
            let pause = self.random.millis(10, 600);
            self.go_on(pause)?;
        }
        let settled = self.settle(if leaves_one { LONG_AWAY + SETTLE } else { SETTLE })?;
        self.judge_media(calm)?;
        Ok(settled)
    }

    /// Somebody does something, or somebody's socket breaks.
    fn act(&mut self) {
        let (now, hub) = (self.world.now, &mut self.hub);
        let caller = self.random.range(0, self.callers.len() as u64 - 1) as usize;
        let number = self.random.draw() % 1_000;
        let caller = &mut self.callers[caller];
        match self.random.range(0, 9) {
            0..=3 => caller.say(now, hub),
            4 => caller.rename(now, hub, number),
            // Who is away stays away for as long as it meant to.
            _ if caller.opens_at.is_some() => {}
            _ => {
                let after = *self.random.pick(&[0, 50, 300, 2_000, 6_000]);
                let is_noticed = self.random.permille(600);
                caller.lose(now, hub, is_noticed, Duration::from_millis(after));
                let what = if is_noticed { "socket breaks" } else { "socket dies unnoticed" };
                *self.faults.entry(what).or_default() += 1;
            }
        }
    }

    fn go_on(&mut self, time: Duration) -> Result<(), String> {
        let end = self.world.now + time;
        while self.world.now < end {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS_PER_FRAME) {
            self.callers.iter_mut().for_each(|caller| caller.shoot(&mut self.world));
        }
        self.world.run(TURN);
        let now = self.world.now;
        self.hub.turn(now);
        loop {
            while let Some(command) = self.hub.commands.pop_front() {
                self.world.command(command);
            }
            let events: Vec<(Instant, Event)> = std::mem::take(&mut self.world.events);
            if events.is_empty() {
                break;
            }
            events.into_iter().for_each(|(_, event)| self.hub.handle_media(now, event));
        }
        for caller in &mut self.callers {
            caller.turn(now, &mut self.hub, &mut self.world)?;
        }
        match (&self.world.wire.broken, self.world.sfu.counters().panics) {
            (Some(rule), _) => Err(rule.clone()),
            (None, 0) => Ok(()),
            (None, panics) => Err(format!("{panics} panics")),
        }
    }

    /// Waits until everybody knows the same and sees everybody.
    fn settle(&mut self, limit: Duration) -> Result<Duration, String> {
        let begin = self.world.now;
        loop {
            self.turn()?;
            let Some(why) = self.unsettled() else { return Ok(self.world.now - begin) };
            if self.world.now - begin >= limit {
                return Err(format!("not settled after {} s: {why}", limit.as_secs()));
            }
        }
    }

    fn unsettled(&self) -> Option<String> {
        let truth = self.hub.participants();
        let truth: Vec<Value> = truth.into_iter().map(|one| json!(one)).collect();
        let now = self.world.now;
        for caller in &self.callers {
            if !caller.is_settled() || caller.offset() != self.hub.offset() {
                return Some(format!("{} waits for something", caller.name));
            }
            let known: Vec<&Value> = caller.model.values().collect();
            if known.len() != truth.len() || !truth.iter().all(|one| known.contains(&one)) {
                return Some(format!("{} believes {known:?} of {truth:?}", caller.name));
            }
            if truth.len() != self.callers.len() {
                return Some(format!("{} take part", truth.len()));
            }
            for other in truth.iter().filter(|other| other["id"].as_str() != caller.me.as_deref()) {
                let track = &other["tracks"][0]["id"];
                let shown = caller.screen(track).and_then(|decoder| decoder.shown.last());
                if shown.is_none_or(|shown| now.saturating_duration_since(shown.at) > FREEZE_MAX) {
                    return Some(format!("{} does not see {track}", caller.name));
                }
            }
        }
        None
    }

    /// Between those who never had to join anew no picture stood still.
    fn judge_media(&self, from: Instant) -> Result<(), String> {
        for caller in self.callers.iter().filter(|caller| caller.joins == 1) {
            for other in self.callers.iter().filter(|other| other.joins == 1 && other.name != caller.name) {
                let track = other.me.as_ref().map(|me| &caller.model[me]["tracks"][0]["id"]);
                let Some(decoder) = track.and_then(|track| caller.screen(track)) else { continue };
                let freeze = decoder.longest_freeze(from, self.world.now);
                if freeze > FREEZE_MAX {
                    return Err(format!("{} saw {} stand still for {freeze:?}", caller.name, other.name));
                }
            }
        }
        Ok(())
    }
}
