//! Requests that concern several shards.

use super::subject::{Asked, Subject};
use crate::{
    downstream::FromClient,
    kit::{broken::Broken, corpus::Corpus},
    message::{Answers, Constraint, Frame, OwnRequest, Role},
    protocol::Protocol,
    reply::{LocalReply, Status},
    scatter::{Merge, Plan, Scatter, ShardMap},
    session::Opening,
    upstream::{FromServer, Outcome},
};

const PLAN: &str = "Scatter::plan, Plan";
const MERGE: &str = "Scatter::merge, Merge";

/// A request of [`Constraint::Key`] has a shard when it is asked for. One of
/// [`Constraint::Planned`] is planned the same way each time, over one shard and over
/// many; each part is a whole request that goes to one place and is owed one answer; and whatever
/// the parts are answered, refusals and answers of other requests too, the client gets one answer,
/// which is no success where no part was one.
pub fn scattered_requests_come_together(
    protocol: &dyn Protocol,
    corpus: &Corpus,
) -> Result<(), Broken> {
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("scattered_requests_come_together");
    for asked in subject.asked().map_err(rule)? {
        if asked.request.constraint == Constraint::Key {
            has_shard(&subject, &asked).map_err(|broken| rule(asked.has(broken)))?;
        }
        if asked.request.constraint != Constraint::Planned {
            continue;
        }
        let Some(scatter) = protocol.scatter() else {
            let broken = Broken::new("", "`Protocol::scatter` is `None`", "Protocol::scatter")
                .expected("a plan for each request of `Constraint::Planned`");
            return Err(rule(asked.has(broken)));
        };
        for shards in [1, 2, 3, 7] {
            planned(&subject, &asked, scatter, shards)
                .map_err(|b| rule(asked.has(b.within(format!("over {shards} shards")))))?;
        }
    }
    Ok(())
}

fn has_shard(subject: &Subject<'_>, asked: &Asked<'_>) -> Result<(), Broken> {
    let codec = subject.protocol.downstream(subject.limits());
    match codec.constraint(asked.frame()) {
        Some(Constraint::Shard { .. } | Constraint::Endpoint(_)) => Ok(()),
        other => Err(
            Broken::new("", format!("{other:?}"), "Downstream::constraint")
                .expected("`Constraint::Shard` of the key of a request that was `Constraint::Key`"),
        ),
    }
}

/// So many shards, each with one node.
struct Shards(Vec<String>);

impl Shards {
    fn of(count: u32) -> Self {
        Self((0..count).map(|n| format!("127.0.0.1:{}", n + 1)).collect())
    }
}

