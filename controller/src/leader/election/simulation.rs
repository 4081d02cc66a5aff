//! Several candidates over any schedule: messages that take their time or are lost, machines whose clocks are apart and do
//! not run alike, processes that are killed, stand still, give back, and come again.
//!
//! At no moment two lead; when all has been well for long enough, one does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(15);
/// What happens happens at whole ticks.
const TICK: Duration = Duration::from_millis(250);
const CANDIDATES: usize = 3;

/// What befalls, by the tick at which it does.
#[derive(Clone, Debug)]
enum Fault {
    /// All messages of a candidate are lost for so many ticks.
    CutOff(usize, u32),
    /// It does nothing at all for so long, and does not notice.
    Stopped(usize, u32),
    Killed(usize),
    Resigns(usize),
    /// Messages of all take so many ticks from now on, there and back.
    Slow(u32, u32),
}

fn fault() -> impl Strategy<Value = Fault> {
    let who = 0..CANDIDATES;
    prop_oneof![
        3 => (who.clone(), 1..120u32).prop_map(|(who, ticks)| Fault::CutOff(who, ticks)),
        2 => (who.clone(), 1..120u32).prop_map(|(who, ticks)| Fault::Stopped(who, ticks)),
        2 => who.clone().prop_map(Fault::Killed),
        1 => who.prop_map(Fault::Resigns),
        2 => (0..40u32, 0..40u32).prop_map(|(there, back)| Fault::Slow(there, back)),
    ]
}

struct Member {
    election: Election,
    /// Of its clock, against the true one.
    ahead: Duration,
    /// In thousandths of the true speed.
    speed: u32,
    waits_for: Option<u64>,
    cut_off: u32,
    stopped: u32,
    incarnation: u32,
}

enum Message {
    There {
        asked: Instant,
        ask: Ask,
    },
    Back {
        asked: Instant,
        ask: Ask,
        answer: Answer,
    },
}

struct World {
    zero: Instant,
    tick: u32,
    members: Vec<Member>,
    lease: Option<(Holding, u64)>,
    versions: u64,
    /// By arrival and number; whose it is.
    messages: BTreeMap<(u32, u64), (usize, Message)>,
    sent: u64,
    slow: (u32, u32),
}

impl World {
    fn new(clocks: &[(u32, u32)]) -> Self {
        let zero = Instant::now();
        let mut world = Self {
            zero,
            tick: 0,
            members: vec![],
            lease: None,
            versions: 0,
            messages: BTreeMap::new(),
            sent: 0,
            slow: (0, 0),
        };
        for (who, &(ahead, speed)) in clocks.iter().enumerate() {
            let ahead = Duration::from_millis(ahead.into());
            let member = Member {
                election: Election::new(format!("{who}-0"), LEASE, zero + ahead),
                ahead,
                speed,
                waits_for: None,
                cut_off: 0,
                stopped: 0,
                incarnation: 0,
            };
            world.members.push(member);
        }
        world
    }

    fn clock(&self, who: usize) -> Instant {
        let member = &self.members[who];
        self.zero + member.ahead + TICK * self.tick * member.speed / 1000
    }

    fn befalls(&mut self, fault: &Fault) {
        match *fault {
            Fault::CutOff(who, ticks) => self.members[who].cut_off = ticks,
            Fault::Stopped(who, ticks) => self.members[who].stopped = ticks,
            Fault::Killed(who) => {
                let now = self.clock(who);
                let member = &mut self.members[who];
                member.incarnation += 1;
                let identity = format!("{who}-{}", member.incarnation);
                (member.election, member.waits_for) = (Election::new(identity, LEASE, now), None);
            }
            Fault::Resigns(who) => {
                // What is under way counts no more, and is under way.
                if let Some(claim) = self.members[who].election.resign() {
                    self.members[who].waits_for = None;
                    self.send(who, Ask::Write(claim));
                }
                self.members[who].waits_for = None;
            }
            Fault::Slow(there, back) => self.slow = (there, back),
        }
    }

