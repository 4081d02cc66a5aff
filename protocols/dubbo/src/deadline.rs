//! What is left of a call's deadline, for the provider (rule 9).

use std::time::Duration;

use dubbo_rs_codec::{HEADER_LEN, Request as CallBody, SerializationId};
use meltemi_codec::{Edit, EditRefused, Frame};

use crate::edit;

/// Appends `request` with `left` where its attachments say more: `timeout`, and `_TO`, by which a
/// provider counts down the time that its own calls have.
pub(crate) fn pass(
    serialization: SerializationId,
    request: Frame<'_>,
    left: Duration,
    out: &mut Vec<u8>,
) -> Result<(), EditRefused> {
    let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
    let body = request.bytes.get(HEADER_LEN..).unwrap_or_default();
    let mut call = CallBody::parse(serialization, body).map_err(|_| EditRefused::Unreadable)?;
    call.locate_attachments()
        .map_err(|_| EditRefused::Unreadable)?;
    let attachments = call.attachments().map_err(|_| EditRefused::Unreadable)?;
    let mut edits = vec![];
    let visited = attachments.visit(|key, value| {
        let name = match key {
            b"timeout" => "timeout",
            b"_TO" => "_TO",
            _ => return,
        };
        if value.number().is_some_and(|number| number > millis) {
            edits.push(Edit::Set {
                name: name.into(),
                value: millis.to_string().into(),
            });
        }
    });
    visited.map_err(|_| EditRefused::Unreadable)?;
    edit::edit(request, &edits, out)
}
