//! Connections that belong to one client for a while.

use super::subject::Subject;
use crate::{
    kit::{broken::Broken, corpus::Corpus},
    message::{Answers, Pin},
    protocol::Protocol,
    upstream::FromServer,
};

/// A pin that ends with an answer is of a request that is owed one; nothing is aside of a pin that
/// nobody has; and where servers say something unasked, some request pins a connection, since
/// only its client can hear it.
pub fn pins_end(protocol: &dyn Protocol, corpus: &Corpus) -> Result<(), Broken> {
    const READ: &str = "Pin, Answers::None";
    let subject = Subject::new(protocol, corpus);
    let rule = |broken: Broken| broken.by("pins_end");
    let (mut pinned, mut ever) = (false, false);
    for asked in subject.asked().map_err(rule)? {
        let pin = asked.request.pin;
        let owed = asked.request.answers != Answers::None;
        let wrong = match pin {
            Pin::UntilReply | Pin::Release if !owed => Some((
                format!("{pin:?} of a request that is never answered"),
                "a pin that ends with an answer only where one is owed: the connection would \
                 never be free again",
            )),
            Pin::Aside if !pinned => Some((
                "Pin::Aside, and no request before it has pinned a connection".to_owned(),
                "`Pin::None` for a client that has no pinned connection",
            )),
            _ => None,
        };
        if let Some((found, expected)) = wrong {
            let broken = Broken::new("", found, READ).expected(expected);
            return Err(rule(asked.has(broken)));
        }
        pinned = match pin {
            Pin::UntilRelease | Pin::UntilClose => true,
            Pin::Release => false,
            Pin::None | Pin::UntilReply | Pin::Aside => pinned,
        };
        ever |= pinned;
    }
    for (sample, event, _) in subject.answered().map_err(rule)? {
        if !ever && matches!(event, FromServer::Push | FromServer::Call(_)) {
            let place = format!("the server's message `{}`", sample.name);
            let found = format!("{event:?}, and no recorded request pins a connection");
            let broken = Broken::new(place, found, "Pin::UntilRelease, FromServer::Push")
                .expected(
                    "a request with `Pin::UntilRelease` or `Pin::UntilClose`, whose client then \
                     hears it; on a connection that nobody has, it reaches nobody",
                )
                .shows(&sample.bytes, 0);
            return Err(rule(broken));
        }
    }
    Ok(())
}
