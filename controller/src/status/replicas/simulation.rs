//! A leader and two other replicas over any schedule: edits that replicas hear of late, proxies that come, go and are
//! silent, replicas that are killed or cannot write their Leases, lists that fail, and leaders that follow each other.
//!
//! `Programmed` never becomes True of an edit while a proxy of a replica that is well has lacked it for long; when all has
//! been well for long enough, it says what is so.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::digest::{Digest, Encoded};
use super::roll::{Heard, Roll, Says};
use super::share::{Due, Share};
use super::*;
use crate::ads::FakeProxy;
use crate::fixture::ROUTER;
use crate::status::story::{Story, router};
use crate::status::term::Term;

use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(250);
const LEASE: Duration = Duration::from_secs(15);
/// The first is the one that leads.
const REPLICAS: usize = 3;
const TICKS_OF_A_LIST: u32 = 4;
/// In ticks: after so long what a proxy lacks is known to the leader, where all is well.
const KNOWN: u32 = 40;
/// In ticks: after so long everything is settled.
const QUIET: u32 = 240;

#[derive(Clone, Debug)]
enum Fault {
    /// Others hear of it so many ticks after the leader.
    Edit([u32; REPLICAS]),
    Comes(usize),
    Goes(usize),
    /// Proxies of a replica answer nothing for so many ticks.
    Silent(usize, u32),
    /// Its proxies are gone with it.
    Killed(usize),
    CutOff(usize, u32),
    ListsFail(u32),
    /// Somebody else leads, who has heard of nobody yet.
    NewLeader,
}

fn fault() -> impl Strategy<Value = Fault> {
    let who = || 0..REPLICAS;
    let ticks = || 1..100u32;
    prop_oneof![
        3 => (ticks(), ticks()).prop_map(|(one, two)| Fault::Edit([0, one, two])),
        3 => who().prop_map(Fault::Comes),
        1 => who().prop_map(Fault::Goes),
        3 => (who(), ticks()).prop_map(|(who, ticks)| Fault::Silent(who, ticks)),
        1 => (1..REPLICAS).prop_map(Fault::Killed),
        1 => (1..REPLICAS, ticks()).prop_map(|(who, ticks)| Fault::CutOff(who, ticks)),
        1 => ticks().prop_map(Fault::ListsFail),
        1 => Just(Fault::NewLeader),
    ]
}

struct Proxy {
    fake: FakeProxy,
    /// The edit that it has answered last.
    taken: Option<u32>,
    /// Since which tick it has lacked what the leader knows; none: it has it.
    lacks: Option<u32>,
}

struct Member {
    name: String,
    story: Story,
    share: Share,
    proxies: Vec<Proxy>,
    /// Which edit it knows, and those that it is going to hear of.
    edit: u32,
    awaited: BTreeMap<u32, u32>,
    silent: u32,
    cut_off: u32,
    /// Since which tick it is there and can write.
    well: u32,
}

struct World {
    tick: u32,
    edit: u32,
    members: Vec<Member>,
    leases: BTreeMap<String, (u64, Option<Encoded>)>,
    version: u64,
    roll: Roll,
    lists_fail: u32,
    heard_well: u32,
}

fn manifest(edit: u32) -> String {
    // Never one that is written there already.
    let weight = 11 + edit % 79;
    ROUTER
        .replace("weight: 90", &format!("weight: {weight}"))
        .replace("weight: 10", &format!("weight: {}", 100 - weight))
}

impl Member {
    fn new(who: usize, tick: u32, edit: u32) -> Self {
        let mut story = Story::valid();
        story.now += TICK * tick;
        if edit > 0 {
            story.apply(&manifest(edit));
        }
        Self {
            name: format!("{who}-{tick}"),
            share: Share::new(story.now),
            story,
            proxies: vec![],
            edit,
            awaited: BTreeMap::new(),
            silent: 0,
            cut_off: 0,
            well: tick,
        }
    }

    /// One tick of it: what is to be written to its Lease.
    fn goes_on(&mut self, tick: u32, newest: u32) -> Option<Due> {
        self.story.now += TICK;
        while let Some(due) = self.awaited.first_entry().filter(|due| *due.key() <= tick) {
            self.edit = due.remove();
            self.story.apply(&manifest(self.edit));
        }
        let is_silent = self.silent > 0;
        self.silent = self.silent.saturating_sub(1);
        for proxy in &mut self.proxies {
            match is_silent {
                true => proxy.fake.hear(&self.story.resources),
                false => {
                    proxy.fake.take_after_answer(&self.story.resources);
                    proxy.taken = Some(self.edit);
                }
            }
            proxy.lacks = match proxy.taken == Some(newest) {
                true => None,
                false => proxy.lacks.or(Some(tick)),
            };
        }
        let is_cut_off = self.cut_off > 0;
        self.cut_off = self.cut_off.saturating_sub(1);
        if is_cut_off {
            self.well = tick;
        }
        let share = &mut self.share;
        let due = share.turn(&self.story.ledger, &self.story.clients, self.story.now);
        let due = due.ok()?;
        if is_cut_off {
            share.failed(self.story.now);
            return None;
        }
        Some(due)
    }
}

