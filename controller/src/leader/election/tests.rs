use super::*;

const LEASE: Duration = Duration::from_secs(15);

/// A candidate `a`, and the time since it began.
struct Story {
    election: Election,
    began: Instant,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let began = Instant::now();
        Self {
            election: Election::new("a".to_owned(), LEASE, began),
            began,
            now: began,
        }
    }

    fn at(&mut self, seconds: u64) -> Ask {
        self.now = self.began + Duration::from_secs(seconds);
        self.election.ask(self.now)
    }

    /// Asks now, and is answered at once.
    fn hears(&mut self, answer: Answer) {
        let ask = self.election.ask(self.now);
        self.election.answered(&ask, answer, self.now, self.now);
    }

    fn leads(&self) -> bool {
        self.election.leads(self.now)
    }

    fn due_in(&self) -> u64 {
        self.election
            .due()
            .saturating_duration_since(self.now)
            .as_secs()
    }
}

fn held_by(holder: &str, transitions: i32) -> Holding {
    Holding {
        holder: holder.to_owned(),
        duration: LEASE,
        transitions,
    }
}

fn write(holder: &str, transitions: i32, is_new: bool, over: Option<&str>) -> Ask {
    Ask::Write(Claim {
        holding: held_by(holder, transitions),
        is_new,
        over: over.map(str::to_owned),
    })
}

fn found(holder: &str, version: &str) -> Answer {
    Answer::Found(held_by(holder, 3), version.to_owned())
}

#[test]
fn the_first_makes_the_lease_and_renews_it_at_a_third() {
    let mut story = Story::new();
    assert_eq!(story.at(0), Ask::Read);
    story.hears(Answer::Absent);
    assert_eq!(story.at(0), write("a", 0, true, None));
    story.hears(Answer::Written("1".into()));
    assert!(story.leads());
    assert_eq!(story.due_in(), 5);
    assert_eq!(story.at(5), write("a", 0, false, Some("1")));
    story.hears(Answer::Written("2".into()));
    story.at(14);
    assert!(story.leads());
    story.at(15);
    assert!(
        !story.leads(),
        "nothing was heard for two thirds of the lease"
    );
}

#[test]
fn a_lease_is_over_when_it_was_not_renewed_for_its_time() {
    let mut story = Story::new();
    story.hears(found("b", "7"));
    assert_eq!(story.at(14), Ask::Read);
    story.hears(found("b", "7"));
    assert_eq!(story.at(15), write("a", 4, true, Some("7")));
    // Somebody was faster.
    story.hears(Answer::Conflict);
    assert!(!story.leads());
    assert_eq!(story.at(15), Ask::Read);
    story.hears(found("c", "8"));
    assert_eq!(story.at(29), Ask::Read);
    story.hears(found("c", "9"));
    assert_eq!(story.at(43), Ask::Read, "it was renewed");
    assert_eq!(story.at(44), write("a", 4, true, Some("9")));
}

#[test]
fn a_lease_that_was_given_back_is_free_at_once() {
    let mut story = Story::new();
    story.hears(found("", "7"));
    assert_eq!(story.due_in(), 0);
    assert_eq!(story.at(0), write("a", 4, true, Some("7")));
    story.hears(Answer::Written("8".into()));
    let back = story.election.resign().expect("it held it");
    assert_eq!(
        (back.holding.holder.as_str(), back.over.as_deref()),
        ("", Some("8"))
    );
    assert!(!story.leads());
    assert_eq!(story.election.resign(), None);
}

#[test]
fn who_cannot_renew_steps_down() {
    for answer in [
        Answer::Failed,
        Answer::Conflict,
        Answer::Absent,
        found("b", "2"),
    ] {
        let mut story = Story::new();
        story.hears(Answer::Absent);
        story.hears(Answer::Written("1".into()));
        story.at(5);
        story.hears(answer.clone());
        assert!(!story.leads(), "{answer:?}");
    }
}

#[test]
fn who_does_not_know_whether_it_renewed_finds_out() {
    let mut story = Story::new();
    story.hears(Answer::Absent);
    story.hears(Answer::Written("1".into()));
    story.at(5);
    story.hears(Answer::Failed);
    assert_eq!(story.due_in(), 2);
    assert_eq!(story.at(7), write("a", 0, false, Some("1")));
    // It had.
    story.hears(Answer::Conflict);
    assert_eq!(story.at(7), Ask::Read);
    story.hears(found("a", "2"));
    assert_eq!(story.at(7), write("a", 3, false, Some("2")));
    story.hears(Answer::Written("3".into()));
    assert!(story.leads());
}

#[test]
fn an_answer_counts_from_when_it_was_asked_for() {
    let mut story = Story::new();
    story.hears(Answer::Absent);
    let ask = story.at(0);
    let asked = story.now;
    story.at(11);
    story
        .election
        .answered(&ask, Answer::Written("1".into()), asked, story.now);
    assert!(!story.leads());
    assert_eq!(story.due_in(), 0);
}
