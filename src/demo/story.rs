//! The acts of the demonstration: what is done, and what must then be seen.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    LOCALITY,
    consumer::Method,
    provider::{ROLES, Role},
    stage::Stage,
    tally::Counts,
};

/// An act that has not come true by then has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The nearest provider of version 1, which dies.
const VICTIM: &Role = &ROLES[0];
/// Where version 1 is answered then.
const NEXT_ZONE: &str = "eu/b";

/// Something that is done to the rules or the providers, and what comes of it.
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) done: Vec<String>,
    pub(super) claims: Vec<Claim>,
}

/// Which part of some calls is answered by whom.
pub(super) struct Claim {
    pub(super) what: String,
    methods: &'static [Method],
    among: fn(&Role) -> bool,
    by: fn(&Role) -> bool,
    percent: RangeInclusive<f64>,
}

/// A claim, and the share that was seen.
pub(super) struct Verdict {
    pub(super) what: String,
    /// Percent; `None` where there was no such call.
    pub(super) seen: Option<f64>,
    pub(super) holds: bool,
}

impl Claim {
    pub(super) fn judge(&self, counts: &Counts) -> Verdict {
        let all = counts.of(self.methods, self.among);
        let theirs = counts.of(self.methods, |role| (self.among)(role) && (self.by)(role));
        let seen = (all > 0).then(|| 100.0 * theirs as f64 / all as f64);
        Verdict {
            what: self.what.clone(),
            seen,
            holds: seen.is_some_and(|seen| self.percent.contains(&seen)),
        }
    }
}

const EVERY: RangeInclusive<f64> = 100.0..=100.0;

fn anyone(_: &Role) -> bool {
    true
}

fn v1(role: &Role) -> bool {
    role.version == "v1"
}

fn v2(role: &Role) -> bool {
    role.version == "v2"
}

fn here(role: &Role) -> bool {
    role.locality == LOCALITY
}

fn split(percent: u32, tolerance: f64) -> Claim {
    let middle = f64::from(percent);
    Claim {
        what: format!("{percent}% of sayHello answered by v2"),
        methods: &[Method::Hello],
        among: anyone,
        by: v2,
        percent: middle - tolerance..=middle + tolerance,
    }
}

fn v1_answered_in(locality: &'static str, by: fn(&Role) -> bool) -> Claim {
    Claim {
        what: format!("all calls of v1 answered in {locality}"),
        methods: &[Method::Hello],
        among: v1,
        by,
        percent: EVERY,
    }
}

/// Plays the acts; false if one did not come true.
pub(super) async fn tell(stage: &mut Stage, hold: Duration) -> anyhow::Result<bool> {
    let router = stage.manifests.router().display().to_string();
    let mut as_claimed = stage
        .play(as_the_manifests_say(&router), hold, PATIENCE)
        .await?;

    stage.manifests.shift_weights([90, 10], [50, 50])?;
    let shifted = Act {
        title: "a rule changes",
        done: vec![
            format!("edited {router}"),
            "route canary: weight 90 became 50, weight 10 became 50".to_owned(),
        ],
        claims: vec![split(50, 4.0)],
    };
    as_claimed &= stage.play(shifted, hold, PATIENCE).await?;

    stage.kill(VICTIM);
    let killed = Act {
        title: "a provider dies",
        done: vec![format!(
            "killed {}, with calls in flight; the next zone of its version is {NEXT_ZONE}",
            VICTIM.name
        )],
        claims: vec![
            v1_answered_in(NEXT_ZONE, |role| role.locality == NEXT_ZONE),
            split(50, 4.0),
        ],
    };
    as_claimed &= stage.play(killed, hold, PATIENCE).await?;

    stage.start_again(VICTIM).await?;
    let back = Act {
        title: "it is back",
        done: vec![
            format!("started {} again", VICTIM.name),
            "it was ejected for baseEjectionTime, 5s, and gets calls when that is over".to_owned(),
        ],
        claims: vec![v1_answered_in(LOCALITY, here)],
    };
    as_claimed &= stage.play(back, hold, PATIENCE).await?;
    Ok(as_claimed)
}

fn as_the_manifests_say(router: &str) -> Act {
    let all = |what: &str, methods, by| Claim {
        what: what.to_owned(),
        methods,
        among: anyone,
        by,
        percent: EVERY,
    };
    Act {
        title: "as the manifests say",
        done: vec![
            format!("applied {router} and the files beside it"),
            format!("the proxy runs in {LOCALITY}, and prefers providers there"),
        ],
        claims: vec![
            split(10, 3.0),
            all(
                "all calls of sayGoodbye answered by v2",
                &[Method::Goodbye],
                v2,
            ),
            all(
                "all calls of user test-ada answered by v2",
                &[Method::Tester],
                v2,
            ),
            all("all calls answered in eu/a", &Method::ALL, here),
        ],
    }
}
