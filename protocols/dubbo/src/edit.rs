//! Changes to attachments, spliced into the frame.

use dubbo_rs_codec::{Edit as Splice, Frame as Whole, SpliceError, splice};
use meltemi_codec::{Edit, EditRefused, Frame};

/// Appends `frame` with its attachments changed.
pub(crate) fn edit(frame: Frame<'_>, edits: &[Edit], out: &mut Vec<u8>) -> Result<(), EditRefused> {
    if !frame.whole {
        return Err(EditRefused::TooLarge);
    }
    let Ok(Some((Whole { header, body }, _))) = Whole::split(frame.bytes) else {
        return Err(EditRefused::Unreadable);
    };
    let edits: Vec<Splice<'_>> = edits
        .iter()
        .map(|edit| match edit {
            Edit::Set { name, value } => Ok(Splice::Set { key: name, value }),
            Edit::Remove { name } => Ok(Splice::Remove { key: name }),
            Edit::StripPrefix { .. } => Err(EditRefused::NoPlace),
        })
        .collect::<Result<_, _>>()?;
    splice(&header, body, &edits, out).map_err(|error| match error {
        SpliceError::Opaque(_) | SpliceError::NoAttachments => EditRefused::NoPlace,
        SpliceError::NotAString | SpliceError::TooLong => EditRefused::Unwritable,
        SpliceError::NotAMap
        | SpliceError::Read(_)
        | SpliceError::Request(_)
        | SpliceError::Response(_) => EditRefused::Unreadable,
    })
}