impl World {
    fn new() -> Self {
        Self {
            tick: 0,
            edit: 0,
            members: (0..REPLICAS).map(|who| Member::new(who, 0, 0)).collect(),
            leases: BTreeMap::new(),
            version: 0,
            roll: Roll::new("0-0"),
            lists_fail: 0,
            heard_well: 0,
        }
    }

    fn befalls(&mut self, fault: &Fault) {
        match *fault {
            Fault::Edit(late) => {
                self.edit += 1;
                for (member, late) in self.members.iter_mut().zip(late) {
                    // Nobody hears of a later one before an earlier one, nor of two at a time.
                    let last = member.awaited.last_key_value().map_or(0, |(&tick, _)| tick);
                    let tick = (self.tick + 1 + late).max(last + 1);
                    member.awaited.insert(tick, self.edit);
                }
            }
            Fault::Comes(who) => {
                let member = &mut self.members[who];
                let fake = FakeProxy::connect(&member.story.clients, "proxy");
                member.proxies.push(Proxy {
                    fake,
                    taken: None,
                    lacks: None,
                });
            }
            Fault::Goes(who) => drop(self.members[who].proxies.pop()),
            Fault::Silent(who, ticks) => self.members[who].silent = ticks,
            // It comes again under another name.
            Fault::Killed(who) => self.members[who] = Member::new(who, self.tick, self.edit),
            Fault::CutOff(who, ticks) => self.members[who].cut_off = ticks,
            Fault::ListsFail(ticks) => self.lists_fail = ticks,
            Fault::NewLeader => {
                let story = &mut self.members[0].story;
                story.term = Term::new(story.now, Peers::default());
                self.roll = Roll::new("0-0");
                self.heard_well = self.tick;
            }
        }
    }

    fn passes(&mut self) {
        self.tick += 1;
        for member in &mut self.members {
            let Some(due) = member.goes_on(self.tick, self.edit) else {
                continue;
            };
            self.version += 1;
            let lease = self.leases.entry(member.name.clone()).or_default();
            lease.0 = self.version;
            if let Due::Digest(digest) = &due {
                lease.1 = digest.as_ref().map(Digest::encode);
            }
            member.share.wrote(due, member.story.now);
        }
        self.list();
        let before = self.says();
        self.members[0].story.settle();
        self.check(&before);
    }

    fn list(&mut self) {
        if self.lists_fail > 0 {
            self.lists_fail -= 1;
            self.heard_well = self.tick;
            return;
        }
        if !self.tick.is_multiple_of(TICKS_OF_A_LIST) {
            return;
        }
        let listed = self.leases.iter().map(|(name, (version, encoded))| Heard {
            name: name.clone(),
            version: version.to_string(),
            duration: LEASE,
            says: encoded.as_ref().map_or(Says::Nothing, |encoded| {
                Says::Digest(Arc::new(Digest::decode(encoded).expect("a digest")))
            }),
        });
        let story = &mut self.members[0].story;
        self.roll.heard(listed.collect(), story.now);
        story.term.heard(self.roll.live());
    }

    /// What is written, and of which generation.
    fn says(&self) -> Option<(String, i64)> {
        let story = &self.members[0].story;
        let condition = story.condition(&router(), "Programmed")?;
        Some((
            story.says(&router(), "Programmed"),
            condition.observed_generation,
        ))
    }

    /// Nobody is told of something good that is not so.
    fn check(&self, before: &Option<(String, i64)>) {
        let now = self.says();
        let leader = &self.members[0];
        let is_good = now
            .as_ref()
            .is_some_and(|(says, _)| says == "True/Programmed");
        if now == *before || !is_good || leader.edit != self.edit {
            return;
        }
        let known = |since: u32| self.tick >= since + KNOWN;
        if !known(self.heard_well) {
            return;
        }
        for member in self.members.iter().filter(|member| known(member.well)) {
            let long = member
                .proxies
                .iter()
                .filter_map(|it| it.lacks)
                .find(|&it| known(it));
            assert_eq!(long, None, "{} at tick {}", member.name, self.tick);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_said_is_so(faults in vec((0..40u32, fault()), 0..24)) {
        let mut world = World::new();
        for (ticks, fault) in faults {
            (0..ticks).for_each(|_| world.passes());
            world.befalls(&fault);
        }
        (0..QUIET).for_each(|_| world.passes());
        let has_proxies = world.members.iter().any(|member| !member.proxies.is_empty());
        let expected = if has_proxies { "True/Programmed" } else { "Unknown/NoProxies" };
        let generation = i64::from(world.edit) + 1;
        prop_assert_eq!(world.says(), Some((expected.to_owned(), generation)));
    }
}