impl ShardMap for Shards {
    fn place(&self, key: &[u8], shard_key: &dyn Fn(&[u8]) -> (u32, u64)) -> Option<u32> {
        let (slot, hash) = shard_key(key);
        let mixed = (hash ^ u64::from(slot)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        u32::try_from(mixed % self.0.len() as u64).ok()
    }

    fn node(&self, n: usize) -> Option<(&str, u32, Role)> {
        let address = self.0.get(n)?;
        Some((address, u32::try_from(n).ok()?, Role::Primary))
    }
}

fn planned(
    subject: &Subject<'_>,
    asked: &Asked<'_>,
    scatter: &dyn Scatter,
    shards: u32,
) -> Result<(), Broken> {
    let shards = Shards::of(shards);
    let plan = scatter.plan(asked.frame(), &shards);
    let again = scatter.plan(asked.frame(), &shards);
    if plan != again {
        return Err(Broken::new("", format!("{again:?}"), PLAN)
            .expected(format!("the same plan each time, {plan:?}")));
    }
    match plan {
        Plan::Refuse { .. } => Ok(()),
        Plan::One(Constraint::Planned) => Err(Broken::new("", "Plan::One of `Planned`", PLAN)
            .expected("where the request goes: it would be planned again without end")),
        Plan::One(_) => Ok(()),
        Plan::Many { parts, .. } if parts.is_empty() => {
            Err(Broken::new("", "a plan without parts", PLAN)
                .expected("at least one part: the client would wait for ever"))
        }
        Plan::Many { parts, merge } => {
            for (n, part) in parts.iter().enumerate() {
                whole(subject, part).map_err(|b| b.within(format!("part {n}")))?;
            }
            merged(subject, asked, scatter, (&merge, &parts))
        }
    }
}

/// A part is a request like one of a client's.
fn whole(subject: &Subject<'_>, part: &OwnRequest) -> Result<(), Broken> {
    let bytes = &part.bytes;
    let broken = |found: String, expected: &str| {
        Err(Broken::new("", found, PLAN)
            .expected(expected)
            .shows(bytes, 0))
    };
    match subject.read_request(bytes, PLAN)? {
        FromClient::Request(_) => {}
        other => {
            return broken(
                format!("it is read as {other:?}"),
                "a request, by the plugin's own downstream codec",
            );
        }
    }
    let request = &part.request;
    match (request.answers, &request.constraint) {
        (Answers::One, Constraint::Key | Constraint::Shard { .. } | Constraint::Endpoint(_)) => {
            Ok(())
        }
        (answers, constraint) => broken(
            format!("{answers:?}, to {constraint:?}"),
            "`Answers::One`, from the shard or the endpoint that its constraint names",
        ),
    }
}

fn merged(
    subject: &Subject<'_>,
    asked: &Asked<'_>,
    scatter: &dyn Scatter,
    (merge, parts): (&Merge, &[OwnRequest]),
) -> Result<(), Broken> {
    let mut codec = subject.protocol.downstream(subject.limits());
    let refusals: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| {
            let mut out = Vec::new();
            let reply = LocalReply {
                status: Status::NoHealthyUpstream,
                message: "no endpoint",
            };
            let request = &part.request;
            codec.local_reply(request.id, &request.memo, reply, &mut out);
            out
        })
        .collect();
    let bytes: Vec<&[u8]> = refusals.iter().map(Vec::as_slice).collect();
    let outcome = one(subject, asked, scatter, (merge, parts, &bytes))
        .map_err(|b| b.within("every part refused"))?;
    if let Outcome::Ok { .. } | Outcome::Redirect { .. } = outcome {
        return Err(
            Broken::new("every part refused", format!("{outcome:?}"), MERGE)
                .expected("an outcome that is no success: no part was one"),
        );
    }
    for sample in &subject.corpus.responses {
        if sample.to.as_ref() == Some(&asked.sample.name) {
            let bytes = vec![&*sample.bytes; parts.len()];
            one(subject, asked, scatter, (merge, parts, &bytes))
                .map_err(|b| b.within(format!("every part answered with `{}`", sample.name)))?;
        }
    }
    Ok(())
}

/// The one answer of the parts' is read as such, and what it says is what `merge` says of it.
fn one(
    subject: &Subject<'_>,
    asked: &Asked<'_>,
    scatter: &dyn Scatter,
    (merge, parts, answers): (&Merge, &[OwnRequest], &[&[u8]]),
) -> Result<Outcome, Broken> {
    let frames: Vec<Frame<'_>> = parts
        .iter()
        .zip(answers)
        .map(|(part, bytes)| Frame {
            bytes,
            whole: true,
            memo: &part.request.memo,
        })
        .collect();
    let mut out = Vec::new();
    let outcome = scatter.merge(merge, &frames, &mut out);
    let (memo, id) = (&asked.request.memo, asked.request.id);
    let event = subject.read_response(&out, (memo, id), MERGE)?;
    let broken = |found: String, expected: String| {
        Err(Broken::new("what `merge` has written", found, MERGE)
            .expected(expected)
            .shows(&out, 0))
    };
    if !matches!(event, FromServer::Response(_)) {
        return broken(
            format!("it is read as {event:?}"),
            "an answer to the request, by the plugin's own upstream codec".to_owned(),
        );
    }
    let codec = subject
        .protocol
        .upstream(subject.limits(), &Opening::default());
    let read = codec.outcome(Frame {
        bytes: &out,
        whole: true,
        memo,
    });
    // Whose fault a failure is the merge may know better than its text tells.
    let served = |outcome: &Outcome| matches!(outcome, Outcome::Ok { .. });
    if read != outcome && (served(&read) || served(&outcome)) {
        return broken(
            format!("`merge` says {outcome:?}"),
            format!("what `Upstream::outcome` reads from it, {read:?}"),
        );
    }
    Ok(outcome)
}