    fn send(&mut self, who: usize, ask: Ask) {
        let asked = self.clock(who);
        self.sent += 1;
        self.members[who].waits_for = Some(self.sent);
        if self.members[who].cut_off == 0 {
            let key = (self.tick + self.slow.0, self.sent);
            self.messages
                .insert(key, (who, Message::There { asked, ask }));
        }
    }

    fn step(&mut self) {
        self.deliver();
        for who in 0..self.members.len() {
            let now = self.clock(who);
            let member = &mut self.members[who];
            member.cut_off = member.cut_off.saturating_sub(1);
            member.stopped = member.stopped.saturating_sub(1);
            if member.stopped == 0 && member.waits_for.is_none() && now >= member.election.due() {
                let ask = member.election.ask(now);
                self.send(who, ask);
            }
        }
        self.impatience();
        self.tick += 1;
    }

    /// Who waits for too long takes it that nothing came of it.
    fn impatience(&mut self) {
        for who in 0..self.members.len() {
            let now = self.clock(who);
            let member = &mut self.members[who];
            let patience = member.election.patience();
            // Nothing is due before the answer but that it does not come.
            if member.stopped == 0
                && member.waits_for.is_some()
                && now >= member.election.due() + patience
            {
                member.waits_for = None;
                member
                    .election
                    .answered(&Ask::Read, Answer::Failed, now, now);
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.messages.first_entry() {
            let ((at, number), (who, message)) = (*entry.key(), entry.remove());
            if at > self.tick {
                self.messages.insert((at, number), (who, message));
                return;
            }
            match message {
                Message::There { asked, ask } => {
                    let answer = self.served(&ask);
                    let back = Message::Back { asked, ask, answer };
                    if self.members[who].cut_off == 0 {
                        self.messages
                            .insert((self.tick + self.slow.1, number), (who, back));
                    }
                }
                // Who stands still finds it when it goes on.
                Message::Back { .. } if self.members[who].stopped > 0 => {
                    self.messages
                        .insert((self.tick + 1, number), (who, message));
                }
                Message::Back { asked, ask, answer } => {
                    let now = self.clock(who);
                    let member = &mut self.members[who];
                    if member.waits_for == Some(number) {
                        member.waits_for = None;
                        member.election.answered(&ask, answer, asked, now);
                    }
                }
            }
        }
    }

    fn served(&mut self, ask: &Ask) -> Answer {
        let held = self.lease.as_ref();
        match ask {
            Ask::Read => held.map_or(Answer::Absent, |(holding, version)| {
                Answer::Found(holding.clone(), version.to_string())
            }),
            Ask::Write(claim) => {
                let version = held.map(|(_, version)| version.to_string());
                match (&claim.over, version) {
                    (Some(_), None) => return Answer::Absent,
                    (over, version) if *over != version => return Answer::Conflict,
                    _ => {}
                }
                self.versions += 1;
                self.lease = Some((claim.holding.clone(), self.versions));
                Answer::Written(self.versions.to_string())
            }
        }
    }

    fn leaders(&self) -> Vec<usize> {
        let all = 0..self.members.len();
        all.filter(|&who| self.members[who].election.leads(self.clock(who)))
            .collect()
    }
}

/// Ticks in which everybody has had the time to notice.
fn long_enough() -> u32 {
    u32::try_from(LEASE.as_millis() / TICK.as_millis()).expect("few") * 4
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn there_are_never_two_leaders_and_in_the_end_there_is_one(
        clocks in proptest::collection::vec((0..100_000u32, 950..1050u32), CANDIDATES),
        faults in proptest::collection::vec((0..40u32, fault()), 0..40),
    ) {
        let mut world = World::new(&clocks);
        for (wait, fault) in &faults {
            for _ in 0..*wait {
                world.step();
                prop_assert!(world.leaders().len() <= 1, "at tick {}: {:?}", world.tick, world.leaders());
            }
            world.befalls(fault);
        }
        world.slow = (0, 1);
        for member in &mut world.members {
            (member.cut_off, member.stopped) = (0, 0);
        }
        for _ in 0..long_enough() {
            world.step();
            prop_assert!(world.leaders().len() <= 1);
        }
        prop_assert_eq!(world.leaders().len(), 1);
    }
}
