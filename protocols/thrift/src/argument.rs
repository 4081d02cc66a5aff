//! Arguments of a call by the ids of their fields, read with Apache's own reader. Only for what a
//! rule asks for: it copies what it reads.

use meltemi_codec::Limits;
use thrift::{
    TConfiguration,
    protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TType},
};

use crate::dialect::Encoding;

/// The value at `path` (`1.3`: field 3 of the struct that is argument 1), if it is a scalar, a
/// string or binary. Numbers are in decimal, bools `true` or `false`.
pub(crate) fn find(encoding: Encoding, arguments: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut ids = [0; DEEPEST];
    let mut length = 0;
    for id in path.split('.') {
        *ids.get_mut(length)? = id.parse().ok()?;
        length += 1;
    }
    let ids = ids.get(..length)?;
    let config = config(arguments.len())?;
    match encoding {
        Encoding::Binary | Encoding::Lax => {
            let mut reader = TBinaryInputProtocol::with_config(arguments, false, config);
            walk(&mut reader, ids).ok()?
        }
        Encoding::Compact => {
            let mut reader = TCompactInputProtocol::with_config(arguments, config);
            walk(&mut reader, ids).ok()?
        }
        Encoding::Json | Encoding::Opaque => None,
    }
}

/// As many ids as a path may have.
const DEEPEST: usize = 16;

/// The reader allocates a string before it reads it, 100 MiB by default: no more than there is.
fn config(length: usize) -> Option<TConfiguration> {
    TConfiguration::builder()
        .max_frame_size(None)
        .max_message_size(Some(length.max(Limits::WHOLE)))
        .max_container_size(Some(length))
        .max_string_size(Some(length))
        .build()
        .ok()
}

fn walk(reader: &mut dyn TInputProtocol, path: &[i16]) -> thrift::Result<Option<Vec<u8>>> {
    let Some((id, rest)) = path.split_first() else {
        return Ok(None);
    };
    reader.read_struct_begin()?;
    loop {
        let field = reader.read_field_begin()?;
        match field.field_type {
            TType::Stop => return Ok(None),
            kind if field.id != Some(*id) => reader.skip(kind)?,
            TType::Struct => return walk(reader, rest),
            kind if rest.is_empty() => return scalar(reader, kind),
            _ => return Ok(None),
        }
    }
}

fn scalar(reader: &mut dyn TInputProtocol, kind: TType) -> thrift::Result<Option<Vec<u8>>> {
    let text = match kind {
        TType::Bool => reader.read_bool()?.to_string(),
        TType::I08 => reader.read_i8()?.to_string(),
        TType::I16 => reader.read_i16()?.to_string(),
        TType::I32 => reader.read_i32()?.to_string(),
        TType::I64 => reader.read_i64()?.to_string(),
        TType::Double => reader.read_double()?.to_string(),
        TType::Uuid => reader.read_uuid()?.to_string(),
        TType::String => return reader.read_bytes().map(Some),
        _ => return Ok(None),
    };
    Ok(Some(text.into_bytes()))
}
